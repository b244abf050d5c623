"""From the journal to the tables. Publishing twice changes nothing, so whatever was interrupted is simply done again."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from rowcall.adapters import otlp
from rowcall.adapters.packaged import sql_texts
from rowcall.core import report, sql
from rowcall.core.collector import Collector
from rowcall.core.errors import RowcallError, SqlError, reason_of
from rowcall.core.made import look_at_made, look_at_schema
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Journal, Row, SqlSession
from rowcall.core.progress import PROGRESS_NOTES, total
from rowcall.core.report import RunRow
from rowcall.core.slots import Seconds
from rowcall.core.sql_failure import refused
from rowcall.engines.ai_query import replies_of
from rowcall.engines.replies import collect_left, replies_from

CONFLICT_ATTEMPTS = 12
EXPORTED_SEGMENTS = 10
"""Read at once for a collector, so that what one has missed does not fill the memory."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """How to publish a journal. It is written into the journal itself, so that any later run can. `update` is sent where `better`
    finds a row. `replies` says how to read the table of replies, where `ai_query` asks (`engines.replies.Replies` as plain values);
    `collector` is who gets the spans, too (`core.collector.Collector` as plain values)."""

    staged: str
    schemas: tuple[str, ...]
    tables: tuple[str, ...]
    merges: tuple[str, ...]
    merge_run: str
    summary: str
    pending: str
    replies: Mapping[str, Any] | None = None
    collector: Mapping[str, Any] | None = None
    better: str = ""
    update: str = ""


def publishing_of(plan: RunPlan) -> Publishing:
    bound = plan.bound
    return Publishing(
        staged=bound.tables.staged,
        schemas=bound.schemas,
        tables=bound.statements.create_tables,
        merges=(bound.statements.insert_outputs, bound.statements.merge_traces),
        better=bound.statements.better_outputs,
        update=bound.statements.update_outputs,
        merge_run=bound.statements.merge_run,
        summary=bound.statements.summary,
        pending=bound.tables.pending,
        replies=asdict(replies_of(plan, plan.engine)) if plan.engine.kind == "ai_query" else None,
        collector=None if plan.collector is None else asdict(plan.collector),
    )


def repeated(session: SqlSession, work: Callable[[], object]) -> None:
    """Do what may be done again: a writer who was faster only costs another try, which knows what that one made."""
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            work()
            return
        except SqlError as error:
            if not error.conflict or attempt == CONFLICT_ATTEMPTS - 1:
                raise
        time.sleep(random.uniform(0.05, 0.2) * (attempt + 1))  # noqa: S311 (spreads writers, guards nothing)
        session.refresh()


def make_schema(session: SqlSession, schema: str) -> None:
    """Make a schema, unless it is there; `schema` is quoted."""
    _make(session, partial(session.create_schema, schema), look_at_schema(schema))


def make(session: SqlSession, create: str) -> None:
    """Make the table or the volume of one of `sql/tables/`, unless it is there."""
    _make(session, partial(session.execute, create), look_at_made(create))


def _make(session: SqlSession, work: Callable[[], object], look: str) -> None:
    """Databricks refuses `CREATE … IF NOT EXISTS` to whoever may not create, though it is there (seen with schemas, quoted in
    dbt-fusion's issue 500). Then that it is there is enough."""
    try:
        repeated(session, work)
    except SqlError as error:
        if not refused(error.reason):
            raise
        try:
            session.query(look)
        except SqlError:
            raise error from None


@dataclass(slots=True)
class Publisher:
    """Merges segments into the tables, each new one once; if it forgets which, it merges them again."""

    session: SqlSession
    journal: Journal
    how: Publishing
    say: Callable[[str], object]
    published: set[str] = field(default_factory=set[str])
    exported: set[str] = field(default_factory=set[str])
    collector_away: bool = False

    def create_tables(self) -> None:
        """Make the schemas and tables that are not there yet."""
        for schema in self.how.schemas:
            make_schema(self.session, schema)
        for statement in self.how.tables:
            make(self.session, statement)

    def collect_left(self) -> None:
        """Put into the journal what `ai_query` was answered and nobody has read, if it asked."""
        if self.how.replies is not None:
            collect_left(self.session, self.journal, replies_from(self.how.replies))

    def publish(self) -> None:
        """Publish the segments that are new."""
        new = [name for name in self.journal.segments() if name not in self.published]
        most = self.session.most_files or len(new)
        for first in range(0, len(new), most or 1):
            some = new[first : first + most]
            self.session.view_of_files(self.how.staged, self.journal.paths(some))
            for merge in self.how.merges:
                self._execute(merge)
            repeated(self.session, self._update)
            self.published.update(some)

    def export(self) -> None:
        """Send the spans of published segments to the collector of the job, if it names one, each at least once. One that does not
        take them is told of once; the traces table has them all."""
        new = sorted(self.published - self.exported)
        if self.how.collector is None or not new:
            return
        collector = TypeAdapter(Collector).validate_python(dict(self.how.collector))
        try:
            for first in range(0, len(new), EXPORTED_SEGMENTS):
                some = new[first : first + EXPORTED_SEGMENTS]
                otlp.export(collector, self._spans(some))
                self.exported.update(some)
        except RowcallError as error:
            if not self.collector_away:
                where = f"the collector at {collector.endpoint} does not get the spans, the traces table has them all"
                self.say(f"{where}: {reason_of(error)}")
            self.collector_away = True

    def _spans(self, segments: Sequence[str]) -> Iterator[Row]:
        self.session.view_of_files(self.how.staged, self.journal.paths(segments))
        statement = sql.fill(sql_texts(), "statements/staged_spans", staged=self.how.staged)
        for batch in self.session.batches(statement):
            yield from batch.to_pylist()

    def tally(self) -> report.Tally:
        """How everything in the journal ended."""
        names, spent = self.journal.segments(), self._slot_seconds()
        if not names:
            return report.Tally(slot_seconds=spent)
        self.session.view_of_files(self.how.staged, self.journal.paths(names), report.SUMMARY_COLUMNS)
        return report.tally(self.session.query(self.how.summary), spent)

    def _slot_seconds(self) -> Seconds:
        """As the tasks noted it; where that cannot be read, nobody is to wait for it."""
        try:
            return total(self.journal.notes(PROGRESS_NOTES)).seconds
        except (OSError, ValueError):
            return {}

    def write_run(self, row: RunRow) -> None:
        """Write, or replace, the row of the run."""
        self.session.view_of_files(self.how.staged, [self.journal.write_record("run", report.record(row))])
        self._execute(self.how.merge_run)

    def _update(self) -> None:
        """Publish what is better than before. A journal of an earlier version has it in its MERGE."""
        if self.how.better and self.session.query(self.how.better):
            self.session.execute(self.how.update)

    def _execute(self, statement: str) -> None:
        repeated(self.session, partial(self.session.execute, statement))

    def drop_working_tables(self) -> None:
        self.session.drop_table(self.how.pending)
        if self.how.replies is not None:
            self.session.drop_table(replies_from(self.how.replies).table)
