"""Asking one row to the end: attempts and the waits between them, runs in the background, corrections of invalid answers.

An attempt is one request and, where it began a run in the background, asking after that run until it is done. On the durable agent
server a run has an id that the question decides: an attempt there finds the run that an earlier one began, whoever began it.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from rowcall.core.endpoints import RequestError, Wire, build_body, corrected, first_token_at
from rowcall.core.invocation_id import invocation_id
from rowcall.core.loose import mapping, parse_json
from rowcall.core.outcome import read_reply, request_id_of
from rowcall.core.ports import EndpointClient
from rowcall.core.records import (
    Attempt,
    Call,
    CallError,
    ErrorKind,
    HttpFailure,
    HttpReply,
    HttpRequest,
    Outcome,
    Reply,
    Usage,
)
from rowcall.core.retry import Again, decide
from rowcall.core.slots import SlotState, SlotTime, main_state
from rowcall.core.spans import traceparent
from rowcall.engines.following import follow
from rowcall.engines.gate import Gate, Pass
from rowcall.engines.recipe import Recipe, Row
from rowcall.engines.stopping import Stopping

LONGEST_WAIT = 900.0
"""Seconds a row waits for a quota; where more is asked for, the run stops and another may go on later."""
MOST_FAILED_RUNS = 100
"""How many runs of one question that were over before are passed over."""
ASIDE_BYTES = 1024 * 1024
"""A larger body is read in a thread, so that the calls beside it do not have to wait for that."""
_CORRECTABLE = ("responses", "chat", "durable")
_ACCEPTED, _USED_BEFORE = 202, 409
_MOST_CONFLICTS = 3
_NOTHING = Usage()

Made = TypeVar("Made")


def new_trace_id() -> str:
    """32 hexadecimal digits; a million calls must not ask the system for each."""
    return f"{random.getrandbits(128):032x}"


@dataclass(slots=True)
class _Asking:
    """One call so far. `body` is what is sent for the request, empty until it is written; `waits` is what was waited for since the
    last attempt. `run` counts the runs of the question that failed, `used` the tokens of answers that were corrected. `sent` says
    that this call has sent the body before, `old` that the run was over when it first did."""

    row: Row
    request: Mapping[str, object]
    body: bytes = b""
    trace_id: str = field(default_factory=new_trace_id)
    started_ns: int = field(default_factory=time.time_ns)
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    waits: SlotTime = field(default_factory=SlotTime)
    waking: int = 0
    run: int = 0
    corrections: int = 0
    used: Usage = field(default_factory=Usage)
    sent: bool = False
    old: bool = False


class Caller:
    """Asks the rows of one task. `counts` is the task's: `retries` and `waking` are kept up here."""

    def __init__(
        self, recipe: Recipe, client: EndpointClient, gate: Gate, stopping: Stopping, counts: Counter[str]
    ) -> None:
        self._recipe = recipe
        self._client = client
        self._gate = gate
        self._stopping = stopping
        self._counts = counts
        self.spent = SlotTime()

    async def ask(self, row: Row) -> Call | None:
        """Ask one row to the end; None if the run stopped before there was a last reply."""
        if row.request is None:
            return unasked(row, ErrorKind.NULL_PROMPT, self._recipe.null_prompt)
        asking = _Asking(row, json.loads(row.request))
        complaint = self._complaint(asking)
        if complaint is not None:
            return unasked(row, *complaint)
        call = await self._ask_with_corrections(asking)
        while call is not None and asking.old and call.reply.outcome is not Outcome.OK:
            # An earlier run of the job was answered so; asked again, the question is to be answered anew.
            asking.request, asking.corrections = json.loads(row.request), 0
            _begin_another(asking)
            if asking.run > MOST_FAILED_RUNS or self._stopping.over():
                break
            call = await self._ask_with_corrections(asking)
        return call

    async def _ask_with_corrections(self, asking: _Asking) -> Call | None:
        """The answer, or the last of those that broke the schema."""
        invalid: Reply | None = None
        while True:
            reply = await self._answer(asking)
            if reply is None or (invalid is not None and reply.outcome is Outcome.ERROR):
                return None if invalid is None else _call(invalid, asking)
            if not self._corrects(reply, asking):
                return _call(reply, asking)
            invalid = replace(reply, usage=Usage())

    def _complaint(self, asking: _Asking) -> tuple[ErrorKind, str] | None:
        """Why a row cannot be sent, if it cannot."""
        most = self._recipe.most_bytes
        try:
            size = len(self._body(asking))
        except RequestError as error:
            return ErrorKind.BAD_REQUEST, str(error)
        if most is not None and size > most:
            return ErrorKind.TOO_LARGE, f"the request has {size:,} bytes, and the endpoint takes at most {most:,}"
        return None

    def _corrects(self, reply: Reply, asking: _Asking) -> bool:
        """Whether the row is asked once more, told what was wrong with its answer; if so, the request is that from now on."""
        recipe = self._recipe
        if reply.outcome is not Outcome.INVALID or reply.error is None or asking.corrections >= recipe.corrections:
            return False
        if recipe.wire.shape not in _CORRECTABLE or self._stopping.over():
            return False
        once_more = replace(
            asking,
            request=corrected(asking.request, reply.text or "", reply.error.message),
            corrections=asking.corrections + 1,
            body=b"",
        )
        if self._complaint(once_more) is not None:
            return False
        asking.request, asking.corrections, asking.body = once_more.request, once_more.corrections, once_more.body
        asking.sent = False
        asking.used += reply.usage
        self._counts["retries"] += 1
        return True

    async def _answer(self, asking: _Asking) -> Reply | None:
        """Ask until a reply stands; None if the run stopped before."""
        recipe = self._recipe
        while not self._stopping.over():
            reply = await self._attempt(asking)
            if reply is None:
                return None
            gate = self._gate
            jitter = random.random()  # noqa: S311 (spreads retries, guards nothing)
            decision = decide(
                reply,
                asking.attempts,
                recipe.retry,
                jitter,
                waking=asking.waking,
                asleep=gate.asleep,
                down=gate.down,
            )
            if not isinstance(decision, Again):
                return reply
            await self._wait(decision, asking)
        return None

    async def _wait(self, decision: Again, asking: _Asking) -> None:
        wish = asking.attempts[-1].retry_after or 0.0
        if wish > LONGEST_WAIT:
            self._stopping.stop(f"the endpoint asks to come back in {wish / 60:,.0f} minutes")
            return
        self._counts["retries"] += 1
        asking.waking += decision.waking
        self._counts["waking"] += decision.waking
        state, began = _state_of(decision), time.monotonic()
        try:
            await self._stopping.pause(decision.after_seconds)
        finally:
            waited = time.monotonic() - began
            asking.waits.add(state, waited)
            self.spent.add(state, waited)
            self._counts["waking"] -= decision.waking

    async def _attempt(self, asking: _Asking) -> Reply | None:
        """One request, and its run if it began one; None where the run stops before, or leaves it to whoever asks next."""
        number, reply = len(asking.attempts) + 1, None
        posted = await self._post(asking, number)
        if posted is None:
            return None
        call, started, got = posted
        reached = isinstance(got, HttpReply) or got.connected
        try:
            ended = await self._to_its_end(got)
            reply = None if ended is None else ended[0]
        finally:
            self._gate.leave(call, reply, reached=reached)
            self.spent.add(SlotState.ASKING, (time.time_ns() - started) / 1e9)
        if ended is None:
            return None
        reply, got = ended
        before = asking.attempts[-1].ended_ns if asking.attempts else asking.started_ns
        waited = max(0, started - before) / 1e9, main_state(asking.waits.seconds)
        asking.waits = SlotTime()
        asking.attempts.append(await self._aside(got, _noted, number, started, waited, reply, got, self._recipe.wire))
        if self._recipe.wire.shape == "durable" and not asking.old and _failed(reply, got):
            _begin_another(asking)
        return reply

    async def _to_its_end(self, got: HttpReply | HttpFailure) -> tuple[Reply, HttpReply | HttpFailure] | None:
        """What came back, read; where that is a run that was begun, what came of it. None where it is let go of."""
        reply = await self._read(got)
        if reply.running is None:
            return reply, got
        self._gate.heard()
        return await follow(reply.running, self._recipe, self._client, self._stopping, self._read)

    async def _post(self, asking: _Asking, number: int) -> tuple[Pass, int, HttpReply | HttpFailure] | None:
        """Send the request, once it may be; when that was, and what came back. On the durable agent server, past the runs of this
        question that failed before, and an id or two that another text has used. None where the run stops before."""
        conflicts = 0
        parameters = mapping(asking.request.get("parameters"))
        while call := await self._gate.enter(asking.row.request_hash, len(self._body(asking)), parameters):
            for state, seconds in call.waited.items():
                asking.waits.add(state, seconds)
            started = time.time_ns()
            try:
                got = await self._send(asking, number)
            except BaseException:
                self._gate.leave(call, None)
                raise
            conflicts += isinstance(got, HttpReply) and got.status == _USED_BEFORE
            if not self._is_over(got, asking, conflicts):
                return call, started, got
            self._gate.heard()
            self._gate.leave(call, None)
            _begin_another(asking)
        return None

    async def _send(self, asking: _Asking, number: int) -> HttpReply | HttpFailure:
        recipe = self._recipe
        headers = {**dict(recipe.headers), "traceparent": traceparent(asking.trace_id, number)}
        return await self._client.send(HttpRequest(recipe.url, self._body(asking), headers, recipe.timeout))

    def _is_over(self, got: HttpReply | HttpFailure, asking: _Asking, conflicts: int) -> bool:
        """Whether the id stands for a run that was over before, and failed, or for that of another text."""
        first, asking.sent = not asking.sent, True
        if self._recipe.wire.shape != "durable" or isinstance(got, HttpFailure):
            return False
        state = mapping(parse_json(got.body)).get("status") if first and got.status == _ACCEPTED else None
        asking.old = asking.old or state == "completed"
        over = state == "failed" or (got.status == _USED_BEFORE and conflicts <= _MOST_CONFLICTS)
        return over and asking.run < MOST_FAILED_RUNS and not self._stopping.over()

    async def _read(self, got: HttpReply | HttpFailure) -> Reply:
        return await self._aside(got, read_reply, got, self._recipe.wire, time.time_ns())

    async def _aside(self, got: HttpReply | HttpFailure, work: Callable[..., Made], *arguments: object) -> Made:
        """Do work on what came back, in a thread where that is much."""
        if isinstance(got, HttpReply) and len(got.body) > ASIDE_BYTES:
            return await asyncio.to_thread(work, *arguments)
        return work(*arguments)

    def _body(self, asking: _Asking) -> bytes:
        """The body of the request, written once."""
        if asking.body:
            return asking.body
        wire, run_id = self._recipe.wire, ""
        if wire.shape == "durable":
            again = f"{asking.corrections}.{asking.run}" if asking.corrections or asking.run else ""
            run_id = invocation_id(self._recipe.spans.job, _first_key(asking.row), asking.row.request_hash, again)
        body = build_body(asking.request, wire, run_id)
        asking.body = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return asking.body


def _begin_another(asking: _Asking) -> None:
    """The run of this question failed; the next one has another id."""
    asking.run += 1
    asking.body, asking.sent, asking.old = b"", False, False


def unasked(row: Row, kind: ErrorKind, message: str) -> Call:
    """The outcome of a row that was not sent."""
    now = time.time_ns()
    reply = Reply(Outcome.ERROR, error=CallError(kind, message))
    return Call(row.request_hash, reply, (), new_trace_id(), now, now)


def _call(reply: Reply, asking: _Asking) -> Call:
    paid = reply if asking.used == _NOTHING else replace(reply, usage=asking.used + reply.usage)
    attempts = tuple(asking.attempts)
    return Call(asking.row.request_hash, paid, attempts, asking.trace_id, asking.started_ns, attempts[-1].ended_ns)


def _state_of(wait: Again) -> SlotState:
    return SlotState.UNAVAILABLE if wait.waking else SlotState.QUOTA if wait.paced else SlotState.BACKING_OFF


def _noted(
    number: int,
    started_ns: int,
    waited: tuple[float, str | None],
    reply: Reply,
    got: HttpReply | HttpFailure,
    wire: Wire,
) -> Attempt:
    answered = got if isinstance(got, HttpReply) else None
    return Attempt(
        number=number,
        started_ns=started_ns,
        ended_ns=time.time_ns(),
        waited=waited[0],
        waited_for=waited[1],
        first_byte_ns=answered.first_byte_ns if answered else None,
        first_token_ns=_first_token_ns(answered, wire) if answered else None,
        status=answered.status if answered else None,
        error=reply.error,
        retry_after=reply.retry_after,
        request_id=request_id_of(answered.headers) if answered else None,
    )


def _first_token_ns(got: HttpReply, wire: Wire) -> int | None:
    """When the first piece of an answer's text had arrived, if it came as a stream."""
    at = first_token_at(got.body, got.headers.get("content-type", ""), wire) if got.arrivals else None
    return None if at is None else next((when for size, when in got.arrivals if size >= at), None)


def _failed(reply: Reply, got: HttpReply | HttpFailure) -> bool:
    """Whether a run is over and failed. What failed on the way, or cannot be read, says nothing of the run."""
    told = isinstance(got, HttpReply) and 200 <= got.status < 300
    return told and reply.error is not None and reply.error.kind is not ErrorKind.BAD_REPLY


def _first_key(row: Row) -> str:
    """The smallest key of those that want this answer, as JSON text."""
    return min((json.dumps(key, sort_keys=True, default=str) for key in row.keys.to_pylist()[0] or [{}]), default="")
