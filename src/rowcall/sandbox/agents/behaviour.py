"""How an agent behaves: latency, faults on purpose, how much it takes on; set per agent and repeatable to the call.

    {"latency_ms": 200, "jitter": [80, 900], "answer": "fixed text",
     "faults": [{"every": 20, "status": 429, "headers": {"Retry-After": "1"}},
                {"match": "glass", "drop": "before"}],
     "packet_bytes": 7, "frame_delay_ms": 20, "cold": {"seconds": 3, "status": 503},
     "capacity": {"at_once": 16, "per_second": 200}, "quota": {"requests": 600, "output_tokens": 5000}}

`latency_ms` is waited before every answer; `jitter` adds a log-normal wait with that median and 99th
percentile, in milliseconds, which follows the number of the call. `packet_bytes` cuts a stream into writes of that
size, wherever that falls; `frame_delay_ms` is waited between the events of one. `cold` is an endpoint scaled to zero:
from the first call on, calls get the `status` 503 or 404 for so many `seconds`. Calls beyond the `capacity` or the
`quota` are turned away at once (see `capacity`); the first fault in the list of `faults` that strikes any other call
decides what happens to it (see `faults`). Calls that a cold agent gets or that are turned away count for no fault.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from rowcall.core.loose import sequence
from rowcall.sandbox.agents.capacity import Capacity, Load, Quota, Refusal, read_capacity, read_quota
from rowcall.sandbox.agents.faults import Fault, read_fault, spread
from rowcall.sandbox.agents.fields import read_count, read_list, read_number, read_object

_SILVER = math.sqrt(2) - 1
_KEYS = {"latency_ms", "jitter", "faults", "answer", "packet_bytes", "frame_delay_ms", "cold", "capacity", "quota"}
_COLD_REPLIES = {
    503: {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "The endpoint is scaled to zero and is starting"},
    404: {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "The endpoint is not ready"},
}


@dataclass(slots=True)
class Cold:
    """Scaled to zero: the first call starts it, and until it is up `seconds` later calls get `status`."""

    seconds: float
    status: int
    up: float | None = None

    def refusal(self, now: float) -> Refusal | None:
        if self.up is None:
            self.up = now + self.seconds
        return Refusal(self.status, _COLD_REPLIES[self.status]) if now < self.up else None


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
    capacity: Capacity | None = None
    quota: Quota | None = None
    calls: int = 0

    def wait(self) -> float:
        """The latency of the next call."""
        self.calls += 1
        if self.jitter is None:
            return self.latency
        median, high = self.jitter
        sigma = math.log(high / median) / NormalDist().inv_cdf(0.99)
        deviation = NormalDist().inv_cdf(min(max(spread(self.calls, _SILVER), 1e-6), 1 - 1e-6))
        return self.latency + median * math.exp(sigma * deviation)

    def refusal(self, load: Load, serving: int) -> Refusal | None:
        """Why a call is turned away that comes while `serving` others are served; counts what it takes where it is not."""
        return (
            (self.cold and self.cold.refusal(load.at))
            or (self.capacity and self.capacity.refusal(serving, load.at))
            or (self.quota and self.quota.refusal(load))
        )

    def fault(self, text: str) -> Fault | None:
        """The fault that strikes the next call; every fault counts it."""
        struck = [fault for fault in self.faults if fault.strikes(text)]
        return struck[0] if struck else None


def read_behaviour(body: object) -> Behaviour:
    """Read what a test sent; raises ValueError with what is wrong."""
    given = read_object(body, _KEYS, "behaviour")
    answer = given.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise ValueError("answer: expected a text")
    faults = read_list(given.get("faults", []), "faults")
    return Behaviour(
        latency=read_number(given, "latency_ms", "behaviour") / 1000,
        jitter=_read_jitter(given["jitter"]) if "jitter" in given else None,
        faults=tuple(read_fault(fault, f"faults[{index}]") for index, fault in enumerate(faults)),
        answer=answer,
        packet_bytes=read_count(given, "packet_bytes", "behaviour", least=1),
        frame_delay=read_number(given, "frame_delay_ms", "behaviour") / 1000,
        cold=_read_cold(given["cold"]) if "cold" in given else None,
        capacity=read_capacity(given["capacity"]) if "capacity" in given else None,
        quota=read_quota(given["quota"]) if "quota" in given else None,
    )


def _read_cold(value: object) -> Cold:
    given = read_object(value, {"seconds", "status"}, "cold")
    status = read_count(given, "status", "cold", least=200, most=599) or 503
    if status not in _COLD_REPLIES:
        raise ValueError("cold.status: expected 503 or 404")
    return Cold(read_number(given, "seconds", "cold"), status)


def _read_jitter(value: object) -> tuple[float, float]:
    numbers = [number for number in sequence(value) if isinstance(number, int | float)]
    if len(numbers) != 2 or not 0 < numbers[0] <= numbers[1]:
        raise ValueError("jitter: expected [median, 99th percentile] in milliseconds, 0 < median <= percentile")
    return numbers[0] / 1000, numbers[1] / 1000
