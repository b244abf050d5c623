"""How much an agent takes on, and how it turns away the calls that are too many.

    "capacity": {"at_once": 16, "per_second": 200, "burst": 20, "status": 503, "retry_after": 1}
    "quota": {"requests": 600, "input_tokens": 20000, "output_tokens": 5000, "seconds": 60}

The capacity is what a server can do: so many calls `at_once`, so many `per_second`, of which so many may come together in a
`burst` (as many as a second's, unless given). The quota is what a caller may use in any so many `seconds` (60, unless given).
Tokens are those of `usage`; of the output, as many are reserved as the request allows (`max_output_tokens`, `max_tokens`) until
it is known how many there were.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from rowcall.sandbox.agents.fields import read_count, read_number, read_object

_KEYS = {"at_once", "per_second", "burst", "status", "retry_after"}
_CODES = {429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call that is too many is turned away; `retry_after` is in seconds."""

    status: int
    body: object
    retry_after: int | None = None


@dataclass(slots=True)
class Load:
    """What one call takes: it came at a monotonic time; `output_tokens` are those reserved for it until it is answered."""

    at: float
    input_tokens: int
    output_tokens: int


COUNTS: Mapping[str, Callable[[Load], int]] = {
    "requests": lambda _: 1,
    "input_tokens": lambda load: load.input_tokens,
    "output_tokens": lambda load: load.output_tokens,
}
"""What is counted of loads, by name."""


@dataclass(slots=True)
class Capacity:
    """So many calls at once, so many a second; a token bucket that is full at first."""

    at_once: int | None = None
    per_second: float | None = None
    burst: float = 1.0
    status: int = 429
    retry_after: int | None = None
    _left: float = field(init=False)
    _filled: float = -math.inf

    def __post_init__(self) -> None:
        self._left = self.burst

    def refusal(self, serving: int, now: float) -> Refusal | None:
        """No to a call that comes while `serving` others are being served; of those a second it is one where it is taken on."""
        if self.at_once is not None and serving >= self.at_once:
            return self._refuse(f"The endpoint serves {self.at_once} requests at once")
        if self.per_second is None:
            return None
        self._left = min(self._left + (now - self._filled) * self.per_second, self.burst)
        self._filled = now
        if self._left < 1:
            return self._refuse(f"Exceeded the rate limit of {self.per_second:g} requests per second")
        self._left -= 1
        return None

    def _refuse(self, message: str) -> Refusal:
        code = _CODES[self.status]
        return Refusal(self.status, {"error_code": code, "message": f"{code}: {message}"}, self.retry_after)


@dataclass(slots=True)
class Quota:
    """So many requests and tokens in any `seconds`: `limits` by name."""

    limits: Mapping[str, int]
    seconds: float = 60.0
    _loads: deque[Load] = field(default_factory=deque[Load])

    def refusal(self, load: Load) -> Refusal | None:
        """No to a call that would be above a limit; counts it where it is not."""
        while self._loads and self._loads[0].at <= load.at - self.seconds:
            self._loads.popleft()
        wait, name = max((self._wait(name, load), name) for name in self.limits)
        if wait > 0:
            return self._refuse(name, math.ceil(wait))
        self._loads.append(load)
        return None

    def _wait(self, name: str, load: Load) -> float:
        """The seconds until enough of the earlier calls have left the window; the whole window for a call that never fits."""
        room = self.limits[name] - COUNTS[name](load)
        if room < 0:
            return self.seconds
        used_since = accumulate(map(COUNTS[name], reversed(self._loads)))
        staying = sum(used <= room for used in used_since)
        return 0.0 if staying == len(self._loads) else self._loads[-1 - staying].at + self.seconds - load.at

    def _refuse(self, name: str, wait: int) -> Refusal:
        kind = f"{name}_per_minute" if self.seconds == 60 else f"{name}_per_{self.seconds:g}_seconds"
        error = {
            "message": f"Exceeded the limit of {self.limits[name]} {kind}",
            "type": "rate_limit_exceeded",
            "code": 429,
            "limit_type": kind,
            "limit": self.limits[name],
            "current": sum(map(COUNTS[name], self._loads)),
            "retry_after": wait,
        }
        return Refusal(429, {"error": error}, wait)


def read_capacity(value: object) -> Capacity:
    """Read what a test sent; raises ValueError with what is wrong."""
    given = read_object(value, _KEYS, "capacity")
    at_once = read_count(given, "at_once", "capacity", least=0)
    per_second = read_number(given, "per_second", "capacity") or None
    if at_once is None and per_second is None:
        raise ValueError("capacity: expected `at_once`, `per_second` or both")
    status = read_count(given, "status", "capacity", least=200, most=599) or 429
    if status not in _CODES:
        raise ValueError("capacity.status: expected 429 or 503")
    burst = read_count(given, "burst", "capacity", least=1) or max(per_second or 1.0, 1.0)
    return Capacity(at_once, per_second, burst, status, read_count(given, "retry_after", "capacity", least=0))


def read_quota(value: object) -> Quota:
    """Read what a test sent; raises ValueError with what is wrong."""
    given = read_object(value, {*COUNTS, "seconds"}, "quota")
    limits = {name: limit for name in COUNTS if (limit := read_count(given, name, "quota", least=0)) is not None}
    if not limits:
        raise ValueError(f"quota: expected one of {', '.join(COUNTS)}")
    return Quota(limits, read_number(given, "seconds", "quota") or 60.0)
