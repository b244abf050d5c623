"""How an endpoint is asked: the API, the address, the shape of a body, and what the platform lets pass."""

from typing import Any

import pytest
from pydantic import ValidationError

from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import (
    AGENT_INFO,
    NO_INVOCATION,
    AgentServer,
    EndpointFacts,
    EndpointPlan,
    agent_server,
    endpoint_plan,
)
from rowcall.core.errors import DefinitionError
from rowcall.core.readiness import Readiness

HOST = "https://x.test"
MB = 1024 * 1024


def job(endpoint: dict[str, Any], **more: Any) -> JobDefinition:
    return JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": endpoint,
            "outputs": {"table": "main.sales.answers"},
            **more,
        }
    )


def made(endpoint: dict[str, Any], task: str = "", server: AgentServer = "", **more: Any) -> EndpointPlan:
    definition = job(endpoint, **more)
    base = definition.endpoint.base if "url" in endpoint else HOST
    return endpoint_plan(definition, EndpointFacts(base, task, server), None)


S, APP = {"serving": "s"}, {"app": "a"}
INPUTS = {"request": {"inputs": {"x": "{x}"}}}


@pytest.mark.parametrize(
    ("endpoint", "task", "api", "shape", "path"),
    [
        (S, "agent/v1/responses", "responses", "responses", "/serving-endpoints/responses"),
        (S, "agent/v2/chat", "chat", "chat", "/serving-endpoints/chat/completions"),
        (S, "agent/v1/chat", "chat", "chat", "/serving-endpoints/chat/completions"),
        (S, "llm/v1/chat", "chat", "chat", "/serving-endpoints/chat/completions"),
        (S, "", "responses", "responses", "/serving-endpoints/responses"),
        ({**S, "stream": True}, "llm/v1/chat", "chat", "chat", "/serving-endpoints/chat/completions"),
        ({**S, "api": "responses"}, "llm/v1/chat", "responses", "responses", "/serving-endpoints/responses"),
        ({**S, "api": "invocations"}, "llm/v1/chat", "invocations", "chat", "/serving-endpoints/s/invocations"),
        (
            {**S, "api": "invocations"},
            "agent/v1/responses",
            "invocations",
            "responses",
            "/serving-endpoints/s/invocations",
        ),
        ({**S, "shape": "inputs"}, "", "invocations", "inputs", "/serving-endpoints/s/invocations"),
        ({**S, "gateway": "mlflow"}, "llm/v1/chat", "chat", "chat", "/ai-gateway/mlflow/v1/chat/completions"),
        ({**S, "gateway": "openai"}, "agent/v1/responses", "responses", "responses", "/ai-gateway/openai/v1/responses"),
        ({"serving": "system.ai.m", "gateway": "mlflow"}, "", "chat", "chat", "/ai-gateway/mlflow/v1/chat/completions"),
        (APP, "", "responses", "responses", "/responses"),
        ({**APP, "api": "invocations"}, "", "invocations", "responses", "/invocations"),
        ({**APP, "shape": "chat"}, "", "invocations", "chat", "/invocations"),
        ({**APP, "api": "durable"}, "", "durable", "durable", "/api/invocations"),
        ({"url": f"{HOST}/v1"}, "", "responses", "responses", "/v1/responses"),
        ({"url": f"{HOST}/v1/responses/"}, "", "responses", "responses", "/v1/responses"),
        ({"url": f"{HOST}/v1/chat/completions"}, "", "chat", "chat", "/v1/chat/completions"),
        ({"url": f"{HOST}/invocations"}, "", "invocations", "responses", "/invocations"),
        ({"url": f"{HOST}/api/invocations"}, "", "durable", "durable", "/api/invocations"),
        ({"url": f"{HOST}/v1", "api": "chat"}, "", "chat", "chat", "/v1/chat/completions"),
    ],
)
def test_the_way_to_ask(endpoint: dict[str, Any], task: str, api: str, shape: str, path: str) -> None:
    plan = made(endpoint, task)
    assert (plan.api, plan.wire.shape, plan.url) == (api, shape, HOST + path)


@pytest.mark.parametrize(
    ("server", "api"),
    [("responses", "responses"), ("invocations", "invocations"), ("durable", "durable"), ("", "responses")],
)
def test_an_app_is_asked_as_its_server_says(server: AgentServer, api: str) -> None:
    plan = made(APP, server=server)
    assert (plan.api, plan.wire.run) == (api, "background" if server == "durable" else "direct")
    assert "app" in plan.api_reason


def test_an_app_on_the_durable_agent_server_does_not_stream() -> None:
    with pytest.raises(DefinitionError, match=r"endpoint.stream: runs on the durable agent server do not stream"):
        made({**APP, "stream": True}, server="durable")


def test_a_custom_model_is_asked_by_invocations_with_records() -> None:
    plan = made(S, **INPUTS)
    assert (plan.api, plan.wire.shape, plan.wire.model, plan.most_bytes) == ("invocations", "records", None, 16 * MB)
    assert made({**S, "shape": "inputs"}, **INPUTS).wire.shape == "inputs"


@pytest.mark.parametrize(
    ("endpoint", "task", "more", "said"),
    [
        (S, "llm/v1/embeddings", {}, "endpoint.serving: its task is llm/v1/embeddings"),
        ({**S, "api": "chat"}, "", INPUTS, "endpoint.api: request.inputs are for a custom model"),
        ({**S, "shape": "chat"}, "", INPUTS, "endpoint.shape: chat carries messages"),
        ({**S, "shape": "records"}, "", {}, "endpoint.shape: records are named columns"),
        ({**S, "stream": True}, "", INPUTS, "endpoint.stream: invocations with the shape records do not stream"),
        ({**S, "gateway": "mlflow"}, "", INPUTS, "endpoint.gateway: the AI gateway has no invocations"),
        ({**S, "gateway": "mlflow", "shape": "chat"}, "", {}, "endpoint.gateway: the AI gateway has no invocations"),
        (
            {"url": f"{HOST}/chat/completions", "background": True},
            "",
            {},
            "endpoint.background: chat with the shape chat have no runs in the background",
        ),
        (
            APP,
            "",
            {"request": {"input": "x", "databricks_options": {"return_trace": True}}},
            "request.databricks_options: are for Model Serving",
        ),
    ],
)
def test_what_does_not_go_together(endpoint: dict[str, Any], task: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        made(endpoint, task, **more)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        {**APP, "api": "chat"},
        {**APP, "api": "durable", "stream": True},
        {**APP, "background": True, "stream": True},
        {**S, "api": "durable"},
        {**S, "gateway": "mlflow", "api": "invocations"},
        {**S, "request_tags": {"a": "b"}},
        {**S, "gateway": "mlflow", "request_tags": {"a": "{b}"}},
        {**S, "background": True},
        {**S, "api": "chat", "shape": "chat"},
        {"url": f"{HOST}/v1", "api": "chat", "background": True},
        {"url": f"{HOST}/v1", "api_key": "sk-123"},
        {"url": f"{HOST}/v1", "api_key": "{{secrets/scope}}"},
    ],
)
def test_definitions_that_contradict_themselves(endpoint: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        job(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "limits", "timeout", "said"),
    [
        (APP, {}, 125, "120 s"),
        ({**APP, "stream": True}, {}, 305, "300 s"),
        ({**APP, "background": True}, {}, 60, "in the background"),
        ({**APP, "api": "durable"}, {}, 60, "in the background"),
        (S, {}, 300, "297 s"),
        (S, {"timeout": 30}, 30, "as the job says"),
        (APP, {"timeout": 600}, 600, "but the proxy in front of apps cuts an answer after 120 s"),
        ({"url": HOST}, {}, 120, "no answer"),
    ],
)
def test_the_time_of_an_exchange(endpoint: dict[str, Any], limits: dict[str, Any], timeout: int, said: str) -> None:
    plan = made(endpoint, limits=limits)
    assert plan.timeout == timeout
    assert said in plan.timeout_reason


@pytest.mark.parametrize(
    ("endpoint", "task", "most"),
    [
        (S, "agent/v1/responses", 4 * MB),
        (S, "llm/v1/chat", 4 * MB),
        (S, "", 16 * MB),
        (APP, "", None),
        ({"url": HOST}, "", None),
    ],
)
def test_the_largest_body(endpoint: dict[str, Any], task: str, most: int | None) -> None:
    assert made(endpoint, task).most_bytes == most


def test_headers_are_the_servers_own() -> None:
    assert made(APP).headers == (("x-mlflow-return-trace-id", "true"),)
    assert made({**APP, "api": "durable"}).headers == ()
    assert made(S, "agent/v1/responses").headers == ()
    tagged = made({**S, "gateway": "mlflow", "request_tags": {"team": "ü"}}).headers
    assert tagged == (("Databricks-Ai-Gateway-Request-Tags", '{"team": "\\u00fc"}'),)


def test_an_endpoint_that_will_not_answer_is_refused() -> None:
    facts = EndpointFacts(HOST, readiness=Readiness(hopeless="its compute is STOPPED"))
    with pytest.raises(DefinitionError, match=r"endpoint.app: app a cannot answer: its compute is STOPPED"):
        endpoint_plan(job(APP), facts, None)


@pytest.mark.parametrize(
    ("pages", "server"),
    [
        ({AGENT_INFO: (200, {"use_case": "agent", "agent_api": "responses"})}, "responses"),
        ({AGENT_INFO: (200, {"use_case": "agent"})}, "invocations"),
        (
            {AGENT_INFO: (404, {"detail": "Not Found"}), NO_INVOCATION: (404, {"detail": "invocation not found"})},
            "durable",
        ),
        ({AGENT_INFO: (404, {"detail": "Not Found"}), NO_INVOCATION: (404, {"detail": "Not Found"})}, ""),
        ({AGENT_INFO: (404, None), NO_INVOCATION: (404, None)}, ""),
        ({AGENT_INFO: (200, "<html>")}, ""),
        ({AGENT_INFO: (503, None)}, ""),
        ({}, ""),
    ],
)
def test_which_agent_server_an_app_runs(pages: dict[str, tuple[int, object]], server: str) -> None:
    assert agent_server(pages.get) == server
