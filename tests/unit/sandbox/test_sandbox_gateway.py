"""The paths of the AI gateway: the same endpoints by the model in the body, hosted models by their catalog names too."""

import json
from typing import Any

import pytest
import requests
from sandbox_user import SECONDS, Workspace

GATEWAYS = ["/ai-gateway/mlflow/v1", "/ai-gateway/openai/v1"]
TAGS = "Databricks-Ai-Gateway-Request-Tags"


def chat(model: str, text: str = "hi") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("model", ["echo-model", "system.ai.echo-model", "echo-chat-model"])
def test_chats_are_completed(workspace: Workspace, gateway: str, model: str) -> None:
    reply = workspace.post(f"{gateway}/chat/completions", json=chat(model), headers={TAGS: '{"job": "triage"}'})
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"] == "hi"
    name = model.removeprefix("system.ai.")
    recorded = workspace.http.get(f"{workspace.host}/sandbox/requests/{name}", timeout=SECONDS).json()[-1]
    assert (recorded["path"], recorded["headers"][TAGS.lower()]) == (f"{gateway}/chat/completions", '{"job": "triage"}')


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("model", ["echo", "system.ai.echo-model"])
def test_responses_are_made_and_streamed(workspace: Workspace, gateway: str, model: str) -> None:
    question = {"model": model, "input": [{"role": "user", "content": "hi"}]}
    reply = workspace.post(f"{gateway}/responses", json=question).json()
    assert reply["output"][0]["content"][0]["text"] == "hi"
    streamed = workspace.post(f"{gateway}/responses", json={**question, "stream": True})
    assert "event: response.completed" in streamed.text


@pytest.mark.parametrize("model", ["nobody", "system.ai.nobody", "system.ai.echo-chat-agent", "echo-durable", None])
def test_models_that_the_gateway_does_not_have_are_not_found(workspace: Workspace, model: str | None) -> None:
    for path in (f"{GATEWAYS[0]}/chat/completions", f"{GATEWAYS[1]}/responses"):
        reply = workspace.post(path, json={**chat(str(model)), "model": model})
        assert (reply.status_code, reply.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_catalog_names_are_the_gateways_alone(workspace: Workspace) -> None:
    reply = workspace.post("/serving-endpoints/chat/completions", json=chat("system.ai.echo-model"))
    assert reply.status_code == 404


@pytest.mark.parametrize("tags", ["triage", "[]", '{"rows": 5}', '{"job": "triage"', '{"job": null}'])
def test_tags_are_an_object_of_texts(workspace: Workspace, tags: str) -> None:
    before = workspace.figures("echo-model")["calls"]
    reply = workspace.post(f"{GATEWAYS[0]}/chat/completions", json=chat("echo-model"), headers={TAGS: tags})
    assert (reply.status_code, reply.json()["error_code"]) == (400, "BAD_REQUEST")
    assert TAGS in reply.json()["message"]
    assert workspace.figures("echo-model")["calls"] == before


def test_the_gateway_takes_personal_tokens_and_nobody_without_one(workspace: Workspace) -> None:
    url = f"{workspace.host}{GATEWAYS[0]}/chat/completions"
    personal = workspace.config("sandbox-pat").authenticate()
    assert requests.post(url, json=chat("echo-model"), headers=personal, timeout=SECONDS).status_code == 200
    refused = requests.post(url, data=json.dumps(chat("echo-model")), timeout=SECONDS)
    assert (refused.status_code, refused.json()["error_code"]) == (401, 401)
