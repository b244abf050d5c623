"""The shapes of the Responses API as agents speak it: a request read, a reply and its stream written.

Both kinds of server take the same body; they differ in the frames of a stream and in where a trace goes
(FACTS 2.1, 2.2).
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.steps import Step

Json = dict[str, object]
_DELTA_CHARS = 24


class RequestError(ValueError):
    """A body that no Responses agent takes; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read. `text` is the last user message, `schema` what a structured answer must fit."""

    text: str
    body: Mapping[str, object]
    schema: Mapping[str, object] | None = None

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def trace_wanted(self) -> bool:
        return mapping(self.body.get("databricks_options")).get("return_trace") is True


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent says, and the steps that led to it."""

    text: str
    steps: tuple[Step, ...] = ()
    custom_outputs: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class PassedOn:
    """An answer that is already a reply, from another server."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def read_question(body: object) -> Question:
    """Read a parsed body; raises `RequestError` where `input` is not a list of items."""
    if not isinstance(body, dict):
        raise RequestError("Input should be a valid dictionary")
    whole = cast("Json", body)
    if "input" not in whole:
        raise RequestError("1 validation error for ResponsesAgentRequest\ninput\n  Field required [type=missing]")
    items = whole["input"]
    if not isinstance(items, list):
        kind = type(items).__name__
        raise RequestError(
            "1 validation error for ResponsesAgentRequest\n"
            f"input\n  Input should be a valid list [type=list_type, input_type={kind}]"
        )
    for index, item in enumerate(sequence(items)):
        if not isinstance(item, dict) or not ({"role", "type"} & item.keys()):
            raise RequestError(f"1 validation error for ResponsesAgentRequest\ninput.{index}\n  Not an item")
    return Question(_last_user_message(whole), whole, _schema(whole))


def _last_user_message(body: Mapping[str, object]) -> str:
    for item in reversed(sequence(body.get("input"))):
        if mapping(item).get("role") == "user":
            return _content(mapping(item).get("content"))
    return ""


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = (mapping(part).get("text") for part in sequence(content))
    return "\n".join(part for part in parts if isinstance(part, str))


def _schema(body: Mapping[str, object]) -> Mapping[str, object] | None:
    wanted = mapping(mapping(body.get("text")).get("format"))
    return mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def make_reply(model: str, question: Question, answer: Answer) -> Json:
    """A whole response. An answer longer than `max_output_tokens` is cut and the response is incomplete."""
    text, whole = _within_limit(answer.text, question.body.get("max_output_tokens"))
    status = "completed" if whole else "incomplete"
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "type": "message",
        "id": _id("msg"),
        "role": "assistant",
        "status": status,
        "content": [content],
    }
    return {
        "id": _id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "status": status,
        "error": None,
        "incomplete_details": None if whole else {"reason": "max_output_tokens"},
        "output": [message],
        "usage": _usage(question, text),
        "metadata": {},
        "custom_outputs": dict(answer.custom_outputs),
    }


def stream_events(reply: Json) -> Iterator[Json]:
    """The events that build up a reply; `output_item.done` carries the whole text, and the trace if any."""
    message = cast("list[Json]", reply["output"])[0]
    text = cast("list[dict[str, str]]", message["content"])[0]["text"]
    yield {
        "type": "response.created",
        "response": {**reply, "status": "in_progress", "output": [], "usage": None},
    }
    for start in range(0, len(text), _DELTA_CHARS):
        delta = text[start : start + _DELTA_CHARS]
        yield {
            "type": "response.output_text.delta",
            "item_id": message["id"],
            "output_index": 0,
            "content_index": 0,
            "delta": delta,
        }
    done: Json = {"type": "response.output_item.done", "output_index": 0, "item": message}
    if "databricks_output" in reply:
        done["databricks_output"] = reply["databricks_output"]
    yield done
    yield {
        "type": "response.completed" if reply["status"] == "completed" else "response.incomplete",
        "response": reply,
    }


def app_frames(reply: Json, trace_id: str | None) -> Iterator[bytes]:
    """The stream of an agent server: bare `data:` lines, the trace id in a frame of its own, `[DONE]`."""
    for event in stream_events(reply):
        yield f"data: {json.dumps(event)}\n\n".encode()
    if trace_id is not None:
        yield f"data: {json.dumps({'trace_id': trace_id})}\n\n".encode()
    yield b"data: [DONE]\n\n"


def serving_frames(reply: Json) -> Iterator[bytes]:
    """The stream of a serving endpoint: named events."""
    for event in stream_events(reply):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _within_limit(text: str, limit: object) -> tuple[str, bool]:
    if not isinstance(limit, int) or isinstance(limit, bool) or _tokens(text) <= max(limit, 1):
        return text, True
    return text[: 4 * max(limit, 1)], False


def _usage(question: Question, text: str) -> Json:
    """Tokens at four characters each: what the agent read is the instructions and every message."""
    read = len(str(question.body.get("instructions") or ""))
    read += sum(len(_content(mapping(item).get("content"))) for item in sequence(question.body.get("input")))
    asked, said = max(read // 4, 1), _tokens(text)
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }


def _tokens(text: str) -> int:
    return max(len(text) // 4, 1) if text else 0


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
