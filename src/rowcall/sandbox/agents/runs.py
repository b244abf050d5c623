"""Runs of agents that go on after the request that began them: what they emit, what they came to. In memory.

Background runs of an agent server and invocations of the durable one are such runs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal
from weakref import WeakValueDictionary

from rowcall.sandbox.agents.wire import Json

_OVER = ("completed", "failed")

State = Literal["queued", "active", "completed", "failed"]


@dataclass(slots=True)
class Run:
    """One run. `request` is what began it, `numbers` are those of its events, `reply` is what it came to."""

    id: str
    request: Json
    numbers: Iterator[int]
    state: State = "queued"
    reply: Json = field(default_factory=dict[str, object])
    events: list[tuple[int, Mapping[str, object]]] = field(default_factory=list[tuple[int, Mapping[str, object]]])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        return self.state in _OVER

    def emit(self, event: Mapping[str, object]) -> None:
        self.events.append((next(self.numbers), event))
        self._wake()

    def end(self, state: State, event: Json | None) -> None:
        """The run is over; nobody sees its end without its last event."""
        self.state = state
        if event is not None:
            self.events.append((next(self.numbers), event))
        self._wake()

    async def follow(self, after: int) -> AsyncIterator[tuple[int, Mapping[str, object]]]:
        """The events numbered above `after`, those to come too, until the run is over."""
        seen = 0
        while seen < len(self.events) or not self.over:
            if seen == len(self.events):
                await self._changed.wait()
                continue
            number, event = self.events[seen]
            seen += 1
            if number > after:
                yield number, event

    async def wait(self) -> None:
        """Until the run is over."""
        while not self.over:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True)
class Runs:
    """The runs of one agent by id; beyond `most`, the oldest that are over are forgotten. `numbers` are those of events that are
    counted over all runs."""

    most: int = 10_000
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _runs: dict[str, Run] = field(default_factory=dict[str, Run])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _sessions: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary[str, asyncio.Lock])

    def get(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def begin(
        self,
        run: Run,
        work: Callable[[Run], Awaitable[None]],
        last_event: Callable[[Exception | None], Json | None],
        over: Callable[[str], None],
    ) -> None:
        """Begin a run that does this work. Its last event is told what went wrong; `over` is told 200 or 500."""
        self._forget()
        self._runs[run.id] = run
        task = asyncio.create_task(_carry_out(run, work, last_event, over))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def session(self, session_id: str) -> asyncio.Lock:
        """Held by the run that a session is at; others of the session wait in their order."""
        return self._sessions.setdefault(session_id, asyncio.Lock())

    def _forget(self) -> None:
        if len(self._runs) >= self.most:
            oldest = next((run_id for run_id, run in self._runs.items() if run.over), None)
            if oldest is not None:
                del self._runs[oldest]


async def _carry_out(
    run: Run,
    work: Callable[[Run], Awaitable[None]],
    last_event: Callable[[Exception | None], Json | None],
    over: Callable[[str], None],
) -> None:
    failure: Exception | None = None
    try:
        await work(run)
    except Exception as raised:  # An agent server notes whatever its agent raises.
        failure = raised
    over("200" if failure is None else "500")
    run.end("completed" if failure is None else "failed", last_event(failure))
