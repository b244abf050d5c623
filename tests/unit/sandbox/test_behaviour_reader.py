"""What a behaviour may say besides latency and faults: packets, pauses, named wrong replies, an endpoint scaled to zero."""

from typing import Any

import pytest
from sandbox_user import Workspace, answer_text

from rowcall.sandbox.agents.behaviour import Behaviour, read_behaviour
from rowcall.sandbox.agents.capacity import Load

HOURS = 10_000


def test_how_a_stream_is_cut_up_is_read() -> None:
    behaviour = read_behaviour({"packet_bytes": 7, "frame_delay_ms": 20})
    assert (behaviour.packet_bytes, behaviour.frame_delay) == (7, 0.02)
    assert (read_behaviour({}).packet_bytes, read_behaviour({}).frame_delay) == (None, 0.0)


def test_a_named_reply_is_something_a_fault_does() -> None:
    fault = read_behaviour({"faults": [{"reply": "empty"}]}).fault("x")
    assert fault is not None
    assert (fault.reply, fault.status) == ("empty", None)


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ({"packet_bytes": 0}, "behaviour.packet_bytes: expected a whole number from 1"),
        ({"frame_delay_ms": -1}, "behaviour.frame_delay_ms: expected a number"),
        ({"faults": [{"reply": 5}]}, r"faults\[0\].reply: expected a text"),
        ({"cold": 5}, "cold: expected an object"),
        ({"cold": {"seconds": -1}}, "cold.seconds: expected a number"),
        ({"cold": {"seconds": 1, "status": 500}}, "cold.status: expected 503 or 404"),
        ({"cold": {"seconds": 1, "after": 2}}, "cold: unknown after"),
    ],
)
def test_what_makes_no_sense_is_refused(behaviour: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_behaviour(behaviour)


def status_of_refusal(behaviour: Behaviour, at: float) -> int | None:
    refusal = behaviour.refusal(Load(at, 1, 0), 0)
    return None if refusal is None else refusal.status


def test_calls_while_cold_are_not_counted_by_faults(workspace: Workspace) -> None:
    workspace.behave("echo", cold={"seconds": 0.5}, faults=[{"status": 429, "first": 1}])
    assert workspace.ask("hi", app="echo").status_code == 503
    workspace.wait_for("echo", lambda _: workspace.ask("hi", app="echo").status_code == 429)
    assert workspace.ask("hi", app="echo").status_code == 200


def test_the_first_call_starts_a_cold_agent_and_once_it_is_up_all_is_normal() -> None:
    behaviour = read_behaviour({"cold": {"seconds": 10}})
    assert [status_of_refusal(behaviour, at) for at in (100.0, 109.9, 110.0, 200.0)] == [503, 503, None, None]


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (503, "TEMPORARILY_UNAVAILABLE", "scaled to zero"),
        (404, "RESOURCE_DOES_NOT_EXIST", "not ready"),
    ],
)
def test_a_cold_endpoint_answers_as_the_platform_does(
    workspace: Workspace, status: int, code: str, message: str
) -> None:
    workspace.behave("echo", cold={"seconds": HOURS, "status": status})
    reply = workspace.ask("hi", serving="echo")
    assert (reply.status_code, reply.json()["error_code"]) == (status, code)
    assert message in reply.json()["message"]
    workspace.behave("echo", cold={"seconds": 0})
    assert answer_text(workspace.ask("hi", serving="echo")) == "hi"
