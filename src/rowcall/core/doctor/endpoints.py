"""Whether an endpoint or a warehouse is there and may be used, from what the workspace tells of it. Nothing here is asked by a call
that is paid."""

from rowcall.core.doctor.checks import Found, missing, ok, unknown
from rowcall.core.doctor.principal import Principal, allow
from rowcall.core.doctor.told import Told
from rowcall.core.loose import text
from rowcall.core.readiness import Readiness, app_readiness, serving_readiness

STANDING = ("STOPPED", "STOPPING")
"""States of a warehouse in which the first statement starts it."""
_GONE = ("DELETING", "DELETED")


def app_found(told: Told, name: str, principal: Principal) -> Found:
    """From `GET apps/{name}`."""
    if told.status != 200:
        return _not_seen(told, f"app {name}", allow("apps", name, "CAN_USE", principal))
    return _ready(app_readiness(told.body), "it runs", f"databricks apps start {name}; databricks apps deploy {name}")


def app_use_found(looked: tuple[int, object] | None, name: str, principal: Principal) -> Found:
    """From a GET of a page of the app, `/agent/info`, which asks no agent: the proxy in front of apps turns away who may not use
    them before the app hears of it. With which status is not documented; a login page is a redirect."""
    if looked is None:
        return unknown("the app does not answer")
    status = looked[0]
    if status in (401, 403) or 300 <= status < 400:
        return missing(f"{principal} may not use it (HTTP {status})", allow("apps", name, "CAN_USE", principal))
    return ok(f"{principal} may use it") if status < 500 else unknown(f"the app answers HTTP {status}")


def serving_found(told: Told, name: str, *, gateway: bool) -> Found:
    """From `GET serving-endpoints/{name}`. A model behind the AI gateway need not be a serving endpoint."""
    if told.status == 404 and gateway:
        return unknown("it is no serving endpoint; the gateway may know it")
    if told.status != 200:
        return _not_seen(told, f"serving endpoint {name}", "Ask for CAN QUERY on it, or see Serving in the workspace.")
    task = text(told.body.get("task"))
    said = f"it is ready, task {task}" if task else "it is ready, a custom model"
    return _ready(serving_readiness(told.body), said, f"See the events of {name} under Serving in the workspace.")


def serving_use_found(told: Told, name: str, principal: Principal) -> Found:
    """From the `permission_level` that a lookup tells of whoever makes it (the SDK's `ServingEndpointDetailedPermissionLevel`).
    Whether it is told of Databricks' own models is not known."""
    level = text(told.body.get("permission_level"))
    if level in ("CAN_QUERY", "CAN_MANAGE"):
        return ok(f"{principal} has {level}")
    remedy = allow("serving-endpoints", text(told.body.get("id")) or f"<id of {name}>", "CAN_QUERY", principal)
    if level is None:
        return unknown("the workspace does not say; the first call of a run will", remedy)
    return missing(f"{principal} has {level} only", remedy)


def url_found(looked: tuple[int, object] | None, base: str) -> Found:
    """From a GET of `/models`, which OpenAI-compatible servers list for nothing."""
    if looked is None:
        return missing(f"{base} does not answer", "Is the address right, and can it be reached from here?")
    status = looked[0]
    if status in (401, 403):
        return missing(f"{base} refuses the key (HTTP {status})", "See endpoint.api_key.")
    if status >= 500:
        return unknown(f"{base} is there, and answers HTTP {status}")
    return ok(f"{base} answers" + ("" if status == 200 else f" (HTTP {status} to a GET of /models)"))


def warehouse_found(told: Told, name: str, principal: Principal) -> Found:
    """From `GET sql/warehouses/{id}`."""
    if told.status != 200:
        return _not_seen(told, f"SQL warehouse {name}", allow("warehouses", name, "CAN_USE", principal))
    state = text(told.body.get("state")) or "in a state that is not told"
    if state in _GONE:
        return missing(f"it is {state}", "Choose another warehouse.")
    return ok(f"it is {state}" + ("; a run starts it" if state in STANDING else ""))


def _not_seen(told: Told, what: str, remedy: str) -> Found:
    if told.status == 404:
        return missing(f"there is no {what}, or it is not shown to this login", remedy)
    if told.status in (401, 403):
        return missing(f"this login may not see {what} (HTTP {told.status})", remedy)
    return unknown(f"the workspace does not tell of {what}: {told.reason}")


def _ready(seen: Readiness, said: str, remedy: str) -> Found:
    if seen.hopeless:
        return missing(seen.hopeless, remedy)
    return ok(f"{seen.waiting}; a run waits for it, up to limits.warm_up" if seen.waiting else said)
