"""A SQL side that a test stages for the `ai_query` engine, and plans to run against it."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from rowcall.adapters.packaged import sql_texts
from rowcall.core.ai_query.form import Wanted, forms
from rowcall.core.ai_query.probing import Probed, Probes
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.engine_plan import AiQueryPlan
from rowcall.core.errors import SqlError
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.ports import Row
from rowcall.core.records import Column, Progress, RowCounts
from rowcall.core.retry import RetryPolicy
from rowcall.engines.ai_query import execute
from rowcall.testing import FakeSqlSession, MemoryJournal

STRUCT = "struct<result:string,errormessage:string>"
MOST_STATEMENTS = 30
"""More than any test here needs."""
COLUMNS = (Column("id", "bigint"), Column("text", "string"))
KEYS = pa.list_(pa.struct([("id", pa.int64())]))
Answer = Callable[[str, int, str], tuple[str | None, str | None]]
"""From a request, how often it was asked and the form to an answer and an error."""


def echo(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
    return f"echo: {request}", None


@dataclass(frozen=True)
class Failure:
    """A statement that fails; `committed` although this side is told that it did."""

    reason: str
    committed: bool = False


@dataclass(slots=True)
class StagedSession(FakeSqlSession):
    """A SQL side with one table of requests and one of replies, both in memory. It answers the engine's own statements, by what
    stands in them; `failures` are consumed by the statements that ask, one each."""

    requests: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    answer: Answer = echo
    failures: list[Failure | None] = field(default_factory=list["Failure | None"])
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    replies: list[dict[str, Any]] | None = None
    settled: set[str] = field(default_factory=set[str])
    asked: list[tuple[str, int, list[str]]] = field(default_factory=list[tuple[str, int, list[str]]])
    counted: int | None = None
    unreadable: str = ""

    @property
    def sent(self) -> int:
        """The statements that asked, or tried to."""
        return sum(statement.startswith("-- Ask") for statement in self.statements)

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        return [{"n": len(self.requests) if self.counted is None else self.counted}]

    def columns(self, query: str) -> tuple[Column, ...]:
        if self.unreadable:
            raise SqlError(self.unreadable, query)
        if self.replies is None:
            raise SqlError("[TABLE_OR_VIEW_NOT_FOUND] no such table", query, missing=True)
        return (Column("reply", STRUCT),)

    def drop_table(self, name: str) -> None:
        assert "__replies_" in name
        self.replies = None

    def view_of_files(self, name: str, paths: Sequence[str], columns: Sequence[str] = ()) -> None:
        assert sorted(paths) == self.journal.paths(self.journal.segments())
        self.settled = self.journal.answered_hashes()

    def execute(self, statement: str) -> str | None:
        self.statements.append(statement)
        assert self.sent <= MOST_STATEMENTS, "the run does not end"
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or failure.committed:
            self._ask(statement)
        if failure is not None:
            raise SqlError(failure.reason, statement)
        return f"statement-{len(self.statements)}"

    def _ask(self, statement: str) -> None:
        wave, limit, form = (
            re.findall(pattern, statement)[0]
            for pattern in (r"(\d+) AS wave", r"LIMIT (\d+)", r"request is given as: (\w+)")
        )
        assert ("CREATE TABLE" in statement) == (self.replies is None)
        settled = self.settled if "LEFT ANTI JOIN" in statement else set[str]()
        left = [key for key, request in self.requests.items() if request is not None and key not in settled]
        replies, chosen = self.replies or [], left[: int(limit)]
        for key in chosen:
            tries = 1 + sum(reply["request_hash"] == key for reply in replies)
            answer, error = self.answer(self.requests[key] or "", tries, form)
            replies.append({"request_hash": key, "wave": int(wave), "answer": answer, "error": error})
        self.replies = replies
        self.asked.append((form, int(wave), chosen))

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        if "request IS NULL" in statement:
            nulls = [
                {"request_hash": key, "request": None} for key, request in self.requests.items() if request is None
            ]
            yield self._batch(nulls, pa.schema([("request_hash", pa.string()), ("request", pa.string())]))
            return
        self.columns(statement)
        since = int(re.findall(r"wave >= (\d+)", statement)[0])
        yield self._batch([row for row in self._last() if row["wave"] >= since], READ)

    def _last(self) -> list[dict[str, Any]]:
        """What the statement that reads replies returns: the last reply to each request."""
        last: dict[str, dict[str, Any]] = {}
        for reply in self.replies or []:
            tries = last[reply["request_hash"]]["tries"] + 1 if reply["request_hash"] in last else 1
            row = {"request": self.requests[reply["request_hash"]], "asked_at": datetime.now(UTC), "tries": tries}
            last[reply["request_hash"]] = {**reply, **row}
        return list(last.values())

    def _batch(self, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
        made = pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=schema)
        keys = pa.array([[{"id": list(self.requests).index(row["request_hash"])}] for row in rows], KEYS)
        return made.append_column("keys", keys)


READ = pa.schema(
    [
        ("request_hash", pa.string()),
        ("request", pa.string()),
        ("wave", pa.int32()),
        ("asked_at", pa.timestamp("us", tz="UTC")),
        ("tries", pa.int32()),
        ("answer", pa.string()),
        ("error", pa.string()),
    ]
)


def staged(requests: int | Sequence[str | None], answer: Answer = echo, *failures: Failure | None) -> StagedSession:
    texts = [f"row {n}" for n in range(requests)] if isinstance(requests, int) else requests
    return StagedSession(
        requests={f"hash-{n}": text for n, text in enumerate(texts)}, answer=answer, failures=list(failures)
    )


def planned(rows: int, *returns: str | None, attempts: int = 3, task: str = "llm/v1/chat", **job: Any) -> RunPlan:
    """A plan whose pauses are of no length; `returns` are the types that the first forms were found to have."""
    definition = JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": {"serving": "my-endpoint"},
            "engine": "ai_query",
            "outputs": {"table": "main.sales.answers"},
            **job,
        }
    )
    answer = parse_answer_schema(definition.answer.fields) if definition.answer != "text" else None
    made = forms(Wanted(definition.request, COLUMNS, answer), task)
    facts = Facts(
        columns=COLUMNS,
        outputs=None,
        endpoint=EndpointFacts("https://x.test", task),
        session="SQL warehouse",
        executors=False,
        parallel=True,
        knows_ai_query=True,
        probes=Probes(tuple(Probed(form, type_) for form, type_ in zip(made, returns or (STRUCT,), strict=False))),
    )
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
    bound = bind(definition, facts, sql_texts(), options)
    plan = make_plan(definition, bound, facts, RowCounts(source=rows, pending=rows), options)
    return replace(plan, calls=replace(plan.calls, retry=RetryPolicy(attempts=attempts, base=0.0)))


def engine_of(plan: RunPlan) -> AiQueryPlan:
    assert plan.engine.kind == "ai_query"
    return plan.engine


def nothing(_: Progress) -> None:
    pass


def run(plan: RunPlan, session: StagedSession, meanwhile: Callable[[Progress], None] = nothing) -> Progress:
    return execute(plan, engine_of(plan), session, session.journal, time.time_ns(), meanwhile)


def statements(rows: int) -> dict[str, Any]:
    return {"engine": {"kind": "ai_query", "rows_per_statement": rows}}


def answers(session: StagedSession) -> dict[str, dict[str, Any]]:
    """What the journal holds, by request; fails where a request is there twice."""
    rows = session.journal.rows()
    made = {row["request_hash"]: row for row in rows}
    assert len(made) == len(rows)
    return made


def sizes(session: StagedSession) -> list[int]:
    return [len(chosen) for _, _, chosen in session.asked]


@dataclass(slots=True)
class BlockedSession(StagedSession):
    """One whose statement number `blocks_at` runs until it is cancelled."""

    blocks_at: int = 1
    running: threading.Event = field(default_factory=threading.Event)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def execute(self, statement: str) -> str | None:
        if self.sent + 1 < self.blocks_at:
            return StagedSession.execute(self, statement)
        self.statements.append(statement)
        self.running.set()
        assert self.interrupted.wait(30)
        raise SqlError("[OPERATION_CANCELED] Operation was canceled.", statement)

    def interrupt(self) -> None:
        self.interrupted.set()


def refusing(*refused: str, reason: str = "HTTP 400: no such field") -> Answer:
    """Answers in other forms than these."""
    return lambda request, tries, form: (None, reason) if form in refused else (f"{form}: {request}", None)
