"""A few rows first: what a limited run leaves to the next, and what its answers tell of it."""

import re
from typing import Any

import pytest

from rowcall.core.definition import JobDefinition
from rowcall.testing import RecordingReporter
from support import Bench, make_job

PRICE = {"input": 2, "output": 8, "currency": "EUR"}
ENGINES: dict[str, dict[str, Any]] = {
    "responses": {"kind": "responses", "concurrency": 8, "flush_seconds": 0.1},
    "ai_query": {"kind": "ai_query"},
}


@pytest.fixture(params=["bench", "warehouse_bench"])
def anywhere(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue(request.param)


def answered(bench: Bench, job: JobDefinition) -> set[int]:
    return {int(str(out["id"])) for out in bench.outputs(job)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limited_run_asks_so_many_rows_and_the_next_the_rest(anywhere: Bench, engine: str):
    name = f"limited_{engine}"
    job = make_job(name, endpoint={"serving": "echo"}, engine=ENGINES[engine])
    anywhere.fill(name, [{"id": n, "text": f"row {n}"} for n in range(200)])
    reporter = RecordingReporter()
    first = anywhere.run(job, limit=30, reporter=reporter)
    assert (first.status, first.asked, first.ok, first.pending_rows) == ("done", 30, 30, 30)
    assert first.context["rows_left_for_later"] == "170"
    pilot = answered(anywhere, job)
    assert len(pilot) == 30
    quarters = [sum(1 for key in pilot if key // 50 == part) for part in range(4)]
    assert min(quarters) >= 2, "rows come from all over the table"
    rest = anywhere.run(job)
    assert (rest.asked, rest.answered_rows, rest.ok) == (170, 30, 170)
    assert "rows_left_for_later" not in rest.context
    assert answered(anywhere, job) == set(range(200))
    assert anywhere.figures()["calls"] == 200


def test_the_same_rows_are_picked_again(bench: Bench):
    rows = [{"id": n, "text": f"row {n}"} for n in range(60)]
    picked: list[set[int]] = []
    for copy in ("one", "two"):
        job = make_job(f"picked_{copy}")
        bench.fill(f"picked_{copy}", rows)
        bench.run(job, limit=10)
        picked.append(answered(bench, job))
    assert picked[0] == picked[1]


def test_a_limit_above_what_is_left_changes_nothing(bench: Bench):
    job = make_job("generous")
    bench.fill("generous", [{"id": n, "text": f"row {n}"} for n in range(5)])
    row = bench.run(job, limit=500)
    assert (row.asked, row.pending_rows) == (5, 5)
    assert "rows_left_for_later" not in row.context


def test_after_a_pilot_the_rest_takes_what_the_plan_says(anywhere: Bench):
    job = make_job("pilot", endpoint={"app": "echo", "price": PRICE}, request={"input": "Say after me: {text}"})
    anywhere.fill("pilot", [{"id": n, "text": f"{n} " * (5 + n % 37)} for n in range(300)])
    before = anywhere.plan(job).estimate
    assert before.output_tokens.interval.expected is None
    assert before.cost is not None
    assert before.cost.interval.high is None
    anywhere.run(job, limit=50)
    after = anywhere.plan(job).estimate
    rest = anywhere.run(job)
    assert rest.asked == 250
    assert rest.cost is not None
    assert after.cost is not None
    taken = [
        (after.input_tokens, rest.input_tokens),
        (after.output_tokens, rest.output_tokens),
        (after.cost, rest.cost),
    ]
    for figure, actual in taken:
        assert re.match("50 answers", figure.reason)
        assert figure.interval.high is not None
        assert figure.interval.low <= actual <= figure.interval.high
        assert figure.interval.high < 2 * actual, "an interval that says something"
    assert after.seconds.interval.expected is not None


def test_answers_to_other_requests_tell_nothing(bench: Bench):
    bench.fill("other_words", [{"id": n, "text": f"row {n}"} for n in range(20)])
    bench.run(make_job("other_words"))
    changed = make_job("other_words", request={"input": "Loudly: {text}"})
    assert bench.plan(changed).estimate.output_tokens.interval.expected is None
    same = bench.plan(make_job("other_words"))
    assert same.estimate.output_tokens.interval.high == 0, "nothing is left to ask"


def test_cached_tokens_cost_in_the_plan_what_they_cost_in_the_run(bench: Bench):
    usage = {"input_tokens": 1000, "output_tokens": 100, "input_tokens_details": {"cached_tokens": 900}}
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
    bench.behave(faults=[{"status": 200, "body": {"object": "response", "output": [message], "usage": usage}}])
    price = {"input": 2, "output": 8, "cached_input": "0.5"}
    job = make_job("cached", endpoint={"app": "echo", "price": price})
    bench.fill("cached", [{"id": n, "text": f"row {n:02}"} for n in range(20)])
    row = bench.run(job, limit=10)
    assert (row.cached_tokens, row.cost) == (9000, pytest.approx(0.0145))
    cost = bench.plan(job).estimate.cost
    assert cost is not None
    assert cost.interval.expected == pytest.approx(0.0145)
