"""Everything a run will do, decided before it starts. After `make_plan` nobody reads the definition.

`bind` fits a definition to the columns and the endpoint there are and writes the statements; the caller counts the rows with
`Bound.statements.count`; `make_plan` decides the rest. Both are pure and raise `DefinitionError` with every misfit.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from rowcall.core import sql
from rowcall.core.answer import AnswerSchema, parse_answer_schema
from rowcall.core.definition import AppEndpoint, JobDefinition, ServingEndpoint
from rowcall.core.endpoints import Wire
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.limits import Budget, Split, auto_tasks, failure_limit, split
from rowcall.core.prompt import PromptProblemsError, RenderedRequest, render_request
from rowcall.core.records import Column, RowCounts
from rowcall.core.retry import RetryPolicy
from rowcall.core.spans import SpanContext

KEY_TYPES = re.compile(
    r"string|(var)?char(\(\d+\))?|tinyint|smallint|int|bigint|date|timestamp(_ntz)?|boolean|decimal\(\d+,\d+\)"
)
CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """What was found out about the endpoint. `task` is what Model Serving says it serves, `` where nothing is said."""

    url: str
    host: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is: the columns of the prompt rows, of the outputs table if it exists, the endpoint, the compute."""

    columns: tuple[Column, ...]
    outputs: tuple[Column, ...] | None
    endpoint: EndpointFacts
    session: str
    executors: bool
    parallel: bool
    query: str | None = None
    traces: tuple[Column, ...] | None = None
    runs: tuple[Column, ...] | None = None
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    kind: Literal["app", "serving", "url"]
    name: str
    url: str
    api_reason: str
    wire: Wire

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """How the rows are asked. Times are in seconds."""

    kind: Literal["responses"]
    reason: str
    fan_out: Literal["executors", "driver"]
    fan_out_reason: str
    concurrency: int
    split: Split
    flush_rows: int
    flush_seconds: float
    publish_seconds: float


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Limits of one call and of the run. Times are in seconds."""

    timeout: float
    retry: RetryPolicy
    deadline: float | None
    budget: Budget


@dataclass(frozen=True, slots=True)
class Bound:
    """A definition fitted to the tables and the endpoint; its statements are final."""

    keys: tuple[Column, ...]
    tables: sql.Tables
    schemas: tuple[str, ...]
    statements: sql.Statements
    endpoint: EndpointPlan
    answer: AnswerSchema | None
    null_prompt: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run obeys."""

    run_id: str
    job: str
    description: str
    definition_hash: str
    session: str
    workspace: str
    bound: Bound
    engine: EnginePlan
    calls: CallPlan
    rows: RowCounts
    spans: SpanContext

    @property
    def input_tokens(self) -> int:
        """Input tokens the pending requests will roughly take."""
        return self.rows.input_chars // CHARS_PER_TOKEN


def bind(definition: JobDefinition, facts: Facts, texts: sql.SqlTexts, run: "RunOptions") -> Bound:
    """Fit a definition to what there is. Raises `DefinitionError` with everything that does not fit."""
    problems: list[Problem] = []
    keys = _keys(definition, facts.columns, problems)
    request = _request(definition, facts.columns, problems)
    answer = parse_answer_schema(definition.answer.fields) if definition.answer != "text" else None
    answer_type = answer.ddl if answer else "STRING"
    if facts.outputs is not None and not problems:
        problems += _outputs_misfits(definition.outputs.table, facts.outputs, keys, answer_type)
    problems += _shared_misfits("traces", facts.traces, texts) + _shared_misfits("runs", facts.runs, texts)
    if problems or request is None:
        raise DefinitionError(problems)
    endpoint = _endpoint(definition, facts.endpoint, answer)
    tables = _tables(definition, run.run_id)
    statements = _statements(definition, facts, texts, run, _Shape(keys, request, endpoint, tables, answer_type))
    schemas = {sql.schema_of(name) for name in (tables.outputs, tables.traces, tables.runs)}
    return Bound(
        keys,
        tables,
        tuple(sorted(schema for schema in schemas if schema)),
        statements,
        endpoint,
        answer,
        request.null_prompt,
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is given beside its job: `day` is the day of the start (`2026-11-23`), `only_new` keeps answers to
    earlier versions of a request."""

    run_id: str
    day: str
    version: str
    only_new: bool = False
    preview_rows: int = 3


def make_plan(definition: JobDefinition, bound: Bound, facts: Facts, counts: RowCounts, run: RunOptions) -> RunPlan:
    """Decide the rest. Raises `DefinitionError` where the keys do not identify the rows."""
    problems = list(_key_problems(definition, counts))
    if problems:
        raise DefinitionError(problems)
    limits, price = definition.limits, definition.endpoint.price
    budget = Budget(
        max_failures=failure_limit(limits.max_failures, counts.pending),
        max_tokens=limits.max_tokens,
        max_cost=limits.max_cost.amount if limits.max_cost else None,
        input_price=price.input if price else Decimal(0),
        output_price=price.output if price else Decimal(0),
        currency=price.currency if price else "",
    )
    return RunPlan(
        run_id=run.run_id,
        job=definition.job,
        description=definition.description,
        definition_hash=hashlib.sha256(definition.model_dump_json().encode()).hexdigest(),
        session=facts.session,
        workspace=facts.workspace,
        bound=bound,
        engine=_engine(definition, facts, counts),
        calls=CallPlan(limits.timeout, RetryPolicy(attempts=limits.attempts), limits.deadline, budget),
        rows=counts,
        spans=SpanContext(
            run_id=run.run_id,
            job=definition.job,
            endpoint=bound.endpoint.name,
            operation="chat" if facts.endpoint.task.startswith("llm/") else "invoke_agent",
            model=bound.endpoint.wire.model,
            address=facts.endpoint.host,
            content=definition.traces.content,
        ),
    )


def misfits(definition: JobDefinition, columns: Sequence[Column]) -> list[Problem]:
    """What of a definition does not fit the columns there are."""
    problems: list[Problem] = []
    _keys(definition, columns, problems)
    _request(definition, columns, problems)
    return problems


def _keys(definition: JobDefinition, columns: Sequence[Column], problems: list[Problem]) -> tuple[Column, ...]:
    by_name = {column.name.lower(): column for column in columns}
    names = [column.name for column in columns]
    found: list[Column] = []
    for name in definition.prompts.key:
        column = by_name.get(name.lower())
        if column is None:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean `{close[0]}`? " if close else ""
            problems.append(
                Problem(
                    "",
                    "prompts.key",
                    f"there is no column {name!r}",
                    hint=f"{hint}There are: {', '.join(names)}.",
                )
            )
        elif not KEY_TYPES.fullmatch(column.type):
            expected = "a text, whole number, decimal, date, timestamp or boolean"
            problems.append(Problem("", "prompts.key", f"column {name!r} is {column.type}; a key is {expected}"))
        elif column.name.lower() in sql.OUTPUT_COLUMNS:
            hint = f"Rename it in prompts.query: SELECT *, {column.name} AS {column.name}_key FROM …"
            problems.append(
                Problem("", "prompts.key", f"the outputs table has a column {column.name!r} of its own", hint=hint)
            )
        else:
            found.append(column)
    return tuple(found)


def _request(definition: JobDefinition, columns: Sequence[Column], problems: list[Problem]) -> RenderedRequest | None:
    try:
        return render_request(definition.request, columns)
    except PromptProblemsError as errors:
        problems += [
            Problem("", _request_key(definition, error.key), error.message, hint=error.hint)
            for error in errors.problems
        ]
        return None


def _request_key(definition: JobDefinition, key: str) -> str:
    """The key a user wrote, from the place in the neutral request: its messages come from instructions, input or messages."""
    match = re.fullmatch(r"request\.messages\[(\d+)\]\.content", key)
    if match is None:
        return key
    index, has_instructions = int(match[1]), definition.request.instructions is not None
    if has_instructions and index == 0:
        return "request.instructions"
    return (
        "request.input"
        if definition.request.input is not None
        else f"request.messages[{index - has_instructions}].content"
    )


def _outputs_misfits(
    table: str, columns: Sequence[Column], keys: Sequence[Column], answer_type: str
) -> Iterator[Problem]:
    there = {column.name.lower(): column.type for column in columns}
    wanted = {key.name.lower(): key.type for key in keys} | {"answer": answer_type}
    remedy = "Write to another table, or rename this one."
    missing = [name for name in (*wanted, *sql.OUTPUT_COLUMNS) if name not in there]
    if missing:
        said = f"{table} exists but lacks {', '.join(dict.fromkeys(missing))}"
        yield Problem("", "outputs.table", said, hint=remedy)
    for name, type_ in wanted.items():
        if name in there and _plain(there[name]) != _plain(type_):
            said = f"column {name!r} of {table} is {there[name]}, this job writes {type_.lower()}"
            yield Problem("", "outputs.table", said, hint=remedy)
    extra = [name for name in there if name not in wanted and name not in sql.OUTPUT_COLUMNS]
    if extra and not missing:
        yield Problem(
            "",
            "outputs.table",
            f"{table} has columns this job does not fill: {', '.join(extra)}",
            hint=remedy,
        )


def _shared_misfits(name: str, columns: Sequence[Column] | None, texts: sql.SqlTexts) -> list[Problem]:
    """A traces or runs table of another kind would be found out only when all is paid for."""
    if columns is None:
        return []
    lacks = [column for column in sql.column_names(texts[f"tables/{name}"]) if column not in {c.name for c in columns}]
    said = f"the table exists but lacks {', '.join(lacks[:5])}"
    return [Problem("", f"{name}.table", said, hint="Name another table.")] if lacks else []


def _plain(type_: str) -> str:
    return re.sub(r"[\s`]", "", type_).lower()


def _endpoint(definition: JobDefinition, facts: EndpointFacts, answer: AnswerSchema | None) -> EndpointPlan:
    endpoint = definition.endpoint
    reason = "as the job says" if endpoint.api == "responses" else "agents answer the Responses API"
    if isinstance(endpoint, AppEndpoint):
        wire = Wire(api="responses", model=f"apps/{endpoint.app}", stream=endpoint.stream, answer=answer)
        return EndpointPlan("app", endpoint.app, facts.url, reason, wire)
    if isinstance(endpoint, ServingEndpoint):
        if endpoint.api == "auto" and facts.task:
            reason = f"its task is {facts.task}"
        wire = Wire(api="responses", model=endpoint.serving, stream=endpoint.stream, answer=answer)
        return EndpointPlan("serving", endpoint.serving, facts.url, reason, wire)
    wire = Wire(api="responses", model=endpoint.model, stream=endpoint.stream, answer=answer)
    return EndpointPlan("url", endpoint.url, facts.url, reason, wire)


def tables_beside(definition: JobDefinition) -> tuple[str, str]:
    """The traces and the runs table, quoted."""
    outputs, traces, runs = definition.outputs.table, definition.traces.table, definition.runs.table
    return (
        sql.quote_table(traces) if traces else sql.table_beside(outputs, schema="rowcall", table="traces"),
        sql.quote_table(runs) if runs else sql.table_beside(outputs, schema="rowcall", table="runs"),
    )


def _tables(definition: JobDefinition, run_id: str) -> sql.Tables:
    run = re.sub("[^0-9a-zA-Z]", "_", run_id)
    traces, runs = tables_beside(definition)
    return sql.Tables(
        outputs=sql.quote_table(definition.outputs.table),
        traces=traces,
        runs=runs,
        pending=sql.table_beside(definition.outputs.table, suffix=f"__pending_{run}"),
        staged=f"rowcall_staged_{run}",
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    keys: tuple[Column, ...]
    request: RenderedRequest
    endpoint: EndpointPlan
    tables: sql.Tables
    answer_type: str


def _statements(
    definition: JobDefinition, facts: Facts, texts: sql.SqlTexts, run: RunOptions, shape: _Shape
) -> sql.Statements:
    keys, tables, answer_type = shape.keys, shape.tables, shape.answer_type
    source = sql.source(texts, definition.prompts, facts.query)
    rendered = sql.rendered(texts, source, keys, shape.request, _fingerprint(shape.endpoint))
    outputs = tables.outputs if facts.outputs is not None else None
    resource = json.dumps({"service.name": "rowcall", "service.version": run.version})
    comment = definition.description or f"Answers of job {definition.job}"
    return sql.Statements(
        count=sql.count(texts, rendered, keys, outputs, only_new=run.only_new),
        preview=sql.preview(texts, rendered, keys, run.preview_rows),
        create_tables=sql.create_tables(texts, tables, keys, answer_type, comment),
        pending=sql.pending(texts, rendered, keys, tables, only_new=run.only_new),
        fetch=sql.fetch(texts, tables),
        merge_outputs=sql.merge_outputs(texts, tables, keys, answer_type, run.run_id),
        merge_traces=sql.merge_traces(texts, tables, version=run.version, resource=resource, since=run.day),
        merge_run=sql.merge_run(texts, tables),
        summary=sql.summary(texts, tables),
    )


def _fingerprint(endpoint: EndpointPlan) -> str:
    """What beside the request decides the answer. The engine, limits and prices do not."""
    wire = endpoint.wire
    parts = {
        "kind": endpoint.kind,
        "name": endpoint.name,
        "model": wire.model,
        "answer": wire.answer.ddl if wire.answer else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _key_problems(definition: JobDefinition, counts: RowCounts) -> Iterator[Problem]:
    names = ", ".join(definition.prompts.key)
    if counts.null_keys:
        hint = f"Leave them out: where: {definition.prompts.key[0]} IS NOT NULL."
        yield Problem("", "prompts.key", f"{names} is NULL in {counts.null_keys:,} rows", hint=hint)
    if counts.clashing_keys:
        hint = "Name more columns in prompts.key, or make the rows distinct in prompts.query."
        yield Problem(
            "",
            "prompts.key",
            f"{names} stands for different requests in {counts.clashing_keys:,} cases",
            hint=hint,
        )


def _engine(definition: JobDefinition, facts: Facts, counts: RowCounts) -> EnginePlan:
    engine = definition.engine
    fan_out: Literal["executors", "driver"] = "executors" if facts.executors else "driver"
    reason = "the session has executors" if facts.executors else "the session has no executors"
    if engine.fan_out != "auto":
        fan_out, reason = engine.fan_out, "as the job says"
    if fan_out == "executors" and not facts.executors:
        raise DefinitionError(
            [Problem("", "engine.fan_out", f"{facts.session} has no executors", hint="Use auto or driver.")]
        )
    tasks = engine.tasks
    if fan_out == "driver":
        tasks = 1
    elif tasks == "auto":
        tasks = auto_tasks(engine.concurrency) if facts.parallel else 1
    return EnginePlan(
        kind="responses",
        reason="it reaches every endpoint and brings usage and traces",
        fan_out=fan_out,
        fan_out_reason=reason,
        concurrency=engine.concurrency,
        split=split(engine.concurrency, tasks, counts.pending),
        flush_rows=engine.flush_rows,
        flush_seconds=engine.flush_seconds,
        publish_seconds=engine.publish_seconds,
    )
