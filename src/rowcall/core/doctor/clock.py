"""This machine's clock against the workspace's."""

from email.utils import parsedate_to_datetime

from rowcall.core.doctor.checks import Found, missing, ok, unknown
from rowcall.core.shown import duration

MOST_SECONDS = 60.0
"""How far apart clocks may be. A token's end and a date to come back at are read by this machine's."""


def clock_found(date: str, now: float) -> Found:
    """`date` is a Date header, `now` the Unix time at which it came."""
    try:
        apart = parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return unknown("the workspace's replies tell no time")
    if abs(apart) <= MOST_SECONDS:
        return ok("as the workspace's")
    late = "behind" if apart > 0 else "ahead of"
    return missing(
        f"this machine is {duration(abs(apart))} {late} the workspace", "Set this machine's clock, best by NTP."
    )
