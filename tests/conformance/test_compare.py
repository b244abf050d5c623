"""What two runs, endpoints or jobs answered, side by side, and what jobs cost: read from real tables, on both kinds of session."""

from typing import Any

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.comparison import Change, Comparison
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError
from rowcall.core.ports import Row
from rowcall.side_by_side import Tables, compare_answers
from support import Bench, make_job

PRICE = {"input": 2, "output": 8, "currency": "EUR"}


@pytest.fixture(params=["bench", "warehouse_bench"])
def anywhere(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue(request.param)


def compared(bench: Bench, runs: str, one: str, other: str | None = None, examples: int = 5) -> Comparison:
    return compare_answers(Tables(bench.session, sql_texts(), runs), one, other, examples)


def labelled(name: str, label: str, endpoint: str, **more: Any) -> JobDefinition:
    return make_job(name, endpoint={"serving": endpoint, "label": label, "price": PRICE}, **more)


def rows(count: int) -> list[dict[str, object]]:
    return [{"id": n, "text": f"row {n}"} for n in range(count)]


@pytest.mark.apache_spark
def test_two_endpoints_of_a_job(anywhere: Bench):
    name = "compare_endpoints"
    anywhere.fill(name, rows(10))
    other = {"status": 200, "body": {"choices": [{"message": {"role": "assistant", "content": "else"}}]}}
    refused = {"match": "row 7", "status": 400, "body": {"message": "no"}}
    anywhere.behave("echo-model", faults=[refused, {"match": "row 3", **other}, {"match": "row 4", **other}])
    fast, careful = labelled(name, "fast", "echo-model"), labelled(name, "careful", "echo")
    ran = [anywhere.run(job) for job in (fast, careful)]
    anywhere.behave("echo-model")
    assert [row.ok for row in ran] == [9, 10]
    found = compared(anywhere, f"main.test.{name}_runs", name)
    assert (found.a.name, found.b.name) == (f"{name}:careful", f"{name}:fast")
    assert (found.common, found.answered, found.same, found.compared) == (10, 9, 7, True)
    assert found.changes == (Change("ok", "error", 1),)
    assert [row["id"] for row in found.examples] == [3, 4, 7]
    assert (found.examples[0]["answer_a"], found.examples[0]["answer_b"]) == ("row 3", "else")
    assert (found.examples[2]["outcome_b"], found.examples[2]["answer_b"]) == ("error", None)
    assert (found.a.cost, found.a.input_tokens) == (pytest.approx(ran[1].cost), ran[1].input_tokens)
    assert (found.b.cost, found.b.currency) == (pytest.approx(ran[0].cost), "EUR")
    assert found.a.p95_latency_ms is not None
    assert found.a.median_latency_ms is not None
    assert found.a.p95_latency_ms >= found.a.median_latency_ms > 0
    with pytest.raises(RunError, match=f"rowcall compare {name}:fast {name}:careful"):
        compared(anywhere, f"main.test.{name}_runs", f"{name}:fast")
    by_run = compared(anywhere, f"main.test.{name}_runs", ran[1].run_id, ran[0].run_id)
    assert (by_run.common, by_run.same, by_run.changes) == (found.common, found.same, found.changes)
    with pytest.raises(RunError, match=f"job {name} has several endpoints; name one to compare: {name}:careful or"):
        compared(anywhere, f"main.test.{name}_runs", name, ran[0].run_id)
    named = compared(anywhere, f"main.test.{name}_runs", f"{name}:fast", f"{name}:careful", examples=0)
    assert (named.same, named.changes, named.examples) == (7, (Change("error", "ok", 1),), ())


def test_structured_answers_are_compared_field_by_field(anywhere: Bench):
    schema = {"schema": {"sentiment": "string", "words": "int", "tags": "array<string>"}}
    one, two = '{"sentiment":"good","words":3,"tags":["a"]}', '{"sentiment":"good","words":4,"tags":["a"]}'
    tagless = '{"sentiment":"bad","words":3,"tags":[]}'
    tables = {
        "runs": {"table": "main.test.compare_fields_runs"},
        "traces": {"table": "main.test.compare_fields_traces"},
    }
    ran: list[str] = []
    for job, texts in (("compare_fields_a", [one, one, tagless]), ("compare_fields_b", [one, two, tagless])):
        anywhere.fill(job, [{"id": n, "text": text} for n, text in enumerate(texts)])
        row = anywhere.run(make_job(job, endpoint={"serving": "echo"}, answer=schema, **tables))
        assert not row.failures
        ran.append(row.run_id)
    found = compared(anywhere, "main.test.compare_fields_runs", *ran)
    assert (found.answered, found.same) == (3, 2)
    assert found.fields == {"sentiment": 3, "words": 2, "tags": 3}
    (example,) = found.examples
    assert (example["id"], '"words":3' in example["answer_a"], '"words":4' in example["answer_b"]) == (1, True, True)
    jobs = compared(anywhere, "main.test.compare_fields_runs", "compare_fields_a", "compare_fields_b")
    assert (jobs.a.name, jobs.same) == ("compare_fields_a", 2)


def test_maps_are_the_same_in_any_order(anywhere: Bench):
    schema = {"schema": {"counts": "map<string,int>", "parts": "array<struct<of: map<string,int>>>"}}
    one = '{"counts":{"a":1,"b":2},"parts":[{"of":{"a":1,"b":2}}]}'
    turned = '{"counts":{"b":2,"a":1},"parts":[{"of":{"b":2,"a":1}}]}'
    other = '{"counts":{"a":1},"parts":[{"of":{"a":1,"b":2}}]}'
    runs = {"table": "main.test.compare_maps_runs"}
    for job, texts in (("compare_maps_a", [one, one]), ("compare_maps_b", [turned, other])):
        anywhere.fill(job, [{"id": n, "text": text} for n, text in enumerate(texts)])
        assert not anywhere.run(make_job(job, endpoint={"serving": "echo"}, answer=schema, runs=runs)).failures
    found = compared(anywhere, "main.test.compare_maps_runs", "compare_maps_a", "compare_maps_b")
    assert (found.answered, found.same, dict(found.fields)) == (2, 1, {"counts": 1, "parts": 2})


def test_rows_of_one_side_only_are_told(bench: Bench):
    name = "compare_more"
    bench.fill(name, rows(3))
    bench.run(labelled(name, "fast", "echo-model"))
    bench.fill(name, rows(5))
    bench.run(labelled(name, "careful", "echo"))
    found = compared(bench, f"main.test.{name}_runs", name)
    assert (found.common, found.same, found.changes) == (3, 3, (Change("ok", None, 2),))


def test_answers_that_a_later_run_replaced_are_said_to_be_gone(bench: Bench):
    name = "compare_replaced"
    job = make_job(name)
    louder = make_job(name, request={"input": "LOUD {text}"})
    bench.fill(name, rows(4))
    first = bench.run(job)
    bench.behave(faults=[{"match": "LOUD row 1", "status": 400}])
    second = bench.run(louder)
    with pytest.raises(RunError, match="have no key in common"):
        compared(bench, f"main.test.{name}_runs", first.run_id, second.run_id)
    bench.behave()
    third = bench.run(louder)
    assert (second.ok, third.asked) == (3, 1)
    with pytest.raises(RunError, match=f"nothing is left of run {first.run_id} in main.test.{name}_out"):
        compared(bench, f"main.test.{name}_runs", first.run_id, third.run_id)
    with pytest.raises(RunError, match="no key in common"):
        compared(bench, f"main.test.{name}_runs", second.run_id, third.run_id)
    job_side = compared(bench, f"main.test.{name}_runs", second.run_id, name)
    assert (job_side.a.rows, job_side.a.lost, job_side.b.rows, job_side.same) == (3, 1, 4, 3)


def test_what_cannot_be_compared_is_an_error(bench: Bench):
    name = "compare_errors"
    bench.fill(name, rows(2))
    runs = f"main.test.{name}_runs"
    one = bench.run(make_job(name))
    nothing = bench.run(make_job(name))
    text_key = make_job("compare_other_key", prompts={"table": "main.test.compare_other_key", "key": "name"})
    bench.fill("compare_other_key", [{"name": "a", "text": "x"}])
    other = bench.run(text_key.model_copy(update={"runs": make_job(name).runs}))
    for names, said in (
        ((one.run_id, "nobody"), "neither a run nor a job nobody"),
        ((one.run_id, nothing.run_id), f"run {nothing.run_id} asked nothing"),
        ((one.run_id, other.run_id), "the keys differ: .* has id bigint and .* has name string"),
        ((name, None), f"job {name} has no endpoints with names"),
        ((one.run_id, None), f"compare run {one.run_id} with another"),
        ((f"{name}:fast", one.run_id), f"job {name} has no endpoint fast"),
        (("2", "nobody"), "more than one run that begins with 2"),
        (("", "nobody"), "neither"),
        ((f"{name}:fast", None), f"{name}:fast is one endpoint; name another to compare it with"),
    ):
        with pytest.raises(RunError, match=said):
            compared(bench, runs, *names)


def test_answers_of_different_types_are_not_compared(bench: Bench):
    shared = {"runs": {"table": "main.test.compare_types_runs"}}
    bench.fill("compare_types_a", [{"id": 1, "text": '{"n": 1}'}])
    bench.fill("compare_types_b", [{"id": 1, "text": '{"n": 1}'}])
    one = bench.run(make_job("compare_types_a", **shared))
    two = bench.run(make_job("compare_types_b", answer={"schema": {"n": "int"}}, **shared))
    found = compared(bench, "main.test.compare_types_runs", one.run_id, two.run_id)
    assert (found.compared, found.answered, found.same, found.examples) == (False, 1, 0, ())


def costs(bench: Bench, runs: str, job: str = "") -> list[Row]:
    return bench.session.query(sql.costs(sql_texts(), sql.quote_table(runs)), {"job": job})


def test_costs_are_summed_by_job_endpoint_and_currency(anywhere: Bench):
    shared = {"runs": {"table": "main.test.costs_runs"}}
    anywhere.fill("costs_a", rows(4))
    anywhere.fill("costs_b", rows(3))
    priced = make_job("costs_a", endpoint={"app": "echo", "price": PRICE}, **shared)
    first = anywhere.run(priced)
    anywhere.fill("costs_a", rows(6))
    second = anywhere.run(priced)
    assert anywhere.run(priced).asked == 0
    anywhere.run(make_job("costs_b", **shared))
    a, b = costs(anywhere, "main.test.costs_runs")
    assert (a["job"], a["endpoint"], a["runs"], a["asked"], a["ok"]) == ("costs_a", "app echo", 2, 6, 6)
    assert (first.asked, second.asked) == (4, 2)
    assert first.cost is not None
    assert second.cost is not None
    assert (a["cost"], a["currency"]) == (pytest.approx(first.cost + second.cost), "EUR")
    assert a["cost_of_1000_ok"] == pytest.approx((first.cost + second.cost) / 6 * 1000)
    assert a["input_tokens"] == (first.input_tokens or 0) + (second.input_tokens or 0)
    assert a["first_run"] < a["last_run"]
    assert (b["job"], b["cost"], b["currency"], b["cost_of_1000_ok"]) == ("costs_b", None, None, None)
    assert (a["unfinished"], b["unfinished"]) == ([], [])
    anywhere.session.execute(
        f"UPDATE main.test.costs_runs SET status = 'running', asked = 0 WHERE run_id = '{second.run_id}'"
    )
    (a, _) = costs(anywhere, "main.test.costs_runs")
    assert (a["runs"], a["asked"], a["unfinished"]) == (1, 4, [second.run_id])
    assert [row["job"] for row in costs(anywhere, "main.test.costs_runs", "costs_b")] == ["costs_b"]
    assert costs(anywhere, "main.test.costs_runs", "nobody") == []
