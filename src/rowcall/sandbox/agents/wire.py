"""What every wire shape has in common: a question read, an answer to be written, tokens, content parts.

The shapes themselves are `responses_wire`, `chat_wire` and `model_wire`; `shapes` says which one a call takes.
"""

import binascii
import json
import math
import re
import secrets
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rowcall.core.loose import count, mapping, parse_json, sequence
from rowcall.sandbox.agents.steps import Step

Json = dict[str, object]
_DELTA_CHARS = 24
_IMAGE_URL = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)


class RequestError(ValueError):
    """A body that the endpoint does not take; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read.

    `text` is the last user message, of a custom model the first row's text. `asked` is the part of the body that is the
    question, `schema` what a structured answer must fit, `images` the images in the last user message (`image/png, 123
    bytes`), `rows` the texts put to a custom model.
    """

    text: str
    body: Mapping[str, object]
    asked: Mapping[str, object]
    input_tokens: int = 1
    schema: Mapping[str, object] | None = None
    images: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def output_limit(self) -> int | None:
        """The most tokens that the answer may have, if there is a limit."""
        return count(self.body.get("max_output_tokens", self.body.get("max_tokens")))

    @property
    def trace_wanted(self) -> bool:
        return mapping(self.body.get("databricks_options")).get("return_trace") is True


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent says, and the steps that led to it. A custom model says `predictions`, one a row."""

    text: str
    steps: tuple[Step, ...] = ()
    custom_outputs: Mapping[str, object] = field(default_factory=dict[str, object])
    predictions: tuple[object, ...] | None = None


@dataclass(frozen=True, slots=True)
class PassedOn:
    """An answer that is already a reply, from another server."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def parse_body(raw: bytes) -> object:
    """The JSON value; raises ValueError. NaN and infinities are none: no reply could repeat them."""
    return json.loads(raw, parse_constant=_finite, parse_float=_finite)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits} is not a finite number")
    return number


def to_json(value: object) -> bytes:
    """JSON in UTF-8; in ASCII where half a character, which UTF-8 cannot say, is to be said again."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def read_object(body: object, kind: str, wanted: str) -> Mapping[str, object]:
    """A body that is an object with a list `wanted`; raises `RequestError` in the words of a validated `kind`."""
    if not isinstance(body, dict):
        raise RequestError("Input should be a valid dictionary")
    whole = mapping(body)
    if wanted not in whole:
        raise RequestError(f"1 validation error for {kind}\n{wanted}\n  Field required [type=missing]")
    items = whole[wanted]
    if not isinstance(items, list):
        problem = f"Input should be a valid list [type=list_type, input_type={type(items).__name__}]"
        raise RequestError(f"1 validation error for {kind}\n{wanted}\n  {problem}")
    return whole


def last_user_content(messages: Sequence[object]) -> object:
    """The content of the last message that is the user's."""
    said = (mapping(message).get("content") for message in reversed(messages) if mapping(message).get("role") == "user")
    return next(said, None)


def content_text(content: object) -> str:
    """A content is a text, or a list of parts of which those with a `text` count."""
    if isinstance(content, str):
        return content
    parts = (mapping(part).get("text") for part in sequence(content))
    return "\n".join(part for part in parts if isinstance(part, str))


def image_label(url: object) -> str | None:
    """`image/png, 123 bytes` for an image in a data URL; None for what is none."""
    match = _IMAGE_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        return None
    try:
        return f"{match[1]}, {len(b64decode(match[2], validate=True))} bytes"
    except (binascii.Error, ValueError):
        return None


def within_limit(text: str, limit: object) -> tuple[str, bool]:
    """The text as far as a limit in tokens lets it be said, and whether that is all of it."""
    if not isinstance(limit, int) or isinstance(limit, bool) or count_tokens(text) <= max(limit, 1):
        return text, True
    return text[: 4 * max(limit, 1)], False


def count_tokens(text: str) -> int:
    """Tokens at four characters each."""
    return max(len(text) // 4, 1) if text else 0


def count_output_tokens(question: Question, answer: Answer | PassedOn) -> int:
    """Tokens of what an agent says, as the usage of its reply has them."""
    if isinstance(answer, PassedOn):
        return count(mapping(mapping(parse_json(answer.body)).get("usage")).get("output_tokens")) or 0
    return count_tokens(within_limit(answer.text, question.output_limit)[0])


def count_input_tokens(messages: Sequence[object], instructions: object = None) -> int:
    """Tokens of what an agent reads: the instructions and every message."""
    read = len(str(instructions or "")) + sum(len(content_text(mapping(one).get("content"))) for one in messages)
    return max(read // 4, 1)


def pieces(text: str) -> Iterator[str]:
    """A text as a stream's deltas bring it; none for no text."""
    for start in range(0, len(text), _DELTA_CHARS):
        yield text[start : start + _DELTA_CHARS]


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
