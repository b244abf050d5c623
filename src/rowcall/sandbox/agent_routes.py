"""Asking an agent: on Model Serving by name or by `model`, on Databricks Apps at the app's own URL.

    token ─▶ body ─▶ which agent ─▶ [counted] ─▶ fault? ─▶ latency ─▶ answer ─▶ JSON or stream ─▶ [counted]

A call is in flight from when its body is here until its last byte is handed to the connection.
"""

import asyncio
import json
import time
from functools import partial

from aiohttp import web

from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.behaviour import Fault
from rowcall.sandbox.delivery import Outgoing, hang_up, send, send_half
from rowcall.sandbox.dialects import APP, SERVING, Asked, Dialect
from rowcall.sandbox.state import Hosted, Recorded, Sandbox
from rowcall.sandbox.wire import Answer, Question, RequestError, read_question

PAYLOAD_BYTES = 4 * 1024 * 1024
_RECORDED_BYTES = 64 * 1024


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    serving, app = partial(_ask, sandbox, SERVING), partial(_ask, sandbox, APP)
    return [
        web.post("/serving-endpoints/responses", serving),
        web.post("/serving-endpoints/{name}/invocations", serving),
        web.post("/apps/{name}/responses", app),
        web.post("/apps/{name}/invocations", app),
        web.get("/apps/{name}/agent/info", partial(_info, sandbox)),
        web.get("/apps/{name}/health", partial(_health, sandbox)),
    ]


async def _ask(sandbox: Sandbox, dialect: Dialect, request: web.Request) -> web.StreamResponse:
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
    return await _Call(hosted, dialect, request).run(raw)


async def _info(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    info = {"name": name, "use_case": "agent", "mlflow_version": "3.18.0", "agent_api": "responses"}
    return _refusal(sandbox, APP, request) or web.json_response(info)


async def _health(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    return _refusal(sandbox, APP, request) or web.json_response({"status": "healthy"})


def _refusal(sandbox: Sandbox, dialect: Dialect, request: web.Request) -> web.Response | None:
    """No for a caller without the right token, and for a name that nothing has."""
    authorization = request.headers.get("Authorization")
    if reason := sandbox.logins.refusal(authorization, oauth_only=dialect.oauth_only):
        return dialect.refuse_caller(reason)
    name = request.match_info.get("name")
    return None if name is None or name in sandbox.hosted else dialect.refuse_name(name)


def _as_recorded(request: web.Request, raw: bytes | None) -> Recorded:
    headers = {key.lower(): value for key, value in request.headers.items() if key.lower() != "authorization"}
    return Recorded(request.path, headers, raw if raw is not None and len(raw) <= _RECORDED_BYTES else None)


class _Call:
    """One counted call. `ending` is what the figures note: the status sent, `dropped` or `lost`."""

    def __init__(self, hosted: Hosted, dialect: Dialect, request: web.Request) -> None:
        self._hosted = hosted
        self._dialect = dialect
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
        if raw is None:
            return await self._send(self._dialect.error(413, f"Request body is above {PAYLOAD_BYTES} bytes"))
        try:
            question = read_question(json.loads(raw))
        except RequestError as wrong:
            return await self._send(self._dialect.error(400, f"Invalid parameters for ResponsesAgent: {wrong}"))
        except (ValueError, RecursionError) as wrong:
            return await self._send(self._dialect.error(400, f"Invalid JSON in request body: {wrong}"))
        self._fingerprint = hash((str(question.body.get("instructions")), json.dumps(question.body["input"])))
        fault = self._hosted.behaviour.fault(question.text)
        if fault is None:
            return await self._send(await self._answer(question))
        return await self._misbehave(fault, question)

    async def _misbehave(self, fault: Fault, question: Question) -> web.StreamResponse:
        await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            self._ending = "dropped"
            return hang_up(self._request, web.Response())
        if fault.status is None:
            outgoing = await self._answer(question)
        else:
            outgoing = self._dialect.fault(fault, fault.status)
        if fault.drop is None:
            return await self._send(outgoing)
        self._ending = "dropped"
        return await send_half(self._request, outgoing)

    async def _answer(self, question: Question) -> Outgoing:
        started_ns = time.time_ns()
        behaviour, agent = self._hosted.behaviour, self._hosted.agent
        if wait := behaviour.wait():
            await asyncio.sleep(wait)
        try:
            fixed = behaviour.answer
            answer = await agent.answer(question) if fixed is None else Answer(fixed)
        except Exception as failure:  # An agent server answers whatever its agent raises with a 500.
            return self._dialect.error(500, str(failure) or type(failure).__name__)
        return self._dialect.answer(Asked(agent.name, self._request.headers, question, started_ns), answer)

    async def _send(self, outgoing: Outgoing) -> web.StreamResponse:
        response = await send(self._request, outgoing)
        self._ending = str(outgoing.status)
        return response
