"""Where the time of one slow row went: the call, the waits and attempts it consists of, the agent's own spans under them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from rowcall.core.loose import mapping, parse_json, sequence
from rowcall.core.shown import shorten
from rowcall.core.slots import ABOUT

MOST_STRIPS = 40
MOST_KEYS = 3
_SECOND = 1_000_000_000
_DEEPEST = 8

Span = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Strip:
    """One line of a waterfall. `left` and `width` are percent of the call's time, `depth` counts from the call."""

    kind: Literal["call", "wait", "attempt", "agent"]
    name: str
    depth: int
    left: float
    width: float
    seconds: float
    note: str
    failed: bool


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A row that took long. `hidden` strips are not shown, nor are keys beyond the first."""

    trace_id: str
    keys: tuple[str, ...]
    seconds: float
    outcome: str
    question: str
    answer: str
    error: str
    strips: tuple[Strip, ...]
    hidden: int


def slow_rows(spans: Sequence[Span], keys: Sequence[Mapping[str, Any]]) -> list[SlowRow]:
    """Read the rows of `report_slowest.sql`, one call after the other, and of `report_keys.sql`."""
    keys_of: dict[str, list[str]] = {}
    for row in keys:
        keys_of.setdefault(str(row["trace_id"]), []).append(key_text(row["key"]))
    return [
        _slow_row(list(own), keys_of.get(trace_id, []))
        for trace_id, own in groupby(spans, key=lambda span: str(span["trace_id"]))
    ]


def key_text(key: object) -> str:
    """`{"id": 7, "lang": "en"}` → `id 7, lang en`; of a single key the value alone."""
    fields = mapping(parse_json(str(key)))
    said = [f"{name} {value}" for name, value in fields.items()] if len(fields) > 1 else [*map(str, fields.values())]
    return shorten(", ".join(said) or str(key), 120)


def question_of(request: str) -> str:
    """The last message of a request, or the request as it is."""
    body = mapping(parse_json(request))
    last = mapping(next(reversed(sequence(body.get("messages"))), None)).get("content")
    return last if isinstance(last, str) else request


def _slow_row(spans: Sequence[Span], keys: Sequence[str]) -> SlowRow:
    root = next((span for span in spans if span["parent_span_id"] is None), spans[0])
    strips = list(_Tree(root, spans).strips())
    return SlowRow(
        trace_id=str(root["trace_id"]),
        keys=(*keys[:MOST_KEYS], *([f"and {len(keys) - MOST_KEYS} more"] if len(keys) > MOST_KEYS else [])),
        seconds=_seconds(root),
        outcome=str(root["outcome"] or ""),
        question=shorten(question_of(str(root["request"] or "")), 400),
        answer=shorten(root["answer"] or "", 400),
        error=shorten(root["message"] or "", 400),
        strips=tuple(strips[:MOST_STRIPS]),
        hidden=max(0, len(strips) - MOST_STRIPS),
    )


class _Tree:
    """The spans of a call, each under the one it belongs to."""

    def __init__(self, root: Span, spans: Sequence[Span]) -> None:
        self._root = root
        self._children: dict[str, list[Span]] = {}
        for span in spans:
            if span is not root:
                self._children.setdefault(str(span["parent_span_id"]), []).append(span)

    def strips(self, span: Span | None = None, depth: int = 0) -> Iterator[Strip]:
        """Depth first, in the order of time, each wait before the attempt that waited."""
        span = span or self._root
        if depth == 1 and (waited := float(span["waited"] or 0)) > 0:
            yield self._wait(span, waited)
        yield self._strip(span, depth)
        if depth < _DEEPEST:
            for child in self._children.get(str(span["span_id"]), []):
                yield from self.strips(child, depth + 1)

    def _wait(self, attempt: Span, waited: float) -> Strip:
        reason = str(attempt["waited_for"] or "")
        about = ABOUT.get(reason, reason)  # pyright: ignore[reportArgumentType, reportCallIssue]
        left, width = self._place(attempt["started"] - int(waited * _SECOND), attempt["started"])
        return Strip("wait", "wait", 1, left, width, waited, about, failed=False)

    def _strip(self, span: Span, depth: int) -> Strip:
        left, width = self._place(span["started"], span["ended"])
        kind = "call" if depth == 0 else "attempt" if depth == 1 else "agent"
        status = f"HTTP {span['http_status']}" if span["http_status"] else ""
        note = " · ".join(part for part in (status, span["error_kind"] or "") if part) if depth else ""
        return Strip(kind, str(span["name"]), depth, left, width, _seconds(span), note, failed=bool(span["failed"]))

    def _place(self, started: int, ended: int) -> tuple[float, float]:
        """Percent of the call before it and of its own; an agent's clock may tell another time, which is cut to the call's."""
        begin, whole = self._root["started"], max(self._root["ended"] - self._root["started"], 1)
        left, right = (min(max((at - begin) / whole, 0.0), 1.0) * 100 for at in (started, ended))
        return left, max(right - left, 0.0)


def _seconds(span: Span) -> float:
    return (span["ended"] - span["started"]) / _SECOND
