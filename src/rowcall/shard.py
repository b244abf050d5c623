"""One shard of a run: a process that waits for the coordinator, asks its part of the rows, and stops where the coordinator is gone.

    waits ─▶ asks ─▶ done
      │        └──▶ left       told to end, or nobody is there any more to publish: what it has is in the journal of the run
      └──▶ over                nothing is left to ask

A coordinator that has not spoken for half the time after which another run may take its lock is taken to be gone: so its shards
have stopped before the shards of that other run begin.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Literal

from rowcall.adapters.packaged import sql_texts
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError, SqlError, TerminatedError
from rowcall.core.plan import definition_hash, tables_beside
from rowcall.core.ports import Journal, OpenJournal, Row
from rowcall.core.progress import read_progress
from rowcall.core.shards import SHARDS_NOTE, Cut, Opening, Shard, fetch_part, read_opening, run_of_job_run
from rowcall.core.shown import duration
from rowcall.engines.recipe import read_recipe
from rowcall.engines.responses import TERMINATED
from rowcall.engines.shards import ask_part
from rowcall.engines.stopping import Stopping
from rowcall.lock import ALIVE_SECONDS, LOOKED_NOTE, is_alive
from rowcall.runner import Outside

LOOK_SECONDS = 1.0
LIFE_SECONDS = 5.0
"""Between looks whether the coordinator is still there."""
ENDED_SECONDS = 10.0
"""Between looks whether the run is over, while none is open."""
TELL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a shard did. It has `left` where the rest of its part is for others to ask; `message` says what else there is to say."""

    shard: str
    job: str
    run_id: str | None
    status: Literal["done", "stopped", "left"]
    asked: int = 0
    ok: int = 0
    failed: int = 0
    message: str | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Open:
    """The run that a shard has found."""

    run_id: str
    opening: Opening
    open_journal: OpenJournal


def run_shard(definition: JobDefinition, shard: Shard, cut: Cut, outside: Outside) -> Asked:
    """Ask the shard's part of the rows of the run that its coordinator opens.

    Raises `RunError` where no coordinator comes in time, or one of another version, and where the part could not be asked.
    """
    waiting = _Waiting(definition, shard, cut, outside)
    found = waiting.until_open()
    if isinstance(found, Asked):
        return found
    if found.opening.closed or shard.part >= found.opening.parts:
        needed = "no more rows to ask" if found.opening.closed else f"rows and calls for {found.opening.parts} shards"
        return Asked(str(shard), definition.job, found.run_id, "done", message=f"the run has {needed}")
    outside.reporter.step(f"asking the rows of shard {shard} of run {found.run_id}")
    try:
        return _ask(definition, shard, found, outside)
    except RunError:
        over = waiting.over()
        if over is None:
            raise
        return over


class _Waiting:
    """A shard that waits for a run to join."""

    def __init__(self, definition: JobDefinition, shard: Shard, cut: Cut, outside: Outside) -> None:
        self._definition = definition
        self._shard = shard
        self._cut = cut
        self._outside = outside
        self._endpoint = definition.endpoint.label or ""
        self._looked = f"{LOOKED_NOTE}-{secrets.token_hex(4)}"
        self._last: Row | None = None

    def until_open(self) -> _Open | Asked:
        """The run that is open for the shard, or that it is over already."""
        began, told, asked = time.monotonic(), 0.0, -ENDED_SECONDS
        while (waited := time.monotonic() - began) < self._cut.patience:
            if (found := self._open()) is not None:
                return found
            if waited - asked >= ENDED_SECONDS:
                asked = waited
                if (over := self.over()) is not None:
                    return over
            if waited - told >= TELL_SECONDS:
                told = waited
                self._outside.reporter.step(f"shard {self._shard} has waited {waited:.0f} s for the run to open")
            time.sleep(min(LOOK_SECONDS, self._cut.patience))
        raise RunError(self._nobody())

    def _open(self) -> _Open | None:
        """Raises `RunError` where the run that is open is another version's."""
        journals, job = self._outside.journals, self._definition.job
        for run_id in reversed(journals.runs(job)):
            open_journal = journals.recipe(job, run_id)
            opening = self._opening(run_id, open_journal())
            if opening is not None:
                why = opening.misfit(self._shard, definition_hash(self._definition), self._cut.version)
                if why is not None:
                    raise RunError(f"shard {self._shard} cannot join run {run_id}: {why}")
                return _Open(run_id, opening, open_journal)
        return None

    def _opening(self, run_id: str, journal: Journal) -> Opening | None:
        try:
            opening = read_opening(journal.notes(SHARDS_NOTE).get(SHARDS_NOTE))
            ours = opening is not None and opening.is_for(self._cut.job_run, self._endpoint)
            return opening if ours and is_alive(run_id, journal, looked=self._looked) else None
        except OSError:
            return None

    def over(self) -> Asked | None:
        """Whether a run of the same job run has gone to its end without this shard."""
        session, (_, runs) = self._outside.session, tables_beside(self._definition)
        given = {"job": self._definition.job, "job_run": self._cut.job_run, "endpoint": self._endpoint}
        session.refresh()
        try:
            self._last = next(iter(session.query(run_of_job_run(sql_texts(), runs), given)), None)
        except SqlError as error:
            if not error.missing:
                raise
        if self._last is None or self._last["status"] != "done":
            return None
        said = "the run is over"
        return Asked(str(self._shard), self._definition.job, str(self._last["run_id"]), "done", message=said)

    def _nobody(self) -> str:
        last = self._last
        why = f"\n  Its last run, {last['run_id']}, is {last['status']}: {last['message']}" if last is not None else ""
        return (
            f"shard {self._shard} found no run of {self._definition.job} to join within {duration(self._cut.patience)}: "
            f"none was started with --shards {self._shard.of} --job-run {self._cut.job_run}, or it has ended{why}"
        )


def _ask(definition: JobDefinition, shard: Shard, found: _Open, outside: Outside) -> Asked:
    recipe = read_recipe(found.opening.recipe, outside.connect, found.open_journal)
    fetch, stopping = fetch_part(sql_texts(), found.opening.pending), Stopping(recipe.deadline_ns)
    outside.session.refresh()
    with ThreadPoolExecutor(1, thread_name_prefix="rowcall-part") as background:
        asking = background.submit(ask_part, outside.session, recipe, fetch, shard.part, stopping)
        left = _watch(asking, stopping, _life_of(found.run_id, found.open_journal()))
    progress = read_progress(asking.result())
    status, message = ("left", left) if left else ("stopped", progress.stop) if progress.stop else ("done", None)
    counts = progress.asked, progress.ok, progress.failed
    return Asked(str(shard), definition.job, found.run_id, status, *counts, message)


def _watch(asking: Future[str], stopping: Stopping, is_there: Callable[[], bool]) -> str:
    """Until the part is asked, or left; says why it was left."""
    left = ""
    while not asking.done():
        try:
            if not left and not is_there():
                left = "the coordinator is gone: the next run publishes what was answered and asks the rest"
                stopping.leave(None)
            wait([asking], LOOK_SECONDS / 2)
        except TerminatedError:
            left = "terminated (SIGTERM): the coordinator asks the rest"
            stopping.leave(TERMINATED.grace)
        except KeyboardInterrupt:
            stopping.leave(0.0 if left else None)
            left = "interrupted: the coordinator asks the rest"
    return left


def _life_of(run_id: str, journal: Journal) -> Callable[[], bool]:
    """Whether the run goes on, looked at now and then. Where that cannot be known now, it does."""
    looked, looked_at, alive = f"{LOOKED_NOTE}-{secrets.token_hex(4)}", time.monotonic(), True

    def look() -> bool:
        nonlocal looked_at, alive
        if time.monotonic() - looked_at >= LIFE_SECONDS:
            looked_at = time.monotonic()
            try:
                alive = is_alive(run_id, journal, looked=looked, within=ALIVE_SECONDS / 2)
            except OSError:
                alive = True
        return alive

    return look
