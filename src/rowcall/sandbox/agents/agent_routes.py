"""Asking an agent or a model: on Model Serving by name or by `model`, on Databricks Apps at the app's own URL.

    token ─▶ body ─▶ which agent ─▶ [counted] ─▶ which shape ─▶ fault? ─▶ latency ─▶ answer ─▶ JSON or stream ─▶ [counted]

A call is in flight from when its body is here until its last byte is handed to the connection.
"""

import asyncio
import json
import math
import time
from functools import partial

from aiohttp import web

from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.agents.behaviour import Fault
from rowcall.sandbox.agents.delivery import Outgoing, hang_up, send, send_half
from rowcall.sandbox.agents.dialects import APP, SERVING, Asked, Dialect
from rowcall.sandbox.agents.shapes import RESPONSES_AGENT, Api, Shape, shape_of
from rowcall.sandbox.agents.wire import Answer, Question, RequestError
from rowcall.sandbox.state import Hosted, Recorded, Sandbox

PAYLOAD_BYTES = 4 * 1024 * 1024
_RECORDED_BYTES = 64 * 1024


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.post("/serving-endpoints/responses", partial(_ask, sandbox, SERVING, "responses")),
        web.post("/serving-endpoints/chat/completions", partial(_ask, sandbox, SERVING, "chat")),
        web.post("/serving-endpoints/{name}/invocations", partial(_ask, sandbox, SERVING, "invocations")),
        web.post("/apps/{name}/responses", partial(_ask, sandbox, APP, "responses")),
        web.post("/apps/{name}/invocations", partial(_ask, sandbox, APP, "invocations")),
        web.get("/apps/{name}/agent/info", partial(_info, sandbox)),
        web.get("/apps/{name}/health", partial(_health, sandbox)),
    ]


async def _ask(sandbox: Sandbox, dialect: Dialect, api: Api, request: web.Request) -> web.StreamResponse:
    if refusal := _refusal(sandbox, dialect, request):
        return refusal
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raw = None
    name = request.match_info.get("name") or str(mapping(parse_json(raw or b"")).get("model"))
    hosted = sandbox.hosted.get(name)
    if hosted is None:
        return dialect.refuse_name(name)
    hosted.requests.append(_as_recorded(request, raw))
    return await _Call(hosted, dialect, api, request).run(raw)


async def _info(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refusal := _refusal(sandbox, APP, request):
        return refusal
    name = request.match_info["name"]
    info = {"name": name, "use_case": "agent", "mlflow_version": "3.18.0"}
    responses = sandbox.hosted[name].agent.task == RESPONSES_AGENT
    return web.json_response({**info, "agent_api": "responses"} if responses else info)


async def _health(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    return _refusal(sandbox, APP, request) or web.json_response({"status": "healthy"})


def _refusal(sandbox: Sandbox, dialect: Dialect, request: web.Request) -> web.Response | None:
    """No for a caller without the right token, and for a name that nothing has."""
    authorization = request.headers.get("Authorization")
    if reason := sandbox.logins.refusal(authorization, oauth_only=dialect.oauth_only):
        return dialect.refuse_caller(reason)
    name = request.match_info.get("name")
    if name is None:
        return None
    hosted = sandbox.hosted.get(name)
    known = hosted is not None and (hosted.agent.is_app or not dialect.oauth_only)
    return None if known else dialect.refuse_name(name)


def _as_recorded(request: web.Request, raw: bytes | None) -> Recorded:
    headers = {key.lower(): value for key, value in request.headers.items() if key.lower() != "authorization"}
    return Recorded(request.path, headers, raw if raw is not None and len(raw) <= _RECORDED_BYTES else None)


def _parse(raw: bytes) -> object:
    """The JSON value; raises ValueError. NaN and infinities are none: no reply could repeat them."""
    return json.loads(raw, parse_constant=_finite, parse_float=_finite)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits} is not a finite number")
    return number


class _Call:
    """One counted call. `ending` is what the figures note: the status sent, `dropped` or `lost`."""

    def __init__(self, hosted: Hosted, dialect: Dialect, api: Api, request: web.Request) -> None:
        self._hosted = hosted
        self._dialect = dialect
        self._api: Api = api
        self._request = request
        self._ending = "lost"
        self._fingerprint: int | None = None

    async def run(self, raw: bytes | None) -> web.StreamResponse:
        figures = self._hosted.figures
        figures.arrive()
        try:
            return await self._reply(raw)
        except ConnectionResetError:
            return hang_up(self._request, web.Response())
        finally:
            figures.leave(self._ending, self._fingerprint)

    async def _reply(self, raw: bytes | None) -> web.StreamResponse:
        agent, dialect = self._hosted.agent, self._dialect
        if raw is None:
            return await self._send(dialect.error(413, f"Request body is above {PAYLOAD_BYTES} bytes"))
        shape = shape_of(agent.task, self._api)
        if shape is None:
            return await self._send(dialect.refuse_api(agent.name, agent.task, self._api))
        try:
            question = shape.read(_parse(raw))
            self._fingerprint = hash(json.dumps(question.asked))
        except RequestError as wrong:
            return await self._send(dialect.error(400, f"{shape.refusal}{wrong}"))
        except (ValueError, RecursionError) as wrong:
            return await self._send(dialect.error(400, f"Invalid JSON in request body: {wrong}"))
        fault = self._hosted.behaviour.fault(question.text)
        if fault is None:
            return await self._send(await self._answer(shape, question))
        return await self._misbehave(fault, shape, question)

    async def _misbehave(self, fault: Fault, shape: Shape, question: Question) -> web.StreamResponse:
        await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            self._ending = "dropped"
            return hang_up(self._request, web.Response())
        if fault.status is None:
            outgoing = await self._answer(shape, question)
        else:
            outgoing = self._dialect.fault(fault, fault.status)
        if fault.drop is None:
            return await self._send(outgoing)
        self._ending = "dropped"
        return await send_half(self._request, outgoing)

    async def _answer(self, shape: Shape, question: Question) -> Outgoing:
        started_ns = time.time_ns()
        behaviour, agent = self._hosted.behaviour, self._hosted.agent
        if wait := behaviour.wait():
            await asyncio.sleep(wait)
        asked = Asked(agent.name, shape, self._request.headers, question, started_ns)
        try:
            fixed = behaviour.answer
            answer = await agent.answer(question) if fixed is None else Answer(fixed)
            return self._dialect.answer(asked, answer)
        except RecursionError:  # The reply repeats what the body held just shallow enough to be read.
            return self._dialect.error(400, "Invalid JSON in request body: it is nested too deeply")
        except Exception as failure:  # An agent server answers whatever its agent raises with a 500.
            return self._dialect.error(500, str(failure) or type(failure).__name__)

    async def _send(self, outgoing: Outgoing) -> web.StreamResponse:
        response = await send(self._request, outgoing)
        self._ending = str(outgoing.status)
        return response
