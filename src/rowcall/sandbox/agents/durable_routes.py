"""Apps on the durable agent server: invocations with an id of the client's choosing, which are never run twice.

    POST /apps/{name}/api/invocations                       waits for the output, streams events, or answers 202 at once
    GET  /apps/{name}/api/invocations/{id}                  what the invocation came to
    GET  /apps/{name}/api/invocations/{id}/events?after=N   its events

These are the only routes of such an app. Addresses in replies are those on the app's own host: without `/apps/{name}`.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

from aiohttp import web
from pydantic import TypeAdapter

from rowcall.sandbox.agents.calls import (
    PAYLOAD_BYTES,
    Call,
    no_route,
    read_raw,
    record,
    refusal,
    send_uncounted,
    share_out,
)
from rowcall.sandbox.agents.delivery import EVENTS, JSON, Outgoing
from rowcall.sandbox.agents.dialects import APP
from rowcall.sandbox.agents.durable_wire import Invocation, make_output, output_events, read_question
from rowcall.sandbox.agents.fastapi_errors import UnfitError, fit_body, fit_text
from rowcall.sandbox.agents.faults import Fault
from rowcall.sandbox.agents.runs import Run
from rowcall.sandbox.agents.shapes import DURABLE
from rowcall.sandbox.agents.unusual_replies import change_reply
from rowcall.sandbox.agents.wire import Json, Question, RequestError, to_json
from rowcall.sandbox.state import Hosted, Sandbox

_ROOT = "/api/invocations"
_FAILED = "agent invocation failed"
_NOT_FOUND = APP.error(404, "invocation not found")
_INVOCATION = TypeAdapter(Invocation)
_ID = TypeAdapter(UUID)
_NUMBER = TypeAdapter(int)


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.post(f"/apps/{{name}}{_ROOT}", partial(_invoke, sandbox)),
        web.get(f"/apps/{{name}}{_ROOT}/{{id}}", partial(_state, sandbox)),
        web.get(f"/apps/{{name}}{_ROOT}/{{id}}/events", partial(_events, sandbox)),
    ]


async def _invoke(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refused := _refusal(sandbox, request):
        return refused
    raw = await read_raw(request)
    hosted = sandbox.hosted[request.match_info["name"]]
    record(hosted, request, raw)
    call = Call(hosted, request)
    if raw is None:
        return await call.count(call.send(APP.error(413, f"Request body is above {PAYLOAD_BYTES} bytes")))
    try:
        invocation = fit_body(_INVOCATION, raw)
    except UnfitError as wrong:
        return await call.count(call.send(wrong.reply))
    run = hosted.runs.get(str(invocation.id))
    if run is None:
        return await call.count(_begin(call, invocation))
    return await send_uncounted(hosted, request, await _reply(run, invocation))


async def _begin(call: Call, invocation: Invocation) -> web.StreamResponse:
    question = _read(invocation)
    if isinstance(question, Question) and (refused := call.refusal(question)):
        return await call.turn_away(refused)
    text = "" if isinstance(question, RequestError) else question.text
    on_request, on_run = share_out(call.hosted.behaviour.fault(text))
    return await call.reply(APP, on_request, partial(_run, call, invocation, question, on_run))


def _read(invocation: Invocation) -> Question | RequestError:
    """The question; or why the agent will fail of it."""
    try:
        return read_question(invocation)
    except RequestError as wrong:
        return wrong


async def _run(call: Call, invocation: Invocation, question: Question | RequestError, fault: Fault | None) -> Outgoing:
    """Begin the run, unless the same request began it while this one was struck by a fault."""
    run = call.hosted.runs.get(str(invocation.id))
    if run is None:
        run = Run(str(invocation.id), invocation.request, call.hosted.runs.numbers)
        if isinstance(question, Question):
            call.ask(question)
        call.begin(run, partial(_work, call, invocation, question, fault), _last_event)
    return await _reply(run, invocation)


async def _work(
    call: Call, invocation: Invocation, question: Question | RequestError, fault: Fault | None, run: Run
) -> None:
    """Ask the agent once the session's earlier invocations are over."""
    async with call.hosted.runs.session(invocation.session_id or run.id):
        run.state = "active"
        run.emit({"type": "run.started"})
        if isinstance(question, RequestError):
            raise question
        answer = await call.run_agent(question, fault)
        run.reply = change_reply("durable", None if fault is None else fault.reply, make_output(answer))
        for event in output_events(run.reply):
            run.emit(event)


def _last_event(failure: Exception | None) -> Json:
    return {"type": "run.completed" if failure is None else "run.failed"}


async def _reply(run: Run, invocation: Invocation) -> Outgoing:
    """What a request that names a run is answered, in the way it wants to wait."""
    address = f"{_ROOT}/{run.id}"
    if run.request != invocation.request:
        return APP.error(409, "id was already used for another request")
    if invocation.background:
        accepted = {"id": run.id, "status": run.state, "status_url": address}
        events = {"events_url": f"{address}/events"} if invocation.stream else {}
        return Outgoing(202, JSON, to_json({**accepted, **events}))
    if invocation.stream:
        return Outgoing(200, EVENTS, frames=_frames(run, 0))
    await run.wait()
    if run.state == "failed":
        return APP.error(500, _FAILED)
    return Outgoing(200, JSON, to_json({"id": run.id, "status": run.state, "output": run.reply}))


async def _state(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refused := _refusal(sandbox, request):
        return refused
    hosted, run = _named(sandbox, request)
    if run is None:
        return await send_uncounted(hosted, request, _NOT_FOUND)
    state: Json = {"id": run.id, "status": run.state}
    if run.state == "completed":
        state["output"] = run.reply
    elif run.state == "failed":
        state["error"] = _FAILED
    return await send_uncounted(hosted, request, Outgoing(200, JSON, to_json(state)))


async def _events(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refused := _refusal(sandbox, request):
        return refused
    hosted, run = _named(sandbox, request)
    after = fit_text(_NUMBER, request.query.get("after", "0"), "query", "after")
    outgoing = _NOT_FOUND if run is None else Outgoing(200, EVENTS, frames=_frames(run, after))
    return await send_uncounted(hosted, request, outgoing)


def _named(sandbox: Sandbox, request: web.Request) -> tuple[Hosted, Run | None]:
    hosted = sandbox.hosted[request.match_info["name"]]
    return hosted, hosted.runs.get(str(fit_text(_ID, request.match_info["id"], "path", "invocation_id")))


def _refusal(sandbox: Sandbox, request: web.Request) -> web.Response | None:
    """Other apps have no such routes."""
    if refused := refusal(sandbox, APP, request):
        return refused
    known = sandbox.hosted[request.match_info["name"]].agent.task == DURABLE
    return None if known else no_route()


async def _frames(run: Run, after: int) -> AsyncIterator[bytes]:
    """Events are numbered over all runs of the app, so that the numbers of one have gaps."""
    async for number, event in run.follow(after):
        name = event.get("type", "message")
        yield f"id: {number}\nevent: {name}\ndata: {json.dumps(event)}\n\n".encode()
