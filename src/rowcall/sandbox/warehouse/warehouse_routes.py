"""Asking the SQL warehouse: Thrift over HTTP, as the SQL connector does.

POST /sql/1.0/warehouses/{id}    a TCLIService request in TBinaryProtocol

Requests wait for one another's ends in threads of their own, so that none holds up the event loop.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.oauth import signed_in
from rowcall.sandbox.state import Sandbox
from rowcall.sandbox.warehouse.warehouse import WAREHOUSE_ID, Warehouse

_BODY_BYTES = 64 * 1024 * 1024
_AT_ONCE = 64
_SAID = "x-thriftserver-error-message"
_THREADS = web.AppKey("warehouse_threads", ThreadPoolExecutor)


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [web.post("/sql/1.0/warehouses/{id}", signed_in(sandbox.logins, partial(_ask, sandbox)))]


def start_and_stop(app: web.Application, warehouse: Warehouse) -> None:
    """Give the application what the route needs, and stop the warehouse with it."""
    app[_THREADS] = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="warehouse")

    async def stop(app: web.Application) -> None:
        await asyncio.to_thread(warehouse.stop)
        app[_THREADS].shutdown(wait=False, cancel_futures=True)

    app.on_shutdown.append(stop)


async def _ask(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if request.match_info["id"] != WAREHOUSE_ID:
        return _refused(404, f"SQL warehouse {request.match_info['id']} does not exist.")
    if not sandbox.rights.has("CAN_USE", "warehouse", WAREHOUSE_ID):
        return _refused(403, f"User is not authorized to use SQL warehouse {WAREHOUSE_ID}.")
    body = await request.clone(client_max_size=_BODY_BYTES).read()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app[_THREADS], _answer, sandbox.warehouse, body)


def _answer(warehouse: Warehouse, body: bytes) -> web.Response:
    try:
        from rowcall.sandbox.warehouse.thrift_service import HttpRefusedError, answered
    except ImportError as missing:
        return _refused(501, f"The SQL warehouse needs the extra `local`: pip install 'rowcall[local]' ({missing})")
    try:
        return web.Response(body=answered(warehouse, body), content_type="application/x-thrift")
    except HttpRefusedError as refusal:
        fault = refusal.fault
        response = _refused(fault.status or 500, f"The sandbox was told to answer HTTP {fault.status}.")
        response.headers.update(fault.headers)
        return response
    except ValueError as error:
        return _refused(400, str(error))


def _refused(status: int, message: str) -> web.Response:
    """A platform error that the connector shows: it reads a header."""
    response = platform_error(status, message)
    response.headers[_SAID] = " ".join(message.split())
    return response
