"""A run over time: how many calls ended a second, and how many attempts were in flight, in buckets of one width."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_BUCKETS = 60
_SECOND = 1_000_000_000
_WIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
"""Widths in seconds that people read easily."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the first bucket begins (Unix ns), how wide each is, how many there are."""

    origin_ns: int
    width_ns: int
    buckets: int

    @property
    def width(self) -> float:
        return self.width_ns / _SECOND


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bucket by bucket. `ok` and `not_ok` are calls that ended a second, `in_flight` is the mean number of attempts."""

    width: float
    ok: tuple[float, ...]
    not_ok: tuple[float, ...]
    in_flight: tuple[float, ...]


def clock_of(origin_ns: int, end_ns: int) -> Clock:
    """Buckets from one time to another: as narrow as there may be, and never none."""
    span = max(end_ns - origin_ns, 1)
    most = MOST_BUCKETS - 1
    width = next((width for width in _WIDTHS if span <= width * _SECOND * most), span / _SECOND / most)
    width_ns = int(width * _SECOND) or 1
    return Clock(origin_ns, width_ns, span // width_ns + 1)


def timeline(rows: Iterable[Mapping[str, Any]], clock: Clock) -> Timeline:
    """Read the rows of `sql/statements/report_timeline.sql`; what is outside of the clock counts to its ends."""
    ok, not_ok, more, more_seconds = ([0.0] * clock.buckets for _ in range(4))
    for row in rows:
        at = min(max(int(row["bucket"]), 0), clock.buckets - 1)
        ok[at] += row["ok"]
        not_ok[at] += row["not_ok"]
        more[at] += row["more"]
        more_seconds[at] += row["more_seconds"]
    in_flight: list[float] = []
    carried = 0.0
    for change, seconds in zip(more, more_seconds, strict=True):
        in_flight.append(max(0.0, carried + seconds / clock.width))
        carried += change
    a_second = [tuple(count / clock.width for count in counts) for counts in (ok, not_ok)]
    return Timeline(clock.width, a_second[0], a_second[1], tuple(in_flight))
