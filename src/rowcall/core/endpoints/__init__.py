"""How endpoints are spoken to: the request body of each wire shape, and what its reply means.

Owns the shapes and nothing else: no HTTP, no retries, no statuses (`core.outcome` reads those). Imports
`core` only.

    messages                                    the neutral request of a row, however its columns say it
    responses · chat · predictions · durable    one API each: the body of a request, and a reply read
    sse ─▶ assembly ─▶ responses_stream · chat_stream
                                                from a stream's events to the reply that it stands for
    content · envelope · embedded               what they share: what a message says, what a reply says beside
                                                its answer, a value that may be a whole reply

To add a wire shape: write `endpoints/<shape>.py` with `build` and `read` (and `<shape>_stream.py` where it has
streams), add its name to `Shape`, and follow the type checker to each `assert_never` below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from rowcall.core.answer import AnswerSchema
from rowcall.core.endpoints import chat, chat_stream, durable, predictions, responses, responses_stream
from rowcall.core.endpoints.messages import RequestError, corrected, read_request
from rowcall.core.endpoints.sse import events, is_stream
from rowcall.core.loose import mapping, parse_json
from rowcall.core.records import Reply

__all__ = ["RequestError", "Run", "Shape", "Wire", "build_body", "corrected", "first_token_at", "read_body"]

Shape = Literal["responses", "chat", "records", "inputs", "durable"]
"""What a body looks like."""
Run = Literal["direct", "background"]
"""How an answer is come by: in the reply itself, or by asking after a run that was begun."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How one endpoint is spoken to. `model` goes into the body where there is one. Picklable."""

    shape: Shape
    model: str | None
    stream: bool = False
    answer: AnswerSchema | None = None
    run: Run = "direct"


def build_body(request: Mapping[str, object], wire: Wire, run_id: str = "") -> dict[str, object]:
    """The body to POST for a request `{messages | inputs, parameters?, custom_inputs?, databricks_options?}`.

    `run_id` is the id the client chooses for a durable run. Raises `RequestError` for a row that cannot be sent.
    """
    read = read_request(request)
    match wire.shape:
        case "responses":
            background = wire.run == "background"
            return responses.build(read, wire.model, wire.answer, stream=wire.stream, background=background)
        case "chat":
            return chat.build(read, wire.model, wire.answer, stream=wire.stream)
        case "records":
            return predictions.build_records(read)
        case "inputs":
            return predictions.build_inputs(read)
        case "durable":
            return durable.build(read, run_id)
        case _:
            assert_never(wire.shape)


def read_body(body: bytes, content_type: str, wire: Wire) -> Reply:
    """What the body of a 2xx reply says. Total: never raises, whatever the bytes."""
    stream = is_stream(body, content_type)
    match wire.shape:
        case "responses" if stream:
            return responses_stream.read_stream(body)
        case "chat" if stream:
            return chat_stream.read_stream(body)
        case "responses":
            return responses.read(parse_json(body), body, background=wire.run == "background")
        case "chat":
            return chat.read(parse_json(body), body)
        case "records" | "inputs":
            return predictions.read(parse_json(body), body)
        case "durable":
            return durable.read(parse_json(body), body)
        case _:
            assert_never(wire.shape)


def first_token_at(body: bytes, content_type: str, wire: Wire) -> int | None:
    """Where in a stream's body the first piece of the answer's text was there: the offset after its event. None where the body
    is no stream, or has no text. Total."""
    if not is_stream(body, content_type):
        return None
    match wire.shape:
        case "responses":
            piece = responses_stream.piece
        case "chat":
            piece = chat_stream.piece
        case "records" | "inputs" | "durable":
            return None
        case _:
            assert_never(wire.shape)
    return next((event.end for event in events(body) if piece(event.name, mapping(parse_json(event.data)))), None)
