"""The order of a run: recover → prepare → execute → publish → report. Every decision is in the plan.

What a crash costs, by where it happens. The same command again does the rest; what is durable is neither lost nor asked again.
Each row is a case of `tests/faults/test_kill_matrix.py`, or of the test that it names:

| it dies                                     | asked again                                | test                       |
|---------------------------------------------|--------------------------------------------|----------------------------|
| before its row is in the runs table         | nothing: no call was made                  |                            |
| before the table of pending rows is made    | nothing: no call was made                  |                            |
| after the table of pending rows is made     | nothing: no call was made                  |                            |
| the driver, while it asks                   | the calls in flight, and at most one flush | test_interruptions         |
| a task on Spark, while it asks              | its calls in flight, and at most one flush | spark/test_executor_kills  |
| a shard, while it asks                      | its calls in flight, and at most one flush | shards                     |
| the coordinator, while its shards ask       | nothing: they stop and keep what they have | shards                     |
| the coordinator and its shards at once      | the calls in flight, and one flush of each | shards                     |
| the embedded lakehouse, and the task in it  | the calls in flight, and at most one flush |                            |
| before a segment is written                 | that flush, and the calls in flight        |                            |
| in the middle of writing a segment          | the same: it is whole or not at all        |                            |
| during a statement of ai_query              | that statement: it is all or nothing       | test_waves                 |
| after it, before a segment                  | nothing: its replies are in a table        | test_waves                 |
| between the MERGE of outputs and of traces  | nothing: both are merged again             |                            |
| after the MERGE of traces                   | nothing: publishing twice changes nothing  |                            |
| published, before its row says so           | nothing: the next run writes the row       |                            |
| published, before its journal is removed    | nothing                                    |                            |
| in the middle of removing its journal       | nothing: the notes go last                 |                            |
| in recovery                                 | nothing: recovering twice changes nothing  |                            |
| the endpoint; it comes back                 | the calls in flight, by the same run       | test_server_kills          |
| the workspace; it comes back                | the calls in flight, by the same run       | test_server_kills          |
| the SQL warehouse, in the MERGE of outputs  | nothing: the next run publishes            | test_server_kills          |
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import assert_never

from rowcall.core import report
from rowcall.core.errors import RowcallError, RunError, reason_of
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Connect, JournalStore, OpenJournal, Reporter, SqlSession
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.engines import ai_query, responses
from rowcall.publishing import Publisher, publishing_of
from rowcall.recovery import begin, forget, seal
from rowcall.retention import tell_applied


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
    publisher = Publisher(outside.session, open_journal(), publishing_of(plan), outside.reporter.step)
    row = report.started(plan, started_ns // 1000, version, {**context, "journal": publisher.journal.place})
    outside.reporter.step("preparing the tables")
    publisher.create_tables()
    begin(publisher.journal, publisher.how, row)
    publisher.write_run(row)
    status, message = _execute(plan, outside, publisher, open_journal, started_ns)
    return _close(plan, publisher, row, status, message, outside)


def _execute(
    plan: RunPlan, outside: Outside, publisher: Publisher, open_journal: OpenJournal, started_ns: int
) -> tuple[report.Status, str | None]:
    """Ask what is pending; how it went, in a word and in words."""
    if not plan.rows.pending:
        return "done", None
    try:
        outside.session.execute(plan.bound.statements.pending)
        progress = _ask(plan, outside, publisher, open_journal, started_ns)
    except RowcallError as error:
        return "failed", str(error)
    outside.reporter.progress(progress)
    return ("stopped", progress.stop) if progress.stop else ("done", None)


def _ask(plan: RunPlan, outside: Outside, publisher: Publisher, open_journal: OpenJournal, started_ns: int) -> Progress:
    """Let the engine of the plan fill the journal."""
    said: SimpleQueue[str] = SimpleQueue()
    engine, session, meanwhile = plan.engine, outside.session, _meanwhile(plan, publisher, outside.reporter, said)
    match engine.kind:
        case "responses":
            recipe = responses.recipe_of(plan, engine, outside.connect, open_journal, started_ns)
            return responses.execute(plan, engine, session, publisher.journal, recipe, meanwhile, said.put)
        case "ai_query":
            return ai_query.execute(plan, engine, session, publisher.journal, started_ns, meanwhile)
        case _:
            assert_never(engine.kind)


def _meanwhile(
    plan: RunPlan, publisher: Publisher, reporter: Reporter, said: SimpleQueue[str]
) -> Callable[[Progress], None]:
    """Show progress and what is said in other threads, and publish now and then."""
    published = time.monotonic()

    def look(progress: Progress) -> None:
        nonlocal published
        while not said.empty():
            reporter.step(said.get())
        reporter.progress(progress)
        if time.monotonic() - published >= plan.engine.publish_seconds:
            _publish_if_possible(publisher, reporter)
            published = time.monotonic()

    return look


def _publish_if_possible(publisher: Publisher, reporter: Reporter) -> None:
    """A table that cannot be written now is no reason to stop asking: the answers are durable, and the end tries again."""
    try:
        publisher.publish()
        publisher.export()
    except RowcallError as error:
        reporter.step(f"not published yet, the answers are safe in the journal: {reason_of(error)}")


def _close(
    plan: RunPlan, publisher: Publisher, row: RunRow, status: report.Status, message: str | None, outside: Outside
) -> RunRow:
    """Publish the rest, write the run's row, and forget what is published, and what the job keeps no longer."""
    outside.reporter.step("publishing the answers")
    try:
        if status != "done":
            publisher.collect_left()
        publisher.publish()
        row = report.ended(
            row, status, message, publisher.tally(), time.time_ns() // 1000, outside.session.statement_ids
        )
        seal(publisher.journal, row)
        publisher.write_run(row)
        publisher.drop_working_tables()
    except RowcallError as error:
        stopped = f"{message}\n  " if message else ""
        raise RunError(
            f"{stopped}the answers of run {row.run_id} are safe but could not be published: {reason_of(error)}\n"
            "  The next run publishes them before it asks anything."
        ) from error
    publisher.export()
    forget(publisher, status)
    if plan.bound.retention is not None and status == "done":
        tell_applied(
            plan.bound.retention, plan.job, plan.bound.tables, outside.session, outside.journals, outside.reporter
        )
    return row
