"""Runs cut into shards, their coordinator and shards threads of this process: Spark and a SQL warehouse, folders and volumes."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rowcall import api
from rowcall.core import seats
from rowcall.core.control import CONTROL_NOTE
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal
from rowcall.core.report import RunRow
from rowcall.core.shards import SHARDS_NOTE, Cut, Shard
from rowcall.engines.seat import SEAT_NOTES
from rowcall.runner import Outside
from rowcall.shard import Asked, run_shard
from rowcall.testing import RecordingReporter
from support import Bench, make_job, texts, wait_until

CUT = Cut(3, "job run 1", "1", 60.0)
ROWS = 60


@pytest.fixture(params=["lakehouse", "warehouse"])
def place(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue("bench" if request.param == "lakehouse" else "warehouse_bench")


class Parties:
    """A coordinator and shards of a job, each in a thread."""

    def __init__(self, bench: Bench, job: JobDefinition, pool: ThreadPoolExecutor) -> None:
        self.bench, self.job, self.pool = bench, job, pool
        self.said = RecordingReporter()

    def coordinate(self, cut: Cut = CUT) -> Future[RunRow]:
        return self.pool.submit(self.bench.run, self.job, cut=cut, reporter=self.said)

    def shard(self, number: str, cut: Cut = CUT, job: JobDefinition | None = None) -> Future[Asked]:
        here, loaded = self.bench.surroundings(), api.load_job(job or self.job)
        return self.pool.submit(api.shard_here, loaded, here, number, cut, reporter=RecordingReporter())

    def shards(self, *numbers: str) -> Sequence[Future[Asked]]:
        return [self.shard(number) for number in numbers or ("1/3", "2/3", "3/3")]

    def journal(self) -> Journal:
        """That of the run that is open."""
        found: list[Journal] = []

        def is_open() -> bool:
            journals = self.bench.surroundings().journals
            found[:] = [journals.recipe(self.job.job, run_id)() for run_id in journals.runs(self.job.job)]
            return any(journal.notes(SHARDS_NOTE) for journal in found)

        wait_until(is_open)
        return next(journal for journal in found if journal.notes(SHARDS_NOTE))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def parties(bench: Bench, pool: ThreadPoolExecutor, name: str, rows: int = ROWS, **engine: Any) -> Parties:
    job = make_job(name, engine={"concurrency": 6, "flush_seconds": 0.1, "publish_seconds": 0.2, **engine})
    bench.fill(name, texts(rows))
    return Parties(bench, job, pool)


def test_all_rows_are_asked_once_under_one_limit(place: Bench, pool: ThreadPoolExecutor):
    made = parties(place, pool, "sharded")
    place.behave(latency_ms=20)
    run, shards = made.coordinate(), made.shards()
    row, ends = run.result(100), [shard.result(60) for shard in shards]
    assert (row.status, row.asked, row.ok, row.tasks) == ("done", ROWS, ROWS, 3)
    assert [end.status for end in ends] == ["done"] * 3
    assert sum(end.asked for end in ends) == ROWS
    assert row.context["shards"] == "3"
    figures = place.figures()
    assert figures["calls"] == ROWS
    assert figures["max_in_flight"] <= 6
    assert [out["answer"] for out in place.outputs(made.job)] == [f"row {n}" for n in range(ROWS)]
    assert made.shard("1/3").result(60).message == "the run is over"


def test_whose_machine_falls_silent_is_taken_over_and_the_journal_stays_for_what_it_may_still_write(
    place: Bench, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seats, "SILENT_SECONDS", 1.0)
    made = parties(place, pool, "silent")
    run = made.coordinate(replace(CUT, patience=0.5))
    journal = made.journal()
    claim = {"process": "another machine", "number": 1000, "state": "seated", "beat": 1}
    journal.write_note(f"{SEAT_NOTES}0-elsewhere", json.dumps(claim))
    row = run.result(100)
    assert (row.status, row.ok) == ("done", ROWS)
    assert place.figures()["calls"] == ROWS
    assert any("shard 2/3 has not come: asking its rows here" in step for step in made.said.steps)
    assert journal.notes(SHARDS_NOTE), "what its machine may still write is told from that of a run which nobody knows"
    assert place.run(made.job).status == "done"


def test_with_fewer_calls_than_shards_the_others_have_nothing_to_do(place: Bench, pool: ThreadPoolExecutor):
    made = parties(place, pool, "few_calls", concurrency=2)
    run, shards = made.coordinate(), made.shards()
    row, ends = run.result(100), [shard.result(60) for shard in shards]
    assert (row.status, row.ok, row.tasks) == ("done", ROWS, 2)
    assert ends[2].asked == 0
    assert place.figures()["max_in_flight"] <= 2


def test_one_that_comes_when_all_is_asked_has_nothing_to_do(bench: Bench, pool: ThreadPoolExecutor):
    made = parties(bench, pool, "closing", rows=6)
    run = made.coordinate(replace(CUT, patience=0.1))
    journal = made.journal()
    wait_until(lambda: '"closed": true' in journal.notes(SHARDS_NOTE).get(SHARDS_NOTE, '"closed": true'))
    assert made.shard("1/3").result(60).status == "done"
    assert run.result(60).ok == bench.figures()["calls"] == 6


def test_where_there_is_nothing_to_ask_shards_end_well(bench: Bench, pool: ThreadPoolExecutor):
    made = parties(bench, pool, "nothing")
    where = made.job.prompts.model_copy(update={"where": "false"})
    made.job = made.job.model_copy(update={"prompts": where})
    run, shards = made.coordinate(), made.shards("1/3", "3/3")
    assert run.result(60).status == "done"
    assert [shard.result(60).message for shard in shards] == ["the run is over"] * 2


def test_a_deadline_that_passes_before_a_shard_comes_ends_the_run(bench: Bench, pool: ThreadPoolExecutor):
    made = parties(bench, pool, "too_late")
    made.job = made.job.model_copy(update={"limits": made.job.limits.model_copy(update={"deadline": 2.0})})
    row = made.coordinate().result(60)
    assert (row.status, row.message, row.asked) == ("stopped", "limits.deadline has passed", 0)


def test_a_shard_whose_login_does_not_work_leaves_its_rows_to_the_coordinator(bench: Bench, pool: ThreadPoolExecutor):
    made = parties(bench, pool, "no_login")

    def no_client() -> Any:
        raise RunError("no login here")

    run = made.coordinate()
    here = bench.surroundings()
    outside = Outside(here.session, here.journals, no_client, RecordingReporter())
    with pytest.raises(RunError, match="no login here"):
        run_shard(made.job, Shard(1, 3), CUT, outside)
    rest = made.shards("2/3", "3/3")
    assert (run.result(100).status, bench.figures()["calls"]) == ("done", ROWS)
    assert [shard.result(60).status for shard in rest] == ["done"] * 2
    assert any("shard 1/3 is gone: asking its rows here" in step for step in made.said.steps)


def test_all_shards_pause_when_told(bench: Bench, pool: ThreadPoolExecutor):
    made = parties(bench, pool, "paused", rows=300)
    bench.behave(latency_ms=50)
    run, shards = made.coordinate(), made.shards()
    wait_until(lambda: bench.figures()["answered"] > 12)
    journal = made.journal()
    journal.write_note(CONTROL_NOTE, json.dumps({"paused": True, "concurrency": 3}))
    wait_until(lambda: bench.figures()["in_flight"] == 0)
    journal.write_note(CONTROL_NOTE, json.dumps({"paused": False, "concurrency": 3}))
    assert run.result(100).ok == 300
    assert [shard.result(60).status for shard in shards] == ["done"] * 3
