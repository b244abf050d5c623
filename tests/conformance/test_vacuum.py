"""What a vacuum removes of real runs, and what it leaves: Spark and a SQL warehouse, folders and volumes."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rowcall
from rowcall import api, lock, runner
from rowcall.adapters.journal import FolderJournals
from rowcall.core import report
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError, SqlError
from rowcall.core.plan import RunOptions
from rowcall.core.ports import Journal
from rowcall.core.progress import StopRequest
from rowcall.core.span_row import MAX_CONTENT
from rowcall.core.vacuum import Item
from rowcall.engines.responses import request_stop
from rowcall.housekeeping import Wanted, vacuum_here
from rowcall.lock import ALIVE_NOTE
from rowcall.publishing import publishing_of
from rowcall.recovery import MANIFEST, begin
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.testing import RecordingReporter
from rowcall.wiring import Archive, Options
from support import Bench, make_job, texts, wait_until

OLD = "20260101-000000-abcd"
LONG = "bread " * (MAX_CONTENT // 5)
NOW = Wanted(older_than=0.0, optimize=False)


@pytest.fixture(params=["lakehouse", "warehouse"])
def place(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue("bench" if request.param == "lakehouse" else "warehouse_bench")


def vacuum(bench: Bench, job: JobDefinition, wanted: Wanted = NOW) -> list[Item]:
    here = bench.surroundings()
    here.session.refresh()
    return vacuum_here(job, Archive(here.session, here.login), here.journals, wanted)


def went(items: list[Item], state: str = "gone") -> list[tuple[str, str]]:
    return [(item.kind, item.name) for item in items if item.state == state]


def why(items: list[Item], name: str) -> str:
    (item,) = [item for item in items if item.name == name]
    assert item.state in ("stays", "failed", "not here")
    return item.why


def ran(bench: Bench, job: JobDefinition, run_id: str = OLD) -> report.RunRow:
    """A run with that id, to its end."""
    here, loaded, reporter = bench.surroundings(), api.load_job(job), RecordingReporter()
    with lock.held(job.job, run_id, here.journals, reporter):
        here.session.refresh()
        plan = api.make_here(loaded, here, RunOptions(run_id, "2026-01-01", "0"))
        outside = runner.Outside(here.session, here.journals, here.connect(job), reporter)
        return runner.run(plan, outside, "0", {})


def journal_of(bench: Bench, job: JobDefinition, run_id: str = OLD) -> Journal:
    return bench.surroundings().journals.recipe(job.job, run_id)()


def stopped(bench: Bench, job: JobDefinition, run_id: str = OLD) -> Journal:
    """The journal of a run that was stopped before it asked anything."""
    bench.fill(job.job, texts(3))
    journal = journal_of(bench, job, run_id)
    request_stop(journal, StopRequest("enough"))
    assert ran(bench, job, run_id).status == "stopped"
    return journal


def spans(bench: Bench, job: JobDefinition) -> int:
    (found,) = bench.session.query(f"SELECT count(*) AS n FROM {job.traces.table}")
    return int(str(found["n"]))


def grow_old(bench: Bench, job: JobDefinition) -> None:
    """Have all spans of a table be of the first of January."""
    bench.session.execute(f"UPDATE {job.traces.table} SET date = DATE '2026-01-01'")


def is_there(bench: Bench, table: str) -> bool:
    schema, _, name = table.rpartition(".")
    return name in {row["tableName"] for row in bench.session.query(f"SHOW TABLES IN {schema}")}


def make_table(bench: Bench, table: str) -> None:
    bench.session.execute(f"CREATE TABLE {table} USING DELTA AS SELECT 1 AS one")


# Journals


def test_the_journal_of_a_run_that_was_stopped_goes_once_it_is_old(place: Bench) -> None:
    job = make_job("vacuum_stopped", engine={"concurrency": 1, "fan_out": "driver"})
    journal = stopped(place, job)
    assert why(vacuum(place, job, Wanted(3600.0, optimize=False)), OLD) == "too young"
    assert journal.notes(MANIFEST)
    (item,) = vacuum(place, job)
    assert (item.state, item.kind, item.name) == ("gone", "journal", OLD)
    assert item.size is not None
    assert item.size.files > 1
    assert (journal_of(place, job).notes(""), place.surroundings().journals.runs(job.job)) == ({}, [])
    assert vacuum(place, job) == []


def test_answers_that_are_not_published_stay_and_the_next_run_has_them(place: Bench) -> None:
    job = make_job("vacuum_kept", engine={"concurrency": 1, "fan_out": "driver"})
    place.fill(job.job, texts(4))
    here = place.surroundings()
    plan = api.make_here(api.load_job(job), here, RunOptions(OLD, "2026-01-01", "0"))
    refused = Refusing(here.session, plan.bound.statements.insert_outputs)
    outside = runner.Outside(refused, here.journals, here.connect(job), RecordingReporter())
    with pytest.raises(RunError, match="could not be published"):
        runner.run(plan, outside, "0", {})
    assert place.figures()["calls"] == 4
    assert "not published" in why(vacuum(place, job), OLD)
    assert place.run(job).asked == 0
    assert [row["answer"] for row in place.outputs(job)] == [f"row {n}" for n in range(4)]
    assert place.figures()["calls"] == 4
    assert went(vacuum(place, job)) == [("journal", OLD)]


class Refusing:
    """A session that refuses one statement."""

    def __init__(self, session: Any, statement: str) -> None:
        self._session, self._statement = session, statement

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute(self, statement: str) -> str | None:
        if statement == self._statement:
            raise SqlError("[INSUFFICIENT_PERMISSIONS] no", statement)
        return self._session.execute(statement)


def test_a_run_that_died_before_it_could_answer_is_left_to_the_next(place: Bench) -> None:
    job = make_job("vacuum_dead")
    place.fill(job.job, texts(2))
    here = place.surroundings()
    plan = api.make_here(api.load_job(job), here, RunOptions(OLD, "2026-01-01", "0"))
    journal = journal_of(place, job)
    begin(journal, publishing_of(plan), report.started(plan, 1, "0", {}))
    assert "ends its run" in why(vacuum(place, job), OLD)
    assert journal.notes(MANIFEST)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"over": true}'])
def test_a_manifest_that_cannot_be_read_keeps_its_journal(bench: Bench, text: str) -> None:
    job, journal = make_job("vacuum_broken"), journal_of(bench, make_job("vacuum_broken"))
    journal.write_note(MANIFEST, text)
    assert why(vacuum(bench, job), OLD) == "its manifest cannot be read"
    assert journal.notes(MANIFEST) == {MANIFEST: text}


def test_a_run_that_has_only_said_that_it_is_there_goes_once_it_is_silent_for_long(place: Bench) -> None:
    job = make_job("vacuum_claimed")
    journal = journal_of(place, job)
    journal.write_note(ALIVE_NOTE, json.dumps({"run_id": OLD, "state": "holds", "host": "elsewhere"}))
    assert why(vacuum(place, job, Wanted(3600.0, optimize=False)), OLD) == "too young"
    assert went(vacuum(place, job)) == [("journal", OLD)]


def test_runs_that_go_on_and_that_wait_lose_nothing_to_a_vacuum(bench: Bench) -> None:
    job = make_job(
        "vacuum_busy", engine={"concurrency": 2, "flush_rows": 1, "fan_out": "driver", "publish_seconds": 0.2}
    )
    bench.fill(job.job, texts(40))
    bench.behave(latency_ms=50)
    found: list[Item] = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bench.run, job)
        wait_until(lambda: bench.figures()["answered"] > 2)
        second = pool.submit(bench.run, job, wait=True)
        wait_until(lambda: len(bench.surroundings().journals.runs(job.job)) > 1)
        while not (first.done() and second.done()):
            found += vacuum(bench, job)
    rows = [first.result(), second.result()]
    assert [(row.status, row.asked) for row in rows] == [("done", 40), ("done", 0)]
    assert bench.figures()["calls"] == 40
    assert len(bench.outputs(job)) == 40
    # A run that has written its end may find that its journal was removed for it.
    assert set(went(found)) <= {("journal", row.run_id) for row in rows}
    assert {item.why for item in found if item.kind == "journal"} >= {"its run goes on"}
    assert {item.why for item in found if item.kind == "table"} == {"its run goes on"}


# Long texts


def test_long_texts_go_once_the_spans_that_name_them_are_kept_no_longer(place: Bench) -> None:
    job = make_job("vacuum_long", engine={"concurrency": 1, "fan_out": "driver"})
    place.fill(job.job, [{"id": 1, "text": LONG}])
    assert ran(place, job).ok == 1
    journal = journal_of(place, job)
    assert why(vacuum(place, job), OLD) == "spans name them"
    kept = make_job("vacuum_long", traces={"table": job.traces.table, "keep": "90d"})
    assert why(vacuum(place, kept), OLD) == "spans name them"
    before = spans(place, job)
    assert before > 1
    grow_old(place, job)
    would = vacuum(place, kept, Wanted(0.0, dry=True, optimize=False))
    assert went(would, "goes") == [("spans", "main.test.vacuum_long_traces"), ("long texts", OLD)]
    assert [item.rows for item in would if item.kind == "spans"] == [before]
    assert (spans(place, job), journal.overflow_size().files) == (before, 1)
    assert went(vacuum(place, kept)) == [("spans", "main.test.vacuum_long_traces"), ("long texts", OLD)]
    assert (spans(place, job), journal.overflow_size().files) == (0, 0)
    assert place.surroundings().journals.overflows(job.job) == []
    assert not went(vacuum(place, kept))


def test_long_texts_of_runs_that_the_runs_table_does_not_know_stay(bench: Bench) -> None:
    job = make_job("vacuum_unknown")
    bench.fill(job.job, texts(1))
    ran(bench, job)
    other = journal_of(bench, job, "20260102-000000-abcd")
    other.write_overflow("task", report.record(ran(bench, job, "20260103-000000-abcd")))
    assert why(vacuum(bench, job), "20260102-000000-abcd") == "the runs table has no such run"
    assert other.overflow_size().files == 1


def test_where_the_traces_cannot_be_read_long_texts_stay(bench: Bench) -> None:
    job = make_job("vacuum_blind")
    bench.fill(job.job, texts(1))
    row = ran(bench, job)
    journal_of(bench, job).write_overflow("task", report.record(row))
    bench.session.drop_table("`main`.`test`.`vacuum_blind_traces`")
    make_table(bench, "main.test.vacuum_blind_traces")
    assert why(vacuum(bench, job), OLD) == "whether spans name them is not known"
    bench.session.drop_table("`main`.`test`.`vacuum_blind_traces`")
    assert went(vacuum(bench, job)) == [("long texts", OLD)]


# Traces and runs that are kept no longer


def test_a_job_deletes_its_own_old_spans_and_nobody_elses(place: Bench) -> None:
    table, runs = "main.test.vacuum_shared_traces", "main.test.vacuum_shared_runs"
    tables = {"traces": {"table": table}, "runs": {"table": runs}}
    mine, other = make_job("vacuum_mine", **tables), make_job("vacuum_other", **tables)
    for job in (mine, other):
        place.fill(job.job, texts(3))
        ran(place, job)
    mine = make_job("vacuum_mine", traces={"table": table, "keep": "90d"}, runs={"table": runs, "keep": "90d"})
    total = spans(place, mine)
    assert not went(vacuum(place, make_job("vacuum_other", **tables)))
    grow_old(place, mine)
    place.fill(mine.job, texts(4))
    assert place.run(mine).asked == 1  # a run deletes what is old, not what it has brought
    assert spans(place, mine) == total // 2 + 2
    left = place.session.query(f"SELECT DISTINCT get_json_object(attributes, \"$['rowcall.job']\") AS job FROM {table}")
    assert {row["job"] for row in left} == {None, "vacuum_mine", "vacuum_other"}


def test_rows_of_old_runs_go_but_not_of_those_without_an_end(place: Bench) -> None:
    job = make_job("vacuum_rows")
    place.fill(job.job, texts(1))
    for number in range(3):
        ran(place, job, f"20260101-000000-abc{number}")
    runs = job.runs.table
    place.session.execute(
        f"UPDATE {runs} SET started_at = TIMESTAMP '2026-01-01 00:00:00' WHERE run_id <> '20260101-000000-abc2'"
    )
    place.session.execute(f"UPDATE {runs} SET status = 'running' WHERE run_id = '20260101-000000-abc1'")
    kept = make_job(
        "vacuum_rows", traces={"table": job.traces.table, "keep": "30d"}, runs={"table": runs, "keep": "90d"}
    )
    assert went(vacuum(place, kept, Wanted(0.0, dry=True, optimize=False)), "goes") == [("runs", runs)]
    assert went(vacuum(place, kept)) == [("runs", runs)]
    left = place.session.query(f"SELECT run_id FROM {runs} ORDER BY run_id")
    assert [row["run_id"][-1] for row in left] == ["1", "2"]


def test_a_run_says_what_it_has_deleted_and_leaves_its_old_long_texts_no_longer(place: Bench) -> None:
    job = make_job("vacuum_itself", engine={"concurrency": 1, "fan_out": "driver"})
    place.fill(job.job, [{"id": 1, "text": LONG}])
    ran(place, job)
    grow_old(place, job)
    before, said = spans(place, job), RecordingReporter()
    kept = make_job("vacuum_itself", traces={"table": job.traces.table, "keep": "90d"})
    assert place.run(kept, reporter=said).status == "done"
    assert f"deleted what is kept no longer: {before} spans, long texts of 1 run" in said.steps
    assert (spans(place, job), journal_of(place, job).overflow_size().files) == (0, 0)


def test_a_run_that_may_not_delete_what_is_old_is_done_all_the_same(bench: Bench) -> None:
    job = make_job("vacuum_refused")
    bench.fill(job.job, texts(1))
    ran(bench, job)
    grow_old(bench, job)
    kept, here, said = (
        make_job("vacuum_refused", traces={"table": job.traces.table, "keep": "1d"}),
        bench.surroundings(),
        RecordingReporter(),
    )
    plan = api.make_here(api.load_job(kept), here, RunOptions("20260102-000000-abcd", "2026-11-30", "0"))
    assert plan.bound.retention is not None
    refusing = Refusing(here.session, plan.bound.retention.spans.delete)
    outside = runner.Outside(refusing, here.journals, here.connect(kept), said)
    assert runner.run(plan, outside, "0", {}).status == "done"
    assert "what is kept no longer is not deleted yet: [INSUFFICIENT_PERMISSIONS] no" in said.steps


# Tables


def test_tables_of_runs_that_are_over_go(place: Bench) -> None:
    job = make_job("vacuum_tables")
    place.fill(job.job, texts(1))
    ran(place, job)
    outputs = "main.test.vacuum_tables_out"
    over = [f"{outputs}__{kind}_20260101_000000_abcd" for kind in ("pending", "replies")]
    asked = f"{outputs}__rowcall_rows_20260101_0123abcd"
    today = f"{outputs}__rowcall_rows_{time.strftime('%Y%m%d', time.gmtime())}_0123abcd"
    nobodys = f"{outputs}__pending_20260102_000000_abcd"
    mine = f"{outputs}__pending_of_mine"
    for table in (*over, asked, today, nobodys, mine):
        make_table(place, table)
    dry = vacuum(place, job, Wanted(3600.0, dry=True, optimize=False))
    assert sorted(went(dry, "goes")) == [("asked rows", asked), *(("table", table) for table in over)]
    assert all(is_there(place, table) for table in (*over, asked))
    found = vacuum(place, job, Wanted(3600.0, optimize=False))
    assert sorted(went(found)) == sorted(went(dry, "goes"))
    assert (why(found, today), why(found, nobodys)) == ("too young", "the runs table has no such run")
    assert not any(is_there(place, table) for table in (*over, asked))
    assert all(is_there(place, table) for table in (today, nobodys, mine))


def test_replies_that_nobody_has_read_stay_for_the_next_run(place: Bench) -> None:
    engine = {"kind": "ai_query", "rows_per_statement": 10}
    job = make_job("vacuum_replies", endpoint={"serving": "echo"}, engine=engine)
    place.fill(job.job, texts(30))
    here = place.surroundings()
    plan = api.make_here(api.load_job(job), here, RunOptions(OLD, "2026-01-01", "0"))
    dying = runner.Outside(Dying(here.session), here.journals, here.connect(job), RecordingReporter())
    with pytest.raises(KeyboardInterrupt):
        runner.run(plan, dying, "0", {})
    replies = f"main.test.vacuum_replies_out__replies_{OLD.replace('-', '_')}"
    paid = place.figures()["answered"]
    assert 0 < paid < 30
    assert is_there(place, replies)
    found = vacuum(place, job)
    assert not went(found)
    assert "ends its run" in why(found, replies)
    assert place.run(job).asked == 30 - paid
    assert place.figures()["answered"] == 30
    assert not is_there(place, replies)


class Dying:
    """A session that goes away once the first replies are there."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute(self, statement: str) -> str | None:
        done = self._session.execute(statement)
        if "__replies_" in statement:
            raise KeyboardInterrupt
        return done


def test_rows_of_calls_that_were_killed_go(place: Bench) -> None:
    job, journals = make_job("vacuum_asked"), place.surroundings().journals
    kept = journals.recipe("vacuum_asked.rows", "rowcall_rows_0123abcd")()
    kept.write_note("rows", "")
    kept.write_record("rows", report.record(ran_once(place, job)))
    mine = journals.recipe("vacuum_asked.rows", "mine")()
    mine.write_note("rows", "")
    assert why(vacuum(place, job, Wanted(3600.0, optimize=False)), "rowcall_rows_0123abcd") == "too young"
    assert went(vacuum(place, job)) == [("asked rows", "rowcall_rows_0123abcd")]
    assert (kept.size().files, mine.size().files) == (0, 1)


def ran_once(bench: Bench, job: JobDefinition) -> report.RunRow:
    bench.fill(job.job, texts(1))
    return ran(bench, job)


def test_the_lakehouse_has_no_maintenance_and_says_so(place: Bench) -> None:
    job = make_job("vacuum_maintained")
    ran_once(place, job)
    found = vacuum(place, job, Wanted(0.0, delta=True))
    assert [(item.kind, item.name, item.state) for item in found] == [
        ("optimize", "every table", "not here"),
        ("vacuum", "every table", "not here"),
    ]
    assert re.search("has no OPTIMIZE$", found[0].why)


# What is not rowcall's


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_that_is_not_rowcalls_is_left_alone(bench: Bench) -> None:
    job = make_job("vacuum_foreign")
    home = Path(bench.journal) / job.job
    elsewhere = bench.folder / "elsewhere"
    for folder in (elsewhere, home / "20260101", home / "mine", home / "overflow" / "mine", home / ".." / "another"):
        for part in ("segments", "notes", "records"):
            (folder / part).mkdir(parents=True)
            (folder / part / "file.parquet").write_text("mine")
        (folder / "texts.parquet").write_text("mine")
    (home / OLD).symlink_to(elsewhere)
    (home / "20260102-000000-abcd").write_text("a file")
    (home / "overflow" / OLD).symlink_to(elsewhere)
    before = tree(bench.folder)
    assert vacuum(bench, job) == []
    assert tree(bench.folder) == before


def aged(journal: Journal) -> None:
    journal.write_note(MANIFEST, json.dumps({**json.loads(journal.notes(MANIFEST)[MANIFEST]), "written_at": 0.0}))


def test_every_job_of_a_runs_table_is_tidied_where_its_rows_say(bench: Bench, house: Lakehouse) -> None:
    jobs = [
        make_job(
            f"vacuum_every_{n}",
            runs={"table": "main.test.vacuum_every"},
            engine={"concurrency": 1, "fan_out": "driver"},
        )
        for n in range(2)
    ]
    for number, job in enumerate(jobs):
        aged(stopped(bench, job, f"2026010{number + 1}-000000-abcd"))
    options = Options(home=bench.folder, spark=house.spark)
    found = rowcall.vacuum(table="main.test.vacuum_every", older_than="1h", optimize=False, options=options)
    assert [(row["job"], row["kind"], row["state"]) for row in found] == [(job.job, "journal", "gone") for job in jobs]
    assert not any(bench.surroundings().journals.runs(job.job) for job in jobs)


@pytest.mark.parametrize(
    "place", ["{0}/here/../{1}/{2}", "elsewhere/{1}/{2}", "{0}/{1}/other", "{0}/other/{2}", "", "/{1}/{2}"]
)
def test_a_row_that_tells_another_place_leads_nowhere(bench: Bench, house: Lakehouse, place: str) -> None:
    job = make_job("vacuum_forged", engine={"concurrency": 1, "fan_out": "driver"})
    aged(stopped(bench, job))
    told = place.format(bench.journal, job.job, OLD)
    bench.session.execute(f"UPDATE {job.runs.table} SET context = map('journal', '{told}')")
    before = tree(bench.folder)
    options = Options(home=bench.folder, spark=house.spark)
    assert rowcall.vacuum(table=job.runs.table, older_than="1h", optimize=False, options=options) == []
    assert tree(bench.folder) == before


def test_what_else_is_in_the_folder_of_a_run_stays_and_is_told(bench: Bench) -> None:
    job = make_job("vacuum_mixed", engine={"concurrency": 1, "fan_out": "driver"})
    journal = stopped(bench, job)
    mine = Path(journal.place) / "notes of mine.txt"
    mine.write_text("mine")
    found = vacuum(bench, job)
    assert went(found, "failed") == [("journal", OLD)]
    assert "none of rowcall's" in why(found, OLD)
    assert tree(Path(journal.place)) == {"notes of mine.txt": b"mine"}


def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    job = make_job("vacuum_dry", engine={"concurrency": 1, "fan_out": "driver"})
    stopped(bench, job)
    make_table(bench, f"main.test.vacuum_dry_out__pending_{OLD.replace('-', '_')}")
    before = tree(bench.folder)
    found = vacuum(bench, job, Wanted(0.0, dry=True, delta=True))
    assert [kind for kind, _ in went(found, "goes")] == ["journal", "table"]
    assert tree(bench.folder) == before
    assert is_there(bench, f"main.test.vacuum_dry_out__pending_{OLD.replace('-', '_')}")


# Interrupted


def test_a_vacuum_that_is_interrupted_at_any_file_is_finished_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("vacuum_cut", engine={"concurrency": 1, "fan_out": "driver"})
    journal = stopped(bench, job)
    journals, home = FolderJournals(Path(bench.journal)), Path(bench.journal) / job.job
    copies = [f"20260101-00000{number}-abcd" for number in range(1, 4)]
    for run_id in copies:
        shutil.copytree(journal.place, home / run_id)
    held = journals.recipe(job.job, "20260101-000009-abcd")()
    held.write_segment("task", report.record(ran(bench, job, "20260101-000008-abcd")))
    for steps in range(60):
        with monkeypatch.context() as patched:
            for name in ("unlink", "rmdir"):
                patched.setattr(os, name, Counting(steps, getattr(os, name)))
            try:
                vacuum(bench, job)
            except KeyboardInterrupt:
                continue
        break
    assert steps > 3
    assert journals.runs(job.job) == ["20260101-000009-abcd"]
    assert len(held.segments()) == 1


class Counting:
    """A function of the operating system that is interrupted after so many calls."""

    left = 0

    def __init__(self, calls: int, work: Callable[..., Any]) -> None:
        self._work = work
        Counting.left = calls

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        Counting.left -= 1
        if Counting.left < 0:
            raise KeyboardInterrupt
        return self._work(*arguments, **options)
