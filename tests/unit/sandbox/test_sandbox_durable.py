"""Apps on the durable agent server: invocations that are never run twice, however often they are asked for."""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from databricks.sdk.errors import NotFound
from sandbox_user import SECONDS, Workspace

PATH = "/apps/echo-durable/api/invocations"
LONG = "a" * 30 + " 🥐 " + "b" * 30
FAILED = "agent invocation failed"


@pytest.fixture
def durable(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace; however the app was told to behave is forgotten afterwards."""
    yield workspace
    workspace.behave("echo-durable")


def body(text: str = "hi", **extra: Any) -> dict[str, Any]:
    name = str(uuid.uuid4())
    return {"id": name, "session_id": name, "input": [{"role": "user", "content": text}], **extra}


def invoke(workspace: Workspace, asked: object) -> requests.Response:
    return workspace.post(PATH, json=asked)


def look_up(workspace: Workspace, invocation: str, **query: Any) -> requests.Response:
    return workspace.http.get(f"{workspace.host}{PATH}/{invocation}", params=query, timeout=SECONDS)


def state(workspace: Workspace, invocation: str) -> dict[str, Any]:
    """What an invocation came to."""
    deadline = time.monotonic() + SECONDS
    while (found := look_up(workspace, invocation).json())["status"] in ("queued", "active"):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def events(reply: requests.Response) -> list[tuple[int, str, Any]]:
    """(id, name, data) of each event."""
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    frames = [frame.split("\n") for frame in reply.content.decode().strip().split("\n\n")]
    lines = [dict(line.split(": ", 1) for line in frame) for frame in frames]
    return [(int(line["id"]), line["event"], json.loads(line["data"])) for line in lines]


def output(text: str) -> dict[str, Any]:
    return {"output": [{"role": "assistant", "content": text}], "status": "completed"}


def test_an_invocation_is_waited_for(durable: Workspace) -> None:
    asked = body("zwei 🥐")
    reply = invoke(durable, asked)
    assert reply.status_code == 200
    assert reply.json() == {"id": asked["id"], "status": "completed", "output": output("zwei 🥐")}
    assert look_up(durable, asked["id"]).json() == reply.json()


def test_an_invocation_in_the_background_is_polled(durable: Workspace) -> None:
    durable.behave("echo-durable", latency_ms=1500)
    asked = body(background=True)
    reply = invoke(durable, asked)
    address = f"/api/invocations/{asked['id']}"
    assert (reply.status_code, reply.json()["status_url"], "events_url" in reply.json()) == (202, address, False)
    assert reply.json()["status"] in ("queued", "active")
    assert look_up(durable, asked["id"]).json() == {"id": asked["id"], "status": "active"}
    streamed = invoke(durable, {**asked, "stream": True}).json()
    assert streamed["events_url"] == f"{address}/events"
    assert state(durable, asked["id"])["output"] == output("hi")


def test_the_same_request_is_run_once_however_often_it_comes(durable: Workspace) -> None:
    durable.behave("echo-durable", latency_ms=1000)
    asked = body()
    with ThreadPoolExecutor(6) as threads:
        ways = [{}, {"background": True}, {"stream": True}] * 2
        replies = list(threads.map(lambda way: invoke(durable, {**asked, **way}), ways))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 200, 202, 202]
    again = invoke(durable, {**asked, "id": asked["id"].upper()})
    assert again.json()["output"] == output("hi")
    figures = durable.figures("echo-durable")
    assert (figures["calls"], figures["statuses"], figures["max_in_flight"]) == (1, {"200": 1}, 1)


@pytest.mark.parametrize("change", [{"input": []}, {"session_id": "another"}])
def test_an_id_is_not_used_for_another_request(durable: Workspace, change: dict[str, Any]) -> None:
    asked = body()
    assert invoke(durable, asked).status_code == 200
    reply = invoke(durable, {**asked, **change})
    assert (reply.status_code, reply.json()) == (409, {"detail": "id was already used for another request"})
    assert durable.figures("echo-durable")["calls"] == 1


def test_events_tell_the_answer_and_are_taken_up_where_one_was(durable: Workspace) -> None:
    asked = body(LONG, stream=True)
    told = events(invoke(durable, asked))
    numbers = [number for number, _, _ in told]
    assert numbers == sorted(set(numbers))
    assert all(name == data["type"] for _, name, data in told)
    kinds = [name for _, name, _ in told]
    assert (kinds[0], kinds[-2:]) == ("run.started", ["message", "run.completed"])
    assert "".join(data["content"] for _, name, data in told if name == "delta") == LONG
    assert told[-2][2]["message"] == output(LONG)["output"][0]
    url = f"{durable.host}{PATH}/{asked['id']}/events"
    assert events(durable.http.get(url, timeout=SECONDS)) == told
    assert events(durable.http.get(url, params={"after": numbers[1]}, timeout=SECONDS)) == told[2:]


def test_events_come_while_the_agent_is_at_work(durable: Workspace) -> None:
    durable.behave("echo-durable", latency_ms=1500)
    asked = body(background=True)
    invoke(durable, asked)
    url = f"{durable.host}{PATH}/{asked['id']}/events"
    with durable.http.get(url, stream=True, timeout=SECONDS) as reply:
        chunks = reply.iter_content(None)
        assert b"run.started" in next(chunks)
        assert look_up(durable, asked["id"]).json()["status"] == "active"
        assert b"run.completed" in b"".join(chunks)


def test_invocations_of_a_session_take_their_turns(durable: Workspace) -> None:
    durable.behave("echo-durable", latency_ms=700)
    first, second = body(background=True, session_id="s"), body(background=True, session_id="s")
    for asked in (first, second):
        invoke(durable, asked)
    assert look_up(durable, second["id"]).json()["status"] == "queued"
    assert state(durable, second["id"])["status"] == "completed"
    assert look_up(durable, first["id"]).json()["status"] == "completed"


@pytest.mark.parametrize(
    "change",
    [{"session_id": None}, {"input": "hi"}, {"input": {"messages": "hi"}}, {"input": 5}],
)
def test_what_the_agent_cannot_read_makes_the_invocation_fail(durable: Workspace, change: dict[str, Any]) -> None:
    asked = {**body(), **change}
    reply = invoke(durable, asked)
    assert (reply.status_code, reply.json()) == (500, {"detail": FAILED})
    assert look_up(durable, asked["id"]).json() == {"id": asked["id"], "status": "failed", "error": FAILED}


def test_an_object_may_hold_the_messages(durable: Workspace) -> None:
    messages = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
    asked = body(input={"messages": messages, "actor": "someone"})
    assert invoke(durable, asked).json()["output"] == output("hi")
    assert invoke(durable, body(input=[])).json()["output"] == output("")


def test_faults_of_the_agent_fail_the_invocation_and_it_stays_failed(durable: Workspace) -> None:
    durable.behave("echo-durable", faults=[{"status": 503, "first": 1}])
    asked = body()
    for _ in range(2):
        reply = invoke(durable, asked)
        assert (reply.status_code, reply.json()) == (500, {"detail": FAILED})
    kinds = [name for _, name, _ in events(invoke(durable, {**asked, "stream": True}))]
    assert kinds == ["run.started", "run.failed"]
    assert durable.figures("echo-durable")["statuses"] == {"500": 1}
    assert invoke(durable, body()).status_code == 200


def test_faults_of_the_request_begin_no_invocation(durable: Workspace) -> None:
    durable.behave(
        "echo-durable",
        faults=[
            {"drop": "before", "first": 1},
            {"status": 429, "first": 2},
            {"status": 502, "raw": "<html>", "first": 3},
        ],
    )
    asked = body()
    with pytest.raises(requests.ConnectionError):
        invoke(durable, asked)
    assert [invoke(durable, asked).status_code for _ in range(3)] == [429, 502, 200]
    assert durable.figures("echo-durable")["statuses"] == {"dropped": 1, "429": 1, "502": 1, "200": 1}


def test_a_reply_that_is_lost_is_asked_for_again_and_not_paid_again(durable: Workspace) -> None:
    durable.behave("echo-durable", faults=[{"drop": "middle", "first": 1}])
    asked = body(background=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        invoke(durable, asked)
    assert invoke(durable, asked).status_code == 202
    assert state(durable, asked["id"])["output"] == output("hi")
    assert durable.figures("echo-durable")["calls"] == 1


@pytest.mark.parametrize(
    ("change", "kind", "place"),
    [
        ({"model": "x"}, "extra_forbidden", ["body", "model"]),
        ({"id": "row 1"}, "uuid_parsing", ["body", "id"]),
        ({"session_id": ""}, "string_too_short", ["body", "session_id"]),
        ({"stream": "perhaps"}, "bool_parsing", ["body", "stream"]),
    ],
)
def test_a_body_with_other_keys_or_types_does_not_fit(
    durable: Workspace, change: dict[str, Any], kind: str, place: list[str]
) -> None:
    reply = invoke(durable, {**body(), **change})
    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert (problem["type"], problem["loc"], problem["input"]) == (kind, place, next(iter(change.values())))
    assert durable.figures("echo-durable")["statuses"] == {"422": 1}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("", "missing"),
        ("{", "json_invalid"),
        ("[]", "model_attributes_type"),
        ("{}", "missing"),
        ("[" * 9000, "json_invalid"),
    ],
)
def test_a_body_that_is_no_invocation_does_not_fit(durable: Workspace, raw: str, kind: str) -> None:
    reply = durable.post(PATH, data=raw)
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (422, kind)


def test_unknown_invocations_are_not_found(durable: Workspace) -> None:
    for path in ("", "/events"):
        unknown = look_up(durable, f"{uuid.uuid4()}{path}")
        assert (unknown.status_code, unknown.json()) == (404, {"detail": "invocation not found"})
        wrong = look_up(durable, f"row{path}")
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["path", "invocation_id"])
    asked = body()
    invoke(durable, asked)
    after = look_up(durable, f"{asked['id']}/events", after="x")
    assert (after.status_code, after.json()["detail"][0]["loc"]) == (422, ["query", "after"])


def test_invocations_are_all_that_such_an_app_has(durable: Workspace) -> None:
    question = {"input": [{"role": "user", "content": "hi"}]}
    for path in ("responses", "invocations", "chat/completions"):
        reply = durable.post(f"/apps/echo-durable/{path}", json=question)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})
    for path in ("agent/info", "health", "responses/resp_0"):
        reply = durable.http.get(f"{durable.host}/apps/echo-durable/{path}", timeout=SECONDS)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})
    other = durable.post("/apps/echo/api/invocations", json=body())
    assert (other.status_code, other.json()) == (404, {"detail": "Not Found"})


def test_such_an_app_is_no_serving_endpoint(durable: Workspace) -> None:
    assert durable.client().apps.get("echo-durable").url == f"{durable.host}/apps/echo-durable"
    with pytest.raises(NotFound):
        durable.client().serving_endpoints.query("echo-durable", inputs=["hi"])


def test_text_insight_is_such_an_app_too(durable: Workspace) -> None:
    reply = durable.post("/apps/text-insight-durable/api/invocations", json=body("I love it."))
    assert reply.json()["output"]["output"][0]["content"].startswith("positive · ")


def test_invocations_need_the_right_login(durable: Workspace) -> None:
    asked = body()
    personal = durable.config("sandbox-pat").authenticate()
    for headers in ({}, personal):
        url = f"{durable.host}{PATH}"
        assert requests.post(url, json=asked, headers=headers, timeout=SECONDS).status_code == 401
        assert requests.get(f"{url}/{asked['id']}", headers=headers, timeout=SECONDS).status_code == 401
