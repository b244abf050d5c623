"""A speculative twin of a slow task waits for it, and asks nothing."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from spark_bench import Note, OpenBench, SparkBench, spark_job

from cluster import EXECUTORS, PATIENCE, standalone_cluster
from support import wait_until

pytestmark = pytest.mark.timeout(600)

ROWS, SLOW_MS = 60, 15_000
EAGER = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.minTaskRuntime": "100ms",
    "spark.speculation.multiplier": "1.0",
    "spark.speculation.quantile": "0.5",
}


@pytest.fixture(scope="module")
def bench(open_bench: OpenBench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkBench]:
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), ["127.0.0.1", "127.0.0.2"]) as master:
        bench = open_bench(master, EAGER)
        yield bench
        bench.spark.stop()


def most_attempts_at_a_part(bench: SparkBench, job: str) -> int:
    """By the notes in the journal of the job's run."""
    notes = (bench.folder / "journal" / job).glob("*/notes/seat-*")
    return max(Counter(note.name.split("-")[1] for note in notes if note.suffix != ".part").values(), default=0)


def test_a_speculative_twin_asks_nothing_and_the_limit_holds(bench: SparkBench, matrix: Note):
    bench.reset()
    bench.behave(latency_ms=20, faults=[{"match": "row 7", "delay_ms": SLOW_MS}])
    job = spark_job("twins", ROWS, engine={"concurrency": EXECUTORS, "tasks": EXECUTORS, "flush_seconds": 0.1})
    with ThreadPoolExecutor(1) as background:
        running = background.submit(bench.run, job)
        wait_until(lambda: running.done() or most_attempts_at_a_part(bench, "twins") > 1, PATIENCE)
        assert not running.done()
        done = running.result(timeout=PATIENCE)
    assert (done.status, done.message, done.ok) == ("done", None, ROWS)
    assert bench.answers(job) == [(n, f"row {n}", "ok") for n in range(ROWS)]
    outcome = bench.outcome("a speculative twin is started", done)
    matrix(outcome)
    assert (outcome.calls, outcome.lost, outcome.repaid) == (ROWS, 0, 0)
    assert bench.figures()["max_in_flight"] <= EXECUTORS
