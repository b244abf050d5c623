"""From one row of the table of replies to what it says: the `Reply` that an HTTP exchange would have given."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from rowcall.core.ai_query.failure import failure
from rowcall.core.ai_query.form import Form
from rowcall.core.ai_query.reading import Speech
from rowcall.core.answer import AnswerSchema, parse_answer_schema
from rowcall.core.endpoints import chat, responses
from rowcall.core.loose import json_text, mapping, parse_json
from rowcall.core.outcome import fitted
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply

_OF_A_REPLY = frozenset({"object", "id", "model", "status", "usage", "finish_reason"})
"""What a whole reply has beside its messages, and a text that only looks like one need not."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How the answers of a run are read. `agent` says that an answer may be a whole reply, `unwrap` names a field around it,
    `answer` is the job's `answer.schema` as JSON text, so that all of it can be written down."""

    agent: bool
    unwrap: str | None = None
    answer: str | None = None


def reader_of(task: str, form: Form, fields: Mapping[str, object] | None) -> Reader:
    """How to read what an endpoint with this task answers: a model says texts; an agent asked with a plain prompt may say its
    text or its whole reply, the documents leave it open."""
    agent = form.name != "columns" and not task.startswith("llm/")
    return Reader(agent, form.unwrap, json_text(dict(fields)) if fields else None)


def read(answer: str | None, error: str | None, reader: Reader, speech: Speech | None = None) -> Reply:
    """What came back for one row; `speech` is what the type of the answer tells. Total."""
    if error is not None and (error.strip() or answer is None):
        return Reply(Outcome.ERROR, error=failure(error))
    if answer is None:
        message = "ai_query returned NULL and did not say why"
        return Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, message))
    inside = _unwrapped(answer, reader.unwrap)
    reply = _heard(inside, speech) if reader.agent else _plain(inside)
    schema = _schema(reader.answer)
    return fitted(reply, schema) if schema else reply


def _heard(answer: str, speech: Speech | None) -> Reply:
    """An agent's answer: its reply in the shape of either API, or its text."""
    payload = _whole(parse_json(answer))
    whole = bool(payload.keys() & _OF_A_REPLY)
    if speech == "responses" or (whole and isinstance(payload.get("output"), list)):
        return responses.read(payload, answer.encode("utf-8", "replace"))
    if speech == "chat" or (whole and isinstance(payload.get("choices") or payload.get("messages"), list)):
        return chat.read(payload, answer.encode("utf-8", "replace"))
    return _plain(answer)


def _whole(payload: object) -> dict[str, object]:
    """A reply with its `custom_outputs`, which SQL keeps as JSON text, parsed."""
    reply = dict(mapping(payload))
    outputs = reply.get("custom_outputs")
    if isinstance(outputs, str):
        reply["custom_outputs"] = parse_json(outputs)
    return reply


def _plain(text: str) -> Reply:
    return Reply(Outcome.OK, text) if text.strip() else Reply(Outcome.EMPTY)


def _unwrapped(answer: str, field: str | None) -> str:
    """The answer without the one field around it that SQL demands; as it is where that is not there."""
    inside = mapping(parse_json(answer)).get(field) if field else None
    return json_text(inside) or answer


@cache
def _schema(fields: str | None) -> AnswerSchema | None:
    return parse_answer_schema(mapping(parse_json(fields))) if fields else None
