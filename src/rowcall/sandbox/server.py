"""The sandbox's server: every route of the workspace on one loopback address."""

import asyncio
import secrets
import socket
import time
from email.utils import formatdate
from functools import partial

from aiohttp import web

from rowcall.sandbox import control_routes, files_api, oauth, secrets_api, unity_catalog_api, workspace_api
from rowcall.sandbox.agents import agent_routes
from rowcall.sandbox.state import Sandbox
from rowcall.sandbox.warehouse import warehouse_routes

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_SECONDS_TO_FINISH = 1.0


def make_app(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=agent_routes.PAYLOAD_BYTES)
    app.add_routes(oauth.routes(sandbox.host, sandbox.logins))
    app.add_routes(agent_routes.routes(sandbox))
    app.add_routes(control_routes.routes(sandbox))
    app.add_routes(files_api.routes(sandbox))
    app.add_routes(warehouse_routes.routes(sandbox))
    app.add_routes(secrets_api.routes(sandbox))
    app.add_routes(unity_catalog_api.routes(sandbox))
    app.add_routes(workspace_api.routes(sandbox))
    warehouse_routes.start_and_stop(app, sandbox.warehouse)
    app.on_response_prepare.append(partial(_add_headers, sandbox))
    return app


def listen(port: int) -> socket.socket:
    """A listening socket on loopback, never on another address; port 0 takes a free one."""
    return socket.create_server((LOOPBACK, port), backlog=_BACKLOG)


async def serve(sandbox: Sandbox, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then give calls under way a moment to finish."""
    runner = web.AppRunner(make_app(sandbox), access_log=None, shutdown_timeout=_SECONDS_TO_FINISH)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        await stop.wait()
    finally:
        await runner.cleanup()


async def _add_headers(sandbox: Sandbox, _: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = secrets.token_hex(16)
    if sandbox.clock.ahead:
        response.headers["Date"] = formatdate(time.time() + sandbox.clock.ahead, usegmt=True)
