"""Whether an endpoint can answer now, as the workspace tells of it (FACTS 2.4; the states are the SDK's enums)."""

from collections.abc import Mapping
from dataclasses import dataclass

from rowcall.core.loose import mapping, text


@dataclass(frozen=True, slots=True)
class Readiness:
    """`waiting` says why it cannot answer yet and will; `hopeless` why it will not, however long one waits. Empty where neither."""

    waiting: str = ""
    hopeless: str = ""


READY = Readiness()
_COMPUTE_OFF = ("STOPPED", "STOPPING", "DELETING", "ERROR")


def serving_readiness(endpoint: Mapping[str, object]) -> Readiness:
    """Of a serving endpoint, from `GET serving-endpoints/{name}`. One that is scaled to zero is ready: a call wakes it."""
    state = mapping(endpoint.get("state"))
    ready, update = text(state.get("ready")), text(state.get("config_update"))
    if ready == "NOT_READY" and update in ("UPDATE_FAILED", "UPDATE_CANCELED"):
        return Readiness(hopeless=f"it is not ready, and its last update ended as {update}")
    if update == "IN_PROGRESS":
        return Readiness(waiting="it is being updated")
    return Readiness(waiting="it is not ready") if ready == "NOT_READY" else READY


def app_readiness(app: Mapping[str, object]) -> Readiness:
    """Of an app, from `GET apps/{name}`."""
    compute, status = mapping(app.get("compute_status")), mapping(app.get("app_status"))
    machine, state = text(compute.get("state")), text(status.get("state"))
    said = text(status.get("message")) or text(compute.get("message"))
    if machine in _COMPUTE_OFF:
        return Readiness(hopeless=f"its compute is {machine}{_because(said)}")
    if state == "CRASHED":
        return Readiness(hopeless=f"it is CRASHED{_because(said)}")
    if machine not in (None, "ACTIVE"):
        return Readiness(waiting=f"its compute is {machine}")
    return Readiness(waiting=f"it is {state}") if state not in (None, "RUNNING") else READY


def _because(said: str | None) -> str:
    return f" ({said})" if said else ""
