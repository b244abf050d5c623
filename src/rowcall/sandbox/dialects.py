"""How the two kinds of agent server differ: their refusals, the frames of a stream, and where traces go."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from rowcall.sandbox.behaviour import Fault
from rowcall.sandbox.delivery import Outgoing
from rowcall.sandbox.error_replies import app_body, platform_body
from rowcall.sandbox.mlflow_trace import Trace
from rowcall.sandbox.wire import Answer, Json, PassedOn, Question, app_frames, make_reply, serving_frames

_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question put to an agent: the request's headers, and when the agent began (Unix, ns)."""

    agent: str
    headers: Mapping[str, str]
    question: Question
    started_ns: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of agent server."""

    oauth_only: bool

    def refuse_caller(self, reason: str) -> web.Response:
        """Said by the proxy in front of an app, or by the platform."""
        if self.oauth_only:
            return web.Response(status=401, text=reason)
        return web.Response(status=401, body=platform_body(401, reason), headers=_JSON)

    def refuse_name(self, name: str) -> web.Response:
        if self.oauth_only:
            return web.Response(status=404, text=f"App {name} not found")
        message = f"The given endpoint does not exist, please retry after checking the specified model: {name}"
        return web.Response(status=404, body=platform_body(404, message), headers=_JSON)

    def error(self, status: int, message: str) -> Outgoing:
        return Outgoing(status, _JSON, [app_body(message) if self.oauth_only else platform_body(status, message)])

    def fault(self, fault: Fault, status: int) -> Outgoing:
        """The reply a fault asks for; without a body of its own, this server's own refusal."""
        plain = self.error(status, "injected by the sandbox")
        body = plain.frames[0]
        if fault.raw is not None:
            body = fault.raw.encode()
        elif fault.body is not None:
            body = json.dumps(fault.body).encode()
        return Outgoing(status, {**plain.headers, **fault.headers}, [body])

    def answer(self, asked: Asked, answer: Answer | PassedOn) -> Outgoing:
        """The reply to a question, as JSON or as a stream."""
        if isinstance(answer, PassedOn):
            return Outgoing(answer.status, answer.headers, [answer.body])
        reply = make_reply(asked.agent, asked.question, answer)
        trace_id = self._add_trace(reply, asked, answer)
        if not asked.question.stream:
            return Outgoing(200, _JSON, [json.dumps(reply).encode()])
        frames = app_frames(reply, trace_id) if self.oauth_only else serving_frames(reply)
        return Outgoing(200, _EVENTS, list(frames), streamed=True)

    def _add_trace(self, reply: Json, asked: Asked, answer: Answer) -> str | None:
        """Apps give the trace's id, asked by header; serving endpoints the trace, asked in the body."""
        if self.oauth_only:
            if asked.headers.get("x-mlflow-return-trace-id", "").lower() != "true":
                return None
            trace_id = f"tr-{secrets.token_hex(16)}"
            if not asked.question.stream:
                reply["metadata"] = {"trace_id": trace_id}
            return trace_id
        if asked.question.trace_wanted:
            body, said = asked.question.body, dict(reply)
            trace = Trace(asked.agent, body, said, answer.steps, asked.started_ns, time.time_ns())
            reply["databricks_output"] = {
                "databricks_request_id": secrets.token_hex(16),
                "trace": trace.as_json(),
            }
        return None


SERVING = Dialect(oauth_only=False)
APP = Dialect(oauth_only=True)
