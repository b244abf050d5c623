"""The `ai_query` engine: the SQL side asks, in waves; this side reads what came back and puts it into the journal.

    wave: INSERT INTO replies SELECT … ai_query(…) … ─▶ collect: replies ─▶ journal ─▶ the next wave

A wave is one statement and all or nothing. What it returned is stored as it came, in a table of the run's own, before anything
reads it: once committed it is never asked again, by this run or the next (`replies.collect_left`). Rows whose error may pass are
left for the next wave, up to `limits.attempts`; all others are settled by what they got.

The statements run in a thread of their own, so that Ctrl-C can cancel the one that runs; what that one asked is lost. Between
them the notes in the journal are looked at: a run that is told there to pause or to stop loses nothing.
"""

import random
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rowcall.core.ai_query.correction import corrected_text
from rowcall.core.ai_query.failure import failure
from rowcall.core.ai_query.waves import Wave, next_rows
from rowcall.core.control import CONTROL_NOTE, Control, read_control
from rowcall.core.engine_plan import TRIAL_ROWS, AiQueryPlan, Way
from rowcall.core.errors import SqlError
from rowcall.core.limits import ALIKE_ROWS, REFUSALS, stop_reason
from rowcall.core.listing import count_pending, type_of_replies
from rowcall.core.outcome import stops_run
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Journal, SqlSession
from rowcall.core.progress import PROGRESS_NOTES, STOP_NOTE, progress_note, read_stop
from rowcall.core.records import CallError, ErrorKind, Outcome, Progress, Reply
from rowcall.core.slots import SlotState, SlotTime
from rowcall.engines.replies import Collector, Replies, Statement, settles

POLL_SECONDS = 0.2
INTERRUPTED = "interrupted"
_PASSING = (ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.CONNECTION)
"""What a whole statement may fail of and succeed the next time."""
_FORM_IS_WRONG = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.BAD_REPLY, ErrorKind.SERVER_ERROR, ErrorKind.AGENT_ERROR})
"""What rows fail of where the request is not what the endpoint takes; another way to write it may be."""

Meanwhile = Callable[[Progress], None]


def replies_of(plan: RunPlan, engine: AiQueryPlan) -> Replies:
    """How to read the replies of a run, for the run itself and for the journal's manifest."""
    budget = plan.calls.budget
    return Replies(
        read=engine.read,
        null_prompts=engine.null_prompts,
        null_prompt=plan.bound.null_prompt,
        reader=engine.reader,
        attempts=plan.calls.retry.attempts,
        spans=plan.spans,
        input_price=str(budget.input_price),
        output_price=str(budget.output_price),
        currency=budget.currency,
        cached_price=None if budget.cached_price is None else str(budget.cached_price),
    )


def execute(
    plan: RunPlan, engine: AiQueryPlan, session: SqlSession, journal: Journal, started_ns: int, meanwhile: Meanwhile
) -> Progress:
    """Ask every pending row; returns when all are asked or the run stopped. Ctrl-C cancels the statement that runs."""
    waves = _Waves(plan, engine, session, journal, started_ns)
    with ThreadPoolExecutor(1, thread_name_prefix="rowcall-waves") as background:
        asking = background.submit(waves.run)
        try:
            while not asking.done():
                meanwhile(waves.progress())
                if waves.is_overdue():
                    session.interrupt()
                _wait(asking.done)
            asking.result()
        except KeyboardInterrupt:
            waves.stop(INTERRUPTED)
            session.interrupt()
            _wait_for_end(asking.done, session)
            asking.result()
        except BaseException:
            waves.stop("the run failed")
            if not asking.done():
                session.interrupt()
            raise
    return waves.progress()


def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + POLL_SECONDS
    while not done() and time.monotonic() < until:
        time.sleep(POLL_SECONDS / 10)


def _wait_for_end(done: Callable[[], bool], session: SqlSession) -> None:
    """The statement may start only now: cancel until the thread has seen that it should stop."""
    while not done():
        _wait(done)
        session.interrupt()


@dataclass(slots=True)
class _Asked:
    """What the waves did so far: the last one that ended, the failures of statements in a row, and the waves in a row of which
    most rows were put off. `until` is when the statement under way is given up, on the monotonic clock. `corrections` counts by
    request hash how often a request was changed, `corrected` holds the changed ones that are not in the pending table yet."""

    number: int = 0
    collected: int = 0
    last: Wave | None = None
    failed: int = 0
    put_off: int = 0
    most_rows: int | None = None
    in_flight: int = 0
    until: float | None = None
    overdue: bool = False
    exhausted: bool = False
    corrections: dict[str, int] = field(default_factory=dict[str, int])
    corrected: dict[str, str] = field(default_factory=dict[str, str])


class _Waves:
    """Asks wave after wave. Everything but `progress` and `stop` runs in one thread."""

    def __init__(
        self, plan: RunPlan, engine: AiQueryPlan, session: SqlSession, journal: Journal, started_ns: int
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._session = session
        self._journal = journal
        self._deadline_ns = started_ns + int(plan.calls.deadline * 1e9) if plan.calls.deadline else None
        self._replies = replies_of(plan, engine)
        self._collector = Collector(session, journal, self._replies)
        self._asked = _Asked()
        self._pending = plan.rows.pending
        self._stopping = threading.Event()
        self._reason = ""
        self._paused = False
        self._spent = SlotTime()

    def run(self) -> None:
        """Ask all rows. Raises `SqlError` or `RunError` where the SQL side cannot go on."""
        try:
            self._ask_all()
        except SqlError:
            if not self._stopping.is_set():
                raise
        finally:
            self._note_progress()

    @contextmanager
    def _spending(self, state: SlotState) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._spent.add(state, time.monotonic() - began)

    def _ask_all(self) -> None:
        self._pending = int(str(self._session.query(count_pending(self._replies.read.pending))[0]["n"]))
        self._collector.collect_null_prompts()
        if self._left():
            way = self._way()
            while self._left() and not self._over() and not self._asked.exhausted:
                self._wave(way, self._rows())

    def stop(self, reason: str) -> None:
        if not self._stopping.is_set():
            self._reason = reason
            self._stopping.set()

    def is_overdue(self) -> bool:
        """Whether the statement under way has taken longer than the job allows; the warehouse itself may see to it as well."""
        until = self._asked.until
        if until is None or time.monotonic() < until:
            return False
        self._asked.overdue = True
        return True

    def progress(self) -> Progress:
        total = self._collector.total
        return Progress(
            asked=total.asked,
            ok=total.ok,
            failed=total.asked - total.ok,
            in_flight=self._asked.in_flight,
            retries=total.retries,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            paused=int(self._paused),
            seconds=dict(self._spent.seconds),
            stop=self._reason,
        )

    def _way(self) -> Way:
        """The first way to call that gets an answer; the first of all where none does, to say what it got."""
        ways = self._engine.ways
        if not self._engine.tries_ways:
            return ways[0]
        for way in ways:
            if self._over() or self._tried(way, last=way is ways[-1]):
                return way
            self._session.drop_table(self._replies.table)
            self._collector.forget_type()
            self._asked = _Asked()
        return ways[0]

    def _tried(self, way: Way, *, last: bool) -> bool:
        """Ask a few rows; False where all say that the request is not what the endpoint takes, none of them settled."""
        try:
            while self._asked.last is None and not self._over():
                self._wave(
                    way, min(TRIAL_ROWS, self._left()), settle=lambda reply, _: reply.outcome is not Outcome.ERROR
                )
        except SqlError as error:
            if last or error.conflict:
                raise
            return False
        total = self._collector.total
        if self._asked.exhausted or total.answered or not _FORM_IS_WRONG.issuperset(total.errors):
            self._judge(total.answered + total.errors.total())
            return True
        return False

    def _left(self) -> int:
        return self._pending - self._collector.total.asked

    def _rows(self) -> int:
        """How many rows the next statement asks."""
        seconds = (self._deadline_ns - time.time_ns()) / 1e9 if self._deadline_ns is not None else None
        # A trial says nothing of how long many rows take.
        last = self._asked.last if self._asked.last and self._asked.last.rows > TRIAL_ROWS else None
        rows = next_rows(self._left(), last, self._engine.rows_per_statement, seconds)
        return min(rows, self._asked.most_rows or rows)

    def _wave(self, way: Way, rows: int, settle: Callable[[Reply, int], bool] | None = None) -> None:
        asked = self._asked
        statement = self._send(way, rows)
        if statement is None:
            return
        statements = {asked.number: statement}
        corrects = partial(self._corrects, way)
        with self._spending(SlotState.JOURNAL):
            looked = self._collector.collect(asked.collected + 1, statements, settle or self._settles, corrects)
            asked.collected = asked.number
            self._write_corrected()
        asked.last = Wave(looked, (statement.ended_ns - statement.started_ns) / 1e9)
        asked.exhausted = looked == 0
        if settle is None:
            self._judge(looked)

    def _corrects(self, way: Way, row: Mapping[str, Any], reply: Reply) -> bool:
        """Take down the request to ask instead, where an answer breaks the schema and may be corrected."""
        asked, request_hash = self._asked, row["request_hash"]
        done = asked.corrections.get(request_hash, 0)
        if reply.outcome is not Outcome.INVALID or reply.error is None or done >= self._plan.calls.corrections:
            return False
        text = corrected_text(row["request"], reply.text or "", reply.error.message, way.form.name)
        if text is None:
            return False
        asked.corrections[request_hash], asked.corrected[request_hash] = done + 1, text
        return True

    def _write_corrected(self) -> None:
        """Put the changed requests into the pending table; the next wave asks them. The journal, which may outlive that table, is
        not to keep them."""
        import pyarrow as pa

        corrected, self._asked.corrected = self._asked.corrected, {}
        if not corrected:
            return
        rows = pa.table({"request_hash": list(corrected), "request": list(corrected.values())})
        correct = self._engine.correct
        self._session.view_of_files(correct.corrected, [self._journal.write_record("corrected", rows)])
        self._session.execute(correct.text)
        self._journal.write_record("corrected", rows.slice(0, 0))

    def _send(self, way: Way, rows: int) -> Statement | None:
        """Run the statement of a wave; None where it failed and another may succeed, or the run stops."""
        asked = self._asked
        asked.number += 1
        asked.in_flight, asked.overdue = rows, False
        asked.until = time.monotonic() + self._engine.statement_timeout
        self._note_progress()
        started = time.time_ns()
        try:
            with self._spending(SlotState.ASKING):
                statement_id = self._session.execute(self._statement(way, rows))
        except SqlError as error:
            asked.in_flight, asked.until = 0, None
            self._failed(error, rows)
            return None
        asked.in_flight, asked.until, asked.failed = 0, None, 0
        return Statement(started, time.time_ns(), statement_id)

    def _statement(self, way: Way, rows: int) -> str:
        if self._asked.number == 1:
            return way.ask.first(rows)
        segments = self._journal.segments()
        if segments:
            self._session.view_of_files(way.ask.settled, self._journal.paths(segments), ["request_hash"])
        return way.ask.next(self._asked.number, rows, settled=bool(segments))

    def _failed(self, error: SqlError, rows: int) -> None:
        """A statement failed as a whole. Raises it where nothing says that it would pass."""
        if self._stopping.is_set():
            return
        asked = self._asked
        told = CallError(ErrorKind.TIMEOUT, error.reason) if asked.overdue else failure(error.reason)
        asked.failed += 1
        if asked.number == 1 and not self._replies_exist():
            asked.number = 0
        if stops_run(told.kind):
            self.stop(f"{told.kind.value}: {told.message}")
        elif told.kind not in _PASSING or asked.failed >= self._replies.attempts:
            raise error
        elif told.kind is ErrorKind.TIMEOUT:
            asked.most_rows = max(1, rows // 2)
        self._collect_committed()
        self._pause(asked.failed)

    def _collect_committed(self) -> None:
        """Read what a statement was answered that was given up on this side and not on the other."""
        asked = self._asked
        if asked.number:
            self._collector.collect(asked.collected + 1, {}, self._settles)
            asked.collected = asked.number

    def _replies_exist(self) -> bool:
        """Whether a statement that was given up on this side was not given up on the other. What it leaves half made is none,
        and goes."""
        try:
            self._session.columns(type_of_replies(self._replies.table))
        except SqlError as error:
            if not error.missing:
                raise
            self._session.drop_table(self._replies.table)
            return False
        return True

    def _settles(self, reply: Reply, tries: int) -> bool:
        """Of rows that are all refused a few are kept as examples; the others were not asked in any sense that counts."""
        total = self._collector.total
        if reply.error is not None and stops_run(reply.error.kind) and not total.ok:
            return total.asked < ALIKE_ROWS
        return settles(reply, tries, self._replies.attempts)

    def _judge(self, looked: int) -> None:
        """Stop where going on is of no use; wait where most rows were put off."""
        total = self._collector.total
        reason = self._hopeless(looked) or stop_reason(self.progress(), self._plan.calls.budget)
        if reason:
            self.stop(reason)
        elif total.again * 2 > looked:
            self._asked.put_off += 1
            self._pause(self._asked.put_off)
        else:
            self._asked.put_off = 0

    def _hopeless(self, looked: int) -> str | None:
        total, errors = self._collector.total, self._collector.total.errors
        if not errors or errors.total() < looked:
            return None
        if all(map(stops_run, errors)) and (not total.ok or looked >= REFUSALS):
            return total.said
        if len(errors) == 1 and not total.ok and looked >= ALIKE_ROWS and not total.again:
            return f"every row so far failed alike, {total.said}"
        return None

    def _pause(self, failed: int) -> None:
        """Back off, but no longer than the run goes on."""
        retry = self._plan.calls.retry
        seconds = random.uniform(0.5, 1.0) * min(retry.cap, retry.base * 2.0 ** min(failed, 16))  # noqa: S311 (spreads retries)
        if self._deadline_ns is not None:
            seconds = min(seconds, max(0.0, (self._deadline_ns - time.time_ns()) / 1e9))
        with self._spending(SlotState.BACKING_OFF):
            self._stopping.wait(seconds)

    def _over(self) -> bool:
        """Whether no statement is to start any more. Returns once the run is not paused."""
        self._look_at_notes()
        while self._paused and not self._ended():
            with self._spending(SlotState.PAUSED):
                self._stopping.wait(POLL_SECONDS)
            self._look_at_notes()
        return self._ended()

    def _look_at_notes(self) -> None:
        """Obey what they say. What cannot be read now is read the next time."""
        with suppress(OSError, ValueError):
            request = read_stop(self._journal.notes(STOP_NOTE).get(STOP_NOTE))
            if request is not None:
                self.stop(request.reason)
            before = Control(paused=self._paused)
            paused = read_control(self._journal.notes(CONTROL_NOTE).get(CONTROL_NOTE), before).paused
            if paused != self._paused:
                self._paused = paused
                self._note_progress()

    def _note_progress(self) -> None:
        with suppress(OSError):
            self._journal.write_note(f"{PROGRESS_NOTES}waves", progress_note(self.progress()))

    def _ended(self) -> bool:
        if self._deadline_ns is not None and time.time_ns() >= self._deadline_ns:
            self.stop("limits.deadline has passed")
        return self._stopping.is_set()
