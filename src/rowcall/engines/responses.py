"""The `responses` engine: HTTP calls fanned out from Spark tasks, made by the driver or by shards, under one limit for the run.

Owns how the rows of the pending table are asked. Knows nothing of tables, recovery or reports: the runner passes what to do
`meanwhile` (publish, show progress) and reads the journal afterwards.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import assert_never

from rowcall.core.engine_plan import ResponsesPlan
from rowcall.core.errors import JournalError, RunError, TerminatedError
from rowcall.core.limits import stop_reason
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Connect, Journal, OpenJournal, SqlSession
from rowcall.core.progress import PROGRESS_NOTES, STOP_NOTE, StopRequest, read_progress, read_stop, total
from rowcall.core.records import Progress
from rowcall.engines.recipe import Recipe
from rowcall.engines.shards import Say, coordinate
from rowcall.engines.worker import run_task

POLL_SECONDS = 0.5
INTERRUPTED = StopRequest("interrupted")
AT_ONCE = StopRequest("interrupted", 0.0)
TERMINATED = StopRequest("terminated (SIGTERM)", 8.0)
"""A cancelled job is killed within 15 s: what is not answered by then is left, so that the rest can be published."""

Meanwhile = Callable[[Progress], None]
Tasks = Future[list[str]]
"""Their reports, once all are done."""


def recipe_of(
    plan: RunPlan, engine: ResponsesPlan, connect: Connect, open_journal: OpenJournal, started_ns: int
) -> Recipe:
    """The slice of a plan that travels to the tasks."""
    endpoint, calls = plan.bound.endpoint, plan.calls
    return Recipe(
        connect=connect,
        open_journal=open_journal,
        url=endpoint.url,
        runs_url=endpoint.runs_url,
        headers=endpoint.headers,
        wire=endpoint.wire,
        share=engine.split.share,
        timeout=calls.timeout,
        run_timeout=calls.run_timeout,
        retry=calls.retry,
        corrections=calls.corrections,
        most_bytes=endpoint.most_bytes,
        deadline_ns=started_ns + int(calls.deadline * 1e9) if calls.deadline else None,
        flush_rows=engine.flush_rows,
        flush_seconds=engine.flush_seconds,
        budget=calls.budget,
        spans=replace(plan.spans, overflow=open_journal().overflow),
        null_prompt=plan.bound.null_prompt,
        tasks=engine.split.tasks,
        adaptive=engine.adaptive,
        rates=engine.rates.share(engine.split.tasks),
        outage=calls.outage,
    )


def execute(
    plan: RunPlan,
    engine: ResponsesPlan,
    session: SqlSession,
    journal: Journal,
    recipe: Recipe,
    meanwhile: Meanwhile,
    say: Say,
) -> Progress:
    """Ask every pending row; returns when all are asked or the run stopped. `say` is called from another thread.

    Ctrl-C asks the tasks to stop and waits for the calls in flight, whose answers are kept. A second one waits for them no longer,
    SIGTERM for a few seconds.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="rowcall-tasks") as background:
        tasks = background.submit(_run_tasks, plan, engine, session, journal, recipe, say)
        try:
            _watch(plan, journal, tasks, meanwhile)
        except KeyboardInterrupt as told:
            request = TERMINATED if isinstance(told, TerminatedError) else INTERRUPTED
            _wait_or_abandon(session, journal, tasks, meanwhile, request)
        except BaseException:
            with suppress(JournalError):  # what went wrong first is what to tell
                request_stop(journal, StopRequest("the run failed"))
            raise
    progress, ended = _progress(journal), map(read_progress, tasks.result())
    return replace(progress, stop=progress.stop or next((task.stop for task in ended if task.stop), ""))


def request_stop(journal: Journal, request: StopRequest) -> None:
    """Ask all tasks of a run to start no more calls. They see it within a flush."""
    journal.write_note(STOP_NOTE, request.as_text())


def _run_tasks(
    plan: RunPlan, engine: ResponsesPlan, session: SqlSession, journal: Journal, recipe: Recipe, say: Say
) -> list[str]:
    """What each task says of itself at its end."""
    match engine.fan_out:
        case "executors":
            rows = session.fan_out(plan.bound.statements.fetch, engine.split.tasks, partial(run_task, recipe))
            return [str(row["report"]) for row in rows]
        case "driver":
            (report,) = run_task(recipe, session.batches(plan.bound.statements.fetch))
            return [str(report.column("report")[0].as_py())]
        case "shards":
            return coordinate(plan, engine, session, journal, recipe, say)
        case _:
            assert_never(engine.fan_out)


def _watch(plan: RunPlan, journal: Journal, tasks: Tasks, meanwhile: Meanwhile) -> None:
    """Look at the tasks until they are done; stop them all when one gave up or a limit of the run is reached."""
    told = False
    while not tasks.done():
        progress = _progress(journal)
        reason = progress.stop or stop_reason(progress, plan.calls.budget)
        if reason and not told:
            with suppress(JournalError):  # then the next time; where it never can be, the tasks fail by themselves
                request_stop(journal, StopRequest(reason))
                told = True
        meanwhile(progress)
        _pause(tasks)
    tasks.result()


def _wait_or_abandon(
    session: SqlSession, journal: Journal, tasks: Tasks, meanwhile: Meanwhile, first: StopRequest
) -> None:
    """Until the tasks have stopped. They are asked to hurry the first time somebody insists, and interrupted the second time."""
    request, insisted = first, False
    while not tasks.done():
        try:
            if request is not None:
                request_stop(journal, request)
                request = None
            meanwhile(_progress(journal))
            _pause(tasks)
        except TerminatedError:
            request = TERMINATED
        except KeyboardInterrupt:
            if insisted:
                session.interrupt()
                raise RunError("interrupted again and again; what was durable is kept, run again to go on") from None
            request, insisted = AT_ONCE, True
    tasks.result()


def _pause(tasks: Tasks) -> None:
    until = time.monotonic() + POLL_SECONDS
    while not tasks.done() and time.monotonic() < until:
        time.sleep(POLL_SECONDS / 10)


def _progress(journal: Journal) -> Progress:
    """What the tasks said last, and why they are to stop, if they are."""
    progress, stop = total(_notes(journal, PROGRESS_NOTES)), read_stop(_notes(journal, STOP_NOTE).get(STOP_NOTE))
    return progress if stop is None else replace(progress, stop=stop.reason)


def _notes(journal: Journal, prefix: str) -> Mapping[str, str]:
    try:
        return journal.notes(prefix)
    except (OSError, ValueError):
        return {}
