"""Runs in the background on an app, as the long-running agent server has them (FACTS 2.1).

POST /apps/{name}/responses {"background": true, …}                      begins a run; with "stream" its events too
GET  /apps/{name}/responses/{id}[?stream=true[&starting_after=N]]        what it came to, or its events
POST /apps/{name}/responses/{id}/cancel                                  there is no such thing yet
"""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Annotated

from aiohttp import web
from pydantic import Field, TypeAdapter

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents import responses_wire
from rowcall.sandbox.agents.calls import Call, no_route, refusal, send_uncounted, share_out
from rowcall.sandbox.agents.delivery import EVENTS, JSON, Outgoing
from rowcall.sandbox.agents.dialects import APP, Asked, as_frame, new_trace_id
from rowcall.sandbox.agents.fastapi_errors import fit_text
from rowcall.sandbox.agents.faults import Fault
from rowcall.sandbox.agents.runs import Run
from rowcall.sandbox.agents.shapes import RESPONSES_AGENT
from rowcall.sandbox.agents.unusual_replies import DONE, FAILURE, change_reply, change_stream
from rowcall.sandbox.agents.wire import Json, Question, to_json
from rowcall.sandbox.state import Sandbox

_FLAG = TypeAdapter(bool)
_NUMBER = TypeAdapter[int](Annotated[int, Field(ge=0)])
_ITEM_DONE = "response.output_item.done"
_IN_PROGRESS = "in_progress"


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.get("/apps/{name}/responses/{id}", partial(_retrieve, sandbox)),
        web.post("/apps/{name}/responses/{id}/cancel", partial(_cancel, sandbox)),
    ]


async def begin(call: Call, asked: Asked, fault: Fault | None) -> web.StreamResponse:
    """Reply to a request that begins a run."""
    on_request, on_run = share_out(fault)
    return await call.reply(APP, on_request, partial(_begin, call, asked, on_run))


async def _begin(call: Call, asked: Asked, fault: Fault | None) -> Outgoing:
    run = Run(f"resp_{secrets.token_hex(12)}", {}, count())
    call.begin(run, partial(_work, call, asked, fault), _last_event)
    if asked.question.stream:
        return Outgoing(200, EVENTS, frames=_frames(run, 0))
    reply: Json = {
        "id": run.id,
        "object": "response",
        "created_at": int(time.time()),
        "status": _IN_PROGRESS,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "metadata": {},
    }
    return Outgoing(200, JSON, to_json(reply))


async def _work(call: Call, asked: Asked, fault: Fault | None, run: Run) -> None:
    """Ask the agent, and emit what a stream of its answer says, or else the items of it."""
    run.state = "active"
    answer = await call.run_agent(_as_the_agent_sees(asked.question), fault)
    reply = change_reply("responses", asked.unusual, responses_wire.make_reply(asked.agent, asked.question, answer))
    trace_id = new_trace_id() if asked.trace_id_wanted else None
    if not asked.question.stream:
        for item in sequence(reply.get("output")):
            run.emit({"type": _ITEM_DONE, "item": item})
        run.reply = {} if trace_id is None else {"metadata": {"trace_id": trace_id}}
        return
    for frame in change_stream(asked.unusual, list(responses_wire.stream_events(reply)), {"error": FAILURE}):
        event = mapping(frame)
        if "error" in event:
            raise RuntimeError(event["error"])
        run.emit(event)
    if trace_id is not None:
        run.emit({"trace_id": trace_id})


def _as_the_agent_sees(question: Question) -> Question:
    """The server keeps to itself how the answer is waited for."""
    return replace(
        question, body={key: one for key, one in question.body.items() if key not in ("background", "stream")}
    )


def _last_event(failure: Exception | None) -> Json | None:
    if failure is None:
        return None
    return {"type": "error", "error": {"message": str(failure), "type": "server_error", "code": "task_failed"}}


async def _retrieve(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refused := _refusal(sandbox, request):
        return refused
    hosted = sandbox.hosted[request.match_info["name"]]
    stream = fit_text(_FLAG, request.query.get("stream", "false"), "query", "stream")
    after = fit_text(_NUMBER, request.query.get("starting_after", "0"), "query", "starting_after")
    run = hosted.runs.get(request.match_info["id"])
    if after and not stream:
        outgoing = APP.error(400, "starting_after is only supported when stream=true.")
    elif run is None:
        outgoing = APP.error(404, "Response not found")
    elif stream:
        outgoing = Outgoing(200, EVENTS, frames=_frames(run, after))
    else:
        outgoing = Outgoing(200, JSON, to_json(_state(run)))
    return await send_uncounted(hosted, request, outgoing)


async def _cancel(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    if refused := _refusal(sandbox, request):
        return refused
    hosted = sandbox.hosted[request.match_info["name"]]
    return await send_uncounted(hosted, request, APP.error(501, "Cancellation is not yet implemented."))


def _refusal(sandbox: Sandbox, request: web.Request) -> web.Response | None:
    """Only Responses agents have runs in the background."""
    if refused := refusal(sandbox, APP, request):
        return refused
    known = sandbox.hosted[request.match_info["name"]].agent.task == RESPONSES_AGENT
    return None if known else no_route()


def _state(run: Run) -> Json:
    """What a poll says of a run: no usage, and neither the model nor the agent's own outputs."""
    state: Json = {"id": run.id, "status": run.state if run.over else _IN_PROGRESS}
    if run.state == "completed" and run.events:
        items = [event["item"] for _, event in run.events if event.get("type") == _ITEM_DONE]
        state["output"] = [item for item in items if item is not None]
    if run.state == "failed":
        state["error"] = run.events[-1][1]["error"]
    return {**state, "attempt_number": 1, **run.reply}


async def _frames(run: Run, after: int) -> AsyncIterator[bytes]:
    """The events numbered above `after`, from 0 all of them; `[DONE]` only where the run was completed."""
    async for number, event in run.follow(after or -1):
        yield as_frame({**event, "sequence_number": number, "response_id": run.id})
    if run.state == "completed":
        yield as_frame(DONE)
