"""What every call of a task passes before it is sent: the window, the quotas, the circuit, a pause.

Calls stand in line; the first of them goes as soon as all allow it, and what came back of it is told afterwards. How each of them
works is in `core.window`, `core.rates` and `core.circuit`; here is the waiting, and which of them a reply is for.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter

from rowcall.core.circuit import Circuit
from rowcall.core.rates import Pause, Quotas, Use
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply
from rowcall.core.retry import is_outage
from rowcall.core.slots import Queue, Seconds, SlotState, SlotTime, between
from rowcall.core.spans import told
from rowcall.core.window import Sent, Window
from rowcall.engines.recipe import Recipe
from rowcall.engines.stopping import Stopping

SATURATED_SECONDS = 2.0
"""A rate limit that names no wait, or no longer one, says that the endpoint is full; a longer one paces a quota."""
START_SECONDS = 60.0
"""How long an endpoint that has answered nobody yet may seem to be gone."""
_MAYBE_ASLEEP = (404, 503)


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to send one call. `size` is that of its body, in bytes; `waited` are the seconds it waited for what."""

    row: str
    size: int
    sent: Sent
    reserved: Use
    probe: bool
    waited: Seconds


class Gate:
    """The gate of one task."""

    def __init__(self, recipe: Recipe, stopping: Stopping) -> None:
        now = time.monotonic()
        self.window = Window(recipe.share, recipe.adaptive)
        self.in_flight = 0
        self.waiting = 0
        self.turned_away = 0
        self._began = now
        self._awake = False
        self._recipe = recipe
        self._stopping = stopping
        self._quotas = Quotas(recipe.rates, now)
        self._pause = Pause()
        self._circuit = Circuit()
        self.paused = False
        self._paused_at = now
        self._full_since: float | None = None
        self.spent = SlotTime()
        self._queue = Queue()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        stopping.wakes(self._changed)

    @property
    def down(self) -> bool:
        """Whether the endpoint serves nobody: what fails now says nothing of the row that asks."""
        return self._circuit.opened is not None

    @property
    def asleep(self) -> float | None:
        """For how many seconds the endpoint has not answered anybody; None once it has."""
        return None if self._awake else time.monotonic() - self._began

    @property
    def held(self) -> bool:
        """Whether a quota of the endpoint's own is waited for."""
        return self._pause.wait(time.monotonic()) > 0

    def control(self, *, paused: bool, most: int | None) -> None:
        """Obey who controls the run: whether calls start, how many of this task's may be in flight (None: as planned)."""
        self._count_pause(paused=paused)
        most = self._recipe.share if most is None else most
        if most != self.window.most:
            self.window.limit(most)
        self._changed.set()

    def _count_pause(self, *, paused: bool) -> None:
        """Begin or end a pause. While it lasts nobody finds out whether the endpoint is there."""
        now = time.monotonic()
        if paused and not self.paused:
            self._paused_at = now
        elif self.paused and not paused:
            self._circuit.slept(now - self._paused_at)
            self._began += now - self._paused_at
            self._full_since = None
        self.paused = paused

    async def enter(self, row: str, size: int, parameters: Mapping[str, object]) -> Pass | None:
        """Wait until a call of so many bytes may be sent; None where the run stops before."""
        use = self._quotas.expected(size, parameters)
        if not self.waiting and not self._stopping.over() and self._wait(use)[0] <= 0:
            return self._send(row, size, use, {})
        self.waiting += 1
        before = self._queue.so_far(time.monotonic())
        try:
            async with self._turn:
                while not self._stopping.over():
                    use = self._quotas.expected(size, parameters)
                    wait, state = self._wait(use)
                    if wait <= 0:
                        return self._send(row, size, use, between(before, self._queue.so_far(time.monotonic())))
                    await self._change(wait, state)
                return None
        finally:
            self.waiting -= 1
            for state, seconds in between(before, self._queue.so_far(time.monotonic())).items():
                self.spent.add(state, seconds)

    def heard(self) -> None:
        """The endpoint is there, though a call to it goes on: it has begun a run, say."""
        self._awake = True
        self._full_since = None
        self._circuit.answered()
        self._changed.set()

    def leave(self, call: Pass, reply: Reply | None, *, reached: bool = True) -> None:
        """A call is over with that reply, None where it was cut off; `reached` is False where it found no server."""
        try:
            self._learn(call, reply, reached=reached)
        finally:
            self.in_flight -= 1
            self._changed.set()

    def _learn(self, call: Pass, reply: Reply | None, *, reached: bool) -> None:
        now, error = time.monotonic(), None if reply is None else reply.error
        self._awake = self._awake or (reply is not None and _from_awake(error))
        if reply is None:
            self._quotas.settle(call.reserved, call.size, (None, None), now)
            if call.probe:
                self._circuit.given_up()
        elif is_outage(error):
            self._lost(call, reply, now, reached=reached)
        elif error is not None and error.kind is ErrorKind.RATE_LIMITED:
            self._turned_away(call, reply, now)
        elif error is not None and error.kind is ErrorKind.TIMEOUT:
            self._timed_out(call, error, now)
        else:
            self._answered(call, reply, now)

    def _wait(self, use: Use) -> tuple[float, SlotState]:
        """How long the first in line waits, and for what."""
        now = time.monotonic()
        if self.paused:
            return math.inf, SlotState.PAUSED
        waits = (
            (self._circuit.wait(now), SlotState.UNAVAILABLE),
            (self._pause.wait(now), SlotState.QUOTA),
            (self._quotas.wait(use, now), SlotState.RATE),
            (self.window.wait(self.in_flight, now), SlotState.LIMIT),
        )
        return max(waits, key=itemgetter(0))

    def _send(self, row: str, size: int, use: Use, waited: Seconds) -> Pass:
        now = time.monotonic()
        self._quotas.reserve(use, now)
        sent = self.window.sent(self.in_flight, now)
        self.in_flight += 1
        return Pass(row, size, sent, use, self._circuit.sent(), waited)

    async def _change(self, seconds: float, state: SlotState) -> None:
        self._changed.clear()
        self._queue.held_up(state, time.monotonic())
        longest = min(seconds, self._stopping.left())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if longest == math.inf else longest)
        finally:
            self._queue.held_up(None, time.monotonic())

    def _answered(self, call: Pass, reply: Reply, now: float) -> None:
        """Somebody is there, whatever was said."""
        self._circuit.answered()
        self._pause.answered()
        self._full_since = None
        self._quotas.settle(call.reserved, call.size, (reply.usage.input_tokens, reply.usage.output_tokens), now)
        if reply.error is not None and reply.error.kind is ErrorKind.SERVER_ERROR:
            self.window.hold()
        elif reply.outcome is not Outcome.ERROR:
            self.window.answered(call.sent, self.in_flight, now)

    def _turned_away(self, call: Pass, reply: Reply, now: float) -> None:
        self.turned_away += 1
        self._circuit.answered()
        self._quotas.give_back(call.reserved, now)
        wait = reply.retry_after or 0.0
        self._full_since = now if self._full_since is None else self._full_since
        if self._recipe.adaptive and reply.error is not None and now - self._full_since > self._recipe.outage + wait:
            self._stop(f"the endpoint has turned all calls away for {now - self._full_since:.0f} s", reply.error)
        if wait > SATURATED_SECONDS:
            self.window.hold()
            self._pause.told(wait, now)
        else:
            self.window.turned_away(call.sent, now)

    def _timed_out(self, call: Pass, error: CallError, now: float) -> None:
        """An answer that takes too long says nothing of the endpoint, unless it was to find out whether there is one."""
        self._quotas.settle(call.reserved, call.size, (None, None), now)
        self.window.hold()
        if call.probe:
            self._circuit.failed(call.row, now, probe=True)
            self._stop_if_gone(error, now)

    def _lost(self, call: Pass, reply: Reply, now: float, *, reached: bool) -> None:
        """What was sent may have been used, but for what was refused or never arrived."""
        if reached and reply.error is not None and reply.error.status is None:
            self._quotas.settle(call.reserved, call.size, (None, None), now)
        else:
            self._quotas.give_back(call.reserved, now)
        self.window.hold()
        self._circuit.failed(call.row, now, probe=call.probe, reached=reached)
        self._stop_if_gone(reply.error, now)

    def _stop_if_gone(self, error: CallError | None, now: float) -> None:
        opened, patience = self._circuit.opened, self._patience(error)
        if opened is not None and now - opened > patience and error is not None:
            self._stop(f"the endpoint has served nobody for {patience:g} s", error)

    def _stop(self, why: str, error: CallError) -> None:
        self._stopping.stop(f"{why}: {told(error, self._recipe.spans.content)}")

    def _patience(self, error: CallError | None) -> float:
        """How long the endpoint may serve nobody: it may have to start first, and what never was there may be misspelt."""
        outage, warm_up = self._recipe.outage, self._recipe.retry.warm_up
        if self._awake:
            return outage
        starting = error is not None and error.status in _MAYBE_ASLEEP
        return max(warm_up, outage) if starting else min(outage, START_SECONDS)


def _from_awake(error: CallError | None) -> bool:
    """Whether that was said by an endpoint that is not scaled to zero. What has no status was said by nobody."""
    return error is None or (error.status is not None and error.status not in _MAYBE_ASLEEP)
