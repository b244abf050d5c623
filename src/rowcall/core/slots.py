"""Where the time of call slots goes. A task has as many slots as it may have calls in flight; each is in one state at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class SlotState(StrEnum):
    """What a slot is doing, in the words of the runs table."""

    ASKING = "asking"
    BACKING_OFF = "backing_off"
    QUOTA = "quota"
    RATE = "rate"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    PAUSED = "paused"
    SOURCE = "source"
    JOURNAL = "journal"
    IDLE = "idle"


ABOUT = {
    SlotState.ASKING: "a call is in flight",
    SlotState.BACKING_OFF: "a failed call waits to be tried again",
    SlotState.QUOTA: "the endpoint's rate limit is waited out",
    SlotState.RATE: "the job's own rates are waited for",
    SlotState.LIMIT: "no more calls may be in flight now: what the endpoint takes at once, or rowcall ctl",
    SlotState.UNAVAILABLE: "the endpoint serves nobody: it starts, or is down",
    SlotState.PAUSED: "somebody paused the run",
    SlotState.SOURCE: "the next row to ask is waited for",
    SlotState.JOURNAL: "answers are made durable first",
    SlotState.IDLE: "there is nothing more to ask, or the run stops, while other slots still ask",
}
CLIENT_CPU = "client_cpu"
"""Beside the states: processor seconds of the threads that make the calls."""

Seconds = Mapping[str, float]
"""Slot seconds by state."""


@dataclass(slots=True)
class SlotTime:
    """Seconds by state, counted up."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, state: str, seconds: float) -> None:
        self.seconds[state] = self.seconds.get(state, 0.0) + seconds


@dataclass(slots=True)
class Queue:
    """A line whose first is held up by one thing at a time, and with it all behind. Times are those of the caller's clock."""

    _held: SlotTime = field(default_factory=SlotTime)
    _by: SlotState | None = None
    _since: float = 0.0

    def held_up(self, by: SlotState | None, now: float) -> None:
        """From now on the first in line waits for that; None: nobody waits."""
        if self._by is not None:
            self._held.add(self._by, now - self._since)
        self._by, self._since = by, now

    def so_far(self, now: float) -> dict[str, float]:
        """For how long the line was held up by what, since it is there."""
        self.held_up(self._by, now)
        return dict(self._held.seconds)


def summed(one: Seconds, two: Seconds) -> dict[str, float]:
    return {
        state: one.get(state, 0.0) + two.get(state, 0.0) for state in (*one, *(key for key in two if key not in one))
    }


def between(before: Seconds, after: Seconds) -> dict[str, float]:
    """What was added, where anything was."""
    return {state: more for state, upto in after.items() if (more := upto - before.get(state, 0.0)) > 0}


def main_state(seconds: Seconds) -> str | None:
    """The state that most of the time went to."""
    return max(seconds, key=lambda state: seconds[state], default=None)
