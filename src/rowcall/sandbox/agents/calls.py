"""One call of an agent: who may make it, counted, turned away or not, struck by a fault or not, answered.

A call is in flight from when its body is here until its last byte is handed to the connection, or until the run that it began
is over.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from rowcall.core.loose import parse_json
from rowcall.sandbox.agents.capacity import Load, Refusal
from rowcall.sandbox.agents.delivery import JSON, Outgoing, changed, hang_up, send, send_half, send_with_pause
from rowcall.sandbox.agents.dialects import Dialect
from rowcall.sandbox.agents.faults import Fault
from rowcall.sandbox.agents.responses_wire import output_text
from rowcall.sandbox.agents.runs import Run
from rowcall.sandbox.agents.unusual_replies import is_garbage, make_garbage
from rowcall.sandbox.agents.wire import Answer, Json, PassedOn, Question, count_output_tokens
from rowcall.sandbox.error_replies import app_body
from rowcall.sandbox.state import Hosted, Recorded, Sandbox

PAYLOAD_BYTES = 4 * 1024 * 1024
_RECORDED_BYTES = 64 * 1024


def refusal(sandbox: Sandbox, dialect: Dialect, request: web.Request) -> web.Response | None:
    """No for a caller without the right token, and for a name that nothing has."""
    authorization = request.headers.get("Authorization")
    if reason := sandbox.logins.refusal(authorization, oauth_only=dialect.oauth_only):
        return dialect.refuse_caller(reason)
    name = request.match_info.get("name")
    if name is None:
        return None
    return dialect.refuse_name(name) if find(sandbox, dialect, name) is None else forbidden(sandbox, dialect, name)


def forbidden(sandbox: Sandbox, dialect: Dialect, name: str) -> web.Response | None:
    """No for a caller from whom the right to ask is withheld."""
    right, kind = ("CAN_USE", "app") if dialect.oauth_only else ("CAN_QUERY", "serving-endpoint")
    return None if sandbox.rights.has(right, kind, name) else dialect.refuse_right(right, name)


def find(sandbox: Sandbox, dialect: Dialect, name: str) -> Hosted | None:
    """The app or the serving endpoint of a name."""
    hosted = sandbox.hosted.get(name)
    known = hosted is not None and (hosted.agent.is_app if dialect.oauth_only else hosted.agent.is_endpoint)
    return hosted if known else None


def no_route() -> web.Response:
    """What an agent server answers where it has no such route."""
    return web.Response(status=404, body=app_body("Not Found"), headers=JSON)


async def read_raw(request: web.Request) -> bytes | None:
    """The body as it came, None where it is above `PAYLOAD_BYTES`."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None


def record(hosted: Hosted, request: web.Request, raw: bytes | None) -> None:
    headers = {key.lower(): value for key, value in request.headers.items() if key.lower() != "authorization"}
    body = raw if raw is not None and len(raw) <= _RECORDED_BYTES else None
    hosted.requests.append(Recorded(request.path, headers, body))


async def send_uncounted(hosted: Hosted, request: web.Request, outgoing: Outgoing) -> web.StreamResponse:
    """Send what is no answer to a question, but news of one."""
    try:
        return await send(request, outgoing, hosted.behaviour)
    except ConnectionResetError:
        return hang_up(request, web.Response())


class Call:
    """One counted call. `ending` is what the figures note: the status sent, `dropped` or `lost`; or how the run ended."""

    def __init__(self, hosted: Hosted, request: web.Request) -> None:
        self.hosted = hosted
        self.request = request
        self._figures = hosted.figures
        self._fingerprint: int | None = None
        self._load: Load | None = None
        self._said = 0
        self._ending = "lost"
        self._runs_on = False

    async def count(self, reply: Coroutine[Any, Any, web.StreamResponse]) -> web.StreamResponse:
        """Await the reply, counted."""
        self._figures.arrive()
        try:
            return await reply
        except ConnectionResetError:
            return hang_up(self.request, web.Response())
        finally:
            if not self._runs_on:
                self._leave(self._ending)

    def ask(self, question: Question) -> None:
        """This is what is asked. Raises RecursionError where it is nested too deeply to be repeated."""
        self._fingerprint = hash(json.dumps(question.asked))

    def refusal(self, question: Question) -> Refusal | None:
        """Why the call is turned away. If it is not, it is served from now on."""
        load = Load(time.monotonic(), question.input_tokens, question.output_limit or 0)
        refusal = self.hosted.behaviour.refusal(load, self.hosted.serving)
        if refusal is None:
            self._load = load
            self._figures.loads.append(load)
            self.hosted.serving += 1
        return refusal

    async def turn_away(self, refusal: Refusal) -> web.StreamResponse:
        wait = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return await self.send(Outgoing(refusal.status, {**JSON, **wait}, json.dumps(refusal.body).encode()))

    async def think(self, question: Question) -> Answer | PassedOn:
        """The agent's answer, after its latency. Raises whatever the agent raises."""
        behaviour = self.hosted.behaviour
        if wait := behaviour.wait():
            await asyncio.sleep(wait)
        answer = await self.hosted.agent.answer(question) if behaviour.answer is None else Answer(behaviour.answer)
        self._said = count_output_tokens(question, answer)
        return answer

    async def run_agent(self, question: Question, fault: Fault | None) -> Answer:
        """The agent's answer in a run; raises what makes the run fail."""
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.status is not None:
                raise RuntimeError("injected by the sandbox")
        answer = await self.think(question)
        if not isinstance(answer, PassedOn):
            return answer
        if answer.status >= 400:
            raise RuntimeError(f"the server behind {self.hosted.agent.name} answered {answer.status}")
        return Answer(output_text(parse_json(answer.body)))

    async def reply(
        self, dialect: Dialect, fault: Fault | None, make: Callable[[], Awaitable[Outgoing]]
    ) -> web.StreamResponse:
        """Send the reply that `make` makes, unless the fault has another one, or none."""
        if fault is None:
            return await self.send(await make())
        await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            self._ending = "dropped"
            return hang_up(self.request, web.Response())
        outgoing = await make() if fault.status is None else dialect.error(fault.status, "injected by the sandbox")
        if fault.reply is not None and is_garbage(fault.reply):
            outgoing = make_garbage(fault.reply)
        outgoing = changed(outgoing, fault)
        if fault.drop is None:
            return await self.send(outgoing, fault.pause)
        self._ending = "dropped"
        return await send_half(self.request, outgoing)

    async def send(self, outgoing: Outgoing, pause: float = 0.0) -> web.StreamResponse:
        if pause:
            response = await send_with_pause(self.request, outgoing, pause)
        else:
            response = await send(self.request, outgoing, self.hosted.behaviour)
        self._ending = str(outgoing.status)
        return response

    def begin(
        self,
        run: Run,
        work: Callable[[Run], Awaitable[None]],
        last_event: Callable[[Exception | None], Json | None],
    ) -> None:
        """Begin a run; the call is over when the run is."""
        self._runs_on = True
        self.hosted.runs.begin(run, work, last_event, self._leave)

    def _leave(self, ending: str) -> None:
        if self._load is not None:
            self._load.output_tokens = self._said
            self.hosted.serving -= 1
        self._figures.leave(ending, self._fingerprint)


def share_out(fault: Fault | None) -> tuple[Fault | None, Fault | None]:
    """What of a fault strikes the request that begins a run, and what the run: it fails of a 5xx without a body of its own."""
    if fault is None:
        return None, None
    fails = fault.status is not None and fault.status >= 500 and fault.body is None and fault.raw is None
    garbage = fault.reply is not None and is_garbage(fault.reply)
    changes = garbage or fault.status is not None or bool(fault.headers_now() or fault.padding or fault.pause)
    on_request = fault.drop is not None or (changes and not fails)
    return (fault, None) if on_request else (None, fault)
