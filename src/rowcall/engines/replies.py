"""From the table of replies to the journal: each reply is read like one that came over HTTP, and becomes part of a segment.

`Replies` says how, in plain values: it stands in the journal's manifest, so that a later run can collect what a dead one paid for.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from rowcall.core.ai_query.reading import Reading, Speech, reading_of
from rowcall.core.ai_query.reply import Reader, read
from rowcall.core.ai_query.statements import ReadReplies
from rowcall.core.errors import RunError, SqlError
from rowcall.core.limits import Budget
from rowcall.core.listing import type_of_replies
from rowcall.core.outcome import retryable
from rowcall.core.ports import Journal, SqlSession
from rowcall.core.records import Attempt, Call, CallError, ErrorKind, Outcome, Reply
from rowcall.core.segments import Finished
from rowcall.core.spans import SpanContext, call_spans, told
from rowcall.engines.keeping import keep

SEGMENT_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Replies:
    """How to read a run's table of replies. Prices are per million tokens, as text."""

    read: ReadReplies
    null_prompts: str
    null_prompt: str
    reader: Reader
    attempts: int
    spans: SpanContext
    input_price: str
    output_price: str
    currency: str
    cached_price: str | None = None

    @property
    def table(self) -> str:
        return self.read.replies


def replies_from(said: Mapping[str, Any]) -> Replies:
    """Read what `dataclasses.asdict` made of one. Raises `ValueError` for anything else."""
    return TypeAdapter(Replies).validate_python(dict(said))


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that asked a wave: its times (Unix, ns) and its id in the query history, if it has one."""

    started_ns: int
    ended_ns: int
    id: str | None = None


@dataclass(slots=True)
class Collected:
    """How requests ended. `settled` are those that are in the journal; `again`, `answered`, `errors` and `said` are of the last
    look: rows left for a later wave, rows with an answer of any outcome, the errors of the others by kind, one of them in words."""

    settled: set[str] = field(default_factory=set[str])
    ok: int = 0
    again: int = 0
    answered: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    errors: Counter[ErrorKind] = field(default_factory=Counter[ErrorKind])
    said: str = ""

    @property
    def asked(self) -> int:
        return len(self.settled)


Accept = Callable[[Reply, int], bool]
"""Whether a reply settles its request; the number says how often it was asked."""
Corrects = Callable[[Mapping[str, Any], Reply], bool]
"""Whether a row of the table of replies is to be asked again with what was wrong with its answer."""


def settles(reply: Reply, tries: int, attempts: int) -> bool:
    """What may be answered when asked again is left for the next wave, unless it had its attempts."""
    if reply.outcome is not Outcome.ERROR or reply.error is None:
        return True
    return not retryable(reply.error.kind) or tries >= attempts


class Collector:
    """Reads replies of one run into its journal."""

    def __init__(self, session: SqlSession, journal: Journal, replies: Replies) -> None:
        self._session = session
        self._journal = journal
        self._replies = replies
        self._spans = replace(replies.spans, overflow=journal.overflow)
        self._reading: Reading | None = None
        self._speech: Speech | None = None
        self.total = Collected(settled=journal.answered_hashes())

    def forget_type(self) -> None:
        """The table of replies will be made anew, perhaps of another type."""
        self._reading = None

    def collect_null_prompts(self) -> None:
        """Settle the rows that are not asked."""
        error = CallError(ErrorKind.NULL_PROMPT, self._replies.null_prompt)
        rows = _rows(self._session, self._replies.null_prompts)
        self._write(self._finished_null(row, error) for row in rows if row["request_hash"] not in self.total.settled)

    def collect(
        self, since: int, statements: Mapping[int, Statement], accept: Accept, corrects: Corrects | None = None
    ) -> int:
        """Settle what waves from `since` on were answered; returns how many replies were looked at. What `corrects` takes is
        settled by a later wave.

        Raises `SqlError` with `missing` where nothing was asked yet.
        """
        looked = 0
        total = self.total
        total.again, total.answered, total.errors, total.said = 0, 0, Counter(), ""

        def finished() -> Iterator[Finished]:
            nonlocal looked
            for row in _rows(self._session, self._statement(since)):
                if row["request_hash"] in total.settled:
                    continue
                looked += 1
                reply = read(row["answer"], row["error"], self._replies.reader, self._speech)
                self._note(reply)
                if corrects is not None and corrects(row, reply):
                    continue
                if accept(reply, int(row["tries"])):
                    yield self._finished(row, reply, statements.get(int(row["wave"])))
                else:
                    total.again += 1

        self._write(finished())
        return looked

    def _statement(self, since: int) -> str:
        """The statement that reads replies; the type of their column is looked at once."""
        if self._reading is None:
            columns = self._session.columns(type_of_replies(self._replies.table))
            self._reading = reading_of(columns[0].type)
            self._speech = self._reading.speech
        return self._replies.read.sql(self._reading, since)

    def _note(self, reply: Reply) -> None:
        if reply.outcome is Outcome.ERROR and reply.error is not None:
            self.total.errors[reply.error.kind] += 1
            self.total.said = told(reply.error, self._replies.spans.content)
        else:
            self.total.answered += 1

    def _finished_null(self, row: Mapping[str, Any], error: CallError) -> Finished:
        now = time.time_ns()
        self.total.settled.add(row["request_hash"])
        reply = Reply(Outcome.ERROR, error=error)
        return Finished(Call(row["request_hash"], reply, (), secrets.token_hex(16), now, now), [], None, row["keys"])

    def _finished(self, row: Mapping[str, Any], reply: Reply, statement: Statement | None) -> Finished:
        asked_ns = _nanos(row["asked_at"])
        took = statement or Statement(asked_ns, asked_ns)
        tries = int(row["tries"])
        attempt = Attempt(
            number=tries,
            started_ns=took.started_ns,
            ended_ns=took.ended_ns,
            error=reply.error,
            wave=int(row["wave"]),
            statement_id=took.id,
        )
        trace_id = secrets.token_hex(16)
        call = Call(row["request_hash"], reply, (attempt,), trace_id, took.started_ns, took.ended_ns)
        self._count(reply, call.request_hash, tries)
        return Finished(call, call_spans(call, row["request"] or "", self._spans), self._cost(reply), row["keys"])

    def _count(self, reply: Reply, request_hash: str, tries: int) -> None:
        total, usage = self.total, reply.usage
        total.settled.add(request_hash)
        total.ok += reply.outcome is Outcome.OK
        total.retries += tries - 1
        total.input_tokens += usage.input_tokens or 0
        total.output_tokens += usage.output_tokens or 0

    def _cost(self, reply: Reply) -> float | None:
        replies, usage = self._replies, reply.usage
        if not replies.currency or not (usage.input_tokens or usage.output_tokens):
            return None
        budget = Budget(
            input_price=Decimal(replies.input_price),
            output_price=Decimal(replies.output_price),
            cached_price=None if replies.cached_price is None else Decimal(replies.cached_price),
        )
        return float(budget.cost(usage.input_tokens or 0, usage.output_tokens or 0, usage.cached_tokens or 0))

    def _write(self, finished: Iterator[Finished]) -> None:
        """Make what is finished durable, a segment at a time."""
        held: list[Finished] = []
        for one in finished:
            held.append(one)
            if len(held) >= SEGMENT_ROWS:
                self._flush(held)
                held = []
        if held:
            self._flush(held)

    def _flush(self, held: Sequence[Finished]) -> None:
        try:
            keep(self._journal, secrets.token_hex(6), held)
        except OSError as error:
            raise RunError(
                f"the journal cannot be used: {error}\n  What was answered is in {self._replies.table}; the next run reads it."
            ) from error


def collect_left(session: SqlSession, journal: Journal, replies: Replies) -> None:
    """Put into the journal what a dead run was answered and did not collect. What may be answered when asked again is left for
    the next run. Does nothing where it asked nothing, or where its tables are gone."""
    collector = Collector(session, journal, replies)
    try:
        collector.collect(0, {}, lambda reply, tries: settles(reply, tries, replies.attempts))
    except SqlError as error:
        if not error.missing:
            raise


def _rows(session: SqlSession, statement: str) -> Iterator[Mapping[str, Any]]:
    """Rows of a query; `keys` stays a slice of its Arrow column, as segments want it."""
    for batch in session.batches(statement):
        keys = batch.column("keys")
        plain = batch.drop_columns(["keys"]).to_pylist()
        for index, row in enumerate(plain):
            yield {**row, "keys": keys.slice(index, 1)}


def _nanos(moment: datetime) -> int:
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1e6) * 1000
