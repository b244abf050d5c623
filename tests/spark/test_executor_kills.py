"""Runs on a cluster whose processes are killed: every row answered once, nothing durable asked again."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from spark_bench import Note, OpenBench, SparkBench, spark_job

from cluster import EXECUTORS, PATIENCE, asking, driver_of, executor_of
from support import wait_until

pytestmark = pytest.mark.timeout(600)

ROWS, LIMIT, FLUSH = 400, 8, 20
ENGINE = {"concurrency": LIMIT, "tasks": EXECUTORS, "flush_rows": FLUSH, "flush_seconds": 0.1, "publish_seconds": 2}
MOST_REPAID = LIMIT + EXECUTORS * FLUSH
"""What was in flight or not yet flushed."""
KILLS: dict[str, Callable[[psutil.Process], None]] = {
    "a Python worker": psutil.Process.kill,
    "an executor's JVM": lambda worker: executor_of(worker).kill(),
}


@pytest.fixture(scope="module")
def bench(open_bench: OpenBench) -> SparkBench:
    return open_bench()


def test_a_run_asks_all_and_the_next_nothing(bench: SparkBench):
    bench.reset()
    engine = {"concurrency": LIMIT, "tasks": EXECUTORS}
    schema = {"sentiment": ["positive", "neutral", "negative"], "words": "int"}
    job = spark_job("spine", 60, endpoint={"app": "text-insight"}, engine=engine, answer={"schema": schema})
    done, again = bench.run(job), bench.run(job)
    assert (done.status, done.ok, done.tasks) == ("done", 60, EXECUTORS)
    assert (again.status, again.asked) == ("done", 0)
    assert [(row["id"], row["answer"]["words"]) for row in bench.outputs(job)] == [(n, 1) for n in range(60)]
    figures = bench.figures("text-insight")
    assert figures["calls"] == 60
    assert figures["max_in_flight"] <= LIMIT


@pytest.mark.parametrize("kill", KILLS)
def test_what_a_killed_process_had_not_flushed_is_asked_again_in_the_same_run(
    bench: SparkBench, matrix: Note, kill: str
):
    bench.reset()
    bench.behave(latency_ms=50)
    job = spark_job(re.sub(r"\W+", "_", kill).lower(), ROWS, engine=ENGINE)
    with ThreadPoolExecutor(1) as background:
        running = background.submit(bench.run, job)
        wait_until(lambda: running.done() or bench.figures()["answered"] > ROWS // 3, PATIENCE)
        KILLS[kill](asking(driver_of(bench.spark), bench.sandbox.host)[0])
        done = running.result(timeout=PATIENCE)
    assert (done.status, done.message) == ("done", None)
    assert bench.answers(job) == [(n, f"row {n}", "ok") for n in range(ROWS)]
    outcome = bench.outcome(f"{kill} is killed", done)
    matrix(outcome)
    assert outcome.lost == 0
    assert outcome.repaid <= MOST_REPAID
