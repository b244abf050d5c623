"""Job definitions from text: what is read, and what a person is told (tests/golden/definitions)."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rowcall.core.definition import Answer, AppEndpoint, JobDefinition, ServingEndpoint, UrlEndpoint
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.reader import MAX_CHARACTERS, parse_job
from rowcall.core.job_file.variables import fill_text

DEFINITIONS = Path(__file__).parents[3] / "golden" / "definitions"

GOOD = """\
job: review_triage
description: Sentiment and topic of every customer review, each night.

variables:
  catalog: main
  calls: 64

prompts:
  table: ${catalog}.bakehouse.reviews
  key: review_id
  where: review IS NOT NULL

request:
  instructions: You triage customer reviews for a bakery chain.
  input: "Review of {franchise}: {review}"
  parameters: {temperature: 1e-1, user: 007, tags: [yes, 2024-01-01, null]}

endpoint:
  app: review-triage
  price: {input: 0.15, output: "0.60"}

engine:
  kind: responses
  concurrency: ${calls}

answer:
  schema: {sentiment: [good, bad], topic: string, urgent: boolean}

outputs: {table: "${catalog}.bakehouse.review_triage"}
limits: {attempts: 6, deadline: 2h, max_failures: 5%, max_cost: 20 USD}
"""
SMALL = """\
job: small
prompts: {table: main.a.b, key: id}
request: {input: "{text}"}
endpoint: {serving: agent}
outputs: {table: main.a.c}
"""


def problems(text: str, variables: dict[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(DefinitionError) as caught:
        parse_job(text, "x.yml", variables)
    return caught.value.problems


def message(text: str, variables: dict[str, str] | None = None) -> str:
    (problem,) = problems(text, variables)
    return str(problem)


@pytest.mark.parametrize("path", sorted(DEFINITIONS.glob("*.yml")), ids=lambda path: path.stem)
def test_a_bad_definition_is_explained(path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_job(path.read_text("utf-8"), f"jobs/{path.name}")
    told, golden = f"{caught.value}\n", path.with_suffix(".txt")
    if "ROWCALL_UPDATE_GOLDEN" in os.environ:
        golden.write_text(told, "utf-8")
    assert told == golden.read_text("utf-8"), "run with ROWCALL_UPDATE_GOLDEN=1 if this reads better"


def test_a_good_definition_is_read() -> None:
    definition = parse_job(GOOD, "jobs/x.yml")

    assert definition.job == "review_triage"
    assert definition.prompts.table == "main.bakehouse.reviews"
    assert definition.prompts.key == ("review_id",)
    assert definition.engine.concurrency == 64
    assert definition.endpoint == AppEndpoint.model_validate(
        {"app": "review-triage", "price": {"input": "0.15", "output": "0.60"}}
    )
    assert isinstance(definition.answer, Answer)
    assert definition.limits.deadline == 7200
    assert definition.outputs.table == "main.bakehouse.review_triage"


def test_scalars_mean_what_they_mean_in_editors() -> None:
    parameters = parse_job(GOOD, "x.yml").request.parameters

    assert parameters == {"temperature": 0.1, "user": 7, "tags": ["yes", "2024-01-01", None]}


@pytest.mark.parametrize("endpoint", ["{serving: m}", "{url: 'http://x/v1', model: m, api_key: 'env:KEY'}"])
def test_every_endpoint_is_read(endpoint: str) -> None:
    definition = parse_job(SMALL.replace("{serving: agent}", endpoint), "x.yml")

    assert isinstance(definition.endpoint, (ServingEndpoint, UrlEndpoint))


def test_anchors_and_merges() -> None:
    text = SMALL.replace("{serving: agent}", "\n  <<: &price {price: {input: 1, output: 2}}\n  serving: agent")
    merged = text + "request2: &r {input: x}\n"

    assert parse_job(text, "x.yml").endpoint.price is not None
    assert "request2" in message(merged)


def test_own_keys_win_over_merged_ones() -> None:
    text = SMALL.replace("{serving: agent}", "{<<: {serving: theirs, stream: true}, serving: ours}")
    endpoint = parse_job(text, "x.yml").endpoint

    assert isinstance(endpoint, ServingEndpoint)
    assert (endpoint.serving, endpoint.stream) == ("ours", True)


def test_problems_carry_their_place_in_order_of_lines() -> None:
    found = problems("job: 1x\nprompts:\n  key: id\n  wher: x\n  table: [a]\n")

    assert [(p.line, p.column, p.key) for p in found] == [
        (1, 1, "request"),
        (1, 1, "endpoint"),
        (1, 1, "outputs"),
        (1, 6, "job"),
        (4, 3, "prompts.wher"),
        (5, 3, "prompts.table"),
    ]
    assert all(p.file == "x.yml" for p in found)


def test_the_command_line_wins_and_keeps_types() -> None:
    definition = parse_job(GOOD, "x.yml", {"catalog": "dev", "calls": "8"})

    assert definition.prompts.table == "dev.bakehouse.reviews"
    assert definition.engine.concurrency == 8


@pytest.mark.parametrize(
    ("value", "where"),
    [("true", "true"), ("2024", "2024"), ("1e3", "1e3"), ("a = 'b: c'", "a = 'b: c'"), ("", None)],
)
def test_a_text_from_the_command_line_stays_a_text_where_one_is_asked_for(value: str, where: str | None) -> None:
    text = SMALL.replace("key: id", "key: id, where: '${where}'")

    assert parse_job(text, "x.yml", {"where": value}).prompts.where == where


def test_a_quoted_value_of_the_section_stays_a_text() -> None:
    text = SMALL.replace('"{text}"', "x, parameters: {a: '${a}', b: '${b}', c: '${b}!'}")
    definition = parse_job(text + "variables: {a: '1', b: 0.10}\n", "x.yml")

    assert definition.request.parameters == {"a": "1", "b": 0.1, "c": "0.10!"}


def test_a_doubled_dollar_is_a_literal() -> None:
    text = SMALL.replace('"{text}"', '"costs $${price} or $$${x} $ {y}"')

    assert parse_job(text, "x.yml").request.input == "costs ${price} or $${x} $ {y}"


def test_what_a_variable_holds_is_not_filled_again() -> None:
    text = SMALL.replace('"{text}"', '"${a}"')

    assert parse_job(text, "x.yml", {"a": "${b}"}).request.input == "${b}"


def test_a_variable_may_be_used_in_the_file_of_a_query_alone() -> None:
    text = SMALL.replace("table: main.a.b", "file: q.sql") + "variables: {catalog: main}\n"

    assert parse_job(text, "x.yml", {"day": "today"}).variables == {"catalog": "main"}
    assert len(problems(text.replace("file: q.sql", "table: main.a.b"), {"day": "today"})) == 2


def test_a_text_that_is_no_definition_is_filled_once() -> None:
    text = "SELECT '$${day}', '${day}', '${who}', $x FROM ${catalog}.t"

    filled = fill_text(text, {"day": "${catalog}", "catalog": "main"})

    assert filled == "SELECT '${day}', '${catalog}', '${who}', $x FROM main.t"


def test_a_file_that_is_no_definition_but_very_long_is_refused_unread() -> None:
    for text in ("job: a\ndescription: " + "x" * MAX_CHARACTERS, "a: [" + "1," * MAX_CHARACTERS, "[" * 10**7):
        assert message(text).startswith("x.yml: the file has more than 250,000 characters.")


def test_an_undefined_variable_stands_at_its_line() -> None:
    text = GOOD.replace("${calls}", "${cals}")

    assert [str(problem) for problem in problems(text)] == [
        "x.yml:6: variables.calls: is never used. Did you mean `cals`?",
        'x.yml:24: engine.concurrency: there is no variable "cals". Did you mean ${calls}? '
        "Defined: calls, catalog. Give it with --var cals=value.",
    ]


def test_a_given_variable_that_is_not_used() -> None:
    assert message(GOOD, {"catlog": "dev"}) == "x.yml:1: --var catlog: is never used. Did you mean `catalog`?"


def test_a_value_says_which_variable_it_came_from() -> None:
    assert message(GOOD, {"calls": "lots"}) == (
        'x.yml:24: engine.concurrency: is "lots" (from "${calls}"); expected a whole number from 1 to 4096 or `auto`.'
    )


def test_a_budget_without_a_price_stands_at_the_budget() -> None:
    told = message(GOOD.replace("  price: {", "  # price: {"))

    assert told.startswith("x.yml:30: limits.max_cost: needs endpoint.price")


@pytest.mark.parametrize(
    "section",
    [
        "engine: {concurrency: true}",
        "engine: {tasks: true}",
        "limits: {attempts: false}",
        "limits: {max_failures: true}",
        "limits: {deadline: true}",
    ],
)
def test_true_is_not_a_number(section: str) -> None:
    assert "; expected " in message(f"{SMALL}{section}\n")


def test_every_problem_of_an_answer_schema_has_its_place() -> None:
    found = problems(SMALL + "answer:\n  schema:\n    mood: strnig\n    topics:\n      - 1\n")

    assert [(problem.line, problem.key) for problem in found] == [
        (8, "answer.schema.mood"),
        (9, "answer.schema.topics"),
    ]


def test_a_key_is_never_shown() -> None:
    text = SMALL.replace("{serving: agent}", "{url: 'http://x', apikey: sk-live-1234}")

    assert "sk-live" not in "".join(map(str, problems(text)))


def test_long_values_are_shortened() -> None:
    (problem,) = problems(SMALL.replace("{serving: agent}", "x" * 500))

    assert len(problem.message) < 150
    assert "…" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "[" * 5000,
        "- " * 5000,
        "a: !!python/object/apply:os.system [echo]",
        '"\\UFFFFFFFF"',
        '"\\ud800"',
        "%YAML 1." + "9" * 5000 + "\n---\na",
        "a: " + "9" * 5000,
        "x: &a {}\n" + "".join(f"x{n}: &x{n} {{<<: [{', '.join(['*a'] * 99)}]}}\n" for n in range(99)),
        "? {a: b}\n: c",
        "\ufeffjob: x",
        "job: x\r\n\tb: 1\r\n",
        "a: 1\u2028b: 2",
    ],
)
def test_hostile_text_is_refused_in_words(text: str) -> None:
    assert problems(text)


def complaints(text: str, variables: dict[str, str] | None = None) -> tuple[Problem, ...]:
    """What is wrong with the text, nothing when it is read; no other exception may come out."""
    try:
        assert isinstance(parse_job(text, "x.yml", variables), JobDefinition)
    except DefinitionError as error:
        found = error.problems
    else:
        return ()
    assert found
    return found


def read(text: str, variables: dict[str, str] | None = None) -> None:
    """Reads the text, or checks that what is wrong is told with its place."""
    found = complaints(text, variables)
    for problem in found:
        placed = 1 <= problem.line <= len(text.splitlines()) and problem.column >= 1
        assert placed or problem.message == "the file is empty."
        assert problem.message.endswith((".", "?"))
        str(problem).encode()
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)


@given(st.text())
def test_any_text_is_read_or_explained(text: str) -> None:
    read(text)


@given(st.text(alphabet="ab:{}[]&*!|>'\"#%@`-?,$<~01.\\ \n\t", max_size=60))
@example("a: ${")
@example("a: !")
@example("? a: b\n? - c\n")
@example("<<: {a: &b 1}\nc: *b")
def test_any_yaml_like_text_is_read_or_explained(text: str) -> None:
    read(text)


SCRAPS = ["", "\t", "\n", "  ", ": ", "- ", "{", "}", "[", '"', "&a ", "*a", "${", "!x "]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The good definition with some pieces cut out, doubled, or replaced by YAML's own characters."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from([text[start:end] * 2, *SCRAPS])) + text[end:]
    return text


@given(damaged())
@settings(max_examples=300)
def test_a_damaged_definition_is_read_or_explained(text: str) -> None:
    read(text)


words = st.text(max_size=5) | st.sampled_from(["key", "table", "app", "kind", "auto", "5%", "${calls}"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def replaced(data: Any, draw: st.DrawFn, new: Any) -> Any:
    """The data with one value, somewhere, that is another."""
    if not isinstance(data, (dict, list)) or not data or draw(st.integers(0, 3)) == 0:
        return new
    if isinstance(data, list):
        where = draw(st.integers(0, len(data) - 1))
        return [replaced(item, draw, new) if at == where else item for at, item in enumerate(data)]
    name = draw(st.sampled_from(sorted(data)))
    return {**data, name: replaced(data[name], draw, new)}


@st.composite
def wrongly_filled(draw: st.DrawFn) -> str:
    data = yaml.safe_load(GOOD)
    for _ in range(draw(st.integers(1, 5))):
        data = replaced(data, draw, draw(json_values))
    return yaml.safe_dump(data, allow_unicode=True, default_flow_style=draw(st.booleans()))


@given(wrongly_filled())
@settings(max_examples=300)
def test_any_data_is_read_or_explained_without_jargon(text: str) -> None:
    read(text)
    told = "".join(map(str, complaints(text)))
    assert not any(word in told for word in ("Input", "pydantic", "valid ", "Value error"))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_any_variables_are_read_or_explained(variables: dict[str, str]) -> None:
    read(SMALL.replace('"{text}"', '"${a}"') + "description: ${b}\n", variables)
