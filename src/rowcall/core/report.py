"""What a run came to: the values behind the summary, its JSON, and its row in the runs table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from rowcall.core.errors import RunError
from rowcall.core.plan import RunPlan
from rowcall.core.post_mortem import bound_by
from rowcall.core.records import ErrorKind, Outcome
from rowcall.core.slots import Seconds
from rowcall.core.sql import bare_name

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_LATER = "rows_left_for_later"
"""What in a run's context tells how many rows a limit has left to a later run."""
Status = Literal["running", "done", "stopped", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How the asked requests ended. `failures` counts those without an ok answer by outcome, or by kind for errors; tokens that
    nobody told are None. `last_answered` is in Unix microseconds."""

    asked: int = 0
    ok: int = 0
    retries: int = 0
    failures: Mapping[str, int] | None = None
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cost: float | None = None
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    slot_seconds: Seconds = field(default_factory=dict[str, float])
    last_answered: int | None = None

    @property
    def failed(self) -> int:
        return self.asked - self.ok

    @property
    def without_prompts(self) -> bool:
        """Whether there was something to ask, and none of it had a prompt."""
        return 0 < self.asked == (self.failures or {}).get(ErrorKind.NULL_PROMPT, 0)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of the runs table. Times are Unix microseconds; tokens that nobody told are None. What has a default here the manifests
    of earlier versions lack."""

    run_id: str
    job: str
    status: Status
    message: str | None
    engine: str
    endpoint: str
    outputs_table: str
    traces_table: str
    definition_hash: str
    concurrency: int | None
    tasks: int | None
    source_rows: int
    duplicate_rows: int
    answered_rows: int
    pending_rows: int
    asked: int
    ok: int
    failed: int
    retries: int
    failures: Mapping[str, int]
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    currency: str | None
    started_at: int
    ended_at: int | None
    rowcall_version: str
    statement_ids: Sequence[str]
    context: Mapping[str, str]
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    slot_seconds: Seconds = field(default_factory=dict[str, float])
    bound_by: str | None = None

    @property
    def rows_later(self) -> int:
        """Rows that a limit has left to a later run."""
        return rows_later(self.context)

    @property
    def tokens(self) -> int | None:
        """In and out together; None where nobody told any."""
        return _sum([self.input_tokens, self.output_tokens])

    @property
    def seconds(self) -> float:
        return ((self.ended_at or self.started_at) - self.started_at) / 1e6

    def check(self) -> "RunRow":
        """The row itself if the run went to its end, as `RunError` otherwise; for jobs that should turn red."""
        if self.status != "done":
            raise RunError(f"run {self.run_id} of {self.job} {self.status}: {self.message}")
        return self

    def as_json(self) -> dict[str, object]:
        """For the JSON line: plain values, times as ISO 8601 has them, in UTC."""
        times = {"started_at": _iso(self.started_at), "ended_at": _iso(self.ended_at) if self.ended_at else None}
        values = {each.name: getattr(self, each.name) for each in fields(RunRow)}
        return {**values, "seconds": round(self.seconds, 3), **times}


def _iso(microseconds: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)).isoformat()


def row_of(found: Mapping[str, Any]) -> RunRow:
    """The row that `sql/statements/report_run.sql` finds."""
    names = [each.name for each in fields(RunRow)]
    given = {name: found[name] for name in names if name in found}
    kept: dict[str, Any] = {
        **{name: found.get(name) or {} for name in ("failures", "context", "slot_seconds")},
        **{name: found.get(name) for name in ("cached_tokens", "reasoning_tokens")},
        "statement_ids": found.get("statement_ids") or [],
        "started_at": found["started_us"],
        "ended_at": found["ended_us"],
    }
    return RunRow(**{**given, **kept})


SUMMARY_COLUMNS = ("request_hash", "outcome", "error", "usage", "cost", "attempts", "trace_id", "answered_at")
"""Of a segment, what `sql/statements/summary.sql` looks at."""


def tally(rows: Sequence[Mapping[str, Any]], slot_seconds: Seconds | None = None) -> Tally:
    """Read the rows of `sql/statements/summary.sql`. Of what a run of an earlier version left, they lack some columns."""
    failures: dict[str, int] = {}
    for row in rows:
        if row["outcome"] != Outcome.OK:
            name = str(row["kind"] if row["outcome"] == Outcome.ERROR else row["outcome"])
            failures[name] = failures.get(name, 0) + int(row["requests"])
    answered = [int(row["last_answered_us"]) for row in rows if row.get("last_answered_us") is not None]
    return Tally(
        asked=sum(int(row["requests"]) for row in rows),
        ok=sum(int(row["requests"]) for row in rows if row["outcome"] == Outcome.OK),
        retries=sum(int(row["retries"] or 0) for row in rows),
        failures=failures,
        input_tokens=_sum([row["input_tokens"] for row in rows]),
        output_tokens=_sum([row["output_tokens"] for row in rows]),
        cost=_sum([row["cost"] for row in rows]) if rows else None,
        cached_tokens=_sum([row.get("cached_tokens") for row in rows]),
        reasoning_tokens=_sum([row.get("reasoning_tokens") for row in rows]),
        slot_seconds=slot_seconds or {},
        last_answered=max(answered, default=None),
    )


def _sum(told: Sequence[Any]) -> Any:
    """The sum of what was told; None where there was something to tell and nothing was."""
    known = [value for value in told if value is not None]
    return sum(known) if known or not told else None


def started(plan: RunPlan, started_at: int, version: str, context: Mapping[str, str]) -> RunRow:
    """The row of a run that begins. `started_at` is Unix microseconds."""
    tables, rows = plan.bound.tables, plan.rows
    return RunRow(
        run_id=plan.run_id,
        job=plan.job,
        status="running",
        message=None,
        engine=plan.engine.kind,
        endpoint=str(plan.bound.endpoint),
        outputs_table=bare_name(tables.outputs),
        traces_table=bare_name(tables.traces),
        definition_hash=plan.definition_hash,
        concurrency=None if plan.engine.kind == "ai_query" else plan.engine.concurrency,
        tasks=None if plan.engine.kind == "ai_query" else plan.engine.split.tasks,
        source_rows=rows.source,
        duplicate_rows=rows.duplicates,
        answered_rows=rows.answered,
        pending_rows=rows.pending,
        asked=0,
        ok=0,
        failed=0,
        retries=0,
        failures={},
        input_tokens=0,
        output_tokens=0,
        cost=None,
        currency=plan.calls.budget.currency or None,
        started_at=started_at,
        ended_at=None,
        rowcall_version=version,
        statement_ids=[],
        context=dict(context),
    )


def rows_later(context: Mapping[str, str]) -> int:
    """What the context of a run says of rows that a limit has left to a later one."""
    said = context.get(ROWS_LATER, "")
    return int(said) if said.isdecimal() else 0


def last_sign(row: RunRow, total: Tally, spoken: float | None, now: int) -> int:
    """When a run that is dead last showed that it lived, in Unix microseconds: by an answer, or by its word, `spoken` in seconds.
    Clocks may differ, so that it is between the start and `now`."""
    signs = (total.last_answered or 0, round((spoken or 0.0) * 1e6))
    return max(row.started_at, min(now, max(signs)))


def ended(
    row: RunRow, status: Status, message: str | None, total: Tally, ended_at: int, statement_ids: Sequence[str] = ()
) -> RunRow:
    """The row of a run that is over. `statement_ids` are those of its statements that are in a query history."""
    return replace(
        row,
        status=status,
        message=message,
        asked=total.asked,
        ok=total.ok,
        failed=total.failed,
        retries=total.retries,
        failures=dict(total.failures or {}),
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        cost=total.cost,
        cached_tokens=total.cached_tokens,
        reasoning_tokens=total.reasoning_tokens,
        slot_seconds=dict(total.slot_seconds),
        bound_by=None if total.without_prompts else bound_by(total.slot_seconds, _slots(row), row.tasks or 1),
        ended_at=ended_at,
        statement_ids=[*row.statement_ids, *statement_ids],
    )


def _slots(row: RunRow) -> int | None:
    """The call slots of all tasks; None where there are none."""
    if row.concurrency is None or row.tasks is None:
        return None
    return max(1, row.concurrency // row.tasks) * row.tasks


def record(row: RunRow) -> "pa.Table":
    """The row as a table with the columns of `sql/tables/runs.sql`."""
    import pyarrow as pa

    text, number, when = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    kinds = {
        "concurrency": pa.int32(),
        "tasks": pa.int32(),
        "cost": pa.float64(),
        **dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"), number),
        "started_at": when,
        "ended_at": when,
    }
    kinds |= {"failures": pa.map_(text, number), "context": pa.map_(text, text), "statement_ids": pa.list_(text)}
    kinds |= {"slot_seconds": pa.map_(text, pa.float64())}
    maps = {name: list(getattr(row, name).items()) for name in ("failures", "context", "slot_seconds")}
    values = asdict(row) | maps
    schema = pa.schema(
        [(name, kinds.get(name) or (number if isinstance(value, int) else text)) for name, value in values.items()]
    )
    return pa.Table.from_pylist([values], schema=schema)
