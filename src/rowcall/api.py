"""What notebooks, scheduled jobs and the command line call: load a job, look at its plan, run it."""

import os
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rowcall import __version__, runner
from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.ai_query.form import FormError, Wanted, forms
from rowcall.core.ai_query.probing import Probes, probe_forms
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import AppEndpoint, JobDefinition, ResponsesEngine, ServingEndpoint
from rowcall.core.engine_choice import obstacle, worth_probing
from rowcall.core.errors import DefinitionError, Problem, RunError, SqlError
from rowcall.core.job_file.reader import locate, parse_job
from rowcall.core.misfits import misfits
from rowcall.core.plan import (
    Bound,
    EndpointFacts,
    Facts,
    RunOptions,
    RunPlan,
    api_of,
    bind,
    make_plan,
    situation_of,
    tables_beside,
)
from rowcall.core.ports import Reporter, Row, SqlSession
from rowcall.core.records import Column, Progress, RowCounts
from rowcall.core.report import RunRow
from rowcall.recovery import announced, recover
from rowcall.wiring import Options, Surroundings, surroundings, tables_only


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A definition and the file it came from, so that what does not fit can be shown where it stands."""

    definition: JobDefinition
    file: Path | None = None
    text: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


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
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError([Problem(str(path), "", _unreadable(path, error))]) from error
    return LoadedJob(parse_job(text, str(path), variables), path, text, variables or {})


def plan(
    job: str | Path | JobDefinition | LoadedJob,
    *,
    variables: Mapping[str, str] | None = None,
    only_new: bool = False,
    preview_rows: int = 3,
    options: Options | None = None,
) -> tuple[RunPlan, list[Row]]:
    """What a run would do, and the first rendered requests. Writes nothing."""
    loaded = load_job(job, variables)
    with surroundings(loaded.definition, options or Options()) as here:
        made = make_here(loaded, here, _run_options(only_new=only_new, preview_rows=preview_rows))
        return made, here.session.query(made.bound.statements.preview)


def run(
    job: str | Path | JobDefinition | LoadedJob,
    *,
    variables: Mapping[str, str] | None = None,
    only_new: bool = False,
    options: Options | None = None,
    reporter: Reporter | None = None,
    spark: Any = None,
) -> RunRow:
    """Ask every row that has no answer yet and write the answers; returns the run's row in the runs table.

    The same call again asks only what is left. Raises `DefinitionError`, `SetupError` or `RunError` before anything is paid;
    what goes wrong later is in the row's `status` and `message`.
    """
    loaded = load_job(job, variables)
    asked, given = options or Options(), _run_options(only_new=only_new)
    where = replace(asked, spark=spark) if spark is not None else asked
    with surroundings(loaded.definition, where, given.run_id) as here:
        return _run(loaded, here, given, reporter or Quiet())


def run_here(loaded: LoadedJob, here: Surroundings, *, only_new: bool = False, reporter: Reporter) -> RunRow:
    """`run` in surroundings that are open already."""
    return _run(loaded, here, _run_options(only_new=only_new), reporter)


def _run(loaded: LoadedJob, here: Surroundings, given: RunOptions, reporter: Reporter) -> RunRow:
    if here.journal_volume:
        here.session.create_schema(".".join(sql.identifier(part) for part in here.journal_volume[:2]))
        here.session.execute(sql.create_volume(sql_texts(), here.journal_volume))
    with announced(loaded.definition.job, given.run_id, here.journals):
        recover(loaded.definition.job, here.session, here.journals, reporter)
        made = make_here(loaded, here, given)
        reporter.plan(made)
        outside = runner.Outside(here.session, here.journals, here.connect(loaded.definition), reporter)
        return runner.run(made, outside, __version__, _context(here))


def runs(table: str, *, job: str | None = None, limit: int = 20, options: Options | None = None) -> list[Row]:
    """Rows of a runs table, newest first. Raises `RunError` where there is no such table."""
    with _tables(table, options) as session:
        return session.query(_runs_query(table, limit), {"job": job or "", "run_id": ""})


def find_run(table: str, run_id: str, *, options: Options | None = None) -> Row:
    """The row of the run whose id is, or begins with, `run_id`. Raises `RunError` where there is not exactly one."""
    with _tables(table, options) as session:
        return _one_run(session, table, run_id)


def failures(table: str, run_id: str, *, limit: int = 50, options: Options | None = None) -> list[Row]:
    """The rows of a run's outputs that have no ok answer. Raises `RunError` where there is not exactly one such run."""
    with _tables(table, options) as session:
        run = _one_run(session, table, run_id)
        outputs = sql.quote_table(str(run["outputs_table"]))
        return session.query(sql.list_failures(sql_texts(), outputs, limit), {"run_id": run["run_id"]})


def _one_run(session: SqlSession, table: str, run_id: str) -> Row:
    found = session.query(_runs_query(table, 2), {"job": "", "run_id": run_id})
    if len(found) != 1:
        what = f"more than one run that begins with {run_id}" if found else f"no run {run_id}"
        raise RunError(f"{table} has {what}. See rowcall runs.")
    return found[0]


def _runs_query(table: str, limit: int) -> str:
    return sql.list_runs(sql_texts(), sql.quote_table(table), limit)


@contextmanager
def _tables(table: str, options: Options | None) -> Generator[SqlSession]:
    with tables_only([sql.quote_table(table)], options or Options()) as session:
        try:
            yield session
        except SqlError as error:
            if error.missing:
                raise RunError(f"there is no table {table}: no job was run here yet, or name its runs table") from error
            raise


def _run_options(*, only_new: bool = False, preview_rows: int = 3) -> RunOptions:
    started = datetime.now(UTC)
    run_id = f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return RunOptions(run_id, f"{started:%Y-%m-%d}", __version__, only_new, preview_rows)


def make_here(loaded: LoadedJob, here: Surroundings, given: RunOptions) -> RunPlan:
    """The plan of a run in surroundings that are open already."""
    try:
        facts = _facts(loaded, here)
        bound = bind(loaded.definition, facts, sql_texts(), given)
        return make_plan(loaded.definition, bound, facts, _count(here.session, bound), given)
    except DefinitionError as error:
        raise DefinitionError(_located(error.problems, loaded)) from error


def _facts(loaded: LoadedJob, here: Surroundings) -> Facts:
    definition = loaded.definition
    query = _query(loaded)
    problems: list[Problem] = []
    columns: tuple[Column, ...] = ()
    endpoint: EndpointFacts | None = None
    try:
        columns = here.session.columns(sql.source(sql_texts(), definition.prompts, query))
    except SqlError as error:
        problems.append(_source_problem(definition, query, here.session, error))
    try:
        endpoint = _endpoint_facts(definition, here)
    except DefinitionError as error:
        problems += error.problems
    if problems or endpoint is None:
        raise DefinitionError([*problems, *(misfits(definition, columns) if columns else ())])
    traces, runs_table = tables_beside(definition)
    facts = Facts(
        traces=_existing(here.session, traces),
        runs=_existing(here.session, runs_table),
        workspace=here.context.get("workspace", ""),
        columns=columns,
        outputs=_existing(here.session, definition.outputs.table),
        endpoint=endpoint,
        session=here.session.kind,
        executors=here.session.executors,
        parallel=here.parallel,
        query=query,
        knows_ai_query=here.session.ai_query,
    )
    return replace(facts, probes=_probes(definition, facts, here.session))


def _probes(definition: JobDefinition, facts: Facts, session: SqlSession) -> Probes:
    """What the session makes of `ai_query` for this job. Raises `DefinitionError` where no form of the call can carry it."""
    if not worth_probing(situation_of(definition, facts, rows=None)) or misfits(definition, facts.columns):
        return Probes()
    engine, endpoint = definition.engine, definition.endpoint
    if isinstance(engine, ResponsesEngine) or not isinstance(endpoint, ServingEndpoint):
        return Probes()
    answer = parse_answer_schema(definition.answer.fields) if definition.answer != "text" else None
    wanted = Wanted(definition.request, facts.columns, answer, engine.request_form, engine.response_format)
    try:
        tried = forms(wanted, facts.endpoint.task)
    except FormError as refusal:
        if (
            definition.engine.kind == "auto"
            and obstacle(situation_of(definition, facts, rows=None), "responses") is None
        ):
            return Probes(refusal=str(refusal))
        raise DefinitionError([Problem("", refusal.key, refusal.message, hint=refusal.hint)]) from refusal
    files = definition.request.files is not None
    return probe_forms(tried, endpoint.serving, sql_texts(), session.columns, files=files)


def _query(loaded: LoadedJob) -> str | None:
    """The text of the job's query, read from its file if it names one."""
    prompts = loaded.definition.prompts
    if prompts.file is None:
        return prompts.query
    folders = [Path(), *(loaded.file.absolute().parents if loaded.file else ())][:4]
    found = next((folder / prompts.file for folder in folders if (folder / prompts.file).is_file()), None)
    if found is None:
        tried = ", ".join(str(folder / prompts.file) for folder in folders)
        raise DefinitionError(
            [Problem("", "prompts.file", f"there is no file {prompts.file!r}", hint=f"Looked for {tried}.")]
        )
    try:
        return _filled(found.read_text(encoding="utf-8"), loaded)
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError([Problem("", "prompts.file", f"{found} cannot be read: {error}")]) from error


def _filled(text: str, loaded: LoadedJob) -> str:
    """A query with the job's `${variables}`, the command line's before its own."""
    variables = {**{name: str(value) for name, value in loaded.definition.variables.items()}, **dict(loaded.variables)}
    for name, value in variables.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def _source_problem(definition: JobDefinition, query: str | None, session: SqlSession, error: SqlError) -> Problem:
    """What is wrong with the prompt rows; the condition is to blame if they can be read without it."""
    prompts = definition.prompts
    if error.missing and prompts.table:
        return Problem("", "prompts.table", f"there is no table {prompts.table!r}, or it may not be read")
    key = next(name for name in ("table", "query", "file") if getattr(prompts, name) is not None)
    if prompts.where:
        try:
            session.columns(sql.source(sql_texts(), prompts.model_copy(update={"where": None}), query))
            key = "where"
        except SqlError:
            pass
    return Problem("", f"prompts.{key}", error.reason)


def _endpoint_facts(definition: JobDefinition, here: Surroundings) -> EndpointFacts:
    """Raises `DefinitionError` where the endpoint is not there or cannot be asked with this login."""
    endpoint = definition.endpoint
    if isinstance(endpoint, AppEndpoint):
        url = here.workspace.app_url(endpoint.app)
        if url is None:
            raise _misfit(
                "endpoint.app",
                f"there is no app {endpoint.app!r} in {here.workspace.host}, or you may not use it",
            )
        if not here.workspace.oauth():
            raise _misfit(
                "endpoint.app",
                "apps take OAuth tokens only, and this login has none (a PAT or a notebook's token)",
            )
        return EndpointFacts(f"{url}/responses", url)
    if isinstance(endpoint, ServingEndpoint):
        task = here.workspace.serving_task(endpoint.serving)
        if task is None:
            raise _misfit(
                "endpoint.serving",
                f"there is no serving endpoint {endpoint.serving!r} in {here.workspace.host}",
            )
        path = "chat/completions" if api_of(endpoint, task) == "chat" else "responses"
        return EndpointFacts(f"{here.workspace.host}/serving-endpoints/{path}", here.workspace.host, task)
    url = endpoint.url.rstrip("/")
    return EndpointFacts(f"{url}/responses", url)


def _misfit(key: str, message: str) -> DefinitionError:
    return DefinitionError([Problem("", key, message)])


def _existing(session: SqlSession, table: str) -> tuple[Column, ...] | None:
    try:
        return session.columns(f"SELECT * FROM {sql.quote_table(table)}")
    except SqlError as error:
        if error.missing:
            return None
        raise


def _count(session: SqlSession, bound: Bound) -> RowCounts:
    found = {name: int(str(value)) for name, value in session.query(bound.statements.count)[0].items()}
    return RowCounts(duplicates=found["source"] - found["answered"] - found["pending"], **found)


def _located(problems: Sequence[Problem], loaded: LoadedJob) -> list[Problem]:
    """Problems with the file and the lines where their keys stand."""
    if loaded.file is None:
        return [replace(problem, file=f"job {loaded.definition.job}") for problem in problems]
    return locate(problems, loaded.text, str(loaded.file))


def _context(here: Surroundings) -> dict[str, str]:
    """Where the run was started, as the runs table keeps it."""
    said = {"git_commit": os.environ.get("GIT_COMMIT"), "bundle_target": os.environ.get("BUNDLE_TARGET")}
    return {**here.context, **{name: value for name, value in said.items() if value}}


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        there = sorted(str(other) for other in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        return f"there is no such file. There are: {', '.join(there)}" if there else "there is no such file"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
