"""Limits of a whole run, as the server sees them: adaptive concurrency, rates of a minute, an endpoint that goes away."""

from typing import Any

import pytest

from rowcall.core.ports import Row
from support import Bench, make_job, texts


def answered_once(bench: Bench, outputs: list[Row], rows: int) -> None:
    assert [row["id"] for row in outputs] == list(range(rows))
    assert {row["outcome"] for row in outputs} == {"ok"}
    assert bench.figures()["answered"] == rows


@pytest.mark.parametrize(
    ("name", "capacity"),
    [
        ("at_once", {"at_once": 16}),
        ("at_once_retry", {"at_once": 16, "retry_after": 1}),
        ("per_second", {"per_second": 200, "burst": 20}),
        ("per_second_retry", {"per_second": 200, "burst": 20, "retry_after": 1}),
    ],
)
def test_an_adaptive_run_finds_out_what_the_server_takes_and_loses_no_row(
    bench: Bench, name: str, capacity: dict[str, Any]
) -> None:
    rows = 1000
    bench.behave(latency_ms=50, capacity=capacity)
    bench.fill(f"adaptive_{name}", texts(rows))
    job = make_job(f"adaptive_{name}", engine={"concurrency": "auto", "flush_seconds": 0.2})
    row = bench.run(job)
    assert (row.status, row.ok, row.failed, row.concurrency) == ("done", rows, 0, 256)
    answered_once(bench, bench.outputs(job), rows)
    figures = bench.figures()
    assert figures["calls"] <= rows * 1.05
    assert row.retries == figures["calls"] - rows
    assert figures["max_in_flight"] > 8, "it tries more than it begins with"


def test_an_adaptive_run_never_has_more_in_flight_than_it_may(bench: Bench) -> None:
    bench.behave(latency_ms=20)
    bench.fill("adaptive_most", texts(1500))
    engine = {"concurrency": "auto", "max_concurrency": 24, "tasks": 2, "flush_seconds": 0.2}
    row = bench.run(make_job("adaptive_most", engine=engine))
    assert (row.status, row.ok, row.concurrency, row.tasks) == ("done", 1500, 24, 2)
    assert bench.figures()["max_in_flight"] == 24


def test_a_cold_start_is_no_reason_to_ask_less_at_once(bench: Bench) -> None:
    bench.behave(latency_ms=20, cold={"seconds": 2})
    bench.fill("adaptive_cold", texts(800))
    job = make_job("adaptive_cold", engine={"concurrency": "auto", "max_concurrency": 32, "flush_seconds": 0.2})
    row = bench.run(job)
    assert (row.status, row.ok) == ("done", 800)
    answered_once(bench, bench.outputs(job), 800)
    assert bench.figures()["max_in_flight"] > 8, "it grows as if nothing had been"


@pytest.mark.parametrize("tasks", [1, 2])
def test_requests_of_a_minute_hold_at_the_server_whatever_the_tasks(bench: Bench, tasks: int) -> None:
    rows, per_minute, seconds = 120, 1200, 3
    bench.fill(f"requests_{tasks}", texts(rows))
    engine = {"concurrency": 16, "tasks": tasks, "requests_per_minute": per_minute, "flush_seconds": 0.2}
    job = make_job(f"requests_{tasks}", engine=engine)
    assert bench.run(job).ok == rows
    answered_once(bench, bench.outputs(job), rows)
    a_second = per_minute / 60
    most = bench.figures(seconds=seconds)["busiest"]["requests"]
    assert most <= seconds * a_second + a_second + tasks
    assert most > seconds * a_second / 2, "the rate is used"


@pytest.mark.parametrize("tasks", [1, 2])
def test_tokens_of_a_minute_hold_at_the_server(bench: Bench, tasks: int) -> None:
    """The answer has about as many tokens as the text has words; the run cannot know that before the first answers."""
    rows, seconds = 100, 3
    text = "word " * 100
    bench.fill(f"tokens_{tasks}", [{"id": n, "text": f"{n} {text}"} for n in range(rows)])
    per_minute = 120_000
    engine = {"concurrency": 16, "tasks": tasks, "output_tokens_per_minute": per_minute, "flush_seconds": 0.2}
    job = make_job(
        f"tokens_{tasks}", engine=engine, request={"input": "{text}", "parameters": {"max_output_tokens": 300}}
    )
    row = bench.run(job)
    assert row.ok == rows
    answered_once(bench, bench.outputs(job), rows)
    used = bench.figures(seconds=seconds)["busiest"]["output_tokens"]
    assert used <= (seconds + 1) * per_minute / 60 + tasks * 300


def test_a_quota_of_the_endpoint_is_waited_out_and_not_run_into(bench: Bench) -> None:
    """40 requests in any 3 s: the run waits for each window, and wastes on it about what is in flight."""
    rows, concurrency = 100, 8
    bench.behave(latency_ms=10, quota={"requests": 40, "seconds": 3})
    bench.fill("paced", texts(rows))
    job = make_job("paced", engine={"concurrency": concurrency, "flush_seconds": 0.2}, limits={"attempts": 1})
    row = bench.run(job)
    assert (row.status, row.ok) == ("done", rows)
    answered_once(bench, bench.outputs(job), rows)
    assert bench.figures()["calls"] - rows <= 5 * concurrency
