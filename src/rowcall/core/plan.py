"""Everything a run will do, decided before it starts. After `make_plan` nobody reads the definition.

`bind` fits a definition to the columns and the endpoint there are and writes the statements; the caller counts the rows with
`Bound.statements.count`; `make_plan` decides the rest. Both are pure and raise `DefinitionError` with every misfit.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from rowcall.core import sql
from rowcall.core.ai_query.probing import Probes
from rowcall.core.answer import AnswerSchema, parse_answer_schema
from rowcall.core.collector import Collector
from rowcall.core.definition import AiQueryEngine, JobDefinition, ResponsesEngine
from rowcall.core.endpoint_plan import EndpointFacts, EndpointPlan, endpoint_plan, model_of
from rowcall.core.engine_choice import EngineKind, Situation, choose, obstacle
from rowcall.core.engine_plan import (
    AiQueryStatements,
    EnginePlan,
    Whereabouts,
    ai_query_plan,
    ai_query_statements,
    responses_plan,
)
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.limits import Budget, failure_limit
from rowcall.core.misfits import keys_of, outputs_misfits, request_of, shared_misfits
from rowcall.core.rates import output_limit
from rowcall.core.records import Column, RowCounts
from rowcall.core.retention import Keep, Retention, retention
from rowcall.core.retry import RetryPolicy
from rowcall.core.rivals import Rivals, rivals
from rowcall.core.shards import Cut, FetchPart, fetch_part
from rowcall.core.spans import SpanContext


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is: the columns of the prompt rows, of the outputs table if it exists, the endpoint, the compute; for `ai_query`
    the forms that the session does not refuse, else why it refuses; and why Spark's tasks cannot call the endpoint, if so."""

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
    knows_ai_query: bool = False
    probes: Probes = field(default_factory=Probes)
    out_of_reach: str | None = None


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Limits of one call and of the run. Times are in seconds; `corrections` is how often an answer that breaks the schema is asked
    for again, `output_limit` the most tokens that each request allows its answer, if they all allow the same."""

    timeout: float
    run_timeout: float
    warm_up: float
    outage: float
    retry: RetryPolicy
    corrections: int
    deadline: float | None
    output_limit: int | None
    budget: Budget


@dataclass(frozen=True, slots=True)
class Bound:
    """A definition fitted to the tables and the endpoint; its statements are final. `rendered` is the relation of key, request and
    hash of every row."""

    keys: tuple[Column, ...]
    tables: sql.Tables
    schemas: tuple[str, ...]
    statements: sql.Statements
    endpoint: EndpointPlan
    answer: AnswerSchema | None
    null_prompt: str
    rendered: str
    fetch_part: FetchPart
    ai_query: AiQueryStatements | None = None
    rivals: Rivals | None = None
    retention: Retention | None = None


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
    endpoint_label: str | None = None
    collector: Collector | None = None


def bind(definition: JobDefinition, facts: Facts, texts: sql.SqlTexts, run: "RunOptions") -> Bound:
    """Fit a definition to what there is. Raises `DefinitionError` with everything that does not fit."""
    problems: list[Problem] = []
    keys = keys_of(definition, facts.columns, problems)
    request = request_of(definition, facts.columns, problems)
    answer = parse_answer_schema(definition.answer.fields) if definition.answer != "text" else None
    answer_type = answer.ddl if answer else "STRING"
    if facts.outputs is not None and not problems:
        problems += outputs_misfits(definition.outputs.table, facts.outputs, keys, answer_type)
    traces, runs = tables_beside(definition)
    problems += shared_misfits("traces", traces, facts.traces, texts) + shared_misfits("runs", runs, facts.runs, texts)
    if problems or request is None:
        raise DefinitionError(problems)
    endpoint = endpoint_plan(definition, facts.endpoint, answer)
    tables = _tables(definition, run.run_id)
    source = sql.source(texts, definition.prompts, facts.query, definition.endpoint.label)
    rendered = sql.rendered(texts, source, keys, request, _fingerprint(definition, endpoint))
    shape = _Shape(keys, rendered, tables, answer_type, files=request.files is not None)
    statements = _statements(definition, facts, texts, run, shape)
    replaces = facts.outputs is not None and facts.runs is not None and not run.only_new
    schemas = {sql.schema_of(name) for name in (tables.outputs, tables.traces, tables.runs)}
    return Bound(
        keys,
        tables,
        tuple(sorted(schema for schema in schemas if schema)),
        statements,
        endpoint,
        answer,
        request.null_prompt,
        rendered,
        fetch_part(texts, tables.pending),
        ai_query_statements(definition, texts, tables, endpoint.name, facts.endpoint.task, facts.probes),
        rivals(texts, rendered, keys, tables, definition.job) if replaces else None,
        retention_of(definition, texts, date.fromisoformat(run.day)),
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is given beside its job: `day` is the day of the start (`2026-11-23`), `only_new` keeps answers to
    earlier versions of a request, `limit` is the most rows that are asked, `cut` the shards that ask them."""

    run_id: str
    day: str
    version: str
    only_new: bool = False
    limit: int | None = None
    preview_rows: int = 3
    cut: Cut | None = None


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
        cached_price=price.cached_input if price else None,
        currency=price.currency if price else "",
    )
    return RunPlan(
        run_id=run.run_id,
        job=definition.job,
        description=definition.description,
        definition_hash=definition_hash(definition),
        session=facts.session,
        workspace=facts.workspace,
        bound=bound,
        engine=_engine(definition, bound, facts, counts, run.cut),
        calls=CallPlan(
            timeout=bound.endpoint.timeout,
            run_timeout=limits.run_timeout,
            warm_up=limits.warm_up,
            outage=limits.outage,
            retry=_retry(bound.endpoint, definition),
            corrections=definition.answer.corrections if definition.answer != "text" else 0,
            deadline=limits.deadline,
            output_limit=_output_limit(definition),
            budget=budget,
        ),
        rows=counts,
        spans=SpanContext(
            run_id=run.run_id,
            job=definition.job,
            endpoint=bound.endpoint.name,
            operation="chat" if facts.endpoint.task.startswith("llm/") else "invoke_agent",
            model=model_of(definition),
            address=facts.endpoint.base,
            content=definition.traces.content,
        ),
        endpoint_label=definition.endpoint.label,
        collector=collector_of(definition, run.version),
    )


def definition_hash(definition: JobDefinition) -> str:
    """What stands for a version of a job."""
    return hashlib.sha256(definition.fingerprint.encode()).hexdigest()


def collector_of(definition: JobDefinition, version: str) -> Collector | None:
    """Who gets the spans beside the traces table."""
    otlp = definition.traces.otlp
    return None if otlp is None else Collector(otlp.endpoint, tuple(otlp.headers.items()), version)


def _retry(endpoint: EndpointPlan, definition: JobDefinition) -> RetryPolicy:
    """The platform's endpoints may be scaled to zero, and the workspace knows those it serves: a 404 of one is none. Of other
    servers nothing of the kind is known."""
    limits, engine = definition.limits, definition.engine
    starts = 0.0 if endpoint.kind == "url" else limits.warm_up
    return RetryPolicy(
        limits.attempts,
        warm_up=starts,
        missing=starts if endpoint.kind == "serving" else 0.0,
        adaptive=not isinstance(engine, AiQueryEngine) and engine.concurrency == "auto",
    )


def _output_limit(definition: JobDefinition) -> int | None:
    parameters = definition.request.parameters
    return None if isinstance(parameters, str) else output_limit(parameters)


def retention_of(definition: JobDefinition, texts: sql.SqlTexts, today: date) -> Retention | None:
    """What a job says of how long its spans and the rows of its runs are kept."""
    if definition.traces.keep is None:
        return None
    keep = Keep(definition.traces.keep, definition.runs.keep)
    return retention(texts, tables_beside(definition), definition.job, keep, today)


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
        replies=sql.table_beside(definition.outputs.table, suffix=f"__replies_{run}"),
        staged=f"rowcall_staged_{run}",
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    keys: tuple[Column, ...]
    rendered: str
    tables: sql.Tables
    answer_type: str
    files: bool


def _statements(
    definition: JobDefinition, facts: Facts, texts: sql.SqlTexts, run: RunOptions, shape: _Shape
) -> sql.Statements:
    keys, rendered, tables, answer_type = shape.keys, shape.rendered, shape.tables, shape.answer_type
    outputs = tables.outputs if facts.outputs is not None else None
    resource = json.dumps({"service.name": "rowcall", "service.version": run.version})
    insert, better, update = sql.publish_outputs(texts, tables, keys, answer_type, run.run_id)
    comment = definition.description or f"Answers of job {definition.job}"
    return sql.Statements(
        count=sql.count(texts, rendered, keys, outputs, only_new=run.only_new),
        clashing_keys=sql.clashing_keys(texts, rendered, keys),
        preview=sql.preview(texts, rendered, keys, run.preview_rows),
        create_tables=sql.create_tables(texts, tables, keys, answer_type, comment),
        pending=sql.pending(texts, rendered, keys, tables, sql.Wanted(run.only_new, run.limit, shape.files)),
        fetch=sql.fetch(texts, tables),
        insert_outputs=insert,
        better_outputs=better,
        update_outputs=update,
        merge_traces=sql.merge_traces(texts, tables, version=run.version, resource=resource, since=run.day),
        merge_run=sql.merge_run(texts, tables),
        summary=sql.summary(texts, tables),
        evidence=sql.evidence(texts, rendered, keys, outputs, _priced(definition)) if outputs else None,
    )


def _priced(definition: JobDefinition) -> str:
    price = definition.endpoint.price
    if price is None:
        return "CAST(NULL AS DOUBLE)"
    return sql.priced(price.input, price.input if price.cached_input is None else price.cached_input, price.output)


def _fingerprint(definition: JobDefinition, endpoint: EndpointPlan) -> str:
    """What beside the request decides the answer. The engine, the API, limits and prices do not."""
    answer = endpoint.wire.answer
    parts = {
        "kind": endpoint.kind,
        "name": endpoint.name,
        "model": model_of(definition),
        "answer": answer.ddl if answer else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _key_problems(definition: JobDefinition, counts: RowCounts) -> Iterator[Problem]:
    names = ", ".join(definition.prompts.key)
    if counts.null_keys:
        there = " AND ".join(f"{sql.bare_identifier(key)} IS NOT NULL" for key in definition.prompts.key)
        rows = "1 row" if counts.null_keys == 1 else f"{counts.null_keys:,} rows"
        yield Problem("", "prompts.key", f"{names} is NULL in {rows}", hint=f"Leave them out: where: {there}.")
    if counts.clashing_keys:
        cases = "1 case" if counts.clashing_keys == 1 else f"{counts.clashing_keys:,} cases"
        examples = f", such as {'; '.join(counts.clashes)}" if counts.clashes else ""
        said = f"{names} stands for different requests in {cases}{examples}"
        hint = "Name more columns in prompts.key, or make the rows distinct in prompts.query."
        yield Problem("", "prompts.key", said, hint=hint)


def _engine(definition: JobDefinition, bound: Bound, facts: Facts, counts: RowCounts, cut: Cut | None) -> EnginePlan:
    situation = replace(situation_of(definition, facts, rows=counts.pending), cut=cut is not None)
    choice, engine = choose(situation), definition.engine
    reason = obstacle(situation, choice.kind)
    if choice.kind == "ai_query" and reason is None and bound.ai_query is None:
        reason = f"{facts.session} was not asked what it makes of ai_query"
    if reason is not None:
        raise DefinitionError([Problem("", "engine.kind", reason, hint=_other_engine(situation, choice.kind))])
    if choice.kind == "ai_query" and bound.ai_query is not None and not isinstance(engine, ResponsesEngine):
        return ai_query_plan(engine, choice.reason, bound.ai_query)
    if isinstance(engine, AiQueryEngine):
        raise TypeError("an engine that the job does not name")
    login = facts.endpoint.login
    ambient = login is not None and login.ambient
    where = Whereabouts(facts.session, facts.executors, facts.parallel, ambient, cut, facts.out_of_reach)
    return responses_plan(engine, choice.reason, where, counts.pending)


def situation_of(definition: JobDefinition, facts: Facts, *, rows: int | None) -> Situation:
    """What the choice of the engine depends on."""
    return Situation(
        definition=definition,
        task=facts.endpoint.task,
        session=facts.session,
        knows_ai_query=facts.knows_ai_query,
        refusal=facts.probes.refusal,
        rows=rows,
    )


def _other_engine(situation: Situation, kind: EngineKind) -> str:
    other: EngineKind = "responses" if kind == "ai_query" else "ai_query"
    return f"Use {other}, or auto." if obstacle(situation, other) is None else ""
