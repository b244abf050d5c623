"""The order of a run: recover → prepare → execute → publish → report. Every decision is in the plan.

What a crash costs, by where it happens (the same command again does the rest):

| it dies                        | kept                          | asked again                                     |
|--------------------------------|-------------------------------|-------------------------------------------------|
| while preparing                | everything                    | nothing: no call was made                       |
| a task, while asking           | every flushed answer          | its calls in flight, and at most one flush      |
| the driver, while asking       | every flushed answer          | the calls in flight, and at most one flush      |
| while a segment is written     | every earlier segment         | that flush: a segment exists whole or not at all |
| while publishing               | every segment                 | nothing: publishing twice changes nothing       |
| between outputs and traces     | every segment                 | nothing: both are merged again                  |
| while recovering               | every segment                 | nothing: recovering twice changes nothing       |
| after publishing, before the end | everything                  | nothing                                         |
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from rowcall.core import report
from rowcall.core.errors import RowcallError, RunError, SqlError
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Connect, JournalStore, OpenJournal, Reporter, SqlSession
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.engines import responses
from rowcall.publishing import Publisher, publishing_of
from rowcall.recovery import begin, forget, seal


@dataclass(frozen=True, slots=True)
class Outside:
    """What a run needs of the outside."""

    session: SqlSession
    journals: JournalStore
    connect: Connect
    reporter: Reporter


def run(plan: RunPlan, outside: Outside, version: str, context: Mapping[str, str]) -> RunRow:
    """Do what the plan says. The row that comes back is the one in the runs table; a failure is in its status and message.

    Raises `RunError` where nothing could be prepared, and where the answers are safe but could not be published.
    """
    started_ns = time.time_ns()
    open_journal = outside.journals.recipe(plan.job, plan.run_id)
    publisher = Publisher(outside.session, open_journal(), publishing_of(plan))
    row = report.started(plan, started_ns // 1000, version, context)
    outside.reporter.step("preparing the tables")
    publisher.create_tables()
    begin(publisher.journal, publisher.how, row)
    publisher.write_run(row)
    status, message = _execute(plan, outside, publisher, open_journal, started_ns)
    return _close(publisher, row, status, message, outside.reporter)


def _execute(
    plan: RunPlan, outside: Outside, publisher: Publisher, open_journal: OpenJournal, started_ns: int
) -> tuple[report.Status, str | None]:
    """Ask what is pending; how it went, in a word and in words."""
    if not plan.rows.pending:
        return "done", None
    try:
        outside.session.execute(plan.bound.statements.pending)
        recipe = responses.recipe_of(plan, outside.connect, open_journal, started_ns)
        meanwhile = _meanwhile(plan, publisher, outside.reporter)
        progress = responses.execute(plan, outside.session, publisher.journal, recipe, meanwhile)
    except RowcallError as error:
        return "failed", str(error)
    outside.reporter.progress(progress)
    return ("stopped", progress.stop) if progress.stop else ("done", None)


def _meanwhile(plan: RunPlan, publisher: Publisher, reporter: Reporter) -> responses.Meanwhile:
    """Show progress, and publish now and then."""
    published = time.monotonic()

    def look(progress: Progress) -> None:
        nonlocal published
        reporter.progress(progress)
        if time.monotonic() - published >= plan.engine.publish_seconds:
            _publish_if_possible(publisher, reporter)
            published = time.monotonic()

    return look


def _publish_if_possible(publisher: Publisher, reporter: Reporter) -> None:
    """A table that cannot be written now is no reason to stop asking: the answers are durable, and the end tries again."""
    try:
        publisher.publish()
    except SqlError as error:
        reporter.step(f"not published yet, the answers are safe in the journal: {error.reason}")


def _close(publisher: Publisher, row: RunRow, status: report.Status, message: str | None, reporter: Reporter) -> RunRow:
    """Publish the rest, write the run's row, and forget what is published."""
    reporter.step("publishing the answers")
    try:
        publisher.publish()
        row = report.ended(row, status, message, publisher.tally(), time.time_ns() // 1000)
        seal(publisher.journal, row)
        publisher.write_run(row)
        publisher.drop_pending()
    except SqlError as error:
        raise RunError(
            f"the answers of run {row.run_id} are safe in the journal but could not be published: {error.reason}\n"
            "  The next run publishes them before it asks anything."
        ) from error
    forget(publisher, status)
    return row
