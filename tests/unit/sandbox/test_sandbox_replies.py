"""Unusual replies on demand: with status 200 and in the shape that was asked, but not what one hopes for."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from sandbox_user import Workspace

TEXT = "one two three four five six, and so on to the end"
HALF = TEXT[: len(TEXT) // 2]
AGENTS = {
    "responses": "echo",
    "app": "echo",
    "chat_agent": "echo-chat-agent",
    "chat": "echo-model",
    "chat_model": "echo-chat-model",
    "rows": "text-scores",
    "durable": "echo-durable",
}


@pytest.fixture
def agents(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace; however the agents were told to behave is forgotten afterwards."""
    yield workspace
    for name in AGENTS.values():
        workspace.behave(name)


def ask(workspace: Workspace, shape: str, reply: str, **extra: Any) -> requests.Response:
    """Ask an agent of this shape for that reply."""
    name = AGENTS[shape]
    workspace.behave(name, faults=[{"reply": reply}])
    user = [{"role": "user", "content": TEXT}]
    match shape:
        case "responses":
            return workspace.ask(TEXT, serving=name, **extra)
        case "app":
            return workspace.ask(TEXT, app=name, **extra)
        case "rows":
            return workspace.post(f"/serving-endpoints/{name}/invocations", json={"inputs": [TEXT]})
        case "durable":
            body = {"id": str(uuid.uuid4()), "session_id": "s", "input": user}
            return workspace.post(f"/apps/{name}/api/invocations", json=body)
        case _:
            return workspace.post(f"/serving-endpoints/{name}/invocations", json={"messages": user, **extra})


def types(items: list[Any]) -> list[str]:
    return [item["type"] for item in items]


def item_texts(reply: Any) -> list[str]:
    items = [item for item in reply["output"] if item["type"] == "message"]
    return [part["text"] for item in items for part in item["content"]]


def contents(messages: list[Any]) -> list[Any]:
    return [message["content"] for message in messages]


def choice(reply: Any) -> Any:
    return reply["choices"][0]


def message(reply: Any) -> Any:
    return choice(reply)["message"]


def said(reply: Any) -> list[Any]:
    """The messages of an invocation's output."""
    return reply["output"]["output"]


REPLIES: list[tuple[str, str, Callable[[Any], bool]]] = [
    ("responses", "refusal", lambda r: r["output"][0]["content"][0]["type"] == "refusal"),
    (
        "responses",
        "incomplete",
        lambda r: (
            (item_texts(r), r["status"], r["incomplete_details"])
            == ([HALF], "incomplete", {"reason": "max_output_tokens"})
        ),
    ),
    ("responses", "empty", lambda r: (item_texts(r), r["status"]) == ([""], "completed")),
    ("responses", "several_messages", lambda r: (len(r["output"]), "".join(item_texts(r))) == (2, TEXT)),
    (
        "responses",
        "tools",
        lambda r: (
            types(r["output"]) == ["function_call", "function_call_output", "message"] and item_texts(r) == [TEXT]
        ),
    ),
    ("responses", "tools_only", lambda r: types(r["output"]) == ["function_call"]),
    ("responses", "reasoning", lambda r: types(r["output"]) == ["reasoning", "message"]),
    (
        "responses",
        "content_filter",
        lambda r: (r["output"], r["incomplete_details"]["reason"]) == ([], "content_filter"),
    ),
    ("responses", "error_in_200", lambda r: r["status"] == "failed" and r["error"]["message"] != ""),
    ("responses", "no_output", lambda r: r["object"] == "response" and "output" not in r),
    ("responses", "wrong_types", lambda r: r["output"][0] is None and isinstance(r["usage"], str)),
    ("responses", "parts", lambda r: item_texts(r) == [TEXT]),
    ("chat_agent", "incomplete", lambda r: (contents(r["messages"]), r["finish_reason"]) == ([HALF], "length")),
    ("chat_agent", "empty", lambda r: contents(r["messages"]) == [""]),
    ("chat_agent", "several_messages", lambda r: (len(r["messages"]), "".join(contents(r["messages"]))) == (2, TEXT)),
    ("chat_agent", "tools", lambda r: [one["role"] for one in r["messages"]] == ["assistant", "tool", "assistant"]),
    ("chat_agent", "tools_only", lambda r: bool(r["messages"][0]["tool_calls"]) and r["finish_reason"] == "tool_calls"),
    ("chat_agent", "content_filter", lambda r: r["finish_reason"] == "content_filter"),
    ("chat_agent", "error_in_200", lambda r: set(r) == {"error_code", "message"}),
    ("chat_agent", "no_output", lambda r: "finish_reason" in r and "messages" not in r),
    ("chat_agent", "wrong_types", lambda r: r["messages"][0] is None),
    ("chat_agent", "refusal", lambda r: contents(r["messages"]) == [TEXT]),
    *(
        row
        for shape in ("chat", "chat_model")
        for row in [
            (shape, "refusal", lambda r: message(r)["content"] is None and message(r)["refusal"] != ""),
            (shape, "incomplete", lambda r: (message(r)["content"], choice(r)["finish_reason"]) == (HALF, "length")),
            (shape, "empty", lambda r: message(r)["content"] == ""),
            (
                shape,
                "tools_only",
                lambda r: (
                    (message(r)["content"], len(message(r)["tool_calls"]), choice(r)["finish_reason"])
                    == (None, 1, "tool_calls")
                ),
            ),
            (shape, "reasoning", lambda r: types(message(r)["content"]) == ["reasoning", "text", "text"]),
            (shape, "parts", lambda r: "".join(part["text"] for part in message(r)["content"]) == TEXT),
            (shape, "content_filter", lambda r: choice(r)["finish_reason"] == "content_filter"),
            (shape, "error_in_200", lambda r: set(r) == {"error"} and r["error"]["type"] == "server_error"),
            (shape, "no_output", lambda r: "usage" in r and "choices" not in r),
            (shape, "wrong_types", lambda r: message(r)["content"] == 7),
            (shape, "several_messages", lambda r: message(r)["content"] == TEXT),
        ]
    ),
    ("rows", "empty", lambda r: r == {"predictions": []}),
    ("rows", "error_in_200", lambda r: set(r) == {"error_code", "message"}),
    ("rows", "no_output", lambda r: r == {}),
    ("rows", "wrong_types", lambda r: r == {"predictions": 7}),
    (
        "durable",
        "incomplete",
        lambda r: said(r)[-1]["type"] == "interrupt" and r["output"]["status"] == "interrupted",
    ),
    ("durable", "empty", lambda r: contents(said(r)) == [""]),
    ("durable", "several_messages", lambda r: (len(said(r)), "".join(contents(said(r)))) == (2, TEXT)),
    ("durable", "tools", lambda r: [one["role"] for one in said(r)] == ["assistant", "tool", "assistant"]),
    ("durable", "tools_only", lambda r: contents(said(r)) == [""] and bool(said(r)[0]["tool_calls"])),
    (
        "durable",
        "reasoning",
        lambda r: said(r)[0]["content"][0]["type"] == "reasoning" and said(r)[1]["content"] == TEXT,
    ),
    ("durable", "no_output", lambda r: r["output"] == {"status": "completed"}),
    ("durable", "wrong_types", lambda r: said(r)[0] is None),
]


@pytest.mark.parametrize(("shape", "name", "is_it"), REPLIES, ids=[f"{shape}-{name}" for shape, name, _ in REPLIES])
def test_a_reply_is_what_was_asked_for(agents: Workspace, shape: str, name: str, is_it: Callable[[Any], bool]) -> None:
    reply = ask(agents, shape, name)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    assert is_it(reply.json()), reply.text


@pytest.mark.parametrize("shape", AGENTS)
def test_what_is_no_reply_at_all_has_status_200_too(agents: Workspace, shape: str) -> None:
    page = ask(agents, shape, "html")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text.startswith("<!doctype html>")
    broken = ask(agents, shape, "not_json")
    assert (broken.status_code, broken.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(requests.JSONDecodeError):
        broken.json()


def test_a_fault_without_a_condition_that_holds_leaves_the_reply_as_it_is(agents: Workspace) -> None:
    agents.behave("echo", faults=[{"reply": "empty", "match": "glass"}, {"reply": "nobody knows it"}])
    assert item_texts(agents.ask("hi", app="echo").json()) == ["hi"]
    assert item_texts(agents.ask("glass", app="echo").json()) == [""]


def test_traces_hold_the_unusual_reply(agents: Workspace) -> None:
    options = {"return_trace": True}
    for name in ("tools_only", "error_in_200", "no_output"):
        reply = ask(agents, "responses", name, databricks_options=options).json()
        (root,) = reply["databricks_output"]["trace"]["data"]["spans"]
        assert json.loads(root["attributes"]["mlflow.spanOutputs"]) == {"output": reply.get("output")}
    failed = ask(agents, "chat_agent", "error_in_200").json()
    assert set(failed) == {"error_code", "message"}


STREAMS = ["responses", "app", "chat_agent", "chat", "chat_model"]
WHOLE_ITEMS = ("response.output_item.done", "response.completed")


def frames(reply: requests.Response) -> list[Any]:
    """The data of each frame of a stream."""
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.content.endswith(b"\n\n")
    data = [frame.rpartition("data: ")[2] for frame in reply.content.decode().strip().split("\n\n")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def streamed_text(told: list[Any]) -> str:
    """The deltas of a stream, whichever its shape."""
    whole = [frame["choices"][0] if "choices" in frame else frame for frame in told if frame != "[DONE]"]
    deltas = [frame.get("delta", "") for frame in whole]
    return "".join(delta["content"] if isinstance(delta, dict) else delta for delta in deltas)


@pytest.mark.parametrize("shape", STREAMS)
def test_an_error_comes_in_the_middle_of_a_stream(agents: Workspace, shape: str) -> None:
    told = frames(ask(agents, shape, "stream_error", stream=True))
    if shape != "responses":
        assert told.pop() == "[DONE]"
    error = told.pop()
    assert (
        error
        == {
            "responses": {
                "databricks_output": {
                    "error": {"error_code": "INTERNAL_ERROR", "message": "the sandbox's agent gave up"}
                }
            },
            "app": {"error": "the sandbox's agent gave up"},
            "chat_agent": {
                "databricks_output": {
                    "error": {"error_code": "INTERNAL_ERROR", "message": "the sandbox's agent gave up"}
                }
            },
            "chat_model": {
                "databricks_output": {
                    "error": {"error_code": "INTERNAL_ERROR", "message": "the sandbox's agent gave up"}
                }
            },
            "chat": {"error": {"message": "the sandbox's agent gave up", "type": "server_error", "code": 500}},
        }[shape]
    )
    assert 0 < len(streamed_text(told)) < len(TEXT)


@pytest.mark.parametrize("shape", STREAMS)
def test_a_stream_is_cut_in_the_middle(agents: Workspace, shape: str) -> None:
    told = frames(ask(agents, shape, "stream_cut", stream=True))
    assert 0 < len(streamed_text(told)) < len(TEXT)
    assert "[DONE]" not in told
    assert not any(frame.get("type") in WHOLE_ITEMS for frame in told)


@pytest.mark.parametrize("shape", STREAMS)
def test_a_stream_lacks_its_end_only(agents: Workspace, shape: str) -> None:
    told = frames(ask(agents, shape, "no_done", stream=True))
    assert streamed_text(told) == TEXT
    assert "[DONE]" not in told
    if shape in ("responses", "app"):
        assert told[-1]["type"] == "response.output_item.done"
        assert told[-1]["item"]["content"][0]["text"] == TEXT


@pytest.mark.parametrize("shape", STREAMS)
def test_a_stream_has_deltas_only(agents: Workspace, shape: str) -> None:
    *told, ending = frames(ask(agents, shape, "deltas_only", stream=True))
    assert streamed_text(told) == TEXT
    if shape == "responses":
        assert (ending["type"], ending["response"]["output"]) == ("response.completed", [])
    else:
        assert ending == "[DONE]"
    if shape in ("responses", "app"):
        assert {frame["type"] for frame in told} == {"response.output_text.delta"}
    else:
        assert not any("usage" in frame for frame in told)


@pytest.mark.parametrize("name", ["stream_error", "stream_cut", "no_done", "deltas_only"])
def test_what_is_wrong_with_streams_leaves_other_replies_as_they_are(agents: Workspace, name: str) -> None:
    assert item_texts(ask(agents, "app", name).json()) == [TEXT]
    assert message(ask(agents, "chat", name).json())["content"] == TEXT


@pytest.mark.parametrize(
    ("name", "ending", "kinds"),
    [
        ("refusal", "response.completed", {"response.refusal.delta"}),
        ("several_messages", "response.completed", {"response.output_text.delta"}),
        ("tools", "response.completed", {"response.output_text.delta"}),
        ("empty", "response.completed", set[str]()),
        ("incomplete", "response.incomplete", {"response.output_text.delta"}),
        ("error_in_200", "response.failed", set[str]()),
        ("no_output", "response.completed", set[str]()),
        ("wrong_types", "response.completed", set[str]()),
    ],
)
@pytest.mark.parametrize("shape", ["app", "responses"])
def test_unusual_responses_are_streamed(agents: Workspace, shape: str, name: str, ending: str, kinds: set[str]) -> None:
    told = [frame for frame in frames(ask(agents, shape, name, stream=True)) if frame != "[DONE]"]
    assert told[-1]["type"] == ending
    assert {frame["type"] for frame in told if frame["type"].endswith(".delta")} == kinds
    items = [frame["item"] for frame in told if frame["type"] == "response.output_item.done"]
    assert items == told[-1]["response"].get("output", [])


def test_unusual_chats_are_streamed(agents: Workspace) -> None:
    def deltas(name: str) -> list[Any]:
        *told, done = frames(ask(agents, "chat", name, stream=True))
        assert done == "[DONE]"
        return [frame["choices"][0]["delta"] for frame in told]

    assert "".join(delta.get("refusal", "") for delta in deltas("refusal")).startswith("I can't")
    assert deltas("tools_only")[0]["tool_calls"][0]["function"]["name"] == "look_up"
    parts = [part for delta in deltas("reasoning") for part in delta["content"]]
    assert parts[0]["type"] == "reasoning"
    assert "".join(part["text"] for part in parts[1:]) == TEXT
    error, done = frames(ask(agents, "chat", "error_in_200", stream=True))
    assert (error["error"]["type"], done) == ("server_error", "[DONE]")


def test_several_messages_of_a_chat_agent_are_streamed_one_after_the_other(agents: Workspace) -> None:
    *told, last, _ = frames(ask(agents, "chat_agent", "several_messages", stream=True))
    ids = list(dict.fromkeys(frame["delta"]["id"] for frame in told))
    assert len(ids) == 2
    assert streamed_text(told) == TEXT
    assert (last["delta"]["id"], last["delta"]["content"], last["finish_reason"]) == (ids[1], "", "stop")
