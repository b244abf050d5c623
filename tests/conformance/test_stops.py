"""Every way a run ends early: it publishes what there is, says why, and the next run goes on from there."""

from typing import Any

import pytest

from rowcall.core.report import RunRow
from support import Bench, make_job, texts

ROWS = 300
PRICE = {"input": 1000, "output": 1000}


def without_limits(name: str, **changes: Any) -> Any:
    return make_job(name, engine={"concurrency": 4, "flush_seconds": 0.1}, **changes)


def stopped(bench: Bench, name: str, message: str, **changes: Any) -> RunRow:
    """Run a job that ends early, look at what it left, and let the next run finish."""
    bench.fill(name, texts(ROWS))
    job = without_limits(name, **changes)
    row = bench.run(job)
    assert row.status == "stopped"
    assert message in (row.message or "")
    assert row.asked < ROWS
    kept = [dict(output) for output in bench.outputs(job) if output["outcome"] == "ok"]
    assert len(kept) == row.ok
    (written,) = bench.session.query(f"SELECT status, message, ok FROM {job.runs.table}")
    assert (written["status"], written["message"], written["ok"]) == ("stopped", row.message, row.ok)

    bench.behave()
    before = bench.figures()["answered"]
    again = bench.run(without_limits(name))
    assert (again.status, again.asked) == ("done", ROWS - row.ok)
    assert bench.figures()["answered"] - before == ROWS - row.ok, "what is answered is not paid for again"
    outputs = bench.outputs(job)
    assert [(output["id"], output["outcome"]) for output in outputs] == [(n, "ok") for n in range(ROWS)]
    by_key = {output["id"]: output["answered_at"] for output in outputs}
    assert all(by_key[output["id"]] == output["answered_at"] for output in kept), "old answers stay as they were"
    return row


def test_the_deadline(bench: Bench) -> None:
    bench.behave(latency_ms=200)
    stopped(bench, "stop_deadline", "limits.deadline has passed", limits={"deadline": 4})


@pytest.mark.apache_spark
def test_tokens(bench: Bench) -> None:
    bench.behave(latency_ms=20)
    row = stopped(bench, "stop_tokens", "limits.max_tokens is 400", limits={"max_tokens": 400})
    assert row.input_tokens + row.output_tokens >= 400


def test_cost(bench: Bench) -> None:
    bench.behave(latency_ms=20)
    endpoint = {"app": "echo", "price": PRICE}
    limits = {"max_cost": "0.4 USD"}
    row = stopped(bench, "stop_cost", "limits.max_cost is 0.4 USD", endpoint=endpoint, limits=limits)
    assert row.cost is not None
    assert row.cost >= 0.4


@pytest.mark.parametrize(("name", "most"), [("count", 15), ("share", "5%")])
def test_failures_by_count_or_share(bench: Bench, name: str, most: int | str) -> None:
    bench.behave(latency_ms=20, faults=[{"every": 3, "status": 400}])
    row = stopped(
        bench, f"stop_failures_{name}", "more than limits.max_failures allows (15)", limits={"max_failures": most}
    )
    assert row.failed > 15
    assert row.ok > row.failed


def test_rows_that_all_fail_alike(bench: Bench) -> None:
    bench.behave(
        latency_ms=20, faults=[{"status": 400, "body": {"error_code": "BAD_REQUEST", "message": "no such model"}}]
    )
    row = stopped(bench, "stop_alike", "every row so far failed alike, bad_request (HTTP 400): no such model")
    assert (row.ok, row.failures.get("bad_request", 0)) == (0, row.failed)


def test_a_login_that_is_refused(bench: Bench) -> None:
    bench.behave(faults=[{"status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": "not for you"}}])
    row = stopped(bench, "stop_refused", "permission_denied (HTTP 403): not for you")
    assert bench.figures()["calls"] - row.ok >= 1


def test_an_outage_that_lasts(bench: Bench) -> None:
    bench.behave(latency_ms=5)
    bench.run(without_limits("stop_outage_before", prompts={"query": "SELECT 1 AS id, 'x' AS text", "key": "id"}))
    bench.behave(faults=[{"status": 502}])
    limits = {"outage": 1.5, "attempts": 50}
    row = stopped(bench, "stop_outage", "the endpoint has served nobody for 1.5 s", limits=limits)
    assert row.asked == 0, "a row that nobody could answer has not failed"


def test_a_quota_of_hours(bench: Bench) -> None:
    bench.behave(faults=[{"status": 429, "headers": {"Retry-After": "7200"}}])
    row = stopped(bench, "stop_quota", "the endpoint asks to come back in 120 minutes")
    assert row.asked == 0
