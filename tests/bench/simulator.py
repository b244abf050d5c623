"""A run on paper: tasks, limits and latencies in, seconds and calls out. It has rowcall's own window and retries, and nothing of
its clock, network or tables.

    python tests/bench/simulator.py                             64 tasks with 1,024 in flight each, among others
    python tests/bench/simulator.py --rows 1000000 --tasks 8 --limit 2048 --latency 4 --spread 20

A task is one event loop: whatever a call costs of the processor, it costs one after another. `tests/bench/run.py` compares its
seconds with those that were measured.
"""

import argparse
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from endpoint import Behaviour, chance

from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply
from rowcall.core.retry import Again, RetryPolicy, decide
from rowcall.core.window import Sent, Window

ATTEMPTS = 5
CPU_SECONDS = 0.0005
"""What a call costs a task's event loop, its waits for the interpreter and for one of two cores included: where nothing else bounds
a run, it is a row's time. `run.py C` measures it."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Seconds from the first request to the last reply, calls, and the most that were in flight."""

    seconds: float
    calls: int
    ok: int
    max_in_flight: int


@dataclass(slots=True)
class _Row:
    number: int
    attempts: list[Attempt] = field(default_factory=list[Attempt])


@dataclass(slots=True)
class _Task:
    window: Window
    rows: deque[_Row]
    slots: int
    in_flight: int = 0
    busy_until: float = 0.0
    wakes_at: float = float("inf")


class Simulation:
    """One run. `seconds_of` says how long the server takes for a row; the rest of what it does is in `server`."""

    def __init__(
        self,
        rows: Sequence[int],
        server: Behaviour,
        seconds_of: Callable[[int], float],
        *,
        tasks: int = 1,
        limit: int = 64,
        adaptive: bool = False,
        cpu: float = CPU_SECONDS,
    ) -> None:
        self._server, self._seconds_of, self._cpu = server, seconds_of, cpu / 2
        self._policy = RetryPolicy(ATTEMPTS, adaptive=adaptive)
        share = limit // tasks
        parts = [deque(_Row(row) for row in rows[part::tasks]) for part in range(tasks)]
        self._tasks = [_Task(Window(share, adaptive), part, share) for part in parts]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._random = random.Random(2026)
        self._allowance, self._filled = server.per_second or 0.0, 0.0
        self._calls = self._ok = self._in_flight = self._most = 0
        self._last = 0.0

    def run(self) -> Outcomes:
        for task in self._tasks:
            self._start(task, 0.0)
        while self._events:
            now, _, what = heapq.heappop(self._events)
            what(now)
        return Outcomes(self._last, self._calls, self._ok, self._most)

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def _start(self, task: _Task, now: float) -> None:
        """As many calls as may start now."""
        while task.rows and task.slots:
            wait = task.window.wait(task.in_flight, now)
            if wait > 0:
                if now + wait < task.wakes_at:
                    task.wakes_at = now + wait
                    self._at(now + wait, lambda when: self._wake(task, when))
                return
            task.slots -= 1
            self._send(task, task.rows.popleft(), now)

    def _wake(self, task: _Task, now: float) -> None:
        task.wakes_at = float("inf")
        self._start(task, now)

    def _send(self, task: _Task, row: _Row, now: float) -> None:
        sent = task.window.sent(task.in_flight, now)
        task.in_flight += 1
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)
        task.busy_until = there = max(now, task.busy_until) + self._cpu
        self._calls += 1
        started = there
        reply, took = self._served(row, there)
        back = there + took

        def arrives(when: float) -> None:
            task.busy_until = read = max(when, task.busy_until) + self._cpu
            self._at(read, lambda at: self._read(task, row, sent, reply, started, at))

        self._at(back, arrives)

    def _served(self, row: _Row, now: float) -> tuple[Reply, float]:
        server = self._server
        if server.per_second is not None:
            more = (now - self._filled) * server.per_second
            self._allowance, self._filled = min(server.per_second, self._allowance + more), now
            if self._allowance < 1:
                error = CallError(ErrorKind.RATE_LIMITED, "", 429)
                return Reply(Outcome.ERROR, error=error, retry_after=server.retry_after), 0.0
            self._allowance -= 1
        asked = 1 + sum(one.status != 429 for one in row.attempts)
        fate = chance(row.number, f"fate of call {asked}")
        took = self._seconds_of(row.number)
        if fate < server.drops:
            return Reply(Outcome.ERROR, error=CallError(ErrorKind.CONNECTION, "")), took
        if fate < server.drops + server.errors:
            return Reply(Outcome.ERROR, error=CallError(ErrorKind.SERVER_ERROR, "", 500)), took
        return Reply(Outcome.OK, text=""), took

    def _read(self, task: _Task, row: _Row, sent: Sent, reply: Reply, started: float, now: float) -> None:
        error = reply.error
        if reply.outcome is Outcome.OK:
            task.window.answered(sent, task.in_flight, now)
            self._ok += 1
            self._last = now
        elif error is not None and error.kind is ErrorKind.RATE_LIMITED:
            task.window.turned_away(sent, now)
        else:
            task.window.hold()
        task.in_flight -= 1
        self._in_flight -= 1
        row.attempts.append(_attempt(len(row.attempts) + 1, started, now, reply))
        decision = decide(reply, row.attempts, self._policy, self._random.random())
        if isinstance(decision, Again):
            self._at(now + decision.after_seconds, lambda when: self._again(task, row, when))
        else:
            task.slots += 1
        self._start(task, now)

    def _again(self, task: _Task, row: _Row, now: float) -> None:
        """A row that waited goes on in its slot, before new ones."""
        task.rows.appendleft(row)
        task.slots += 1
        self._start(task, now)


def _attempt(number: int, started: float, ended: float, reply: Reply) -> Attempt:
    return Attempt(
        number=number,
        started_ns=int(started * 1e9),
        ended_ns=int(ended * 1e9),
        waited=0.0,
        waited_for=None,
        first_byte_ns=None,
        first_token_ns=None,
        status=reply.error.status if reply.error else 200,
        error=reply.error,
        retry_after=reply.retry_after,
        request_id=None,
    )


def sized(rows: int, tasks: int, limit: int, latency: float, spread: float) -> str:
    """One line on a run whose calls take `latency` seconds at the median and `spread` at the 99th percentile."""
    server = (
        Behaviour(spread=(1000 * latency, 1000 * spread)) if spread > latency else Behaviour(latency_ms=1000 * latency)
    )
    cached: dict[int, float] = {row % 10_000: server.seconds(row % 10_000, 0) for row in range(min(rows, 10_000))}
    found = Simulation(range(rows), server, lambda row: cached[row % 10_000], tasks=tasks, limit=limit).run()
    return (
        f"{rows:,} rows, {tasks} tasks, {limit:,} in flight, calls of {latency:g} s (99th percentile {spread:g} s): "
        f"{found.seconds:,.0f} s, {rows / found.seconds:,.0f} rows/s, most in flight {found.max_in_flight:,}"
    )


def lines() -> Iterator[str]:
    for tasks, limit in ((1, 64), (1, 1024), (8, 512), (64, 65_536)):
        yield sized(limit * 20, tasks, limit, 4.0, 20.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--latency", type=float, default=4.0)
    parser.add_argument("--spread", type=float, default=0.0)
    options = parser.parse_args()
    if options.rows is None:
        sys.stdout.writelines(f"{line}\n" for line in lines())
    else:
        sys.stdout.write(sized(options.rows, options.tasks, options.limit, options.latency, options.spread) + "\n")


if __name__ == "__main__":
    main()
