"""Refusals in Databricks' two shapes: the platform's `error_code` and `message`, and an app's `detail`."""

import json

from aiohttp import web

_CODES = {
    400: "BAD_REQUEST",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "ALREADY_EXISTS",
    413: "REQUEST_TOO_LARGE",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def platform_error(status: int, message: str, code: str | int | None = None) -> web.Response:
    """What the workspace's own API answers."""
    return web.Response(status=status, body=platform_body(status, message, code), content_type="application/json")


def platform_body(status: int, message: str, code: str | int | None = None) -> bytes:
    """A 401's code is the number, as on the platform."""
    return json.dumps({"error_code": code or _CODES.get(status, status), "message": message}).encode()


def app_body(detail: str) -> bytes:
    """What an agent server on Databricks Apps answers."""
    return json.dumps({"detail": detail}).encode()
