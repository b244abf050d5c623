"""Runs that are cut into shards, and what happens where one of the processes does not come, ends or is killed."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sharded import FLUSH, LIMIT, SHARDS, Process, Sharded, end_of, ends_of

from rowcall.sandbox.process import SandboxProcess
from support import wait_until

pytestmark = pytest.mark.timeout(300)
"""Each starts four processes or more, which share what processors there are."""
SHARE = LIMIT // SHARDS
SLOW, QUICK = 1000, 20
"""Milliseconds to an answer."""
Make = Callable[..., Sharded]


@pytest.fixture
def make(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Make]:
    made: list[Sharded] = []

    def make(name: str, **options: object) -> Sharded:
        made.append(Sharded(tmp_path, sandbox, f"shards_{name}", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for run in made:
        run.stop()
        run.behave(0)


def begun(run: Sharded, shards: list[Process]) -> None:
    """Wait until every shard asks, and has answers. They are answered slowly: none is soon done."""
    wait_until(lambda: run.seated() == len(shards) and run.answered() >= 2 * LIMIT, seconds=200)
    assert all(shard.poll() is None for shard in shards)


def test_every_row_is_asked_once_by_one_of_the_shards_and_the_limit_is_that_of_the_run(make: Make):
    run = make("all")
    coordinator, shards = run.coordinate(), run.shards()
    row, ends = end_of(coordinator), ends_of(shards)
    assert (row.code, row.said["status"], row.said["ok"], row.said["tasks"]) == (0, "done", run.rows, SHARDS)
    assert [(end.code, end.said["status"], end.said["message"]) for end in ends] == [(0, "done", None)] * SHARDS
    assert all(end.said["asked"] == end.said["ok"] > 0 for end in ends)
    assert sum(end.said["asked"] for end in ends) == run.rows
    figures = run.figures()
    assert figures["calls"] == run.rows
    assert figures["max_in_flight"] <= LIMIT
    assert run.answers() == run.whole
    assert run.runs() == [("done", run.rows)]
    assert {end.said["run_id"] for end in ends} == {row.said["run_id"]}


def test_the_share_of_a_shard_that_is_killed_is_asked_by_the_coordinator(make: Make):
    run = make("killed", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)
    shards[0].kill()
    run.behave(QUICK)
    row = end_of(coordinator)
    assert (row.code, row.said["status"], row.said["ok"]) == (0, "done", run.rows)
    assert [end.code for end in ends_of(shards[1:])] == [0, 0]
    assert run.answers() == run.whole
    assert run.answered() <= run.rows + SHARE + FLUSH


def test_the_share_of_a_shard_that_never_comes_is_asked_by_the_coordinator_and_one_too_late_has_nothing_to_do(
    make: Make,
):
    run = make("missing", rows=90)
    coordinator, shards = run.coordinate(patience="3s"), run.shards(1, 2)
    row, ends = end_of(coordinator), ends_of(shards)
    assert (row.code, row.said["status"], row.said["ok"]) == (0, "done", run.rows)
    assert sum(end.said["asked"] for end in ends) < run.rows
    late = end_of(run.shard(3))
    assert (late.code, late.said["asked"], late.said["message"]) == (0, 0, "the run is over")
    figures = run.figures()
    assert figures["calls"] == run.rows
    assert figures["max_in_flight"] <= LIMIT


def test_shards_whose_coordinator_is_killed_stop_and_the_next_run_does_the_rest(make: Make):
    run = make("headless", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)
    coordinator.kill()
    coordinator.communicate(timeout=60)
    ends = ends_of(shards)
    assert [(end.code, end.said["status"]) for end in ends] == [(1, "left")] * SHARDS
    assert all("the coordinator is gone" in end.said["message"] for end in ends)
    assert run.figures()["in_flight"] == 0
    assert run.answered() == sum(end.said["asked"] for end in ends) < run.rows

    run.behave(QUICK)
    row = end_of(run.start("run", "job.yml"))
    assert (row.code, row.said["status"]) == (0, "done")
    assert run.answered() == run.rows
    assert run.answers() == run.whole
    assert [status for status, _ in run.runs()] == ["interrupted", "done"]


def test_all_that_is_killed_at_once_is_finished_by_the_same_again(make: Make):
    run = make("all_killed", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)
    for process in (coordinator, *shards):
        process.kill()
    for process in (coordinator, *shards):
        process.communicate(timeout=60)
    run.behave(QUICK)
    assert end_of(run.start("run", "job.yml")).said["status"] == "done"
    assert run.answered() <= run.rows + LIMIT + SHARDS * FLUSH
    assert run.answers() == run.whole


def test_of_two_processes_for_one_shard_one_asks(make: Make):
    run = make("twins")
    coordinator, shards, twin = run.coordinate(), run.shards(), run.shard(1)
    assert end_of(coordinator).said["status"] == "done"
    ends = ends_of([twin, *shards])
    assert [(end.code, end.said["status"]) for end in ends] == [(0, "done")] * (SHARDS + 1)
    assert min(ends[0].said["asked"], ends[1].said["asked"]) == 0
    assert sum(end.said["asked"] for end in ends) == run.rows
    figures = run.figures()
    assert figures["calls"] == run.rows
    assert figures["max_in_flight"] <= LIMIT


def test_ctl_stops_all_of_them(make: Make):
    run = make("steered", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)

    run_id = run.table("runs")[0]["run_id"]
    told = end_of(run.start("ctl", run_id, "stop", "--table", f"main.{run.name}.runs"))
    assert (told.said["tasks"], told.said["pending_rows"]) == (SHARDS, run.rows)
    row, ends = end_of(coordinator), ends_of(shards)
    assert (row.code, row.said["status"], row.said["message"]) == (1, "stopped", "stopped by rowcall ctl")
    said = [(end.code, end.said["status"], end.said["message"]) for end in ends]
    assert said == [(0, "stopped", "stopped by rowcall ctl")] * SHARDS
    assert row.said["ok"] == run.answered() == len(run.answers()) < run.rows


def test_shards_stop_with_a_coordinator_that_is_told_to(make: Make):
    run = make("told", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)
    coordinator.send_signal(signal.SIGTERM)
    row, ends = end_of(coordinator), ends_of(shards)
    assert (row.code, row.said["status"]) == (1, "stopped")
    assert [(end.code, end.said["status"]) for end in ends] == [(0, "stopped")] * SHARDS
    assert row.said["ok"] == run.answered() == len(run.answers()) < run.rows


def test_a_shard_that_is_told_to_end_keeps_what_it_has_and_the_coordinator_asks_the_rest(make: Make):
    run = make("leaves", latency_ms=SLOW)
    coordinator, shards = run.coordinate(), run.shards()
    begun(run, shards)
    shards[0].send_signal(signal.SIGTERM)
    left = end_of(shards[0])
    assert (left.code, left.said["status"]) == (1, "left")
    assert left.said["asked"] > 0
    run.behave(QUICK)
    row = end_of(coordinator)
    assert (row.code, row.said["status"], row.said["ok"]) == (0, "done", run.rows)
    assert run.answered() == run.rows


def test_a_shard_that_finds_no_coordinator_says_so(make: Make):
    run = make("alone")
    end = end_of(run.shard(2, patience="2s"))
    assert end.code == 1
    assert "shard 2/3 found no run of shards_alone to join within 2.0 s" in end.errors
    assert "none was started with --shards 3 --job-run 1" in end.errors


def test_a_shard_joins_no_run_of_another_version_of_the_job_and_waits_for_that_of_its_own_job_run(make: Make):
    run = make("versions", rows=30)
    coordinator = run.coordinate(patience="20s")
    other = run.shard(1, patience="2s", job_run="another")
    wait_until(lambda: bool(run.notes("shards")))
    few = run.shard(1, of=2)
    assert "cannot join run" in (said := end_of(few).errors)
    assert "the coordinator has cut the run into 3 shards, not 2" in said
    run.write("changed")
    assert "the coordinator runs another version of the job" in end_of(run.shard(1)).errors
    assert "found no run" in end_of(other).errors
    row = end_of(coordinator)
    assert (row.said["status"], row.said["ok"]) == ("done", run.rows)


def test_several_endpoints_are_asked_by_the_shards_one_after_the_other(make: Make):
    run = make("both", rows=40, more="endpoints: {first: {app: echo}, second: {serving: echo-model}}")
    coordinator, shards = run.coordinate(), run.shards()
    row = end_of(coordinator)
    assert (row.code, row.said["context"]["endpoint"], row.said["ok"]) == (0, "second", run.rows)
    assert [end.code for end in ends_of(shards)] == [0] * SHARDS
    assert run.runs() == [("done", run.rows)] * 2
    assert sorted((row["id"], row["endpoint"]) for row in run.table("answers")) == [
        (n, name) for n in range(run.rows) for name in ("first", "second")
    ]


def test_ai_query_is_not_cut_into_shards(make: Make):
    run = make("sql", more="endpoint: {serving: echo-model}")
    job = run.folder / "job.yml"
    job.write_text(
        job.read_text().replace(
            'engine: {"concurrency": 6, "flush_rows": 10, "flush_seconds": 0.1, ', "engine: {kind: ai_query, "
        )
    )
    ends = ends_of([run.coordinate(), run.shard(1)])
    assert [end.code for end in ends] == [2, 2]
    assert all("engine.kind" in end.errors and "its runs are not cut into shards" in end.errors for end in ends)
