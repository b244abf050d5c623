"""How endpoints are spoken to: the request body of each wire shape, and what its reply means.

Owns the shapes and nothing else: no HTTP, no retries, no statuses (`core.outcome` reads those). Imports
`core` only.

To add a wire shape: write `endpoints/<shape>.py` with `build` and `read` (and what its streams need beside
`sse`), add its name to `Shape`, and follow the type checker to the two `assert_never` below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from rowcall.core.answer import AnswerSchema
from rowcall.core.endpoints import chat, responses, sse
from rowcall.core.loose import parse_json
from rowcall.core.records import Reply

Shape = Literal["responses", "chat"]
"""What a body looks like."""
Run = Literal["direct", "background"]
"""How an answer is come by: in the reply itself, or by asking after a run that was begun."""
_STREAM_STARTS = (b"data:", b"event:")


@dataclass(frozen=True, slots=True)
class Wire:
    """How one endpoint is spoken to. `model` goes into the body where there is one. Picklable."""

    shape: Shape
    model: str | None
    stream: bool = False
    answer: AnswerSchema | None = None
    run: Run = "direct"


def build_body(request: Mapping[str, object], wire: Wire) -> dict[str, object]:
    """The body to POST for a request `{messages, parameters?, custom_inputs?, databricks_options?}`."""
    match wire.shape:
        case "responses":
            return responses.build(request, wire.model, wire.answer, stream=wire.stream)
        case "chat":
            return chat.build(request, wire.model, wire.answer)
        case _:
            assert_never(wire.shape)


def read_body(body: bytes, content_type: str, wire: Wire) -> Reply:
    """What the body of a 2xx reply says. Total: never raises, whatever the bytes."""
    match wire.shape:
        case "responses":
            if _is_stream(body, content_type, wire):
                return responses.read_stream(sse.assemble(body))
            return responses.read(parse_json(body), body)
        case "chat":
            return chat.read(parse_json(body), body)
        case _:
            assert_never(wire.shape)


def _is_stream(body: bytes, content_type: str, wire: Wire) -> bool:
    if content_type.partition(";")[0].strip().lower() == "text/event-stream":
        return True
    return wire.stream and body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_STREAM_STARTS)
