"""`endpoints`: one definition for each, and mistakes told where they stand."""

import pytest

from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.reader import locate, parse_jobs

JOB = """
job: x
prompts: {table: main.a.b, key: id}
request: {input: "{text}"}
endpoints:
  fast: {serving: small, price: {input: 1, output: 2}}
  careful: {app: slow-one}
outputs: {table: main.a.c}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse_jobs(text, "x.yml")
    return [str(problem) for problem in caught.value.problems]


def test_the_job_is_there_once_for_each_endpoint_in_order() -> None:
    fast, careful = parse_jobs(JOB, "x.yml")
    assert (str(fast.endpoint), fast.endpoint.label) == ("serving small", "fast")
    assert (str(careful.endpoint), careful.endpoint.label) == ("app slow-one", "careful")
    assert fast.model_copy(update={"endpoint": careful.endpoint}) == careful


def test_a_job_with_one_endpoint_is_there_once() -> None:
    head, tail = JOB[: JOB.index("endpoints")], JOB[JOB.index("outputs") :]
    (only,) = parse_jobs(f"{head}endpoint: {{serving: small}}\n{tail}", "x.yml")
    assert only.endpoint.label is None


def test_mistakes_are_told_where_they_stand_and_once() -> None:
    text = JOB.replace("serving: small", "servin: small").replace("app: slow-one", "app: 5")
    said = problems(text.replace('{input: "{text}"}', "{}"))
    assert len(said) == 3
    assert said[0].startswith("x.yml:4")
    assert "request" in said[0]
    assert said[1].startswith("x.yml:6")
    assert "endpoints.fast.servin: unknown key" in said[1]
    assert said[2].startswith("x.yml:7")
    assert "endpoints.careful.app" in said[2]


def test_what_does_not_go_together_is_told_at_the_endpoint() -> None:
    (said,) = problems(JOB.replace("{app: slow-one}", "{app: slow-one, api: chat}"))
    assert "endpoints.careful: an app has no chat completions" in said


def test_a_name_is_a_name() -> None:
    (said,) = problems(JOB.replace("fast:", '"1 fast":'))
    assert "endpoints.1 fast" in said
    assert "expected a name" in said


@pytest.mark.parametrize("several", ["{}", "[{serving: a}]", "fast"])
def test_endpoints_are_a_mapping(several: str) -> None:
    (said,) = problems(JOB[: JOB.index("endpoints")] + f"endpoints: {several}\noutputs: {{table: main.a.c}}\n")
    assert "expected a mapping of names to endpoints" in said


def test_one_or_several_not_both() -> None:
    (said,) = problems(JOB + "endpoint: {serving: a}\n")
    assert "give one of the two" in said


def test_an_endpoint_is_called_by_its_key_only() -> None:
    (said,) = problems(JOB.replace("{app: slow-one}", "{app: slow-one, label: other}"))
    assert "labelled with its key" in said


def test_a_budget_needs_the_price_of_every_endpoint() -> None:
    (said,) = problems(JOB + "limits: {max_cost: 5 USD}\n")
    assert "limits.max_cost: needs endpoint.price" in said


def test_what_is_found_out_later_is_told_at_the_endpoint_that_is_asked() -> None:
    found = [Problem("", "endpoint.app", "there is no app"), Problem("", "prompts.key", "is NULL")]
    first, second = locate(found, JOB, "x.yml", "careful")
    assert (first.key, first.line) == ("prompts.key", 3)
    assert (second.key, second.line) == ("endpoints.careful.app", 7)
