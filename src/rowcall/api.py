"""What notebooks, scheduled jobs and the command line call: load a job, look at its plan, run it."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rowcall import __version__, lock, runner
from rowcall.adapters.notebook import Output, in_notebook
from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.definition import AiQueryEngine, AutoEngine, JobDefinition, ResponsesEngine
from rowcall.core.engine_choice import CUT_INTO_SHARDS
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.estimate import Estimate, estimate
from rowcall.core.job_file.reader import MAX_CHARACTERS, locate, parse_jobs
from rowcall.core.plan import RunOptions, RunPlan, bind, make_plan, tables_beside
from rowcall.core.ports import Reporter, Row
from rowcall.core.records import Progress
from rowcall.core.report import ROWS_LATER, RunRow
from rowcall.core.run_text import headline
from rowcall.core.shards import Cut, read_shard
from rowcall.facts import LoadedJob, count_rows, evidence, facts
from rowcall.notebook import NotebookReporter, Run
from rowcall.publishing import make, make_schema
from rowcall.recovery import recover
from rowcall.shard import Asked, run_shard
from rowcall.waiting import wait_until_ready
from rowcall.wiring import Options, Surroundings, surroundings


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do, the first rendered requests, and what it will probably take."""

    plan: RunPlan
    preview: list[Row]
    estimate: Estimate

    def __repr__(self) -> str:
        return f"Planned({headline(self.plan)})"


class Quiet:
    """A reporter that says nothing."""

    def plan(self, plan: RunPlan) -> None: ...

    def step(self, text: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...


def load_job(job: str | Path | JobDefinition | LoadedJob, variables: Mapping[str, str] | None = None) -> LoadedJob:
    """Read a job definition. Raises `DefinitionError` with every mistake in it."""
    if isinstance(job, LoadedJob):
        return job
    if isinstance(job, JobDefinition):
        return LoadedJob(job)
    path = Path(job)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError([Problem(str(path), "", _unreadable(path, error))]) from error
    first, *others = parse_jobs(text, str(path), variables)
    return LoadedJob(first, path, text, variables or {}, tuple(others))


def _one(loaded: LoadedJob) -> LoadedJob:
    """A job that asks one endpoint. Several runs are several results."""
    if loaded.others:
        names = " and ".join(str(one.definition.endpoint.label) for one in loaded.each())
        said = f"the job asks several endpoints, {names}, one run after the other"
        hint = 'For each of them: for job in rowcall.load_job(…).each(). For one: rowcall.load_job(…).asking("NAME").'
        raise DefinitionError([Problem(str(loaded.file or ""), "endpoints", said, hint=hint)])
    return loaded


def plan(
    job: str | Path | JobDefinition | LoadedJob,
    *,
    variables: Mapping[str, str] | None = None,
    only_new: bool = False,
    preview_rows: int = 3,
    options: Options | None = None,
) -> Planned:
    """What a run would do. Writes nothing."""
    loaded = _one(load_job(job, variables))
    with surroundings(loaded.definition, options or Options()) as here:
        return plan_here(loaded, here, only_new=only_new, preview_rows=preview_rows)


def plan_here(loaded: LoadedJob, here: Surroundings, *, only_new: bool = False, preview_rows: int = 3) -> Planned:
    """`plan` in surroundings that are open already."""
    made = make_here(loaded, here, _run_options(only_new=only_new, preview_rows=preview_rows))
    preview = here.session.query(made.bound.statements.preview)
    return Planned(made, preview, estimate(made, evidence(here.session, made.bound)))


def run(
    job: str | Path | JobDefinition | LoadedJob,
    *,
    variables: Mapping[str, str] | None = None,
    only_new: bool = False,
    limit: int | None = None,
    wait: bool = False,
    cut: Cut | None = None,
    context: Mapping[str, str] | None = None,
    options: Options | None = None,
    reporter: Reporter | None = None,
    spark: Any = None,
) -> Run:
    """Ask every row that has no answer yet and write the answers; returns the run: its row in the runs table, and its rows as
    DataFrames. A notebook shows how far it is, unless there is a reporter, and a summary.

    The same call again asks only what is left. `limit` asks no more rows than that, spread over the table. `wait` waits for another
    run of the job that goes on. `cut` leaves the asking to shards, to `shard` in other processes. `context` is kept in the run's
    row. Raises `DefinitionError`, `SetupError` or `RunError` before anything is paid; what goes wrong later is in the row's
    `status` and `message`.
    """
    loaded = _one(load_job(job, variables))
    asked, given = options or Options(), _run_options(only_new=only_new, limit=limit, cut=cut)
    where = replace(asked, spark=spark) if spark is not None else asked
    with surroundings(loaded.definition, where, given.run_id) as here:
        here.context = {**(context or {}), **here.context}
        shown = reporter or _ambient_reporter()
        row = _run(loaded, here, given, shown, wait=wait)
    if isinstance(shown, NotebookReporter):
        shown.over(row)
    return Run(row, where, tables_beside(loaded.definition)[1])


def _ambient_reporter() -> Reporter:
    return NotebookReporter(Output().show) if in_notebook() else Quiet()


def shard(
    job: str | Path | JobDefinition | LoadedJob,
    number: str,
    cut: Cut,
    *,
    variables: Mapping[str, str] | None = None,
    options: Options | None = None,
    reporter: Reporter | None = None,
    spark: Any = None,
) -> Asked:
    """Ask one shard's rows, `3/8` say, of the run that another process has started with the same `cut`."""
    loaded, asked = _one(load_job(job, variables)), options or Options()
    engine_to_cut(loaded)
    with surroundings(loaded.definition, replace(asked, spark=spark) if spark is not None else asked) as here:
        return shard_here(loaded, here, number, cut, reporter=reporter or Quiet())


def shard_here(loaded: LoadedJob, here: Surroundings, number: str, cut: Cut, *, reporter: Reporter) -> Asked:
    """`shard` in surroundings that are open already."""
    outside = runner.Outside(here.session, here.journals, here.connect(loaded.definition), reporter)
    return run_shard(loaded.definition, read_shard(number), cut, outside)


def engine_to_cut(loaded: LoadedJob) -> ResponsesEngine | AutoEngine:
    """The engine of a job whose runs may be cut into shards. Raises `DefinitionError` where they may not."""
    engine = loaded.definition.engine
    if isinstance(engine, AiQueryEngine):
        problem = Problem("", "engine.kind", CUT_INTO_SHARDS, hint="Use responses, or auto.")
        raise DefinitionError(_located([problem], loaded))
    return engine


def run_here(
    loaded: LoadedJob,
    here: Surroundings,
    *,
    only_new: bool = False,
    limit: int | None = None,
    wait: bool = False,
    cut: Cut | None = None,
    reporter: Reporter,
) -> RunRow:
    """`run` in surroundings that are open already."""
    return _run(loaded, here, _run_options(only_new=only_new, limit=limit, cut=cut), reporter, wait=wait)


def _run(loaded: LoadedJob, here: Surroundings, given: RunOptions, reporter: Reporter, *, wait: bool) -> RunRow:
    make_journal_volume(here)
    with lock.held(loaded.definition.job, given.run_id, here.journals, reporter, wait=wait):
        here.session.refresh()
        recover(loaded.definition.job, here.session, here.journals, reporter)
        wait_until_ready(loaded.definition, here, reporter)
        made = make_here(loaded, here, given)
        reporter.plan(made)
        outside = runner.Outside(here.session, here.journals, here.connect(loaded.definition), reporter)
        return runner.run(made, outside, __version__, _context(here, made, given.cut))


def make_journal_volume(here: Surroundings) -> None:
    """Make the volume for journals, where they go to one and there is none yet."""
    if here.journal_volume is None:
        return
    schema = ".".join(sql.identifier(part) for part in here.journal_volume[:2])
    make_schema(here.session, schema)
    make(here.session, sql.create_volume(sql_texts(), here.journal_volume))


def _run_options(
    *, only_new: bool = False, limit: int | None = None, preview_rows: int = 3, cut: Cut | None = None
) -> RunOptions:
    started = datetime.now(UTC)
    run_id = f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return RunOptions(run_id, f"{started:%Y-%m-%d}", __version__, only_new, limit, preview_rows, cut)


def make_here(loaded: LoadedJob, here: Surroundings, given: RunOptions) -> RunPlan:
    """The plan of a run in surroundings that are open already."""
    try:
        found = facts(loaded, here)
        bound = bind(loaded.definition, found, sql_texts(), given)
        return make_plan(loaded.definition, bound, found, count_rows(here.session, bound, given.limit), given)
    except DefinitionError as error:
        raise DefinitionError(_located(error.problems, loaded)) from error


def _located(problems: Sequence[Problem], loaded: LoadedJob) -> list[Problem]:
    """Problems with the file and the lines where their keys stand."""
    if loaded.file is None:
        return [replace(problem, file=f"job {loaded.definition.job}") for problem in problems]
    return locate(problems, loaded.text, str(loaded.file), loaded.definition.endpoint.label)


def _context(here: Surroundings, plan: RunPlan, cut: Cut | None) -> dict[str, str]:
    """Where the run was started, the name of its endpoint if that has one, and how many rows it leaves to a later run, as the runs
    table keeps it."""
    said = {
        "git_commit": os.environ.get("GIT_COMMIT"),
        "bundle_target": os.environ.get("BUNDLE_TARGET"),
        "endpoint": plan.endpoint_label,
        ROWS_LATER: str(plan.rows.later or ""),
        "shards": None if cut is None else str(cut.shards),
        "job_run": None if cut is None else cut.job_run,
    }
    return {**here.context, **{name: value for name, value in said.items() if value}}


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        there = sorted(str(other) for other in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        return f"there is no such file. There are: {', '.join(there)}" if there else "there is no such file"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
