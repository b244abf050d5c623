"""A run whose rows shards ask: the coordinator's side, and the asking of one part, the same for a shard and for who stands in.

The coordinator opens the run with a note and watches the seats of the parts. A part that nobody is at, because its shard died,
gave up or never came, it asks itself, as another attempt at it: the seat sees to it that only one asks.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from rowcall.core import seats
from rowcall.core.engine_plan import ResponsesPlan
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Journal, SqlSession
from rowcall.core.progress import STOP_NOTE, StopRequest, read_stop
from rowcall.core.seats import Seen
from rowcall.core.shards import SHARDS_NOTE, Cut, FetchPart, Opening, Shard, Standing, standing
from rowcall.engines.processes import is_gone
from rowcall.engines.recipe import Recipe, as_json
from rowcall.engines.seat import SEAT_NOTES
from rowcall.engines.stopping import Stopping
from rowcall.engines.worker import run_task

LOOK_SECONDS = 1.0
STOPPED_SECONDS = 3.0
"""How much longer than the grace of a stop a shard may take to write down what it has."""

Say = Callable[[str], None]


def ask_part(session: SqlSession, recipe: Recipe, fetch: FetchPart, part: int, stopping: Stopping | None = None) -> str:
    """Ask what is left of a part of the rows, once its seat is free; returns the report as JSON."""
    (report,) = run_task(recipe, session.batches(fetch.sql(part, recipe.tasks)), part, stopping)
    return str(report.column("report")[0].as_py())


def coordinate(
    plan: RunPlan, engine: ResponsesPlan, session: SqlSession, journal: Journal, recipe: Recipe, say: Say
) -> list[str]:
    """Open the run for its shards, and see to it that every part is asked; returns the reports of the parts asked here."""
    if engine.cut is None:
        raise TypeError("a run that is not cut into shards")
    opening = Opening(
        job_run=engine.cut.job_run,
        shards=engine.cut.shards,
        parts=recipe.tasks,
        definition_hash=plan.definition_hash,
        version=engine.cut.version,
        pending=plan.bound.tables.pending,
        endpoint=plan.endpoint_label or "",
        recipe=as_json(recipe),
    )
    journal.write_note(SHARDS_NOTE, opening.as_text())
    try:
        with ThreadPoolExecutor(recipe.tasks, thread_name_prefix="rowcall-shard") as pool:
            parts = _Parts(engine.cut, journal, recipe, say)
            return parts.see_to(lambda part: pool.submit(ask_part, session, recipe, plan.bound.fetch_part, part))
    finally:
        with suppress(OSError):
            journal.write_note(SHARDS_NOTE, replace(opening, closed=True, recipe={}).as_text())


class _Parts:
    """The parts of a run, who is at them, and which of them are asked here."""

    def __init__(self, cut: Cut, journal: Journal, recipe: Recipe, say: Say) -> None:
        self._cut = cut
        self._journal = journal
        self._recipe = recipe
        self._say = say
        self._began = time.monotonic()
        self._here: dict[int, Future[str]] = {}
        self._reports: list[str] = []
        self._seen: dict[str, Seen] = {}
        self._stopped: tuple[float, StopRequest] | None = None

    def see_to(self, ask: Callable[[int], Future[str]]) -> list[str]:
        """Until all parts are asked, or the run has stopped and nobody is at any. `ask` has a part asked here; raises what
        went wrong with that."""
        while True:
            ended = [part for part, asking in self._here.items() if asking.done()]
            self._look_for_stop()
            found = self._look()
            if found is not None:
                self._settle(ended, found)
                if self._is_over(found):
                    return self._reports
                if self._stopped is None and not self._is_too_late():
                    self._take_over(found, ask)
            time.sleep(LOOK_SECONDS)

    def _look(self) -> Standing | None:
        """Who is at what; None where that cannot be read now."""
        looked_at = time.monotonic()
        try:
            texts = self._journal.notes(SEAT_NOTES)
        except (OSError, ValueError):
            return None
        self._seen = seats.watched(self._seen, texts, time.monotonic())
        return standing(seats.living(self._seen, looked_at, is_gone), self._recipe.tasks)

    def _settle(self, ended: Sequence[int], found: Standing) -> None:
        """Take down what was asked here. Who lost the seat to somebody who goes on has nothing to complain of."""
        for part in ended:
            asking = self._here.pop(part)
            error = asking.exception()
            if error is None:
                self._reports.append(asking.result())
            elif part in found.left:
                raise error

    def _take_over(self, found: Standing, ask: Callable[[int], Future[str]]) -> None:
        """Ask what nobody is at. A shard that has not come yet is given time."""
        came = {part for part in found.left if self._has_come(part)}
        late = found.left if time.monotonic() - self._began >= self._cut.patience else frozenset[int]()
        for part in sorted(came | late):
            if part not in self._here:
                what = "is gone" if part in came else "has not come"
                self._say(f"shard {Shard(part + 1, self._cut.shards)} {what}: asking its rows here")
                self._here[part] = ask(part)

    def _has_come(self, part: int) -> bool:
        return any(name.startswith(f"{SEAT_NOTES}{part}-") for name in self._seen)

    def _is_too_late(self) -> bool:
        """Whether the deadline has passed. What nobody was at by then is left to the next run, and that is why."""
        until = self._recipe.deadline_ns
        if until is None or time.time_ns() < until:
            return False
        with suppress(OSError):
            self._journal.write_note(STOP_NOTE, StopRequest("limits.deadline has passed").as_text())
        return True

    def _look_for_stop(self) -> None:
        with suppress(OSError, ValueError):
            request = read_stop(self._journal.notes(STOP_NOTE).get(STOP_NOTE))
            if request is not None and (self._stopped is None or self._stopped[1] != request):
                self._stopped = time.monotonic(), request

    def _is_over(self, found: Standing) -> bool:
        """Whoever does not obey a stop in time is waited for no longer; what it still writes, the next run publishes."""
        if self._here:
            return False
        if self._stopped is None:
            return found.over
        told, request = self._stopped
        out_of_time = request.grace is not None and time.monotonic() - told > request.grace + STOPPED_SECONDS
        return not found.taken or out_of_time
