"""The shape that a span of any origin takes, and how much it may carry: a row of the `spans` column of a segment.

Attributes are JSON text in the row. A text of more than `MAX_CONTENT` characters is cut there; where its whole is to be kept, the
row has it beside its columns, under `overflow`, and the journal keeps it in files of their own.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from rowcall.core.loose import whole_characters

Span = dict[str, Any]
Content = Literal["full", "preview", "none"]
"""How much prompt and answer text the spans of a job carry."""
OVERFLOW = "rowcall.overflow"
"""The attribute that says where the whole of a span's long texts is."""
MAX_CONTENT = 64_000
PREVIEW = 500
_LEFT_OUT = 1_000
"""Attributes longer than this are left out where a span has too many characters of them."""
_NAME = re.compile(r"[\w.:/-]{1,100}")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str, separators=(",", ":"))


class SpanIds(NamedTuple):
    trace: str
    own: str
    parent: str | None = None


class SpanEvent(NamedTuple):
    """Something that happened during a span, such as an exception."""

    at_ns: int
    name: str
    attributes: Mapping[str, object]


class SpanDraft(NamedTuple):
    """A span before it is a row. Times are Unix nanoseconds; an attribute that is None is not there."""

    ids: SpanIds
    name: str
    kind: str
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, object]
    status: Mapping[str, str]
    events: Sequence[SpanEvent] = ()


def span_id(trace_id: str, name: str) -> str:
    """A span id that is the same whenever the same call is described again: 16 hex digits, never all zero."""
    return hashlib.sha256(f"{trace_id}/{name}".encode()).hexdigest()[:15] + "1"


def is_name(text: str) -> bool:
    """Whether a text names a thing. Whatever else an agent has made a name of may be the text of a prompt."""
    return _NAME.fullmatch(text) is not None


def content_of(value: object, content: Content) -> str | None:
    """Prompt or answer text, as much of it as the job wants in its traces."""
    if value is None or content == "none":
        return None
    text = value if isinstance(value, str) else _dumped(value) or ""
    return cut(text, PREVIEW) if content == "preview" else text


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def row_of(draft: SpanDraft, place: str = "") -> Span:
    """The row of a span. `place` is where the journal keeps what is too long for it; without one, that is let go of."""
    attributes, whole = _attributes(draft.attributes, MAX_CONTENT, place)
    row: Span = {
        "trace_id": draft.ids.trace,
        "span_id": draft.ids.own,
        "parent_span_id": draft.ids.parent,
        "name": whole_characters(draft.name),
        "kind": draft.kind,
        "start_time_unix_nano": draft.started_ns,
        "end_time_unix_nano": draft.ended_ns,
        "attributes": attributes,
        "events": [_event_row(event) for event in draft.events],
        "status": {key: whole_characters(value) for key, value in draft.status.items()},
    }
    return {**row, "overflow": whole} if whole and place else row


def _event_row(event: SpanEvent) -> dict[str, object]:
    return {
        "time_unix_nano": event.at_ns,
        "name": whole_characters(event.name),
        "attributes": _attributes(event.attributes, MAX_CONTENT // 4)[0],
        "dropped_attributes_count": 0,
    }


def _attributes(attributes: Mapping[str, object], limit: int, place: str = "") -> tuple[str, dict[str, str]]:
    """Attributes as JSON text, and the whole texts of those that were cut or left out."""
    text = _dumped({key: value for key, value in attributes.items() if value is not None})
    if text is not None and len(text) <= limit:
        return text, {}
    said, whole = _cut_each(attributes, limit)
    if whole and place:
        said[OVERFLOW] = _quoted(place)
    return whole_characters("{" + ",".join(f"{_quoted(key)}:{text}" for key, text in said.items()) + "}"), whole


def _cut_each(attributes: Mapping[str, object], limit: int) -> tuple[dict[str, str], dict[str, str]]:
    """Each attribute's JSON text, and the whole of what is not in it. What cannot be written as JSON is left out."""
    texts = {
        key: text for key, value in attributes.items() if value is not None and (text := _dumped(value)) is not None
    }
    plain = {key: value if isinstance(value := attributes[key], str) else text for key, text in texts.items()}
    said = {key: text if len(plain[key]) <= limit else _quoted(cut(plain[key], limit)) for key, text in texts.items()}
    if sum(map(len, said.values())) > 3 * limit:
        said = {key: text if len(text) <= _LEFT_OUT else _quoted(_left_out(plain[key])) for key, text in said.items()}
    whole = {key: whole_characters(plain[key]) for key, text in said.items() if text != texts[key]}
    if sum(len(key) + len(text) for key, text in said.items()) > 3 * limit:
        said = {"rowcall.dropped": _quoted(f"{len(said)} attributes")}
    return said, whole


def _left_out(text: str) -> str:
    return f"({len(text)} characters left out)"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _dumped(value: object) -> str | None:
    """Compact JSON text, with null for numbers that JSON does not have; None for what cannot be written so."""
    try:
        return to_json(value, inf_nan_mode="null", fallback=str).decode()
    except ValueError:  # such as half a character
        return _dumped_slowly(value)


def _dumped_slowly(value: object) -> str | None:
    try:
        return whole_characters(_ENCODER.encode(value))
    except (ValueError, TypeError, RecursionError):
        return None
