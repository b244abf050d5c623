"""The table behind `engine: auto`, row by row, and what each engine cannot do."""

from typing import Any

import pytest

from rowcall.core.definition import JobDefinition
from rowcall.core.engine_choice import (
    MANY_ROWS,
    NO_AI_QUERY,
    NO_RESPONSES,
    PREFERRED,
    Choice,
    Situation,
    choose,
    obstacle,
    worth_probing,
)

LLM, AGENT = "llm/v1/chat", "agent/v1/responses"
SERVING = {"serving": "my-endpoint"}
PRICE = {"input": "0.1", "output": "0.4"}


def situation(job: dict[str, Any] | None = None, **more: Any) -> Situation:
    definition = JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": SERVING,
            "outputs": {"table": "main.sales.answers"},
            **(job or {}),
        }
    )
    there = {"task": "", "session": "SQL warehouse", "knows_ai_query": True, "rows": 100, **more}
    return Situation(definition, **there)


def parameters(**more: object) -> dict[str, Any]:
    return {"request": {"input": "{text}", "parameters": more}}


NO_AI_QUERY_CASES: list[tuple[Situation, str]] = [
    (
        situation(cut=True),
        "how much ai_query asks at once is the platform's to decide: its runs are not cut into shards",
    ),
    (situation({"endpoint": {"app": "agent"}}), "ai_query does not reach apps"),
    (
        situation({"endpoint": {"url": "http://localhost:1/v1"}}),
        "ai_query reaches endpoints of its own workspace only",
    ),
    (
        situation({"endpoint": {**SERVING, "gateway": "mlflow"}}),
        "ai_query does not go through the paths of the AI gateway",
    ),
    (situation(knows_ai_query=False), "SQL warehouse does not know ai_query"),
    (
        situation({"request": {"input": "x", "databricks_options": {"return_trace": True}}}),
        "ai_query brings no traces and passes no databricks_options on",
    ),
    (situation({"endpoint": {**SERVING, "stream": True}}), "ai_query does not stream"),
    (
        situation({"endpoint": {**SERVING, "price": PRICE}, "limits": {"max_cost": "5 USD"}}),
        "ai_query does not tell the tokens that limits.max_cost needs",
    ),
    (
        situation({"limits": {"max_tokens": 1000}}),
        "ai_query does not tell the tokens that limits.max_tokens needs",
    ),
    (
        situation(refusal="[UNRESOLVED_ROUTINE] no ai_query"),
        "SQL warehouse refuses the call: [UNRESOLVED_ROUTINE] no ai_query",
    ),
]


@pytest.mark.parametrize("place", range(len(NO_AI_QUERY)))
def test_where_ai_query_cannot_be_used(place: int) -> None:
    """Each rule has one case, which no earlier rule decides."""
    made, words = NO_AI_QUERY_CASES[place]
    assert [rule for rule, (holds, _) in enumerate(NO_AI_QUERY) if holds(made)] == [place]
    assert obstacle(made, "ai_query") == words
    assert choose(made) == Choice("responses", words)


def test_where_responses_cannot_be_used() -> None:
    made, words = situation({"request": {"input": "what is it?", "files": "{photo}"}}), "files are sent with ai_query"
    assert obstacle(made, "responses") == words
    assert choose(made) == Choice("ai_query", words)
    assert len(NO_RESPONSES) == 1


def test_custom_models_are_asked_over_http_where_there_is_no_ai_query() -> None:
    made = situation({"request": {"inputs": {"text": "{text}"}}}, knows_ai_query=False)
    assert choose(made) == Choice("responses", "SQL warehouse does not know ai_query")


def test_where_both_can_be_used_there_is_no_obstacle() -> None:
    assert obstacle(situation(), "ai_query") is None
    assert obstacle(situation(), "responses") is None


PREFERRED_CASES: list[tuple[Situation, Choice]] = [
    (
        situation({"endpoint": {**SERVING, "price": PRICE}}),
        Choice("responses", "endpoint.price is set, and HTTP replies tell the tokens"),
    ),
    (
        situation({"request": {"inputs": {"text": "{text}"}}}),
        Choice("ai_query", "a custom model's rows are best asked inside the platform"),
    ),
    (
        situation(task=AGENT, rows=10**6),
        Choice("responses", "its task is agent/v1/responses: HTTP replies tell tokens and bring traces"),
    ),
    (
        situation(parameters(temperature="{heat}")),
        Choice("responses", "its parameters differ from row to row"),
    ),
    (
        situation(task=LLM, rows=12_480),
        Choice("ai_query", "its task is llm/v1/chat, and 12,480 rows are best asked inside the platform"),
    ),
    (
        situation(task=LLM, rows=12),
        Choice(
            "responses",
            "its task is llm/v1/chat; for fewer than 500 rows HTTP replies are quicker, and tell the tokens",
        ),
    ),
    (situation(rows=10**6), Choice("responses", "it reaches every endpoint and brings usage and traces")),
]


@pytest.mark.parametrize("place", range(len(PREFERRED)))
def test_which_is_preferred(place: int) -> None:
    made, choice = PREFERRED_CASES[place]
    assert next(rule for rule, (holds, _, _) in enumerate(PREFERRED) if holds(made)) == place
    assert choose(made) == choice


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (situation({"endpoint": {**SERVING, "price": PRICE}}, task=LLM, rows=10**6), "responses"),
        (situation(parameters(top_k="{n}"), task=LLM, rows=10**6), "responses"),
        (situation(parameters(top_k=5, stop=["a"]), task=LLM, rows=10**6), "ai_query"),
        (situation(parameters(deep={"er": ["no. {n}"]}), task=LLM, rows=10**6), "responses"),
        (situation(task=LLM, rows=MANY_ROWS), "ai_query"),
        (situation(task=LLM, rows=MANY_ROWS - 1), "responses"),
        (situation(task=LLM, rows=None), "responses"),
        (situation(task="llm/v1/embeddings", rows=10**6), "ai_query"),
    ],
)
def test_what_goes_before_what(made: Situation, kind: str) -> None:
    assert choose(made).kind == kind


@pytest.mark.parametrize(
    "constant", [{"reasoning": {"effort": "low"}}, {"stop": ["{{", "}}"]}, {"logit_bias": {}}, {"x": [{"y": 1}]}]
)
def test_constant_parameters_do_not_differ_from_row_to_row(constant: dict[str, object]) -> None:
    assert choose(situation(parameters(**constant), task=LLM, rows=10**6)).kind == "ai_query"


@pytest.mark.parametrize("kind", ["responses", "ai_query"])
@pytest.mark.parametrize("endpoint", [SERVING, {"app": "agent"}])
def test_a_job_that_names_an_engine_gets_it(kind: str, endpoint: dict[str, str]) -> None:
    """Whether it can be used is said by `obstacle`."""
    made = situation({"engine": kind, "endpoint": endpoint}, task=LLM, rows=10**6)
    assert choose(made) == Choice(kind, "as the job says")


class TestWorthProbing:
    @pytest.mark.parametrize("rows", [None, 0, 1, 10**6])
    def test_a_model_is_however_many_rows_there_are(self, rows: int | None) -> None:
        assert worth_probing(situation(task=LLM, rows=rows))

    @pytest.mark.parametrize("task", ["", AGENT, LLM])
    def test_a_job_that_names_ai_query_is(self, task: str) -> None:
        assert worth_probing(situation({"engine": "ai_query"}, task=task))

    def test_what_only_ai_query_can_send_is(self) -> None:
        assert worth_probing(situation({"request": {"inputs": {"text": "{text}"}}}))
        assert worth_probing(situation({"request": {"input": "what is it?", "files": "{photo}"}}, task=LLM))

    @pytest.mark.parametrize("engine", ["auto", "responses", "ai_query"])
    @pytest.mark.parametrize("endpoint", [{"app": "agent"}, {"url": "http://localhost:1/v1"}])
    def test_an_endpoint_that_ai_query_does_not_reach_never_is(self, engine: str, endpoint: dict[str, str]) -> None:
        assert not worth_probing(situation({"engine": engine, "endpoint": endpoint}, task=LLM, rows=10**6))

    @pytest.mark.parametrize("request_", [{"input": "{text}"}, {"inputs": {"text": "{text}"}}])
    def test_a_job_that_names_responses_never_is(self, request_: dict[str, Any]) -> None:
        assert not worth_probing(situation({"engine": "responses", "request": request_}, task=LLM, rows=10**6))

    def test_nor_is_what_would_be_asked_over_http_anyway(self) -> None:
        assert not worth_probing(situation(task=AGENT, rows=10**6))
        assert not worth_probing(situation(rows=10**6))
        assert not worth_probing(situation({"endpoint": {**SERVING, "price": PRICE}}, task=LLM, rows=10**6))
        assert not worth_probing(situation(knows_ai_query=False, task=LLM, rows=10**6))
