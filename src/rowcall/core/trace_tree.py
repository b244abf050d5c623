"""One row's story as a tree: the call, its waits and attempts in the order of time, and the agent's own spans under the attempt
that got them. Waits and attempts add up to the time of the call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rowcall.core.loose import mapping, parse_json, sequence
from rowcall.core.ports import Row

Kind = Literal["call", "wait", "attempt", "agent"]
_SHORTEST_WAIT_NS = 1_000_000
"""A shorter gap between attempts is no wait: it goes to the work between them."""
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a span, such as an exception. `offset_ms` counts from the beginning of the call."""

    name: str
    offset_ms: float
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the story. `offset_ms` counts from the beginning of the call; an agent's times are by its own clock. `error` is
    what went wrong, None where nothing did."""

    kind: Kind
    name: str
    offset_ms: float
    duration_ms: float
    error: str | None
    span_id: str | None
    attributes: Mapping[str, object]
    events: tuple[Event, ...] = ()
    children: tuple["Node", ...] = ()

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "name": self.name,
            "offset_ms": self.offset_ms,
            "duration_ms": self.duration_ms,
            "error": self.error,
            "span_id": self.span_id,
            "attributes": dict(self.attributes),
            "events": [
                {"name": event.name, "offset_ms": event.offset_ms, "attributes": dict(event.attributes)}
                for event in self.events
            ],
            "children": [child.as_json() for child in self.children],
        }


@dataclass(frozen=True, slots=True)
class _Span:
    id: str
    parent: str | None
    name: str
    started_ns: int
    ended_ns: int
    error: str | None
    attributes: Mapping[str, object]
    events: Sequence[Mapping[str, object]]


def trace_tree(rows: Sequence[Row], overflow: Sequence[Row] = ()) -> Node | None:
    """The story that rows of the traces table tell, all of one trace; None where the call itself is not among them. `overflow` are
    the texts that the journal keeps for them."""
    whole: dict[str, dict[str, object]] = {}
    for text in overflow:
        whole.setdefault(str(text["span_id"]), {})[str(text["attribute"])] = text["text"]
    spans = sorted((_span(row, whole) for row in rows), key=lambda span: (span.started_ns, span.id))
    root = next((span for span in spans if span.parent is None), None)
    if root is None:
        return None
    below: dict[str, list[_Span]] = {}
    known = {span.id for span in spans}
    for span in spans:
        if span is not root:
            below.setdefault(span.parent if span.parent in known else root.id, []).append(span)
    return _node("call", root, root.started_ns, _steps(root, below))


def _span(row: Row, whole: Mapping[str, Mapping[str, object]]) -> _Span:
    status, own = mapping(row["status"]), str(row["span_id"])
    failed = status.get("code") == "STATUS_CODE_ERROR"
    return _Span(
        id=own,
        parent=None if row["parent_span_id"] is None else str(row["parent_span_id"]),
        name=str(row["name"]),
        started_ns=int(str(row["start_time_unix_nano"])),
        ended_ns=int(str(row["end_time_unix_nano"])),
        error=str(status.get("message") or "failed") if failed else None,
        attributes={**mapping(parse_json(str(row["attributes"]))), **whole.get(own, {})},
        events=[mapping(event) for event in sequence(row["events"])],
    )


def _node(kind: Kind, span: _Span, zero: int, children: Sequence[Node] = ()) -> Node:
    events = tuple(
        Event(
            str(event["name"]),
            _ms(int(str(event["time_unix_nano"])) - zero),
            mapping(parse_json(str(event["attributes"]))),
        )
        for event in span.events
    )
    took = _ms(span.ended_ns - span.started_ns)
    return Node(
        kind,
        span.name,
        _ms(span.started_ns - zero),
        took,
        span.error,
        span.id,
        span.attributes,
        events,
        tuple(children),
    )


def _steps(root: _Span, below: Mapping[str, Sequence[_Span]]) -> list[Node]:
    """Waits and attempts, one after the other."""
    steps: list[Node] = []
    at = root.started_ns
    for attempt in below.get(root.id, ()):
        if attempt.started_ns - at >= _SHORTEST_WAIT_NS:
            steps.append(_wait(at, attempt, root.started_ns))
        steps.append(_node("attempt", attempt, root.started_ns, _agent(attempt, below, root.started_ns)))
        at = max(at, attempt.ended_ns)
    return steps


def _wait(since: int, attempt: _Span, zero: int) -> Node:
    """What an attempt waited for."""
    reason = str(attempt.attributes.get("rowcall.waited_for") or "its turn")
    return Node("wait", reason, _ms(since - zero), _ms(attempt.started_ns - since), None, None, {})


def _agent(attempt: _Span, below: Mapping[str, Sequence[_Span]], zero: int) -> list[Node]:
    """The agent's spans under an attempt. What is nested deeper than anybody reads is shown at that depth."""
    order, under, depth = [attempt], {attempt.id: ""}, {attempt.id: 0}
    for span in order:
        too_deep = depth[span.id] >= _DEEPEST
        for child in below.get(span.id, ()):
            under[child.id] = under[span.id] if too_deep else span.id
            depth[child.id] = depth[span.id] + (not too_deep)
            order.append(child)
    children: dict[str, list[Node]] = {}
    for span in reversed(order[1:]):
        node = _node("agent", span, zero, sorted(children.get(span.id, ()), key=_when))
        children.setdefault(under[span.id], []).append(node)
    return sorted(children.get(attempt.id, ()), key=_when)


def _when(node: Node) -> tuple[float, str]:
    return node.offset_ms, node.span_id or ""


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
