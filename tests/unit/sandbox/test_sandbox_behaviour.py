"""Latency and faults on purpose, and the figures that count what came of them."""

import json
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
import requests
from sandbox_user import SECONDS, Workspace, answer_text

from rowcall.sandbox.agents.behaviour import read_behaviour


def struck(faults: list[dict[str, Any]], texts: list[str]) -> list[int]:
    """The calls, counted from 1, that a fault strikes."""
    behaviour = read_behaviour({"faults": faults})
    return [number for number, text in enumerate(texts, 1) if behaviour.fault(text) is not None]


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"first": 2}, [1, 2]),
        ({"every": 3}, [3, 6]),
        ({"share": 0}, []),
        ({"share": 1}, [1, 2, 3, 4, 5, 6]),
        ({"match": "b"}, [2, 4, 6]),
        ({"match": "b", "first": 1}, [2]),
        ({"match": "b", "every": 2}, [4]),
    ],
)
def test_which_calls_a_fault_strikes(fault: dict[str, Any], calls: list[int]) -> None:
    assert struck([{"status": 503, **fault}], ["a", "b"] * 3) == calls


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_a_share_is_kept_and_evenly_spread(share: float) -> None:
    calls = struck([{"status": 503, "share": share}], ["x"] * 1000)
    assert len(calls) == pytest.approx(1000 * share, abs=2)
    assert struck([{"status": 503, "share": share}], ["x"] * 1000) == calls
    in_each_half = sum(call <= 500 for call in calls)
    assert in_each_half == pytest.approx(500 * share, abs=2)


def test_the_first_fault_that_strikes_decides_and_every_fault_counts() -> None:
    behaviour = read_behaviour({"faults": [{"status": 500, "first": 1}, {"status": 503, "every": 2}]})
    faults = [behaviour.fault("x") for _ in range(4)]
    assert [fault and fault.status for fault in faults] == [500, 503, None, 503]


def test_jitter_has_the_median_and_the_tail_it_was_given() -> None:
    behaviour = read_behaviour({"latency_ms": 10, "jitter": [80, 900]})
    waits = [behaviour.wait() for _ in range(10_000)]
    assert statistics.median(waits) == pytest.approx(0.010 + 0.080, rel=0.02)
    assert sorted(waits)[9_900] == pytest.approx(0.010 + 0.900, rel=0.05)
    assert read_behaviour({"latency_ms": 10}).wait() == 0.01


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ([], "behaviour: expected an object"),
        ({"latency": 5}, "behaviour: unknown latency"),
        ({"latency_ms": -1}, "behaviour.latency_ms: expected a number"),
        ({"latency_ms": True}, "behaviour.latency_ms: expected a number"),
        ({"jitter": [5]}, "jitter: expected"),
        ({"jitter": [9, 5]}, "jitter: expected"),
        ({"answer": 5}, "answer: expected a text"),
        ({"faults": {}}, "faults: expected a list"),
        (
            {"faults": [{"every": 2}]},
            "faults[0]: expected one of status, reply, headers, retry_in_s, pad_mb, pause_ms, drop, delay_ms",
        ),
        ({"faults": [{"pad_mb": 0}]}, "faults[0].pad_mb: expected a whole number from 1 to 256"),
        ({"faults": [{"pause_ms": "long"}]}, "faults[0].pause_ms: expected a number"),
        ({"faults": [{"status": 503, "evry": 2}]}, "faults[0]: unknown evry"),
        ({"faults": [{"status": 503}, {"status": 42}]}, "faults[1].status: expected a whole number"),
        ({"faults": [{"status": 503, "every": 0}]}, "faults[0].every: expected a whole number"),
        ({"faults": [{"status": 503, "share": 2}]}, "faults[0].share: expected a number from 0 to 1"),
        ({"faults": [{"drop": "later"}]}, "faults[0].drop: expected"),
        ({"faults": [{"status": 503, "match": 5}]}, "faults[0].match: expected a text"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(workspace: Workspace, behaviour: Any, problem: str) -> None:
    url = f"{workspace.host}/sandbox/behaviour/echo"
    reply = workspace.http.put(url, json=behaviour, timeout=SECONDS)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(problem)


def test_only_agents_behave(workspace: Workspace) -> None:
    reply = workspace.http.put(f"{workspace.host}/sandbox/behaviour/nobody", json={}, timeout=SECONDS)
    assert reply.status_code == 404
    assert "text-insight, echo" in reply.json()["error"]


def test_a_fixed_answer_and_latency(workspace: Workspace) -> None:
    workspace.behave("echo", answer="fixed", latency_ms=150)
    started = time.monotonic()
    assert answer_text(workspace.ask("hi", serving="echo")) == "fixed"
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ({"app": "echo"}, {"detail": "injected by the sandbox"}),
        ({"serving": "echo"}, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "injected by the sandbox"}),
    ],
)
def test_a_status_without_a_body_speaks_the_servers_own_dialect(
    workspace: Workspace, where: dict[str, str], body: dict[str, str]
) -> None:
    workspace.behave("echo", faults=[{"first": 1, "status": 503, "headers": {"Retry-After": "2"}}])
    reply = workspace.ask("hi", **where)
    assert (reply.status_code, reply.headers["Retry-After"], reply.json()) == (503, "2", body)
    assert answer_text(workspace.ask("hi", **where)) == "hi"


def test_a_fault_sends_the_body_it_was_given(workspace: Workspace) -> None:
    page = {"status": 502, "raw": "<html>Bad gateway", "headers": {"Content-Type": "text/html"}, "match": "page"}
    workspace.behave("echo", faults=[page, {"status": 400, "body": {"error": {"code": 429}}, "match": "json"}])
    reply = workspace.ask("a page", serving="echo")
    assert (reply.status_code, reply.headers["Content-Type"], reply.text) == (502, "text/html", "<html>Bad gateway")
    assert workspace.ask("some json", serving="echo").json() == {"error": {"code": 429}}


@pytest.mark.parametrize("stream", [False, True])
def test_connections_are_dropped_before_or_in_the_middle_of_a_reply(workspace: Workspace, stream: bool) -> None:
    workspace.behave("echo", faults=[{"drop": "before", "match": "before"}, {"drop": "middle", "match": "middle"}])
    with pytest.raises(requests.ConnectionError):
        workspace.ask("before", app="echo", stream=stream)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        workspace.ask("middle", app="echo", stream=stream)
    figures = workspace.figures("echo")
    assert (figures["calls"], figures["answered"], figures["statuses"]) == (2, 0, {"dropped": 2})


def test_a_delay_alone_only_makes_the_call_slower(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"delay_ms": 150, "first": 1}])
    started = time.monotonic()
    assert answer_text(workspace.ask("hi", app="echo")) == "hi"
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_is_held_up_in_its_middle(workspace: Workspace, stream: bool) -> None:
    workspace.behave("echo", faults=[{"pause_ms": 400}])
    body = {"input": [{"role": "user", "content": "hi"}], "stream": stream}
    with workspace.post("/apps/echo/responses", json=body, stream=True) as reply:
        pieces = [(time.monotonic(), piece) for piece in reply.iter_content(1)]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(pieces)]
    assert max(gaps) >= 0.3
    assert abs(gaps.index(max(gaps)) - len(pieces) // 2) <= 1
    assert b"hi" in b"".join(piece for _, piece in pieces)
    assert workspace.figures("echo")["statuses"] == {"200": 1}


def test_a_reply_is_padded_with_what_json_ignores(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"pad_mb": 2}])
    reply = workspace.ask("hi", app="echo")
    assert answer_text(reply) == "hi"
    assert len(reply.content) == int(reply.headers["Content-Length"]) > 2 * 1024 * 1024


def test_a_right_reply_comes_under_a_wrong_content_type(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"headers": {"Content-Type": "text/plain"}}])
    reply = workspace.ask("hi", serving="echo")
    assert reply.headers["Content-Type"] == "text/plain"
    assert answer_text(reply) == "hi"


def test_a_redirect_leads_elsewhere(workspace: Workspace) -> None:
    elsewhere = f"{workspace.host}/apps/text-insight/responses"
    workspace.behave("echo", faults=[{"status": 307, "headers": {"Location": elsewhere}}])
    body = {"input": [{"role": "user", "content": "hi"}]}
    reply = workspace.post("/apps/echo/responses", json=body, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (307, elsewhere)


def test_a_login_is_refused_by_a_fault_once(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"first": 1, "status": 401, "body": {"error_code": 401, "message": "no"}}])
    assert [workspace.ask("hi", app="echo").status_code for _ in range(2)] == [401, 200]


def test_a_date_to_come_back_at_is_that_of_the_reply(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"status": 429, "retry_in_s": 60}])
    before = datetime.now(UTC)
    told = parsedate_to_datetime(workspace.ask("hi", app="echo").headers["Retry-After"])
    seconds = timedelta(seconds=1)
    assert before + 60 * seconds - seconds <= told <= datetime.now(UTC) + 60 * seconds


def test_faults_of_sending_strike_what_begins_a_run(workspace: Workspace) -> None:
    workspace.behave("echo", faults=[{"headers": {"X-Struck": "yes"}, "pad_mb": 1}])
    began = workspace.ask("hi", app="echo", background=True)
    assert (began.headers["X-Struck"], began.json()["status"]) == ("yes", "in_progress")
    assert len(began.content) > 1024 * 1024
    workspace.wait_for("echo", lambda figures: figures["in_flight"] == 0)


def test_figures_tell_calls_from_answers_and_repeats(workspace: Workspace) -> None:
    before = time.time_ns()
    workspace.behave("echo", faults=[{"match": "b", "first": 1, "status": 429}])
    for text in ("a", "b", "b", "b"):
        workspace.ask(text, app="echo", client_request_id=f"{text} {time.time_ns()}")
    figures = workspace.figures("echo")
    assert before < figures.pop("first_request_ns") < figures.pop("last_reply_ns") < time.time_ns()
    assert figures == {
        "calls": 4,
        "answered": 3,
        "in_flight": 0,
        "max_in_flight": 1,
        "statuses": {"200": 3, "429": 1},
        "distinct_inputs": 2,
        "distinct_answered": 2,
        "busiest": {"seconds": 60, "requests": 4, "input_tokens": 4, "output_tokens": 3},
    }


def test_figures_know_how_many_calls_were_in_flight_at_once(workspace: Workspace) -> None:
    workspace.behave("echo", latency_ms=1500)
    with ThreadPoolExecutor(8) as threads:
        replies = [threads.submit(workspace.ask, f"row {n}", app="echo") for n in range(8)]
        workspace.wait_for("echo", lambda figures: figures["in_flight"] == 8)
        assert [reply.result().status_code for reply in replies] == [200] * 8
    figures = workspace.figures("echo")
    assert (figures["max_in_flight"], figures["in_flight"], figures["answered"]) == (8, 0, 8)


def test_a_client_that_left_before_its_reply_is_counted_as_lost(workspace: Workspace) -> None:
    workspace.behave("echo", latency_ms=300)
    body = json.dumps({"input": [{"role": "user", "content": "hi"}]})
    host = workspace.host.removeprefix("http://")
    head = f"POST /apps/echo/responses HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    token = f"Authorization: {workspace.http.headers['Authorization']}\r\n\r\n"
    address, port = host.split(":")
    with socket.create_connection((address, int(port)), timeout=SECONDS) as connection:
        connection.sendall((head + token + body).encode())
        workspace.wait_for("echo", lambda figures: figures["in_flight"] == 1)
    figures = workspace.wait_for("echo", lambda figures: figures["in_flight"] == 0)
    assert (figures["calls"], figures["answered"], figures["statuses"]) == (1, 0, {"lost": 1})


def test_requests_are_recorded_as_they_came(workspace: Workspace) -> None:
    workspace.ask("ünï", app="echo", client_request_id="row 1")
    workspace.post("/apps/echo/responses", data=b"not json")
    recorded = workspace.http.get(f"{workspace.host}/sandbox/requests/echo", timeout=SECONDS).json()
    assert [request["path"] for request in recorded] == ["/apps/echo/responses"] * 2
    assert recorded[0]["body"] == {"input": [{"role": "user", "content": "ünï"}], "client_request_id": "row 1"}
    assert recorded[1]["body"] is None
    assert recorded[0]["headers"]["content-type"] == "application/json"
    assert "authorization" not in recorded[0]["headers"]
