"""What there is, found out before anything is decided: the columns, the tables, the endpoint, what the SQL makes of `ai_query`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never, cast

from rowcall.adapters import otlp
from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.ai_query.form import FormError, Wanted, forms
from rowcall.core.ai_query.probing import Probes, probe_forms
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import AppEndpoint, JobDefinition, ResponsesEngine, ServingEndpoint, UrlEndpoint
from rowcall.core.endpoint_plan import EndpointFacts, agent_server
from rowcall.core.engine_choice import obstacle, worth_probing
from rowcall.core.errors import DefinitionError, Problem, SqlError
from rowcall.core.estimate import Evidence, evidence_of
from rowcall.core.job_file.variables import fill_text
from rowcall.core.login import refused_by_apps
from rowcall.core.loose import one_line
from rowcall.core.misfits import misfits, same_tables
from rowcall.core.names import some
from rowcall.core.plan import Bound, Facts, collector_of, situation_of, tables_beside
from rowcall.core.ports import SqlSession
from rowcall.core.readiness import READY, Readiness, app_readiness, serving_readiness
from rowcall.core.records import Column, RowCounts
from rowcall.core.rivals import rivalry, takeover
from rowcall.engines.reach import out_of_reach
from rowcall.wiring import Surroundings


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A definition and the file it came from, so that what does not fit can be shown where it stands. `others` are the definitions
    of the same job for further endpoints."""

    definition: JobDefinition
    file: Path | None = None
    text: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    others: tuple[JobDefinition, ...] = ()

    @property
    def label(self) -> str | None:
        """The name of its endpoint, where the job has several."""
        return self.definition.endpoint.label

    def each(self) -> tuple["LoadedJob", ...]:
        """The job once for each of its endpoints."""
        return tuple(replace(self, definition=one, others=()) for one in (self.definition, *self.others))

    def asking(self, endpoint: str) -> "LoadedJob":
        """The job for the endpoint of that name. Raises `DefinitionError` where it has none."""
        names = {str(one.definition.endpoint.label): one for one in self.each()}
        if endpoint not in names:
            said, hint = f"there is no endpoint {endpoint!r}", f"There are: {some(list(names))}."
            if self.label is None:
                hint = "The job has one endpoint; it has a name where it stands under `endpoints`."
            raise DefinitionError([Problem(str(self.file or ""), "endpoints", said, hint=hint)])
        return names[endpoint]


def facts(loaded: LoadedJob, here: Surroundings) -> Facts:
    definition = loaded.definition
    collector = collector_of(definition, "")
    if collector is not None:
        otlp.check(collector)
    query = _query(loaded)
    problems: list[Problem] = []
    columns: tuple[Column, ...] = ()
    endpoint: EndpointFacts | None = None
    try:
        columns = _prompt_columns(definition, query, here.session)
    except SqlError as error:
        problems.append(_source_problem(definition, query, here.session, error))
    try:
        endpoint = _endpoint_facts(definition, here)
    except DefinitionError as error:
        problems += error.problems
    if problems or endpoint is None:
        raise DefinitionError([*problems, *(misfits(definition, columns) if columns else ())])
    traces, runs_table = tables_beside(definition)
    if problems := same_tables(sql.quote_table(definition.outputs.table), traces, runs_table):
        raise DefinitionError(problems)
    found = Facts(
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
    found = replace(found, probes=_probes(definition, found, here.session))
    return replace(found, out_of_reach=_out_of_reach(definition, found, here.session))


def _out_of_reach(definition: JobDefinition, facts: Facts, session: SqlSession) -> str | None:
    """Why Spark's tasks cannot call the endpoint, looked at where they could be asked to and are not of this process."""
    engine, login = definition.engine, facts.endpoint.login
    on_the_driver = engine.kind == "ai_query" or engine.fan_out == "driver" or (login is not None and login.ambient)
    if on_the_driver or not (facts.executors and facts.parallel) or misfits(definition, facts.columns):
        return None
    return out_of_reach(session, facts.endpoint.base)


def prompt_columns(loaded: LoadedJob, session: SqlSession) -> tuple[Column, ...]:
    """The columns of the prompt rows. Raises `SqlError`, and `DefinitionError` where the file of the query cannot be read."""
    return _prompt_columns(loaded.definition, _query(loaded), session)


def _prompt_columns(definition: JobDefinition, query: str | None, session: SqlSession) -> tuple[Column, ...]:
    statement = sql.source(sql_texts(), definition.prompts, query)
    columns = session.columns(statement)
    if not columns:  # the embedded lakehouse says so of a file that is not there
        raise SqlError(
            "the prompt rows have no columns; is there a file, with something in it, where they are read?", statement
        )
    return columns


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
    own = {name: str(value) for name, value in loaded.definition.variables.items()}
    return fill_text(text, {**own, **loaded.variables})


def _source_problem(definition: JobDefinition, query: str | None, session: SqlSession, error: SqlError) -> Problem:
    """What is wrong with the prompt rows; the condition is to blame if they can be read without it."""
    prompts = definition.prompts
    if error.missing and prompts.table:
        return Problem("", "prompts.table", f"there is no table {prompts.table!r}, or it may not be read")
    key = next(name for name in ("table", "query", "file") if getattr(prompts, name) is not None)
    if prompts.where:
        try:
            whole = definition.model_copy(update={"prompts": prompts.model_copy(update={"where": None})})
            _prompt_columns(whole, query, session)
            key = "where"
        except SqlError:
            pass
    return Problem("", f"prompts.{key}", error.reason)


def _endpoint_facts(definition: JobDefinition, here: Surroundings) -> EndpointFacts:
    """Raises `DefinitionError` where the endpoint is not there or cannot be asked with this login."""
    endpoint = definition.endpoint
    match endpoint:
        case AppEndpoint():
            return _app_facts(endpoint, here)
        case ServingEndpoint():
            return _serving_facts(endpoint, here)
        case UrlEndpoint():
            here.check_key(definition)
            secret = (endpoint.api_key or "").startswith("{{")
            return EndpointFacts(endpoint.base, login=here.workspace.login_kind() if secret else None)
        case _:
            assert_never(endpoint)


def readiness(definition: JobDefinition, here: Surroundings) -> Readiness:
    """As the endpoint is now; one that is not there is for the plan to complain of."""
    match definition.endpoint:
        case AppEndpoint(app=name):
            return app_readiness(here.workspace.app(name) or {})
        case ServingEndpoint(serving=name):
            return serving_readiness(here.workspace.serving(name) or {})
        case UrlEndpoint():
            return READY
        case _:
            assert_never(definition.endpoint)


def _app_facts(endpoint: AppEndpoint, here: Surroundings) -> EndpointFacts:
    app = here.workspace.app(endpoint.app)
    if app is None:
        raise _misfit(
            "endpoint.app",
            f"there is no app {endpoint.app!r} in {here.workspace.host}, or you may not use it",
        )
    login = here.workspace.login_kind()
    if reason := refused_by_apps(login):
        raise _misfit("endpoint.app", reason)
    url, seen = str(app.get("url") or "").rstrip("/"), app_readiness(app)
    asked = endpoint.api == "auto" and endpoint.shape == "auto" and seen == READY
    server = agent_server(lambda path: here.workspace.look(url + path)) if asked else ""
    return EndpointFacts(url, server=server, readiness=seen, login=login)


def _serving_facts(endpoint: ServingEndpoint, here: Surroundings) -> EndpointFacts:
    """A model behind the AI gateway need not be a serving endpoint: Unity Catalog's model services are none."""
    host, login = here.workspace.host, here.workspace.login_kind()
    found = here.workspace.serving(endpoint.serving)
    if found is None:
        if endpoint.gateway:
            return EndpointFacts(host, login=login)
        raise _misfit("endpoint.serving", f"there is no serving endpoint {endpoint.serving!r} in {host}")
    return EndpointFacts(host, str(found.get("task") or ""), readiness=serving_readiness(found), login=login)


def _misfit(key: str, message: str) -> DefinitionError:
    return DefinitionError([Problem("", key, message)])


def _existing(session: SqlSession, table: str) -> tuple[Column, ...] | None:
    try:
        return session.columns(f"SELECT * FROM {sql.quote_table(table)}")
    except SqlError as error:
        if error.missing:
            return None
        raise


def count_rows(session: SqlSession, bound: Bound, limit: int | None = None) -> RowCounts:
    """What becomes of the rows, of which no more than `limit` are asked. Raises `DefinitionError` where other jobs ask for the same
    rows in turn with this one."""
    found = {name: int(str(value)) for name, value in session.query(bound.statements.count)[0].items()}
    clashes = session.query(bound.statements.clashing_keys) if found["clashing_keys"] else []
    duplicates = found["source"] - found["answered"] - found["pending"]
    counts = RowCounts(
        duplicates=duplicates,
        clashes=tuple(_said_key(row["key"]) for row in clashes),
        takeover=_takeover(session, bound) if found["pending"] else "",
        **found,
    )
    return counts if limit is None else counts.limited(limit)


def _takeover(session: SqlSession, bound: Bound) -> str:
    """What other jobs have answered that this one replaces. Raises `DefinitionError` where they do that in turn."""
    others = {row["job"]: row["in_turn"] for row in session.query(bound.rivals.jobs)} if bound.rivals else {}
    taken = session.query(bound.rivals.taken) if bound.rivals and others else []
    if problems := rivalry([row for row in taken if others.get(row["job"])], sql.bare_name(bound.tables.outputs)):
        raise DefinitionError(problems)
    return takeover(taken)


def evidence(session: SqlSession, bound: Bound) -> Evidence:
    """What earlier answers tell of a run to come."""
    statement = bound.statements.evidence
    return evidence_of(session.query(statement)) if statement else {}


def _said_key(key: object) -> str:
    values = cast("Mapping[str, object]", key).values() if isinstance(key, Mapping) else [key]
    return one_line(", ".join(map(str, values)), 60)
