"""How the two kinds of agent server differ: their refusals, the frames of a stream, and where traces go."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from rowcall.core.loose import mapping
from rowcall.sandbox.agents.delivery import EVENTS, JSON, Outgoing, each
from rowcall.sandbox.agents.mlflow_trace import Trace
from rowcall.sandbox.agents.shapes import Api, Shape
from rowcall.sandbox.agents.unusual_replies import DONE, FAILURE, change_reply, change_stream
from rowcall.sandbox.agents.wire import Answer, Json, PassedOn, Question, to_json
from rowcall.sandbox.error_replies import app_body, platform_body

PATHS: Mapping[Api, str] = {"invocations": "invocations", "responses": "responses", "chat": "chat/completions"}
_TRACE_USAGE = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question put to an agent in some shape: the request's headers, when the agent began (Unix, ns), and the name of the
    unusual reply it is to give."""

    agent: str
    shape: Shape
    headers: Mapping[str, str]
    question: Question
    started_ns: int
    unusual: str | None = None

    @property
    def trace_id_wanted(self) -> bool:
        return self.headers.get("x-mlflow-return-trace-id", "").lower() == "true" and self.shape.kind == "responses"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of agent server."""

    oauth_only: bool

    def refuse_caller(self, reason: str) -> web.Response:
        """Said by the proxy in front of an app, or by the platform."""
        if self.oauth_only:
            return web.Response(status=401, text=reason)
        return web.Response(status=401, body=platform_body(401, reason), headers=JSON)

    def refuse_name(self, name: str) -> web.Response:
        if self.oauth_only:
            return web.Response(status=404, text=f"App {name} not found")
        message = f"The given endpoint does not exist, please retry after checking the specified model: {name}"
        return web.Response(status=404, body=platform_body(404, message), headers=JSON)

    def refuse_right(self, right: str, name: str) -> web.Response:
        message = f"You do not have {right} on {name}."
        if self.oauth_only:
            return web.Response(status=403, text=message)
        return web.Response(status=403, body=platform_body(403, message), headers=JSON)

    def refuse_api(self, name: str, task: str, api: Api) -> Outgoing:
        """An agent server has no such route; the platform knows the endpoint, but not in this way."""
        if self.oauth_only:
            return self.error(404, "Not Found")
        what = f"task {task}" if task else "a custom model"
        return self.error(400, f"The endpoint {name} ({what}) does not support the API {PATHS[api]}")

    def error(self, status: int, message: str) -> Outgoing:
        return Outgoing(status, JSON, app_body(message) if self.oauth_only else platform_body(status, message))

    def answer(self, asked: Asked, answer: Answer | PassedOn) -> Outgoing:
        """The reply to a question, as JSON or as a stream."""
        if isinstance(answer, PassedOn):
            return Outgoing(answer.status, answer.headers, answer.body)
        shape = asked.shape
        reply = change_reply(shape.kind, asked.unusual, shape.reply(asked.agent, asked.question, answer))
        trace_id = self._add_trace(reply, asked, answer)
        if shape.events is None or not asked.question.stream:
            return Outgoing(200, JSON, to_json(reply))
        named = shape.kind == "responses" and not self.oauth_only
        whole: list[Json | str] = [*shape.events(reply)]
        if trace_id is not None:
            whole.append({"trace_id": trace_id})
        if not named:
            whole.append(DONE)
        frames = change_stream(asked.unusual, whole, self._stream_error(shape))
        return Outgoing(200, EVENTS, frames=each([self._frame(frame, named) for frame in frames]))

    def _frame(self, data: Json | str, named: bool) -> bytes:
        """A frame of a stream; only agent servers write it in ASCII."""
        if self.oauth_only or isinstance(data, str):
            return as_frame(data)
        name = f"event: {data['type']}\n" if named and "type" in data else ""
        return b"".join((name.encode(), b"data: ", to_json(data), b"\n\n"))

    def _stream_error(self, shape: Shape) -> Json:
        """How a failure is said inside a stream: by an agent server, of an agent on Model Serving, of a model."""
        if self.oauth_only:
            return {"error": FAILURE}
        if shape.databricks_options:
            return {"databricks_output": {"error": {"error_code": "INTERNAL_ERROR", "message": FAILURE}}}
        return {"error": {"message": FAILURE, "type": "server_error", "code": 500}}

    def _add_trace(self, reply: Json, asked: Asked, answer: Answer) -> str | None:
        """Apps give the trace's id, asked by header; serving endpoints the trace, asked in the body."""
        if self.oauth_only:
            if not asked.trace_id_wanted:
                return None
            trace_id = new_trace_id()
            if not asked.question.stream:
                reply["metadata"] = {"trace_id": trace_id}
            return trace_id
        if asked.question.trace_wanted:
            reply["databricks_output"] = {
                "databricks_request_id": secrets.token_hex(16),
                "trace": _trace(reply, asked, answer).as_json(),
            }
        return None


def _trace(reply: Json, asked: Asked, answer: Answer) -> Trace:
    said = {asked.shape.output: reply.get(asked.shape.output)}
    usage = _trace_usage(mapping(reply.get("usage")))
    return Trace(asked.agent, asked.question.asked, said, usage, answer.steps, asked.started_ns, time.time_ns())


def new_trace_id() -> str:
    return f"tr-{secrets.token_hex(16)}"


def as_frame(data: Json | str) -> bytes:
    """A frame of an agent server's stream: a bare `data:` line."""
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def _trace_usage(counts: Mapping[str, object]) -> dict[str, int]:
    """The token counts of a reply as MLflow names them."""
    return {_TRACE_USAGE.get(key, key): value for key, value in counts.items() if isinstance(value, int)}


SERVING = Dialect(oauth_only=False)
APP = Dialect(oauth_only=True)
