"""Secrets, as the workspace's API gives them out: by scope and key, in base64."""

import base64
from functools import partial

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.oauth import signed_in
from rowcall.sandbox.state import Sandbox


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [web.get("/api/2.0/secrets/get", signed_in(sandbox.logins, partial(_secret, sandbox)))]


async def _secret(sandbox: Sandbox, request: web.Request) -> web.Response:
    scope, key = request.query.get("scope"), request.query.get("key")
    if not scope or not key:
        missing = "key" if scope else "scope"
        return platform_error(400, f"Missing required field: {missing}", "INVALID_PARAMETER_VALUE")
    if not sandbox.rights.has("READ", "secret-scope", scope):
        return platform_error(403, f"User does not have READ permission on scope {scope}.")
    if scope not in sandbox.secrets:
        return platform_error(404, f"Scope {scope} does not exist!")
    if key not in sandbox.secrets[scope]:
        return platform_error(404, f"Failed to get secret {key} for scope {scope}.")
    value = base64.b64encode(sandbox.secrets[scope][key].encode()).decode()
    return web.json_response({"key": key, "value": value})
