"""What a dead run left behind, staged piece by piece, and what the next run makes of it."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rowcall import api
from rowcall.adapters.journal import FolderJournal
from rowcall.core import report
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError
from rowcall.core.plan import RunOptions, RunPlan
from rowcall.core.ports import Journal
from rowcall.core.records import Call, Outcome, Reply
from rowcall.core.segments import Finished, segment
from rowcall.lock import ALIVE_NOTE
from rowcall.publishing import publishing_of
from rowcall.recovery import MANIFEST, begin
from support import Bench, make_job, texts


def dead_run(bench: Bench, job: JobDefinition, answers: int) -> tuple[RunPlan, Journal]:
    """The journal of a run that died with `answers` durable answers, none of them published."""
    here = bench.surroundings()
    plan = api.make_here(api.load_job(job), here, RunOptions(f"20260101-{job.job}", "2026-01-01", "0"))
    journal = here.journals.recipe(job.job, plan.run_id)()
    begin(journal, publishing_of(plan), report.started(plan, time.time_ns() // 1000, "0", {}))
    rendered = bench.session.query(plan.bound.statements.preview.replace("LIMIT 3", "LIMIT 1000"))
    for row in rendered[:answers]:
        journal.write_segment("task", _segment(bench, plan, row))
    return plan, journal


def _segment(bench: Bench, plan: RunPlan, row: Any) -> pa.Table:
    (found,) = bench.session.query(
        "SELECT request_hash FROM ("
        + plan.bound.statements.preview.split("FROM (", 1)[1].rsplit(")", 1)[0]
        + f") WHERE key.id = {row['key']['id']}"
    )
    keys = pa.array([[row["key"]]], pa.list_(pa.struct([("id", pa.int64())])))
    now = time.time_ns()
    call = Call(found["request_hash"], Reply(Outcome.OK, text=f"kept {row['key']['id']}"), (), "ab" * 16, now, now)
    return segment([Finished(call, [], None, keys)])


@pytest.mark.apache_spark
def test_durable_answers_of_a_dead_run_are_published_and_not_asked(bench: Bench):
    job = make_job("left")
    bench.fill("left", texts(6))
    plan, journal = dead_run(bench, job, answers=4)
    row = bench.run(job)
    assert (row.asked, bench.figures()["calls"]) == (2, 2)
    assert [out["answer"] for out in bench.outputs(job)] == ["kept 0", "kept 1", "kept 2", "kept 3", "row 4", "row 5"]
    assert {out["run_id"] for out in bench.outputs(job)} == {plan.run_id, row.run_id}
    (dead,) = bench.session.query(f"SELECT * FROM main.test.left_runs WHERE run_id = '{plan.run_id}'")
    assert (dead["status"], dead["ok"]) == ("interrupted", 4)
    assert journal.segments() == []


def test_a_dead_run_ended_when_it_last_gave_a_sign_of_life(bench: Bench):
    job = make_job("lived")
    bench.fill("lived", texts(2))
    plan, journal = dead_run(bench, job, answers=0)
    long_ago, end = time.time() - 500_000, time.time() - 400_000
    begin(journal, publishing_of(plan), report.started(plan, round(long_ago * 1e6), "0", {}))
    journal.write_note(ALIVE_NOTE, json.dumps({"run_id": plan.run_id, "state": "holds", "host": "elsewhere"}))
    os.utime(Path(journal.place) / "notes" / ALIVE_NOTE, (end, end))
    bench.run(job)
    (dead,) = bench.session.query(
        f"SELECT unix_micros(ended_at) - unix_micros(started_at) AS took FROM {job.runs.table} WHERE run_id = '{plan.run_id}'"
    )
    assert dead["took"] == pytest.approx(100_000 * 1e6, abs=2e6)


def test_recovering_twice_changes_nothing(bench: Bench):
    job = make_job("twice_left")
    bench.fill("twice_left", texts(3))
    dead_run(bench, job, answers=3)
    bench.run(job)
    before = bench.outputs(job)
    assert bench.run(job).asked == 0
    assert bench.outputs(job) == before


def test_answers_that_come_after_a_run_was_given_up_are_published_by_the_next(bench: Bench):
    job = make_job("late_answers")
    bench.fill("late_answers", texts(2))
    plan, journal = dead_run(bench, job, answers=0)
    bench.behave(faults=[{"match": "row 1", "status": 400}])
    bench.run(job)
    preview = bench.session.query(plan.bound.statements.preview)
    journal.write_segment("zombie", _segment(bench, plan, preview[1]))
    bench.behave()
    assert bench.run(job).asked == 0
    assert [out["answer"] for out in bench.outputs(job)] == ["row 0", "kept 1"]


@pytest.mark.apache_spark
def test_tables_that_were_dropped_meanwhile_are_made_again(bench: Bench):
    job = make_job("dropped")
    bench.fill("dropped", texts(2))
    bench.run(job)
    bench.session.drop_table("`main`.`test`.`dropped_out`")
    dead_run(bench, job, answers=2)
    assert bench.run(job).asked == 0
    assert [out["answer"] for out in bench.outputs(job)] == ["kept 0", "kept 1"]


@pytest.mark.apache_spark
def test_answers_that_fit_no_table_any_more_are_kept_and_told(bench: Bench):
    job = make_job("unfit")
    bench.fill("unfit", texts(2))
    _, journal = dead_run(bench, job, answers=2)
    bench.session.drop_table("`main`.`test`.`unfit_out`")
    bench.session.execute("CREATE TABLE main.test.unfit_out USING DELTA AS SELECT 1 AS other")
    with pytest.raises(RunError) as told:
        bench.run(job)
    assert "left answers that cannot be published" in str(told.value)
    assert journal.place in str(told.value)
    assert len(journal.segments()) == 2


def test_a_stopped_run_leaves_only_its_manifest(bench: Bench):
    bench.behave(latency_ms=20)
    job = make_job("leaves", limits={"deadline": 0.3}, engine={"concurrency": 1})
    bench.fill("leaves", texts(500))
    row = bench.run(job)
    journal = bench.surroundings().journals.recipe("leaves", row.run_id)()
    assert journal.segments() == []
    assert json.loads(journal.notes(MANIFEST)[MANIFEST])["over"]


@pytest.mark.apache_spark
def test_an_older_answer_still_replaces_a_newer_failure(bench: Bench):
    job = make_job("older")
    bench.fill("older", texts(1))
    plan, journal = dead_run(bench, job, answers=0)
    (row,) = bench.session.query(plan.bound.statements.preview)
    kept = _segment(bench, plan, row)
    bench.behave(faults=[{"status": 400}])
    bench.run(job)
    journal.write_segment("zombie", kept)
    bench.behave()
    assert bench.run(job).asked == 0
    assert [(out["outcome"], out["answer"]) for out in bench.outputs(job)] == [("ok", "kept 0")]


def test_a_run_that_died_after_its_end_stays_done(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    job = make_job("ended")
    bench.fill("ended", texts(3))

    def die(_: FolderJournal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FolderJournal, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            bench.run(job)
    bench.run(job)
    runs = bench.session.query("SELECT status, ok FROM main.test.ended_runs ORDER BY started_at")
    assert [(run["status"], run["ok"]) for run in runs] == [("done", 3), ("done", 0)]


BROKEN = ("", "{", "[]", '{"over": false}', '{"over": false, "written_at": 1, "row": {}}')
ENDLESS = f'{{"over": false, "told": false, "written_at": 1{"0" * 400}}}'


@pytest.mark.parametrize("text", [*BROKEN, ENDLESS], ids=[*map(repr, BROKEN), "endless"])
def test_a_broken_manifest_is_told_with_its_place(bench: Bench, text: str):
    job = make_job("broken")
    bench.fill("broken", texts(2))
    _, journal = dead_run(bench, job, answers=1)
    journal.write_note(MANIFEST, text)
    journal.write_note(ALIVE_NOTE, "garbage")
    os.utime(Path(journal.place, "notes", ALIVE_NOTE), (0, 0))
    with pytest.raises(RunError) as told:
        bench.run(job)
    assert journal.place in str(told.value)
    assert len(journal.segments()) == 1


@pytest.mark.apache_spark
def test_a_key_that_comes_twice_into_the_journal_is_published_once(bench: Bench):
    job = make_job("clash")
    bench.fill("clash", texts(1))
    plan, journal = dead_run(bench, job, answers=1)
    (row,) = bench.session.query(plan.bound.statements.preview)
    table = _segment(bench, plan, row)
    other = table.set_column(0, "request_hash", pa.array(["another hash"]))
    journal.write_segment("task", other)
    bench.run(job)
    assert [out["id"] for out in bench.outputs(job)] == [0]


def test_a_run_in_another_thread_of_this_process_is_alive(bench: Bench):
    bench.behave(latency_ms=100)
    job = make_job("threads", engine={"concurrency": 2})
    bench.fill("threads", texts(40))
    rows: list[report.RunRow] = []
    other = threading.Thread(target=lambda: rows.append(bench.run(job)))
    other.start()
    while bench.figures()["calls"] < 4:
        time.sleep(0.02)
    with pytest.raises(RunError, match="is going on"):
        bench.run(job)
    other.join()
    assert [(row.status, row.ok) for row in rows] == [("done", 40)]
    assert bench.figures()["calls"] == 40


@pytest.mark.apache_spark
def test_jobs_that_run_at_once_share_the_traces_and_runs_tables(bench: Bench):
    shared = {"traces": {"table": "main.test.shared_traces"}, "runs": {"table": "main.test.shared_runs"}}
    jobs = [make_job(f"at_once_{n}", **shared) for n in range(3)]
    for job in jobs:
        bench.fill(job.job, texts(20))
    rows: list[report.RunRow] = []
    threads = [threading.Thread(target=lambda job=job: rows.append(bench.run(job))) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(row.status, row.ok) for row in rows] == [("done", 20)] * 3
    (spans,) = bench.session.query(
        "SELECT count(*) AS n, count(DISTINCT trace_id) AS calls FROM main.test.shared_traces"
    )
    assert (spans["n"], spans["calls"]) == (120, 60)
    runs = bench.session.query("SELECT status FROM main.test.shared_runs")
    assert [run["status"] for run in runs] == ["done"] * 3


def test_what_was_noted_when_the_journal_was_gone_is_cleared_away_and_other_folders_are_left(bench: Bench):
    job = make_job("remains")
    bench.fill("remains", texts(1))
    journals = bench.surroundings().journals
    journals.recipe(job.job, "20260101-gone")().write_note("seat-0-late", "{}")
    other = Path(bench.journal) / job.job / "20260102-no-journal"
    other.mkdir()
    assert bench.run(job).status == "done"
    assert journals.runs(job.job) == [other.name]
