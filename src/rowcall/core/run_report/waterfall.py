"""Where the time of one slow row went: its story (`core.trace_tree`) as lines with bars."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rowcall.core.loose import mapping, parse_json, sequence
from rowcall.core.shown import shorten
from rowcall.core.slots import ABOUT
from rowcall.core.trace_tree import Kind, Node, trace_tree

MOST_STRIPS = 40
MOST_KEYS = 3
_SHOWN = 400
"""So many characters of a prompt or an answer are enough to know the row by."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Strip:
    """One line of a waterfall. `left` and `width` are percent of the call's time, `depth` counts from the call."""

    kind: Kind
    name: str
    note: str
    depth: int
    left: float
    width: float
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A row that took long. `hidden` strips are not shown."""

    trace_id: str
    key: str
    seconds: float
    outcome: str
    question: str
    answer: str
    error: str
    strips: tuple[Strip, ...]
    hidden: int


def slow_rows(spans: Rows, keys: Rows) -> list[SlowRow]:
    """Read the rows of `report_slowest.sql`, one call after the other, and of `report_keys.sql`."""
    keys_of: dict[str, list[str]] = {}
    for row in keys:
        keys_of.setdefault(str(row["trace_id"]), []).append(key_text(row["key"]))
    stories = ((trace_id, trace_tree(list(own))) for trace_id, own in groupby(spans, key=lambda span: span["trace_id"]))
    return [_slow_row(str(trace_id), keys_of.get(trace_id, []), story) for trace_id, story in stories if story]


def key_text(key: object) -> str:
    """`{"id": 7, "lang": "en"}` → `id 7, lang en`; of a single key the value alone."""
    fields = mapping(parse_json(str(key)))
    said = [f"{name} {value}" for name, value in fields.items()] if len(fields) > 1 else [*map(str, fields.values())]
    return shorten(", ".join(said) or str(key), 120)


def question_of(request: str) -> str:
    """The last message of a request, or the request as it is."""
    messages = sequence(mapping(parse_json(request)).get("messages"))
    last = mapping(messages[-1]).get("content") if messages else None
    return last if isinstance(last, str) else request


def _slow_row(trace_id: str, keys: Sequence[str], call: Node) -> SlowRow:
    strips = list(_strips(call, call.duration_ms))
    more = [f"and {len(keys) - MOST_KEYS} more"] if len(keys) > MOST_KEYS else []
    return SlowRow(
        trace_id=trace_id,
        key=" · ".join([*keys[:MOST_KEYS], *more]) or trace_id,
        seconds=call.duration_ms / 1000,
        outcome=_said(call, "rowcall.outcome"),
        question=shorten(question_of(_said(call, "rowcall.request")), _SHOWN),
        answer=shorten(_said(call, "rowcall.answer"), _SHOWN),
        error=shorten(call.error or "", _SHOWN),
        strips=tuple(strips[:MOST_STRIPS]),
        hidden=max(0, len(strips) - MOST_STRIPS),
    )


def _strips(node: Node, whole_ms: float, depth: int = 0) -> Iterator[Strip]:
    """Depth first; an agent's clock may tell another time, which is cut to the call's."""
    left, right = (
        100 * min(max(at / max(whole_ms, 1e-6), 0.0), 1.0) for at in (node.offset_ms, node.offset_ms + node.duration_ms)
    )
    name, note = ("wait", _reason(node.name)) if node.kind == "wait" else (node.name, _note(node))
    failed = node.error is not None
    yield Strip(node.kind, name, note, depth, left, max(right - left, 0.0), node.duration_ms / 1000, failed)
    for child in node.children:
        yield from _strips(child, whole_ms, depth + 1)


def _reason(waited_for: str) -> str:
    return next((text for state, text in ABOUT.items() if state == waited_for), waited_for)


def _note(node: Node) -> str:
    """`HTTP 429 · rate_limited`"""
    if node.kind == "call":
        return ""
    status = _said(node, "http.response.status_code")
    return " · ".join(part for part in (f"HTTP {status}" if status else "", _said(node, "error.type")) if part)


def _said(node: Node, attribute: str) -> str:
    value = node.attributes.get(attribute)
    return "" if value is None else str(value)
