"""How an agent misbehaves on purpose: latency and faults, set per agent and repeatable to the call.

    {"latency_ms": 200, "jitter": [80, 900], "answer": "fixed text",
     "faults": [{"every": 20, "status": 429, "headers": {"Retry-After": "1"}},
                {"match": "glass", "drop": "before"}],
     "packet_bytes": 7, "frame_delay_ms": 20, "cold": {"seconds": 3, "status": 503}}

`latency_ms` is waited before every answer; `jitter` adds a log-normal wait with that median and 99th
percentile, in milliseconds. `packet_bytes` cuts a stream into writes of that size, wherever that falls;
`frame_delay_ms` is waited between the events of one. `cold` is an endpoint scaled to zero: from the first call on,
calls get the `status` 503 or 404 for so many `seconds`, and no fault counts them.

A fault strikes the calls that all of its conditions pick: `match` (text within the last user message) first, and
of those that match `first` (the first n), `every` (each nth) or `share` (evenly spread). With none it strikes every
call. The first fault in the list that strikes decides. What it does: `status` with `headers` and `body` (JSON) or
`raw` (text); `reply`, the name of a way to answer wrongly; or `drop`, the connection closed `before` a reply or in
the `middle` of one; `delay_ms` waits first, alone it only makes the call slower. Nothing here is random: shares and
jitter follow the number of the call.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import cast

from rowcall.core.loose import mapping, sequence

_GOLDEN = (math.sqrt(5) - 1) / 2
_SILVER = math.sqrt(2) - 1
_FAULT_ACTS = {"status", "reply", "drop", "delay_ms"}
_FAULT_KEYS = {"every", "share", "first", "match", "headers", "body", "raw"} | _FAULT_ACTS
_KEYS = {"latency_ms", "jitter", "faults", "answer", "packet_bytes", "frame_delay_ms", "cold"}
_COLD_REPLIES = {
    503: {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "The endpoint is scaled to zero and is starting"},
    404: {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "The endpoint is not ready"},
}


@dataclass(slots=True)
class Fault:
    """One fault; `seen` counts the calls that matched it."""

    match: str = ""
    first: int | None = None
    every: int | None = None
    share: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = None
    raw: str | None = None
    reply: str | None = None
    drop: str | None = None
    delay: float = 0.0
    seen: int = 0

    def strikes(self, text: str) -> bool:
        """Whether this call is struck; counts it."""
        if self.match not in text:
            return False
        self.seen += 1
        return (
            (self.first is None or self.seen <= self.first)
            and (self.every is None or self.seen % self.every == 0)
            and (self.share is None or _spread(self.seen, _GOLDEN) < self.share)
        )


@dataclass(slots=True)
class Cold:
    """Scaled to zero: the first call starts it, and until it is up `seconds` later calls get `status`."""

    seconds: float
    status: int
    up: float | None = None

    def fault(self) -> Fault | None:
        now = time.monotonic()
        if self.up is None:
            self.up = now + self.seconds
        return Fault(status=self.status, body=_COLD_REPLIES[self.status]) if now < self.up else None


@dataclass(slots=True)
class Behaviour:
    """How an agent behaves. Waits are in seconds."""

    latency: float = 0.0
    jitter: tuple[float, float] | None = None
    faults: tuple[Fault, ...] = ()
    answer: str | None = None
    packet_bytes: int | None = None
    frame_delay: float = 0.0
    cold: Cold | None = None
    calls: int = 0

    def wait(self) -> float:
        """The latency of the next call."""
        self.calls += 1
        if self.jitter is None:
            return self.latency
        median, high = self.jitter
        sigma = math.log(high / median) / NormalDist().inv_cdf(0.99)
        deviation = NormalDist().inv_cdf(min(max(_spread(self.calls, _SILVER), 1e-6), 1 - 1e-6))
        return self.latency + median * math.exp(sigma * deviation)

    def fault(self, text: str) -> Fault | None:
        """The fault that strikes the next call; every fault counts it, unless the agent is cold."""
        if self.cold is not None and (starting := self.cold.fault()):
            return starting
        struck = [fault for fault in self.faults if fault.strikes(text)]
        return struck[0] if struck else None


def read_behaviour(body: object) -> Behaviour:
    """Read what a test sent; raises ValueError with what is wrong."""
    given = _known(body, _KEYS, "behaviour")
    answer = given.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise ValueError("answer: expected a text")
    return Behaviour(
        latency=_number(given, "latency_ms", "behaviour") / 1000,
        jitter=_jitter(given.get("jitter")),
        faults=tuple(_read_fault(fault, index) for index, fault in enumerate(_list(given.get("faults", []), "faults"))),
        answer=answer,
        packet_bytes=_count(given, "packet_bytes", "behaviour", least=1),
        frame_delay=_number(given, "frame_delay_ms", "behaviour") / 1000,
        cold=_read_cold(given.get("cold")),
    )


def _read_cold(value: object) -> Cold | None:
    if value is None:
        return None
    given = _known(value, {"seconds", "status"}, "cold")
    status = _count(given, "status", "cold", least=200, most=599) or 503
    if status not in _COLD_REPLIES:
        raise ValueError("cold.status: expected 503 or 404")
    return Cold(_number(given, "seconds", "cold"), status)


def _read_fault(value: object, index: int) -> Fault:
    where = f"faults[{index}]"
    given = _known(value, _FAULT_KEYS, where)
    if not _FAULT_ACTS & given.keys():
        raise ValueError(f"{where}: expected `status`, `reply`, `drop` or `delay_ms`")
    if given.get("drop") not in (None, "before", "middle"):
        raise ValueError(f"{where}.drop: expected `before` or `middle`")
    for key in ("match", "raw", "reply"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{where}.{key}: expected a text")
    share = _number(given, "share", where) if "share" in given else None
    if share is not None and share > 1:
        raise ValueError(f"{where}.share: expected a number from 0 to 1")
    return Fault(
        match=str(given.get("match", "")),
        first=_count(given, "first", where, least=0),
        every=_count(given, "every", where, least=1),
        share=share,
        status=_count(given, "status", where, least=200, most=599),
        headers={key: str(value) for key, value in mapping(given.get("headers")).items()},
        body=given.get("body"),
        raw=cast("str | None", given.get("raw")),
        reply=cast("str | None", given.get("reply")),
        drop=cast("str | None", given.get("drop")),
        delay=_number(given, "delay_ms", where) / 1000,
    )


def _known(value: object, keys: set[str], where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object")
    given = mapping(cast("object", value))
    if unknown := sorted(given.keys() - keys):
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(keys))}")
    return given


def _jitter(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    numbers = [number for number in sequence(value) if isinstance(number, int | float)]
    if len(numbers) != 2 or not 0 < numbers[0] <= numbers[1]:
        raise ValueError("jitter: expected [median, 99th percentile] in milliseconds, 0 < median <= percentile")
    return numbers[0] / 1000, numbers[1] / 1000


def _number(given: Mapping[str, object], key: str, where: str) -> float:
    value = given.get(key, 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{where}.{key}: expected a number from 0 up")
    return value


def _count(given: Mapping[str, object], key: str, where: str, least: int, most: int = 10**9) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{where}.{key}: expected a whole number from {least} to {most}")
    return value


def _list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list")
    return sequence(cast("object", value))


def _spread(number: int, step: float) -> float:
    """Numbers in [0, 1) that fill it evenly, however many are taken."""
    return number * step % 1.0
