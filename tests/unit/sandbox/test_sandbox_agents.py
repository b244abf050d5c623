"""Asking agents: on Model Serving and on an app, as JSON and as a stream, with and without a trace."""

import base64
import json
import os
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import requests
from sandbox_user import SECONDS, Workspace, answer_text

from rowcall.sandbox.process import start_sandbox

COMPLAINT = "I found glass in my bread. Call me back at once, I am furious!"


def events(reply: requests.Response) -> Iterator[tuple[str | None, Any]]:
    """(event name, data) of each frame of a stream."""
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    for frame in reply.content.decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.split("\n"))
        data = lines["data"]
        yield lines.get("event"), data if data == "[DONE]" else json.loads(data)


@pytest.mark.parametrize("where", [{"app": "echo"}, {"serving": "echo"}])
def test_echo_says_the_last_user_message(workspace: Workspace, where: dict[str, str]) -> None:
    turns = [
        {"role": "user", "content": "first"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "no"}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "zwei 🥐"}, {"type": "input_text", "text": "drei"}],
        },
        {"role": "assistant", "content": "not me"},
    ]
    reply = workspace.ask("", **where, input=turns, custom_inputs={"id": 5})
    assert answer_text(reply) == "zwei 🥐\ndrei"
    body = reply.json()
    assert (body["object"], body["status"], body["model"]) == ("response", "completed", "echo")
    assert body["custom_outputs"] == {"custom_inputs": {"id": 5}}
    assert "databricks_output" not in body
    assert len(reply.headers["x-request-id"]) == 32


def test_the_model_in_the_body_names_the_endpoint(workspace: Workspace) -> None:
    question = {"input": [{"role": "user", "content": "hi"}]}
    assert answer_text(workspace.post("/serving-endpoints/responses", json={"model": "echo", **question})) == "hi"
    for body in ({"model": "nobody", **question}, question):
        reply = workspace.post("/serving-endpoints/responses", json=body)
        assert (reply.status_code, reply.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_unknown_names_are_not_found(workspace: Workspace) -> None:
    serving = workspace.ask("hi", serving="nobody")
    assert (serving.status_code, serving.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert workspace.ask("hi", app="nobody").status_code == 404


def test_tokens_are_counted_at_four_characters(workspace: Workspace) -> None:
    usage = workspace.ask("x" * 40, app="echo", instructions="y" * 20).json()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (15, 10, 25)


def test_a_short_output_limit_cuts_the_answer(workspace: Workspace) -> None:
    body = workspace.ask("x" * 40, app="echo", max_output_tokens=3).json()
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["output"][0]["content"][0]["text"] == "x" * 12


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"input": "hi"}', "Input should be a valid list"),
        ('{"messages": []}', "Field required"),
        ('{"input": ["hi"]}', "input.0"),
        ("[]", "valid dictionary"),
        ("{", "Invalid JSON in request body"),
        ("", "Invalid JSON in request body"),
        ("[" * 100_000, "Invalid JSON in request body"),
    ],
)
def test_a_body_that_is_no_request_is_refused(workspace: Workspace, body: str, reason: str) -> None:
    app = workspace.post("/apps/echo/responses", data=body)
    assert app.status_code == 400
    assert reason in app.json()["detail"]
    serving = workspace.post("/serving-endpoints/echo/invocations", data=body)
    assert (serving.status_code, serving.json()["error_code"]) == (400, "BAD_REQUEST")
    assert reason in serving.json()["message"]
    assert workspace.figures("echo")["statuses"] == {"400": 2}


def test_four_megabytes_are_the_most(workspace: Workspace) -> None:
    frame = len(json.dumps({"input": [{"role": "user", "content": ""}]}))
    fits = workspace.ask("x" * (4 * 1024 * 1024 - frame), app="echo")
    assert len(answer_text(fits)) == 4 * 1024 * 1024 - frame
    over = workspace.ask("x" * (4 * 1024 * 1024), app="echo")
    assert over.status_code == 413
    assert workspace.figures("echo")["statuses"] == {"200": 1, "413": 1}


def test_apps_tell_the_trace_id_when_asked(workspace: Workspace) -> None:
    assert workspace.ask("hi", app="echo").json()["metadata"] == {}
    question = {"input": [{"role": "user", "content": "hi"}], "databricks_options": {"return_trace": True}}
    headers = {"x-mlflow-return-trace-id": "true"}
    body = workspace.post("/apps/echo/responses", json=question, headers=headers).json()
    assert body["metadata"]["trace_id"].startswith("tr-")
    assert len(body["metadata"]["trace_id"]) == 3 + 32
    assert "databricks_output" not in body


def test_serving_endpoints_return_the_trace_when_asked(workspace: Workspace) -> None:
    body = workspace.ask(COMPLAINT, serving="text-insight", databricks_options={"return_trace": True}).json()
    trace = body["databricks_output"]["trace"]
    root, *tools = trace["data"]["spans"]
    assert [span["name"] for span in tools] == ["sentiment", "readability", "keywords", "summary"]
    assert root["parent_span_id"] is None
    assert {span["parent_span_id"] for span in tools} == {root["span_id"]}
    assert len({span["span_id"] for span in [root, *tools]}) == 5
    for span in [root, *tools]:
        assert "tr-" + base64.b64decode(span["trace_id"]).hex() == trace["info"]["trace_id"]
        assert len(base64.b64decode(span["span_id"])) == 8
        assert json.loads(span["attributes"]["mlflow.traceRequestId"]) == trace["info"]["trace_id"]
        assert root["start_time_unix_nano"] <= span["start_time_unix_nano"] <= span["end_time_unix_nano"]
        assert span["end_time_unix_nano"] <= root["end_time_unix_nano"]
    assert json.loads(root["attributes"]["mlflow.spanType"]) == "AGENT"
    assert json.loads(root["attributes"]["mlflow.spanOutputs"]) == {"output": body["output"]}
    assert json.loads(tools[2]["attributes"]["mlflow.spanType"]) == "TOOL"
    assert "glass" in json.loads(tools[2]["attributes"]["mlflow.spanOutputs"])
    usage = json.loads(trace["info"]["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert usage == {key: body["usage"][key] for key in ("input_tokens", "output_tokens", "total_tokens")}


def test_an_app_streams_bare_data_lines_until_done(workspace: Workspace) -> None:
    text = "a" * 30 + " 🥐 " + "b" * 30
    question = {"input": [{"role": "user", "content": text}], "stream": True}
    headers = {"x-mlflow-return-trace-id": "true"}
    frames = list(events(workspace.post("/apps/echo/invocations", json=question, headers=headers)))
    assert {name for name, _ in frames} == {None}
    *told, trace, done = [data for _, data in frames]
    assert done == "[DONE]"
    assert set(trace) == {"trace_id"}
    kinds = [event["type"] for event in told]
    assert kinds[0] == "response.created"
    assert kinds[-2:] == ["response.output_item.done", "response.completed"]
    assert "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta") == text
    assert told[-2]["item"]["content"][0]["text"] == text
    assert told[-1]["response"]["usage"]["output_tokens"] == 63 // 4


def test_a_serving_endpoint_streams_named_events(workspace: Workspace) -> None:
    reply = workspace.ask("hi", serving="echo", stream=True, databricks_options={"return_trace": True})
    frames = list(events(reply))
    assert all(name == data["type"] for name, data in frames)
    assert [name for name, _ in frames] == [
        "response.created",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
    ]
    assert frames[2][1]["databricks_output"]["trace"]["info"]["state"] == "OK"


def test_text_insight_answers_in_one_line(workspace: Workspace) -> None:
    text = answer_text(workspace.ask(COMPLAINT, app="text-insight"))
    assert text.startswith("negative · ")
    assert text.endswith(" — I found glass in my bread.")
    assert "glass" in text.split("keywords: ")[1].split(" — ")[0].split(", ")


def test_text_insight_answers_in_the_shape_of_a_schema(workspace: Workspace) -> None:
    schema = {
        "type": "object",
        "properties": {
            "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
            "urgent": {"type": "boolean"},
            "words": {"type": "integer"},
        },
        "required": ["sentiment", "urgent", "words"],
        "additionalProperties": False,
    }
    reply = workspace.post(
        "/serving-endpoints/text-insight/invocations",
        json={
            "input": [{"role": "user", "content": COMPLAINT}],
            "text": {"format": {"type": "json_schema", "name": "triage", "schema": schema}},
        },
    )
    assert json.loads(answer_text(reply)) == {"sentiment": "negative", "urgent": True, "words": 14}


def test_an_app_says_what_it_is(workspace: Workspace) -> None:
    about = workspace.http.get(f"{workspace.host}/apps/echo/agent/info", timeout=SECONDS).json()
    assert (about["name"], about["agent_api"], about["use_case"]) == ("echo", "responses", "agent")
    health = workspace.http.get(f"{workspace.host}/apps/echo/health", timeout=SECONDS)
    assert health.json() == {"status": "healthy"}


def test_the_upstream_agent_passes_questions_on(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other server is a sandbox too: to the client of its serving endpoints it is OpenAI-compatible."""
    profiles = ConfigParser(interpolation=None)
    profiles.read(workspace.process.config_file)
    monkeypatch.setitem(os.environ, "ROWCALL_UPSTREAM_KEY", profiles["sandbox-pat"]["token"])
    monkeypatch.setitem(os.environ, "ROWCALL_UPSTREAM_MODEL", "echo")
    with start_sandbox(tmp_path, upstream=f"{workspace.host}/serving-endpoints") as process:
        front = Workspace(process)
        asked = front.ask("through two doors", app="upstream", custom_inputs={"id": 1}, temperature=0.5)
        assert answer_text(asked) == "through two doors"
        workspace.behave("echo", faults=[{"status": 429, "headers": {"Retry-After": "7"}}])
        refused = front.ask("again", app="upstream")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    recorded = workspace.http.get(f"{workspace.host}/sandbox/requests/echo", timeout=SECONDS).json()[0]
    assert recorded["body"] == {
        "model": "echo",
        "temperature": 0.5,
        "input": [{"role": "user", "content": "through two doors"}],
    }
    assert "authorization" not in recorded["headers"]


def test_an_upstream_that_is_not_there_is_a_500(tmp_path: Path) -> None:
    with start_sandbox(tmp_path, upstream="http://127.0.0.1:9") as process:
        reply = Workspace(process).ask("hi", app="upstream")
    assert reply.status_code == 500
    assert "upstream http://127.0.0.1:9/responses" in reply.json()["detail"]
