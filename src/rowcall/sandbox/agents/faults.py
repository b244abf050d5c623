"""What goes wrong with single calls of an agent, on purpose.

    {"every": 20, "status": 429, "headers": {"Retry-After": "1"}}    {"match": "glass", "drop": "before"}

A fault strikes the calls that all of its conditions pick: `match` (text within the last user message) first, and of those that
match `first` (the first n), `every` (each nth) or `share` (evenly spread). With none it strikes every call.

What it does: `status` with `body` (JSON) or `raw` (text) instead of a reply; `reply`, the name of a way to answer wrongly (see
`unusual_replies`); `headers`, set on whatever is sent; `retry_in_s`, a `Retry-After` with the date so far from then; `pad_mb`,
so many MB of white space after the body; `pause_ms`, waited in the middle of the body; or `drop`, the connection closed `before`
a reply or in the `middle` of one. `delay_ms` waits before all of that, alone it only makes the call slower. Nothing here is
random: shares follow the number of the call.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import cast

from rowcall.core.loose import mapping
from rowcall.sandbox.agents.fields import read_count, read_number, read_object

_GOLDEN = (math.sqrt(5) - 1) / 2
_ACTS = ("status", "reply", "headers", "retry_in_s", "pad_mb", "pause_ms", "drop", "delay_ms")
_KEYS = {"every", "share", "first", "match", "body", "raw", *_ACTS}
_MB = 1024 * 1024


@dataclass(slots=True)
class Fault:
    """One fault; `seen` counts the calls that matched it. Waits are in seconds, `padding` is in bytes."""

    match: str = ""
    first: int | None = None
    every: int | None = None
    share: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = None
    raw: str | None = None
    reply: str | None = None
    padding: int = 0
    pause: float = 0.0
    retry_in: int | None = None
    drop: str | None = None
    delay: float = 0.0
    seen: int = 0

    def headers_now(self) -> Mapping[str, str]:
        """What is set on what is sent now."""
        if self.retry_in is None:
            return self.headers
        date = datetime.now(UTC) + timedelta(seconds=self.retry_in)
        return {**self.headers, "Retry-After": format_datetime(date, usegmt=True)}

    def strikes(self, text: str) -> bool:
        """Whether this call is struck; counts it."""
        if self.match not in text:
            return False
        self.seen += 1
        return (
            (self.first is None or self.seen <= self.first)
            and (self.every is None or self.seen % self.every == 0)
            and (self.share is None or spread(self.seen, _GOLDEN) < self.share)
        )


def read_fault(value: object, where: str) -> Fault:
    """Read what a test sent; raises ValueError with what is wrong."""
    given = read_object(value, _KEYS, where)
    if not given.keys() & set(_ACTS):
        raise ValueError(f"{where}: expected one of {', '.join(_ACTS)}")
    if given.get("drop") not in (None, "before", "middle"):
        raise ValueError(f"{where}.drop: expected `before` or `middle`")
    for key in ("match", "raw", "reply"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{where}.{key}: expected a text")
    share = read_number(given, "share", where) if "share" in given else None
    if share is not None and share > 1:
        raise ValueError(f"{where}.share: expected a number from 0 to 1")
    return Fault(
        match=str(given.get("match", "")),
        first=read_count(given, "first", where, least=0),
        every=read_count(given, "every", where, least=1),
        share=share,
        status=read_count(given, "status", where, least=200, most=599),
        headers={key: str(value) for key, value in mapping(given.get("headers")).items()},
        body=given.get("body"),
        raw=cast("str | None", given.get("raw")),
        reply=cast("str | None", given.get("reply")),
        padding=(read_count(given, "pad_mb", where, least=1, most=256) or 0) * _MB,
        pause=read_number(given, "pause_ms", where) / 1000,
        retry_in=read_count(given, "retry_in_s", where, least=1, most=86_400),
        drop=cast("str | None", given.get("drop")),
        delay=read_number(given, "delay_ms", where) / 1000,
    )


def spread(number: int, step: float) -> float:
    """Numbers in [0, 1) that fill it evenly, however many are taken."""
    return number * step % 1.0
