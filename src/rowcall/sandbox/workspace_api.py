"""Lookups of the workspace's API: serving endpoints, apps, who is asking."""

from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.lookups import LookupState
from rowcall.sandbox.oauth import signed_in
from rowcall.sandbox.state import Hosted, Sandbox
from rowcall.sandbox.warehouse.warehouse import WAREHOUSE_ID

_CREATOR = "sandbox@localhost"
_CREATED_MS = 1_760_000_000_000


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    lookups = {
        "/api/2.0/serving-endpoints": _endpoints,
        "/api/2.0/serving-endpoints/{name}": _endpoint,
        "/api/2.0/apps": _apps,
        "/api/2.0/apps/{name}": _app,
        "/api/2.0/preview/scim/v2/Me": _me,
        "/api/2.0/sql/warehouses": _warehouses,
        "/api/2.0/sql/warehouses/{id}": _warehouse,
    }
    known = [web.get(path, signed_in(sandbox.logins, partial(look, sandbox))) for path, look in lookups.items()]
    return [*known, web.route("*", "/api/{path:.*}", signed_in(sandbox.logins, _unknown))]


async def _endpoints(sandbox: Sandbox, _: web.Request) -> web.Response:
    endpoints = [
        _as_endpoint(sandbox, one, one.lookups.shown()) for one in sandbox.hosted.values() if one.agent.is_endpoint
    ]
    return web.json_response({"endpoints": endpoints})


async def _endpoint(sandbox: Sandbox, request: web.Request) -> web.Response:
    name = request.match_info["name"]
    hosted = _wanted(sandbox, name)
    if hosted is None or not hosted.agent.is_endpoint:
        return platform_error(404, f"Endpoint with name '{name}' does not exist.")
    return web.json_response(_as_endpoint(sandbox, hosted, hosted.lookups.answer()))


async def _apps(sandbox: Sandbox, _: web.Request) -> web.Response:
    apps = [_as_app(sandbox, one, one.lookups.shown()) for one in sandbox.hosted.values() if one.agent.is_app]
    return web.json_response({"apps": apps})


async def _app(sandbox: Sandbox, request: web.Request) -> web.Response:
    name = request.match_info["name"]
    hosted = _wanted(sandbox, name)
    if hosted is None or not hosted.agent.is_app:
        return platform_error(404, f"App with name {name} does not exist or is deleted.")
    return web.json_response(_as_app(sandbox, hosted, hosted.lookups.answer()))


async def _me(sandbox: Sandbox, _: web.Request) -> web.Response:
    me = {
        "id": "1",
        "userName": sandbox.logins.client_id,
        "displayName": "Sandbox",
        "active": True,
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    }
    return web.json_response(me, headers={"X-Databricks-Org-Id": "1"})


async def _warehouses(sandbox: Sandbox, _: web.Request) -> web.Response:
    return web.json_response({"warehouses": [_as_warehouse(sandbox)]})


async def _warehouse(sandbox: Sandbox, request: web.Request) -> web.Response:
    name = request.match_info["id"]
    if name != WAREHOUSE_ID:
        return platform_error(404, f"SQL warehouse {name} does not exist.")
    if not sandbox.rights.has("CAN_USE", "warehouse", name):
        return platform_error(403, f"User is not authorized to use SQL warehouse {name}.")
    return web.json_response(_as_warehouse(sandbox))


async def _unknown(request: web.Request) -> web.Response:
    return platform_error(404, f"No API found for '{request.method} {request.path}'", "ENDPOINT_NOT_FOUND")


def _wanted(sandbox: Sandbox, name: str) -> Hosted | None:
    """The agent of a name, warming up: who looks an agent up is about to ask it."""
    hosted = sandbox.hosted.get(name)
    if hosted is not None and hosted.agent.warm_up is not None:
        hosted.agent.warm_up()
    return hosted


def _as_endpoint(sandbox: Sandbox, hosted: Hosted, state: LookupState) -> dict[str, object]:
    """A custom model's endpoint has no task."""
    name = hosted.agent.name
    may_ask = sandbox.rights.has("CAN_QUERY", "serving-endpoint", name)
    entity = {"name": f"{name}-1", "entity_name": f"main.sandbox.{name}", "entity_version": "1"}
    return {
        "id": f"endpoint-{name}",
        "name": name,
        **({"task": hosted.agent.task} if hosted.agent.task else {}),
        "description": hosted.agent.description,
        "state": {"ready": state.ready, "config_update": state.config_update},
        "config": {"served_entities": [entity], "config_version": 1},
        "creator": _CREATOR,
        "creation_timestamp": _CREATED_MS,
        "last_updated_timestamp": _CREATED_MS,
        "permission_level": "CAN_QUERY" if may_ask else "CAN_VIEW",
    }


def _as_warehouse(sandbox: Sandbox) -> dict[str, object]:
    address = urlsplit(sandbox.host)
    path = f"/sql/1.0/warehouses/{WAREHOUSE_ID}"
    return {
        "id": WAREHOUSE_ID,
        "name": WAREHOUSE_ID,
        "state": sandbox.warehouse.state,
        "warehouse_type": "PRO",
        "enable_serverless_compute": True,
        "cluster_size": "2X-Small",
        "num_clusters": 1,
        "creator_name": _CREATOR,
        "odbc_params": {"hostname": address.hostname, "port": address.port, "path": path, "protocol": address.scheme},
    }


def _as_app(sandbox: Sandbox, hosted: Hosted, state: LookupState) -> dict[str, object]:
    name = hosted.agent.name
    return {
        "id": f"app-{name}",
        "name": name,
        "description": hosted.agent.description,
        "url": f"{sandbox.host}/apps/{name}",
        "app_status": {"state": state.app, "message": f"App is {state.app.lower()}"},
        "compute_status": {"state": state.compute, "message": f"App compute is {state.compute.lower()}"},
        "creator": _CREATOR,
    }
