"""No body, however broken, makes a route for asking answer anything but a well-formed reply or refusal."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_user import Workspace

NAMES = ("echo", "text-insight", "echo-chat-agent", "echo-model", "text-insight-model", "text-scores")
WORDS = st.sampled_from(
    ["user", "assistant", "text", "image_url", "json_schema", "object", "array", "integer", "null", "#", *NAMES]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = {
    "score": {"type": "number", "minimum": -1, "maximum": 1, "title": "Score"},
    "sentiment": {"enum": ["positive", "negative"]},
    "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
    "part": {"anyOf": [{"$ref": "#/properties/score"}, {"type": "null"}]},
}
SCHEMA = {"type": "object", "properties": FIELDS, "required": ["score", "part"]}
PARTS = [
    {"type": "text", "text": "I love it."},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
]
ITEMS = [
    {"type": "input_text", "text": "I love it."},
    {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
]
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]}
ROWS = [{"text": "I love it.", "id": 1}, {"text": "glass", "id": 2}]
RESPONSES = {
    "model": "text-insight",
    "instructions": "Be brief.",
    "input": [{"role": "user", "content": ITEMS}],
    "text": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "max_output_tokens": 9,
    "stream": True,
    "databricks_options": {"return_trace": True},
}
CHAT = {
    "model": "text-insight-model",
    "messages": [CALLING, {"role": "user", "content": PARTS}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "max_tokens": 9,
    "stream": True,
}
CHAT_AGENT = {
    "model": "echo-chat-agent",
    "messages": [CALLING, {"role": "user", "content": "hi"}],
    "custom_inputs": {"id": 1},
    "max_tokens": 9,
    "stream": True,
    "databricks_options": {"return_trace": True},
}
BACKGROUND = {**RESPONSES, "background": True}
DURABLE = {
    "id": "6a4b7d9e-2f43-5c52-8c86-3f8a1d1a9b0c",
    "session_id": "s",
    "input": {"messages": [{"role": "user", "content": ITEMS}]},
    "background": True,
    "stream": False,
}
RECORDS = {"dataframe_records": ROWS, "params": {}}
SPLIT = {"dataframe_split": {"columns": ["id", "text"], "data": [[1, "I love it."]]}}
COLUMNS = {"inputs": {"text": ["I love it."]}}
INSTANCES = {"instances": ["I love it."]}
ROUTES: dict[str, list[dict[str, Any]]] = {
    "/serving-endpoints/text-insight/invocations": [RESPONSES],
    "/serving-endpoints/echo/invocations": [RESPONSES],
    "/serving-endpoints/echo-chat-agent/invocations": [CHAT_AGENT],
    "/serving-endpoints/echo-model/invocations": [CHAT],
    "/serving-endpoints/text-insight-model/invocations": [CHAT],
    "/serving-endpoints/text-scores/invocations": [RECORDS, SPLIT, COLUMNS, INSTANCES],
    "/serving-endpoints/responses": [RESPONSES, CHAT],
    "/serving-endpoints/chat/completions": [CHAT, CHAT_AGENT, RECORDS],
    "/apps/text-insight/responses": [RESPONSES],
    "/apps/text-insight/invocations": [RESPONSES, CHAT],
    "/apps/echo-chat-agent/responses": [RESPONSES],
    "/apps/echo-chat-agent/invocations": [CHAT_AGENT, RECORDS],
    "/apps/echo/responses": [BACKGROUND],
    "/apps/echo-durable/api/invocations": [DURABLE],
    "/serving-endpoints/echo-chat-model/invocations": [CHAT_AGENT],
    "/ai-gateway/mlflow/v1/responses": [RESPONSES, CHAT],
    "/ai-gateway/openai/v1/chat/completions": [CHAT, CHAT_AGENT],
}


@st.composite
def almost(draw: st.DrawFn, well_formed: list[dict[str, Any]]) -> bytes:
    """One of these bodies, with up to three of the values in it replaced or taken out."""
    body = copy.deepcopy(draw(st.sampled_from(well_formed)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(places_in(body))
        if places:
            holder, key = draw(st.sampled_from(places))
            if draw(st.booleans()):
                holder[key] = draw(VALUES)
            else:
                del holder[key]
    return json.dumps(body).encode()


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every object or list in a value, with each of its keys."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield value, key
        yield from places_in(one)


DEEP = st.sampled_from(["[", '{"a":', '{"input":[', '{"messages":[{"content":']).map(lambda start: start * 2_000)
NO_REQUEST = st.binary() | DEEP.map(str.encode) | VALUES.map(lambda value: json.dumps(value).encode())


def refusal_is_well_formed(reply: requests.Response, route: str) -> bool:
    said = reply.json()
    if route.startswith("/apps/"):
        return list(said) == ["detail"] and isinstance(said["detail"], list if reply.status_code == 422 else str)
    return sorted(said) == ["error_code", "message"] and isinstance(said["message"], str)


def reply_is_well_formed(reply: requests.Response) -> bool:
    if reply.headers["Content-Type"].startswith("text/event-stream"):
        *frames, rest = reply.content.decode().split("\n\n")
        data = [frame.rpartition("data: ")[2] for frame in frames]
        return rest == "" and all(strict_json(one) for one in data if one != "[DONE]")
    return bool({"output", "choices", "messages", "predictions", "status_url"} & strict_json(reply.text).keys())


def strict_json(text: str) -> Any:
    """Parsed; NaN and infinities are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_body_gets_a_well_formed_reply(workspace: Workspace, route: str, data: st.DataObject) -> None:
    request = almost(ROUTES[route])
    check(workspace.post(route, data=data.draw(request | request | request | NO_REQUEST)), route)


@pytest.mark.parametrize("route", ["/serving-endpoints/echo/invocations", "/apps/echo-chat-agent/invocations"])
def test_a_body_is_answered_or_refused_however_deep_it_is_nested(workspace: Workspace, route: str) -> None:
    """Between the depth that can be answered and the one that cannot be read is one that can be read and not be said again."""
    message = '[{"role": "user", "content": "hi"}]'
    statuses: set[int] = set()
    for depth in range(850, 1000):
        deep = "[" * depth + "]" * depth
        raw = f'{{"input": {message}, "messages": {message}, "custom_inputs": {deep}}}'
        statuses.add(workspace.post(route, data=raw).status_code)
    assert statuses == {200, 400}


def check(reply: requests.Response, route: str) -> None:
    if reply.status_code in (200, 202):
        assert reply_is_well_formed(reply)
    else:
        durable_agent_failed = reply.status_code == 500 and route.endswith("/api/invocations")
        assert 400 <= reply.status_code < 500 or durable_agent_failed, reply.text
        assert refusal_is_well_formed(reply, route)
