"""Runs in the background on an app: begun, polled, streamed from where one left off, failed, counted once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from sandbox_user import SECONDS, Workspace

TRACED = {"x-mlflow-return-trace-id": "true"}
LONG = "a" * 30 + " 🥐 " + "b" * 30


def begin(workspace: Workspace, text: str, api: str = "responses", **extra: Any) -> requests.Response:
    body = {"input": [{"role": "user", "content": text}], "background": True, **extra}
    return workspace.post(f"/apps/echo/{api}", json=body, headers=TRACED)


def poll(workspace: Workspace, run: str, **query: Any) -> requests.Response:
    return workspace.http.get(f"{workspace.host}/apps/echo/responses/{run}", params=query, timeout=SECONDS)


def result(workspace: Workspace, run: str) -> dict[str, Any]:
    """What a run came to."""
    deadline = time.monotonic() + SECONDS
    while (state := poll(workspace, run).json())["status"] == "in_progress":
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state


def frames(reply: requests.Response) -> list[Any]:
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    data = [frame.removeprefix("data: ") for frame in reply.content.decode().strip().split("\n\n")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


@pytest.mark.parametrize("api", ["responses", "invocations"])
def test_a_run_is_begun_at_once_and_polled_until_it_is_over(workspace: Workspace, api: str) -> None:
    workspace.behave("echo", latency_ms=1500)
    begun = begin(workspace, "hi", api).json()
    run = begun["id"]
    assert (run[:5], len(run)) == ("resp_", 5 + 24)
    assert abs(begun.pop("created_at") - time.time()) < SECONDS
    assert begun == {
        "id": run,
        "object": "response",
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "metadata": {},
    }
    assert poll(workspace, run).json() == {"id": run, "status": "in_progress", "attempt_number": 1}
    assert workspace.figures("echo")["in_flight"] == 1
    state = result(workspace, run)
    assert [item["content"][0]["text"] for item in state.pop("output")] == ["hi"]
    assert state.pop("metadata")["trace_id"].startswith("tr-")
    assert state == {"id": run, "status": "completed", "attempt_number": 1}
    figures = workspace.figures("echo")
    assert (figures["calls"], figures["in_flight"], figures["statuses"]) == (1, 0, {"200": 1})
    assert (figures["distinct_inputs"], figures["distinct_answered"]) == (1, 1)


def test_many_runs_go_on_at_once(workspace: Workspace) -> None:
    workspace.behave("echo", latency_ms=1500)
    with ThreadPoolExecutor(8) as threads:
        runs = [reply.json()["id"] for reply in threads.map(lambda n: begin(workspace, f"row {n}"), range(8))]
        texts = [
            state["output"][0]["content"][0]["text"] for state in threads.map(lambda r: result(workspace, r), runs)
        ]
    assert texts == [f"row {n}" for n in range(8)]
    figures = workspace.figures("echo")
    assert (figures["max_in_flight"], figures["calls"]) == (8, 8)


def test_a_run_streams_its_events_with_their_numbers(workspace: Workspace) -> None:
    *events, trace, done = frames(begin(workspace, LONG, stream=True))
    assert done == "[DONE]"
    run = events[0]["response_id"]
    assert {event["response_id"] for event in [*events, trace]} == {run}
    assert [event["sequence_number"] for event in [*events, trace]] == list(range(len(events) + 1))
    assert set(trace) == {"trace_id", "sequence_number", "response_id"}
    assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta") == LONG
    assert events[-1]["type"] == "response.completed"
    assert frames(poll(workspace, run, stream="true")) == [*events, trace, done]
    assert frames(poll(workspace, run, stream="true", starting_after=2)) == [*events[3:], trace, done]
    assert result(workspace, run)["output"] == [events[-2]["item"]]
    assert workspace.figures("echo")["calls"] == 1


def test_a_stream_that_is_cut_is_taken_up_where_it_was(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"drop": "middle", "first": 1}])
    body = {"input": [{"role": "user", "content": LONG}], "background": True, "stream": True}
    received = list[bytes]()
    url = f"{workspace.host}/apps/echo/responses"
    with (
        workspace.http.post(url, json=body, stream=True, timeout=SECONDS) as reply,
        pytest.raises(requests.exceptions.ChunkedEncodingError),
    ):
        received.extend(reply.iter_content(None))
    *whole, _ = b"".join(received).decode(errors="replace").split("\n\n")
    last = json.loads(whole[-1].removeprefix("data: "))
    rest = frames(poll(workspace, last["response_id"], stream="true", starting_after=last["sequence_number"]))
    assert rest[0]["sequence_number"] == last["sequence_number"] + 1
    assert rest[-1] == "[DONE]"
    assert workspace.figures("echo")["statuses"] == {"200": 1}


def test_a_run_fails_of_what_the_agent_raises(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"status": 500}])
    error = {"message": "injected by the sandbox", "type": "server_error", "code": "task_failed"}
    run = begin(workspace, "hi").json()["id"]
    assert result(workspace, run) == {"id": run, "status": "failed", "error": error, "attempt_number": 1}
    (event,) = frames(begin(workspace, "hi", stream=True))
    assert (event["type"], event["error"], event["sequence_number"]) == ("error", error, 0)
    assert workspace.figures("echo")["statuses"] == {"500": 2}


@pytest.mark.parametrize(
    "fault",
    [{"status": 429, "headers": {"Retry-After": "2"}}, {"status": 502, "raw": "<html>"}, {"status": 503, "body": {}}],
)
def test_other_refusals_are_those_of_the_request(workspace: Workspace, fault: dict[str, Any]) -> None:
    workspace.behave("echo", faults=[fault])
    assert begin(workspace, "hi").status_code == fault["status"]
    assert workspace.figures("echo")["statuses"] == {str(fault["status"]): 1}


def test_a_request_that_is_dropped_begins_no_run_unless_in_the_middle(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"drop": "before", "match": "before"}, {"drop": "middle", "match": "middle"}])
    with pytest.raises(requests.ConnectionError):
        begin(workspace, "before")
    assert workspace.figures("echo")["statuses"] == {"dropped": 1}
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        begin(workspace, "middle")
    figures = workspace.wait_for("echo", lambda figures: figures["in_flight"] == 0)
    assert figures["statuses"] == {"dropped": 1, "200": 1}


def test_runs_have_unusual_outputs_too(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"reply": "tools", "match": "t"}, {"reply": "stream_error", "match": "x"}])
    state = result(workspace, begin(workspace, "t").json()["id"])
    assert [item["type"] for item in state["output"]] == ["function_call", "function_call_output", "message"]
    *events, last = frames(begin(workspace, "x" * 90, stream=True))
    assert (events[0]["type"], last["type"], last["error"]["code"]) == ("response.created", "error", "task_failed")
    assert poll(workspace, last["response_id"]).json()["status"] == "failed"


def test_what_is_asked_of_runs_wrongly_is_refused(workspace: Workspace) -> None:
    unknown = poll(workspace, "resp_0")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Response not found"})
    run = begin(workspace, "hi").json()["id"]
    after = poll(workspace, run, starting_after=1)
    assert after.status_code == 400
    assert after.json() == {"detail": "starting_after is only supported when stream=true."}
    negative = poll(workspace, run, stream="true", starting_after=-1)
    assert (negative.status_code, negative.json()["detail"][0]["loc"]) == (422, ["query", "starting_after"])
    assert poll(workspace, run, stream="perhaps").json()["detail"][0]["type"] == "bool_parsing"
    cancelled = workspace.post(f"/apps/echo/responses/{run}/cancel")
    assert (cancelled.status_code, cancelled.json()) == (501, {"detail": "Cancellation is not yet implemented."})
    bad = workspace.post("/apps/echo/responses", json={"input": "hi", "background": True})
    assert bad.status_code == 400
    assert bad.json()["detail"].startswith("Invalid parameters for ResponsesAgent: ")


def test_only_responses_agents_on_apps_run_in_the_background(workspace: Workspace) -> None:
    question = {"messages": [{"role": "user", "content": "hi"}], "background": True}
    said = workspace.post("/apps/echo-chat-agent/invocations", json=question).json()
    assert said["messages"][0]["content"] == "hi"
    runs = workspace.http.get(f"{workspace.host}/apps/echo-chat-agent/responses/resp_0", timeout=SECONDS)
    assert (runs.status_code, runs.json()) == (404, {"detail": "Not Found"})
    assert workspace.ask("hi", serving="echo", background=True).json()["status"] == "completed"


def test_polls_need_the_right_login(workspace: Workspace) -> None:
    run = begin(workspace, "hi").json()["id"]
    personal = workspace.config("sandbox-pat").authenticate()
    for headers in ({}, personal):
        url = f"{workspace.host}/apps/echo/responses/{run}"
        assert requests.get(url, headers=headers, timeout=SECONDS).status_code == 401
