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

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rowcall.core import report
from rowcall.core.errors import RowcallError, RunError
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Connect, Journal, JournalStore, Reporter, SqlSession
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.sql import STAGED
from rowcall.engines import responses

MANIFEST = "manifest"
ALIVE = "alive"
ALIVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Publishing:
    """How to publish a journal, written into it so that any later run can."""

    merges: tuple[str, ...]
    merge_run: str
    summary: str
    pending: str


@dataclass(slots=True)
class Publisher:
    """Merges segments into the tables, each new one once; a lost count only means that it merges again."""

    session: SqlSession
    journal: Journal
    how: Publishing
    published: set[str] = field(default_factory=set)

    def publish(self) -> int:
        """Publish what is new; returns how many segments that were."""
        new = [name for name in self.journal.segments() if name not in self.published]
        if new:
            self.session.view_of_files(STAGED, self.journal.paths(new))
            for merge in self.how.merges:
                self.session.execute(merge)
            self.published.update(new)
        return len(new)

    def tally(self) -> report.Tally:
        """How everything in the journal ended."""
        names = self.journal.segments()
        if not names:
            return report.Tally()
        self.session.view_of_files(STAGED, self.journal.paths(names))
        return report.tally(self.session.query(self.how.summary))

    def write_run(self, row: RunRow) -> None:
        path = self.journal.write_record("run", report.record(row))
        self.session.view_of_files(STAGED, [path])
        self.session.execute(self.how.merge_run)


def recover(job: str, session: SqlSession, journals: JournalStore, reporter: Reporter) -> int:
    """Publish what earlier runs of a job left in their journals; returns the answers found. Raises `RunError` if one still runs."""
    found = 0
    for run_id in journals.runs(job):
        journal = journals.recipe(job, run_id)()
        manifest = journal.notes(MANIFEST).get(MANIFEST)
        if manifest is None:
            continue
        _refuse_if_alive(run_id, journal)
        responses.request_stop(journal, "the run was given up")
        found += _recover_one(run_id, session, journal, json.loads(manifest), reporter)
    return found


def _recover_one(
    run_id: str, session: SqlSession, journal: Journal, manifest: Mapping[str, Any], reporter: Reporter
) -> int:
    how = manifest["publishing"]
    publisher = Publisher(
        session, journal, Publishing(tuple(how["merges"]), how["merge_run"], how["summary"], how["pending"])
    )
    session.drop_table(publisher.how.pending)
    names = journal.segments()
    if not names and "over" in manifest:
        return 0
    reporter.step(f"publishing what run {run_id} left behind")
    publisher.publish()
    total = publisher.tally()
    row = report.ended(
        RunRow(**manifest["row"]), "interrupted", "found dead by the next run", total, time.time_ns() // 1000
    )
    publisher.write_run(row)
    journal.write_note(MANIFEST, json.dumps({**manifest, "over": True}))
    journal.discard(names)
    return total.asked


def run(
    plan: RunPlan,
    session: SqlSession,
    journals: JournalStore,
    connect: Connect,
    reporter: Reporter,
    version: str,
    context: Mapping[str, str],
) -> RunRow:
    """Do what the plan says. The row that comes back is the one in the runs table; a failure is in its status and message."""
    started_ns = time.time_ns()
    open_journal = journals.recipe(plan.job, plan.run_id)
    journal = open_journal()
    statements = plan.bound.statements
    how = Publishing(
        (statements.merge_outputs, statements.merge_traces),
        statements.merge_run,
        statements.summary,
        plan.bound.tables.pending,
    )
    publisher = Publisher(session, journal, how)
    row = report.started(plan, started_ns // 1000, version, context)
    _prepare(plan, session, publisher, row, reporter)
    status, message = "done", None
    try:
        if plan.rows.pending:
            recipe = responses.recipe_of(plan, connect, open_journal, started_ns)
            progress = responses.execute(plan, session, journal, recipe, _meanwhile(plan, publisher, reporter))
            reporter.progress(progress)
            status, message = ("stopped", progress.stop) if progress.stop else ("done", None)
    except RowcallError as error:
        status, message = "failed", str(error)
    return _close(publisher, row, status, message, reporter)


def _prepare(plan: RunPlan, session: SqlSession, publisher: Publisher, row: RunRow, reporter: Reporter) -> None:
    reporter.step("preparing the tables")
    for schema in plan.bound.schemas:
        session.create_schema(schema)
    for statement in plan.bound.statements.create_tables:
        session.execute(statement)
    manifest = {"publishing": asdict(publisher.how), "row": asdict(row)}
    _say_alive(publisher.journal)
    publisher.journal.write_note(MANIFEST, json.dumps(manifest))
    publisher.write_run(row)
    if plan.rows.pending:
        session.execute(plan.bound.statements.pending)


def _meanwhile(plan: RunPlan, publisher: Publisher, reporter: Reporter) -> responses.Meanwhile:
    """Show progress, say that the run lives, and publish now and then."""
    last = {"published": time.monotonic(), "alive": time.monotonic()}

    def look(progress: Progress) -> None:
        reporter.progress(progress)
        now = time.monotonic()
        if now - last["alive"] >= ALIVE_SECONDS / 6:
            _say_alive(publisher.journal)
            last["alive"] = now
        if now - last["published"] >= plan.engine.publish_seconds:
            publisher.publish()
            last["published"] = time.monotonic()

    return look


def _close(publisher: Publisher, row: RunRow, status: report.Status, message: str | None, reporter: Reporter) -> RunRow:
    """Publish the rest, write the run's row, and forget the journal."""
    reporter.step("publishing the answers")
    publisher.publish()
    row = report.ended(row, status, message, publisher.tally(), time.time_ns() // 1000)
    publisher.write_run(row)
    publisher.session.drop_table(publisher.how.pending)
    publisher.journal.remove()
    return row


def _say_alive(journal: Journal) -> None:
    journal.write_note(ALIVE, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}))


def _refuse_if_alive(run_id: str, journal: Journal) -> None:
    """A run is alive if it said so a moment ago, and if it was on this machine its process is there."""
    said = journal.notes(ALIVE).get(ALIVE)
    if said is None:
        return
    alive = json.loads(said)
    if time.time() - alive["at"] > ALIVE_SECONDS:
        return
    if alive["host"] == socket.gethostname() and (alive["pid"] == os.getpid() or not _process_exists(alive["pid"])):
        return
    raise RunError(
        f"run {run_id} of this job is going on (process {alive['pid']} on {alive['host']}); wait for it or stop it"
    )


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
