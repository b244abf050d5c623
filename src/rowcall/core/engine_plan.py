"""How the rows of a run are asked, decided: one plan per engine."""

from dataclasses import dataclass
from typing import Literal

from rowcall.core import sql
from rowcall.core.ai_query.form import Form
from rowcall.core.ai_query.probing import Probes
from rowcall.core.ai_query.reply import Reader, reader_of
from rowcall.core.ai_query.statements import Ask, Correct, ReadReplies, ask, correct_pending, null_prompts, read_replies
from rowcall.core.definition import AiQueryEngine, AutoEngine, JobDefinition, ResponsesEngine
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.limits import Split, auto_tasks, split
from rowcall.core.rates import Rates
from rowcall.core.shards import Cut

TRIAL_ROWS = 3
"""Rows that try a way to call `ai_query`."""


@dataclass(frozen=True, slots=True)
class ResponsesPlan:
    """HTTP calls, at most `concurrency` at once; `adaptive` finds out how many the endpoint takes. `cut` is there where shards make
    them; `fell_back` says that executors would, if they reached the endpoint. Times are in seconds."""

    kind: Literal["responses"]
    reason: str
    fan_out: Literal["executors", "driver", "shards"]
    fan_out_reason: str
    concurrency: int
    adaptive: bool
    rates: Rates
    split: Split
    flush_rows: int
    flush_seconds: float
    publish_seconds: float
    cut: Cut | None = None
    fell_back: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One way to call `ai_query`. `returns` is the type it was found to have, None where only a call can tell."""

    form: Form
    returns: str | None
    ask: Ask


@dataclass(frozen=True, slots=True)
class AiQueryPlan:
    """Statements with `ai_query`; `ways` are tried in turn. `rows_per_statement` is None where they are sized as they go. Times
    are in seconds."""

    kind: Literal["ai_query"]
    reason: str
    ways: tuple[Way, ...]
    read: ReadReplies
    reader: Reader
    null_prompts: str
    correct: Correct
    rows_per_statement: int | None
    statement_timeout: float
    publish_seconds: float

    @property
    def tries_ways(self) -> bool:
        """Whether a few rows are asked first: there are several ways, or the type of the call could not be told."""
        return len(self.ways) > 1 or any(way.returns is None for way in self.ways)


EnginePlan = ResponsesPlan | AiQueryPlan


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where calls could be made. `ambient` says that the login exists on the driver only: a notebook's or a job's own. `cut`
    says that the run is cut into shards, `out_of_reach` why Spark's tasks cannot call the endpoint, where that was found."""

    session: str
    executors: bool
    parallel: bool
    ambient: bool = False
    cut: Cut | None = None
    out_of_reach: str | None = None

    def obstacle(self) -> str | None:
        """Why executors cannot make the calls, or None where they can."""
        if self.cut is not None:
            return "the run is cut into shards, and the driver of each makes its calls"
        if not self.executors:
            return f"{self.session} has no executors"
        if self.ambient:
            return "the login is the notebook's or job's own, which executors do not have"
        return self.out_of_reach


def responses_plan(engine: ResponsesEngine | AutoEngine, reason: str, where: Whereabouts, rows: int) -> ResponsesPlan:
    """Raises `DefinitionError` where the job wants executors that are not there, or that cannot log in."""
    fan_out, why = _fan_out(engine, where)
    rates, most = rates_of(engine), most_of(engine)
    if where.cut is not None:
        tasks = where.cut.shards
    elif fan_out == "driver":
        tasks = 1
    elif engine.tasks == "auto":
        tasks = auto_tasks(most) if where.parallel and not rates.limited else 1
    else:
        tasks = engine.tasks
    return ResponsesPlan(
        kind="responses",
        reason=reason,
        fan_out=fan_out,
        fan_out_reason=why,
        concurrency=most,
        adaptive=engine.concurrency == "auto",
        rates=rates,
        split=split(most, tasks, rows),
        flush_rows=engine.flush_rows,
        flush_seconds=engine.flush_seconds,
        publish_seconds=engine.publish_seconds,
        cut=where.cut,
        fell_back=fan_out == "driver" and where.out_of_reach is not None,
    )


def _fan_out(
    engine: ResponsesEngine | AutoEngine, where: Whereabouts
) -> tuple[Literal["executors", "driver", "shards"], str]:
    """Where the calls are made, and why."""
    obstacle = where.obstacle()
    if engine.fan_out == "executors" and obstacle is not None:
        raise DefinitionError([Problem("", "engine.fan_out", obstacle, hint="Use auto or driver.")])
    if where.cut is not None and obstacle is not None:
        return "shards", obstacle
    if engine.fan_out != "auto":
        return engine.fan_out, "as the job says"
    return ("executors", "the session has executors") if obstacle is None else ("driver", obstacle)


def rates_of(engine: ResponsesEngine | AutoEngine) -> Rates:
    return Rates(engine.requests_per_minute, engine.input_tokens_per_minute, engine.output_tokens_per_minute)


def most_of(engine: ResponsesEngine | AutoEngine) -> int:
    """The most calls in flight of the whole run."""
    return engine.max_concurrency if engine.concurrency == "auto" else engine.concurrency


@dataclass(frozen=True, slots=True)
class AiQueryStatements:
    """What `ai_query` would send, before it is decided whether it asks."""

    ways: tuple[Way, ...]
    read: ReadReplies
    null_prompts: str
    correct: Correct
    reader: Reader


def ai_query_statements(
    definition: JobDefinition, texts: sql.SqlTexts, tables: sql.Tables, endpoint: str, task: str, probes: Probes
) -> AiQueryStatements | None:
    """None where no form of the call was found to be taken."""
    if not probes.found:
        return None
    fields = definition.answer.fields if definition.answer != "text" else None
    files = definition.request.files is not None
    return AiQueryStatements(
        ways=tuple(
            Way(found.form, found.returns, ask(texts, tables, endpoint, found.form, files=files))
            for found in probes.found
        ),
        read=read_replies(texts, tables),
        null_prompts=null_prompts(texts, tables),
        correct=correct_pending(texts, tables),
        reader=reader_of(task, probes.found[0].form, fields),
    )


def ai_query_plan(engine: AiQueryEngine | AutoEngine, reason: str, statements: AiQueryStatements) -> AiQueryPlan:
    return AiQueryPlan(
        kind="ai_query",
        reason=reason,
        ways=statements.ways,
        read=statements.read,
        null_prompts=statements.null_prompts,
        correct=statements.correct,
        reader=statements.reader,
        rows_per_statement=engine.rows_per_statement if engine.rows_per_statement != "auto" else None,
        statement_timeout=engine.statement_timeout,
        publish_seconds=engine.publish_seconds,
    )
