"""What came in and what went out, per agent: the sandbox's own count, to hold a client's against."""

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from rowcall.sandbox.agents.capacity import COUNTS, Load

MOST_LOADS = 50_000


@dataclass(slots=True)
class Figures:
    """Counts since the last reset; a call under way at a reset stays in the old ones. Times are Unix ns.

    `statuses` counts replies by HTTP status, besides `dropped` (on purpose) and `lost` (the client was gone).
    `distinct_inputs` came, `distinct_answered` were answered: if `answered` is more, some were twice.
    `busiest` are the most requests, input tokens and output tokens that came within any so many seconds, of the last 50,000
    calls that were not turned away.
    """

    calls: int = 0
    answered: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    first_request_ns: int | None = None
    last_reply_ns: int | None = None
    statuses: Counter[str] = field(default_factory=Counter[str])
    asked: set[int] = field(default_factory=set[int])
    told: set[int] = field(default_factory=set[int])
    loads: deque[Load] = field(default_factory=lambda: deque[Load](maxlen=MOST_LOADS))

    def arrive(self) -> None:
        """A request with a good token is here."""
        if self.first_request_ns is None:
            self.first_request_ns = time.time_ns()
        self.calls += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self, ending: str, fingerprint: int | None) -> None:
        """Its reply is out, or never will be. `ending` is the status sent, `dropped` or `lost`."""
        self.in_flight -= 1
        self.last_reply_ns = time.time_ns()
        self.statuses[ending] += 1
        if fingerprint is not None:
            self.asked.add(fingerprint)
        if ending.startswith("2"):
            self.answered += 1
            if fingerprint is not None:
                self.told.add(fingerprint)

    def busiest(self, seconds: float) -> dict[str, int]:
        """The most of each in any so many seconds."""
        most = dict.fromkeys(COUNTS, 0)
        for name, count in COUNTS.items():
            window, total = deque[Load](), 0
            for load in self.loads:
                window.append(load)
                total += count(load)
                while window[0].at <= load.at - seconds:
                    total -= count(window.popleft())
                most[name] = max(most[name], total)
        return most

    def as_json(self, seconds: float = 60) -> dict[str, object]:
        """`busiest` is of any so many seconds."""
        return {
            "calls": self.calls,
            "answered": self.answered,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "first_request_ns": self.first_request_ns,
            "last_reply_ns": self.last_reply_ns,
            "statuses": dict(self.statuses),
            "distinct_inputs": len(self.asked),
            "distinct_answered": len(self.told),
            "busiest": {"seconds": seconds, **self.busiest(seconds)},
        }
