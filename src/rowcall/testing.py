"""Fakes for every port, shipped: they record what they were asked and answer as told. For tests of jobs and of rowcall itself.

from rowcall.testing import FakeEndpoint

endpoint = FakeEndpoint(lambda body: "seen: " + body["input"][-1]["content"])
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rowcall.core.doctor.told import Told
from rowcall.core.errors import RunError, SqlError
from rowcall.core.login import LoginKind
from rowcall.core.plan import RunPlan
from rowcall.core.ports import EndpointClient, Journal, OpenJournal, Row, TaskWork
from rowcall.core.records import Column, HttpFailure, HttpReply, HttpRequest, Progress, Size

if TYPE_CHECKING:
    import pyarrow as pa

Answer = Callable[[dict[str, Any]], "str | HttpReply | HttpFailure"]


def responses_reply(text: str, *, status: int = 200, **more: object) -> HttpReply:
    """A reply of the Responses API with one message."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    body = json.dumps({"object": "response", "output": [message], **more})
    return HttpReply(status, {"content-type": "application/json"}, body.encode(), time.time_ns())


def error_reply(status: int, code: str = "", message: str = "", headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply that fails, in the shape of the Databricks platform."""
    body = json.dumps({"error_code": code, "message": message or f"status {status}"})
    return HttpReply(status, {"content-type": "application/json", **(headers or {})}, body.encode(), time.time_ns())


@dataclass(slots=True)
class FakeEndpoint:
    """An `EndpointClient` that answers in this process. `requests` and `most_in_flight` tell what it saw.

    `answer` gets the body and returns a text, a whole reply, or a failure. `latency` is in seconds.
    """

    answer: Answer = lambda body: f"echo: {body['input'][-1]['content']}"
    latency: float = 0.0
    requests: list[HttpRequest] = field(default_factory=list[HttpRequest])
    in_flight: int = 0
    most_in_flight: int = 0

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure:
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            said = self.answer(json.loads(request.body or b"null"))
        finally:
            self.in_flight -= 1
        return responses_reply(said) if isinstance(said, str) else said

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[EndpointClient]:
        """A `Connect` recipe, for work that stays in this process."""
        yield self


@dataclass(slots=True)
class MemoryJournal:
    """A `Journal` in memory. `broken` makes every write fail, as a full disk does."""

    written: dict[str, "pa.Table"] = field(default_factory=dict[str, Any])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    times: dict[str, float] = field(default_factory=dict[str, float])
    records: dict[str, "pa.Table"] = field(default_factory=dict[str, Any])
    long_texts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: bool = False
    place: str = "memory"
    overflow: str = "memory overflow"

    def write_segment(self, name: str, table: "pa.Table") -> None:
        self._check()
        self.written[f"{len(self.written):06d}-{name}"] = table

    def segments(self) -> list[str]:
        return sorted(self.written)

    def paths(self, names: Sequence[str]) -> list[str]:
        return [f"memory:{name}" for name in names]

    def write_record(self, name: str, table: "pa.Table") -> str:
        self._check()
        self.records[name] = table
        return f"memory:{name}"

    def write_overflow(self, name: str, table: "pa.Table") -> None:
        self._check()
        self.long_texts += table.to_pylist()

    def overflowed(self, trace_id: str) -> list[Row]:
        return [row for row in self.long_texts if row["trace_id"] == trace_id]

    def overflow_size(self) -> Size:
        return Size(len(self.long_texts), sum(len(str(row["text"])) for row in self.long_texts))

    def remove_overflow(self) -> None:
        self.long_texts.clear()

    def answered_hashes(self) -> set[str]:
        return {request_hash for row in self.rows() for request_hash in [str(row["request_hash"])]}

    def write_note(self, name: str, text: str) -> None:
        self._check()
        self.texts[name], self.times[name] = text, time.time()

    def notes(self, prefix: str) -> dict[str, str]:
        return {name: text for name, text in sorted(self.texts.items()) if name.startswith(prefix)}

    def noted_at(self, name: str) -> float | None:
        return self.times.get(name)

    def size(self) -> Size:
        tables = [*self.written.values(), *self.records.values()]
        return Size(
            len(tables) + len(self.texts), sum(table.nbytes for table in tables) + sum(map(len, self.texts.values()))
        )

    def discard(self, names: Sequence[str]) -> None:
        for name in names:
            self.written.pop(name, None)

    def remove(self) -> None:
        self.written.clear()
        self.texts.clear()
        self.times.clear()
        self.records.clear()

    def open(self) -> Journal:
        """An `OpenJournal` recipe, for work that stays in this process."""
        return self

    def rows(self) -> list[dict[str, Any]]:
        """Every answer in it."""
        return [row for name in self.segments() for row in self.written[name].to_pylist()]

    def _check(self) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")


@dataclass(slots=True)
class MemoryJournals:
    """A `JournalStore` in memory."""

    by_run: dict[tuple[str, str], MemoryJournal] = field(default_factory=dict[tuple[str, str], MemoryJournal])

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        return self.by_run.setdefault((job, run_id), MemoryJournal()).open

    def runs(self, job: str) -> list[str]:
        return sorted(run_id for name, run_id in self.by_run if name == job)

    def overflows(self, job: str) -> list[str]:
        return sorted(run_id for (name, run_id), journal in self.by_run.items() if name == job and journal.long_texts)

    def probe(self) -> None: ...


@dataclass(slots=True)
class FakeSqlSession:
    """A `SqlSession` that records `statements` and returns `rows` by a text that the statement contains."""

    rows: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    schemas: dict[str, tuple[Column, ...]] = field(default_factory=dict[str, tuple[Column, ...]])
    fetched: list["pa.RecordBatch"] = field(default_factory=list[Any])
    statements: list[str] = field(default_factory=list[str])
    kind: str = "fake session"
    executors: bool = False
    ai_query: bool = False
    most_files: int | None = None
    statement_ids: Sequence[str] = ()

    def execute(self, statement: str) -> str | None:
        self.statements.append(statement)
        return None

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        self.statements.append(statement)
        return next((rows for text, rows in self.rows.items() if text in statement), [])

    def batches(self, statement: str) -> Iterator["pa.RecordBatch"]:
        self.statements.append(statement)
        yield from self.fetched

    def frame(self, statement: str) -> Any:
        return self.query(statement)

    def columns(self, query: str) -> tuple[Column, ...]:
        for text, columns in self.schemas.items():
            if text in query:
                return columns
        raise SqlError("[TABLE_OR_VIEW_NOT_FOUND] no such table", query, missing=True)

    def refresh(self) -> None: ...

    def create_schema(self, name: str) -> None:
        self.statements.append(f"CREATE SCHEMA IF NOT EXISTS {name}")

    def drop_table(self, name: str) -> None:
        self.statements.append(f"DROP TABLE IF EXISTS {name}")

    def view_of_files(self, name: str, paths: Sequence[str], columns: Sequence[str] = ()) -> None:
        self.statements.append(f"view {name} of {', '.join(paths)}")

    def fan_out(self, query: str, tasks: int, work: TaskWork) -> list[Row]:
        raise RunError("a fake session has no executors")

    def interrupt(self) -> None:
        self.statements.append("interrupt")


@dataclass(slots=True)
class FakeWorkspace:
    """A `Workspace` with the apps, the serving endpoints (by name), the pages of apps (by URL) and the answers of its REST API (by
    path) it is given."""

    apps: dict[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    endpoints: dict[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    pages: dict[str, tuple[int, object]] = field(default_factory=dict[str, tuple[int, object]])
    told: dict[str, Told] = field(default_factory=dict[str, Told])
    host: str = "https://workspace.test"
    login: LoginKind = field(default_factory=lambda: LoginKind("oauth-m2m", oauth=True, ambient=False))

    def app(self, name: str) -> Mapping[str, object] | None:
        return self.apps.get(name)

    def serving(self, name: str) -> Mapping[str, object] | None:
        return self.endpoints.get(name)

    def look(self, url: str) -> tuple[int, object] | None:
        return self.pages.get(url)

    def tell(self, path: str, query: Mapping[str, str] | None = None) -> Told:
        return self.told.get(path) or Told(404, {})

    def login_kind(self) -> LoginKind:
        return self.login


@dataclass(slots=True)
class RecordingReporter:
    """A `Reporter` that keeps what it was shown."""

    plans: list[RunPlan] = field(default_factory=list[RunPlan])
    steps: list[str] = field(default_factory=list[str])
    seen: list[Progress] = field(default_factory=list[Progress])

    def plan(self, plan: RunPlan) -> None:
        self.plans.append(plan)

    def step(self, text: str) -> None:
        self.steps.append(text)

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)
