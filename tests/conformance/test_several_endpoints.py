"""One job, several endpoints: one answer for each key and endpoint, in one table."""

from pathlib import Path
from typing import Any

import pytest

from rowcall import api
from rowcall.core.errors import DefinitionError
from rowcall.core.report import RunRow
from rowcall.facts import LoadedJob
from rowcall.testing import RecordingReporter
from support import Bench, make_job

NAMES = ("fast", "careful")
ENGINES = {"responses": "{kind: responses, concurrency: 4}", "ai_query": "{kind: ai_query}"}


@pytest.fixture(params=["bench", "warehouse_bench"])
def anywhere(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue(request.param)


def loaded(folder: Path, name: str, engine: str = "responses", endpoints: str = "", key: str = "id") -> LoadedJob:
    """A job over `main.test.<name>` that asks two endpoints."""
    path = folder / f"{name}.yml"
    path.write_text(
        f"""
job: {name}
prompts: {{table: main.test.{name}, key: {key}}}
request: {{input: "{{text}}"}}
endpoints: {endpoints or "{fast: {serving: echo-model}, careful: {serving: echo}}"}
engine: {ENGINES[engine]}
outputs: {{table: main.test.{name}_out}}
traces: {{table: main.test.{name}_traces}}
runs: {{table: main.test.{name}_runs}}
"""
    )
    return api.load_job(path)


def run(bench: Bench, job: LoadedJob, **options: Any) -> list[RunRow]:
    return [api.run_here(one, bench.surroundings(), reporter=RecordingReporter(), **options) for one in job.each()]


def outputs(bench: Bench, name: str) -> list[tuple[Any, ...]]:
    found = bench.session.query(f"SELECT * FROM main.test.{name}_out ORDER BY id, endpoint")
    return [(out["id"], out["endpoint"], out["answer"], out["outcome"]) for out in found]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_key_has_an_answer_of_every_endpoint(anywhere: Bench, engine: str):
    name = f"several_{engine}"
    anywhere.behave("echo-model")
    anywhere.fill(name, [{"id": n, "text": f"row {n}"} for n in range(12)])
    job = loaded(anywhere.folder, name, engine)
    rows = run(anywhere, job)
    assert [(row.status, row.ok, row.endpoint) for row in rows] == [
        ("done", 12, "serving echo-model"),
        ("done", 12, "serving echo"),
    ]
    assert [row.context["endpoint"] for row in rows] == ["fast", "careful"]
    assert outputs(anywhere, name) == [
        (n, endpoint, f"row {n}", "ok") for n in range(12) for endpoint in ("careful", "fast")
    ]
    assert [row.asked for row in run(anywhere, job)] == [0, 0]
    anywhere.fill(name, [{"id": n, "text": f"row {n}"} for n in range(13)])
    assert [row.asked for row in run(anywhere, job)] == [1, 1]
    assert (anywhere.figures("echo-model")["calls"], anywhere.figures("echo")["calls"]) == (13, 13)


@pytest.mark.parametrize("key", ["id", "[id, part]"])
def test_a_limit_picks_the_same_rows_for_each_of_them(anywhere: Bench, key: str):
    name = f"several_limit_{len(key)}"
    anywhere.behave("echo-model")
    anywhere.fill(name, [{"id": n, "part": f"part {n % 3}", "text": f"row {n}"} for n in range(40)])
    job = loaded(anywhere.folder, name, key=key)
    for asked in (7, 14):
        assert [row.asked for row in run(anywhere, job, limit=7)] == [7, 7]
        picked = {endpoint: {id_ for id_, of, *_ in outputs(anywhere, name) if of == endpoint} for endpoint in NAMES}
        assert picked["fast"] == picked["careful"]
        assert len(picked["fast"]) == asked
        assert picked["fast"] != set(range(asked)), "they are spread over the table"


def test_one_of_them_may_fail_alone(bench: Bench):
    name = "several_fail"
    bench.behave("echo-model", faults=[{"match": "row 3", "status": 400, "body": {"message": "no"}}])
    bench.fill(name, [{"id": n, "text": f"row {n}"} for n in range(5)])
    fast, careful = run(bench, loaded(bench.folder, name))
    bench.behave("echo-model")
    assert (fast.ok, careful.ok) == (4, 5)
    assert [out for out in outputs(bench, name) if out[3] != "ok"] == [(3, "fast", None, "error")]


def test_each_of_them_says_what_it_replaces_of_another_job(bench: Bench):
    name = "several_takes"
    bench.fill(name, [{"id": n, "text": f"row {n}"} for n in range(3)])
    first = loaded(bench.folder, name)
    assert [row.ok for row in run(bench, first)] == [3, 3]
    others = [
        one.definition.model_copy(
            update={
                "job": f"{name}_2",
                "request": one.definition.request.model_copy(update={"input": "otherwise: {text}"}),
            }
        )
        for one in first.each()
    ]
    for job in others:
        assert f"job {name} has answered 3 of these rows" in bench.plan(job).plan.rows.takeover
        assert bench.run(job).ok == 3


def test_two_names_may_stand_for_one_endpoint(bench: Bench):
    name = "several_same"
    bench.fill(name, [{"id": n, "text": f"row {n}"} for n in range(3)])
    job = loaded(bench.folder, name, endpoints="{first: {serving: echo}, second: {serving: echo}}")
    assert [row.ok for row in run(bench, job)] == [3, 3]
    assert len(outputs(bench, name)) == 6


def test_one_of_them_can_be_asked_alone(bench: Bench):
    name = "several_one"
    bench.fill(name, [{"id": 1, "text": "row 1"}])
    job = loaded(bench.folder, name)
    assert bench.plan(job.asking("careful").definition).plan.endpoint_label == "careful"
    with pytest.raises(DefinitionError, match=r"no endpoint 'slow'.*fast, careful"):
        job.asking("slow")
    named = loaded(bench.folder, name, endpoints="{fast: {serving: echo}}")
    with pytest.raises(DefinitionError, match=r"no endpoint 'slow'.*There are: fast"):
        named.asking("slow")
    alone = api.load_job(make_job(name))
    with pytest.raises(DefinitionError, match=r"no endpoint 'slow'.*The job has one endpoint"):
        alone.asking("slow")
    with pytest.raises(DefinitionError, match="several endpoints, fast and careful"):
        api.run(job)


def test_prompt_rows_with_such_a_column_are_told(bench: Bench):
    name = "several_column"
    bench.fill(name, [{"id": 1, "text": "row 1", "Endpoint": "x"}])
    first = loaded(bench.folder, name).each()[0]
    with pytest.raises(DefinitionError) as caught:
        api.plan_here(first, bench.surroundings())
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("endpoints.fast.label", 5)
    assert "'Endpoint'" in problem.message


def test_a_table_of_one_endpoint_is_not_that_of_several(bench: Bench):
    name = "several_late"
    bench.fill(name, [{"id": 1, "text": "row 1"}])
    job = loaded(bench.folder, name, endpoints="{fast: {serving: echo-model}}")
    unnamed = job.definition.endpoint.model_copy(update={"label": None})
    assert bench.run(job.definition.model_copy(update={"endpoint": unnamed})).ok == 1
    with pytest.raises(DefinitionError, match="exists but lacks endpoint"):
        run(bench, job)
