"""Whether an endpoint can answer, from what the workspace says of it."""

from typing import Any

import pytest

from rowcall.core.readiness import READY, Readiness, app_readiness, serving_readiness


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ({"ready": "READY", "config_update": "NOT_UPDATING"}, READY),
        ({"ready": "READY", "config_update": "UPDATE_FAILED"}, READY),
        ({"ready": "READY", "config_update": "IN_PROGRESS"}, Readiness(waiting="it is being updated")),
        ({"ready": "NOT_READY", "config_update": "IN_PROGRESS"}, Readiness(waiting="it is being updated")),
        ({"ready": "NOT_READY", "config_update": "NOT_UPDATING"}, Readiness(waiting="it is not ready")),
        (
            {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"},
            Readiness(hopeless="it is not ready, and its last update ended as UPDATE_FAILED"),
        ),
        ({"ready": "SOMETHING_NEW"}, READY),
        ({}, READY),
        (None, READY),
        ("READY", READY),
    ],
)
def test_a_serving_endpoint(state: Any, seen: Readiness) -> None:
    assert serving_readiness({"name": "x", "state": state}) == seen


@pytest.mark.parametrize(
    ("compute", "app", "seen"),
    [
        ("ACTIVE", "RUNNING", READY),
        (None, None, READY),
        ("STARTING", "UNAVAILABLE", Readiness(waiting="its compute is STARTING")),
        ("ACTIVE", "DEPLOYING", Readiness(waiting="it is DEPLOYING")),
        ("ACTIVE", "CRASHED", Readiness(hopeless="it is CRASHED (exit code 1)")),
        ("STOPPED", "UNAVAILABLE", Readiness(hopeless="its compute is STOPPED (exit code 1)")),
        ("ERROR", None, Readiness(hopeless="its compute is ERROR (exit code 1)")),
    ],
)
def test_an_app(compute: str | None, app: str | None, seen: Readiness) -> None:
    said = {"compute_status": {"state": compute}, "app_status": {"state": app, "message": "exit code 1"}}
    assert app_readiness(said) == seen


def test_an_app_that_says_nothing_is_ready() -> None:
    assert app_readiness({"url": "https://x.test"}) == READY
