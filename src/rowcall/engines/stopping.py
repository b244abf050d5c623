"""Whether a task is to start no more calls, and why; pauses that end with it."""

import asyncio
import math
import time
from contextlib import suppress

from rowcall.core.progress import StopRequest


class Stopping:
    """`deadline_ns` is Unix time."""

    def __init__(self, deadline_ns: int | None) -> None:
        self.reason = ""
        self.leaving: StopRequest | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline_ns = deadline_ns
        self._told = asyncio.Event()
        self._wakes: list[asyncio.Event] = []

    def wakes(self, event: asyncio.Event) -> None:
        """Set this event too when the task is told to stop, for those who wait for something else."""
        self._wakes.append(event)

    def stop(self, reason: str) -> None:
        """The first reason stands. Without one it is this task alone that stops, not the run."""
        if not self._told.is_set():
            self.reason = reason
            for event in (self._told, *self._wakes):
                event.set()

    @property
    def alone(self) -> bool:
        """Whether it is this task alone that stops: others may ask what it leaves."""
        return self._told.is_set() and not self.reason

    def begin(self) -> None:
        """The task runs from here on, in this loop."""
        self._loop = asyncio.get_running_loop()
        if self.leaving is not None:
            self.stop("")

    def leave(self, grace: float | None) -> None:
        """Stop the task alone, from another thread. Its calls in flight are waited for, no longer than `grace` seconds."""
        self.leaving = StopRequest("", grace)
        if self._loop is not None:
            with suppress(RuntimeError):  # it is over
                self._loop.call_soon_threadsafe(self.stop, "")

    def over(self) -> bool:
        if self._deadline_ns is not None and time.time_ns() >= self._deadline_ns:
            self.stop("limits.deadline has passed")
        return self._told.is_set()

    def left(self) -> float:
        """Seconds to the deadline; endless where there is none."""
        return math.inf if self._deadline_ns is None else max(0.0, (self._deadline_ns - time.time_ns()) / 1e9)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the run goes on."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), max(0.0, min(seconds, self.left())))
