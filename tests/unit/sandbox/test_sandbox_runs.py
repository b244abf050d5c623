"""Runs in memory: a bounded number of them, and none that is under way is forgotten."""

import asyncio
from itertools import count

from rowcall.sandbox.agents.runs import Run, Runs


async def at_once(run: Run) -> None:
    run.emit({"type": "done"})


def begin(runs: Runs, name: str, gate: asyncio.Event | None = None) -> Run:
    async def after_the_gate(run: Run) -> None:
        if gate is not None:
            await gate.wait()
        await at_once(run)

    run = Run(name, {}, count())
    runs.begin(run, after_the_gate, lambda _: None, lambda _: None)
    return run


def test_the_oldest_runs_that_are_over_are_forgotten() -> None:
    async def scenario() -> list[bool]:
        runs, gate = Runs(most=3), asyncio.Event()
        going_on = begin(runs, "going on", gate)
        for name in ("a", "b", "c", "d"):
            await begin(runs, name).wait()
        kept = [runs.get(name) is not None for name in ("going on", "a", "b", "c", "d")]
        gate.set()
        await going_on.wait()
        return kept

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == [True, False, False, True, True]


def test_followers_see_events_from_before_and_after_they_came() -> None:
    async def scenario() -> list[tuple[int, object]]:
        runs, gate = Runs(), asyncio.Event()
        run = begin(runs, "run", gate)
        run.emit({"type": "first"})
        run.emit({"type": "second"})
        follower = asyncio.create_task(collect(run))
        gate.set()
        return await follower

    async def collect(run: Run) -> list[tuple[int, object]]:
        return [(number, event["type"]) async for number, event in run.follow(0)]

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == [(1, "second"), (2, "done")]
