"""How much an agent takes on: capacities and quotas, told by the clock they are given, and what a client is told over HTTP."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from sandbox_user import SECONDS, Workspace

from rowcall.sandbox.agents.behaviour import read_behaviour
from rowcall.sandbox.agents.capacity import Load, read_capacity, read_quota
from rowcall.sandbox.agents.figures import Figures

HOURS = 10_000


@contextmanager
def calls_under_way(workspace: Workspace, count: int, **call: Any) -> Iterator[list["Future[requests.Response]"]]:
    """So many calls that the sandbox is at; they are answered a second after they came."""
    with ThreadPoolExecutor(count) as threads:
        calls = [threads.submit(workspace.ask, f"slow {n}", **call) for n in range(count)]
        workspace.wait_for("echo", lambda figures: figures["in_flight"] >= count)
        yield calls


def test_of_so_many_at_once_the_next_is_turned_away() -> None:
    capacity = read_capacity({"at_once": 16})
    assert capacity.refusal(15, 0) is None
    refusal = capacity.refusal(16, 0)
    assert refusal is not None
    assert (refusal.status, refusal.retry_after) == (429, None)
    assert refusal.body == {
        "error_code": "REQUEST_LIMIT_EXCEEDED",
        "message": "REQUEST_LIMIT_EXCEEDED: The endpoint serves 16 requests at once",
    }


def test_so_many_a_second_come_in_a_burst_and_then_one_by_one() -> None:
    capacity = read_capacity({"per_second": 10, "burst": 3})
    assert [capacity.refusal(0, 5.0) is None for _ in range(5)] == [True, True, True, False, False]
    assert [capacity.refusal(0, now) is None for now in (5.05, 5.125, 5.15, 5.25)] == [False, True, False, True]
    assert [capacity.refusal(0, 60.0) is None for _ in range(5)] == [True, True, True, False, False]


def test_a_burst_is_as_many_as_a_second_s_unless_told_otherwise() -> None:
    capacity = read_capacity({"per_second": 4})
    assert [capacity.refusal(0, 0.0) is None for _ in range(5)] == [True] * 4 + [False]


def test_a_call_that_is_one_too_many_at_once_uses_up_nothing_of_the_second() -> None:
    capacity = read_capacity({"at_once": 1, "per_second": 1, "burst": 1})
    assert capacity.refusal(1, 0.0) is not None
    assert capacity.refusal(0, 0.0) is None
    assert capacity.refusal(0, 0.0) is not None


def test_a_capacity_says_how_it_refuses() -> None:
    refusal = read_capacity({"at_once": 0, "status": 503, "retry_after": 2}).refusal(0, 0)
    assert refusal is not None
    assert (refusal.status, refusal.retry_after) == (503, 2)
    assert "TEMPORARILY_UNAVAILABLE" in str(refusal.body)


def test_a_quota_holds_in_every_window_and_says_how_long_to_wait() -> None:
    quota = read_quota({"requests": 3})
    assert [quota.refusal(Load(at, 1, 0)) for at in (0.0, 10.0, 20.0)] == [None] * 3
    refusal = quota.refusal(Load(30.0, 1, 0))
    assert refusal is not None
    assert (refusal.status, refusal.retry_after) == (429, 30)
    assert refusal.body == {
        "error": {
            "message": "Exceeded the limit of 3 requests_per_minute",
            "type": "rate_limit_exceeded",
            "code": 429,
            "limit_type": "requests_per_minute",
            "limit": 3,
            "current": 3,
            "retry_after": 30,
        }
    }
    assert quota.refusal(Load(59.9, 1, 0)) is not None
    assert quota.refusal(Load(60.0, 1, 0)) is None
    assert quota.refusal(Load(60.1, 1, 0)) is not None


@pytest.mark.parametrize(
    ("quota", "load", "wait"),
    [
        ({"input_tokens": 100}, Load(10.0, 40, 0), 50),
        ({"input_tokens": 100}, Load(10.0, 51, 0), 55),
        ({"input_tokens": 100}, Load(10.0, 101, 0), 60),
        ({"output_tokens": 100}, Load(10.0, 1, 80), 55),
        ({"input_tokens": 100, "output_tokens": 100}, Load(10.0, 40, 100), 57),
        ({"input_tokens": 100, "seconds": 12}, Load(10.0, 40, 0), 2),
        ({"requests": 10}, Load(10.0, 1000, 1000), None),
    ],
)
def test_a_call_waits_for_the_limit_that_it_fits_last(quota: dict[str, int], load: Load, wait: int | None) -> None:
    counted = read_quota(quota)
    for earlier in (Load(0.0, 20, 10), Load(5.0, 50, 20), Load(7.0, 0, 1)):
        assert counted.refusal(earlier) is None
    refusal = counted.refusal(load)
    assert (None if refusal is None else refusal.retry_after) == wait


def test_reserved_output_is_given_back_when_it_is_known_what_was_said() -> None:
    quota = read_quota({"output_tokens": 100})
    first = Load(0.0, 1, 90)
    assert quota.refusal(first) is None
    assert quota.refusal(Load(1.0, 1, 20)) is not None
    first.output_tokens = 5
    assert quota.refusal(Load(2.0, 1, 20)) is None


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ({"capacity": None}, "capacity: expected an object"),
        ({"capacity": {}}, "capacity: expected `at_once`, `per_second` or both"),
        ({"capacity": {"burst": 5}}, "capacity: expected `at_once`, `per_second` or both"),
        ({"capacity": {"at_once": -1}}, "capacity.at_once: expected a whole number from 0"),
        ({"capacity": {"at_once": 1, "status": 500}}, "capacity.status: expected 429 or 503"),
        ({"capacity": {"per_second": 1, "burst": 0}}, "capacity.burst: expected a whole number from 1"),
        ({"capacity": {"at_onec": 1}}, "capacity: unknown at_onec"),
        ({"quota": {"seconds": 5}}, "quota: expected one of requests, input_tokens, output_tokens"),
        ({"quota": {"requests": 0.5}}, "quota.requests: expected a whole number from 0"),
        ({"quota": {"tokens": 5}}, "quota: unknown tokens"),
    ],
)
def test_what_makes_no_sense_is_refused(behaviour: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_behaviour(behaviour)


@pytest.mark.parametrize("where", [{"app": "echo"}, {"serving": "echo"}])
def test_a_call_too_many_is_turned_away_at_once_and_those_under_way_go_on(
    workspace: Workspace, where: dict[str, str]
) -> None:
    workspace.behave("echo", latency_ms=1000, capacity={"at_once": 4})
    with calls_under_way(workspace, 4, **where) as slow:
        refused = workspace.ask("one too many", **where)
        assert not any(call.done() for call in slow)
        assert (refused.status_code, refused.headers.get("Retry-After")) == (429, None)
        assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert [call.result().status_code for call in slow] == [200] * 4
    assert workspace.ask("later", **where).status_code == 200
    figures = workspace.figures("echo")
    assert (figures["calls"], figures["answered"], figures["statuses"]) == (6, 5, {"200": 5, "429": 1})
    assert figures["busiest"]["requests"] == 5


def test_a_capacity_that_is_replaced_counts_the_calls_under_way(workspace: Workspace) -> None:
    workspace.behave("echo", latency_ms=1000, capacity={"at_once": 2})
    with calls_under_way(workspace, 2, app="echo") as slow:
        workspace.behave("echo", capacity={"at_once": 1, "status": 503, "retry_after": 7})
        refused = workspace.ask("too many still", app="echo")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
        workspace.behave("echo", capacity={"at_once": 3})
        assert workspace.ask("a third", app="echo").status_code == 200
        assert not any(call.done() for call in slow)
        assert [call.result().status_code for call in slow] == [200] * 2


def test_what_is_turned_away_is_struck_by_no_fault(workspace: Workspace) -> None:
    workspace.behave("echo", capacity={"at_once": 0}, faults=[{"first": 1, "status": 500}])
    assert workspace.ask("hi", app="echo").status_code == 429


def test_a_quota_is_kept_in_tokens_as_usage_counts_them(workspace: Workspace) -> None:
    workspace.behave("echo", quota={"input_tokens": 25, "seconds": HOURS})
    said = "x" * 40
    assert workspace.ask(said, app="echo").json()["usage"]["input_tokens"] == 10
    assert workspace.ask(said, serving="echo").status_code == 200
    refused = workspace.ask(said, app="echo")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) == refused.json()["error"]["retry_after"] <= HOURS
    assert refused.json()["error"]["limit_type"] == "input_tokens_per_10000_seconds"
    assert workspace.ask("x" * 20, app="echo").status_code == 200
    figures = workspace.figures("echo")
    assert (figures["answered"], figures["statuses"]) == (3, {"200": 3, "429": 1})
    assert figures["busiest"] == {"seconds": 60, "requests": 3, "input_tokens": 25, "output_tokens": 25}


def test_output_is_reserved_as_the_request_allows_and_settled_when_answered(workspace: Workspace) -> None:
    workspace.behave("echo", latency_ms=1000, quota={"output_tokens": 100, "seconds": HOURS})
    with calls_under_way(workspace, 1, app="echo", max_output_tokens=90) as slow:
        assert workspace.ask("y" * 40, app="echo", max_output_tokens=20).status_code == 429
        assert slow[0].result().json()["usage"]["output_tokens"] == 1
    workspace.behave("echo-model", quota={"output_tokens": 100, "seconds": HOURS})
    chat = {"messages": [{"role": "user", "content": "z" * 40}]}
    path = "/serving-endpoints/echo-model/invocations"
    statuses = [workspace.post(path, json={**chat, "max_tokens": 90}).status_code for _ in range(2)]
    assert statuses == [200, 200]
    assert workspace.post(path, json={**chat, "max_tokens": 91}).status_code == 429
    workspace.behave("echo-model")


def test_the_durable_server_and_runs_in_the_background_have_a_capacity_too(workspace: Workspace) -> None:
    for agent in ("echo", "echo-durable"):
        workspace.behave(agent, capacity={"at_once": 0, "retry_after": 3})
    began = workspace.ask("hi", app="echo", background=True)
    body = {
        "id": "0a0a0a0a-0000-4000-8000-000000000001",
        "session_id": "s",
        "input": [{"role": "user", "content": "x"}],
    }
    durable = workspace.post("/apps/echo-durable/api/invocations", json=body)
    for reply in (began, durable):
        assert (reply.status_code, reply.headers["Retry-After"]) == (429, "3")
    workspace.behave("echo-durable", capacity={"at_once": 1})
    assert workspace.post("/apps/echo-durable/api/invocations", json=body).status_code == 200
    workspace.behave("echo-durable")


def test_the_busiest_window_may_be_anywhere() -> None:
    figures = Figures()
    for at, said in ((0.0, 1), (50.0, 2), (60.0, 4), (109.9, 8), (110.0, 16), (500.0, 1)):
        figures.loads.append(Load(at, 10, said))
    assert figures.busiest(60) == {"requests": 3, "input_tokens": 30, "output_tokens": 28}
    assert figures.busiest(10) == {"requests": 2, "input_tokens": 20, "output_tokens": 24}


def test_figures_are_of_the_busiest_so_many_seconds_that_are_asked_for(workspace: Workspace) -> None:
    workspace.ask("hi", app="echo")
    url = f"{workspace.host}/sandbox/figures"
    figures = workspace.http.get(url, params={"seconds": 0.5}, timeout=SECONDS).json()["echo"]
    assert figures["busiest"] == {"seconds": 0.5, "requests": 1, "input_tokens": 1, "output_tokens": 1}
    for wrong in ("0", "many", "-1"):
        assert workspace.http.get(url, params={"seconds": wrong}, timeout=SECONDS).status_code == 400
