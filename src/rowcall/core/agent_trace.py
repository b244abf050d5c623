"""The agent's own spans, out of the trace that came with its answer, whichever of these wrote it:

| who                       | where the spans are                  | ids                  | times                  | attributes |
|---------------------------|--------------------------------------|----------------------|------------------------|------------|
| MLflow 2                  | `data.spans`, ids in their `context` | hex, `0x` before it  | `start_time`           | JSON texts |
| MLflow 3                  | `data.spans`                         | base64; hex in 3.5.0 | `start_time_unix_nano` | JSON texts |
| MLflow, in Unity Catalog  | `spans`                              | base64               | the same, as text      | key, value |
| OpenTelemetry (OTLP JSON) | `resourceSpans` … `spans`            | hex                  | `startTimeUnixNano`    | key, value |

They hang under the attempt that got them and keep their ids where those can be: an id that is none, or that another span of the
call has, is replaced. Times are kept as told, but that no span ends before it begins. Links are dropped; a span that does not say
when it began is left out. Attributes of an agent that are called as rowcall's own are, `rowcall.*`, become `agent.rowcall.*`.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rowcall.core.loose import mapping, parse_json, sequence
from rowcall.core.span_row import PREVIEW, Content, SpanDraft, SpanEvent, SpanIds, content_of, is_name, span_id

MAX_AGENT_SPANS = 500
MAX_EVENTS = 100
_INT64 = 2**63 - 1
_DEEPEST = 50
_ABOUT = re.compile(
    r"""(?x) mlflow\.(spanType|traceRequestId|spanFunctionName|spanLogLevel|message\.format|chat\.tokenUsage|llm\.(model|provider))
      | gen_ai\.(system|operation\.name|provider\.name|conversation\.id|(agent|tool)\.(name|id)|tool\.(call\.id|type))
      | gen_ai\.(request|response)\.(model|id|finish_reasons) | gen_ai\.usage\.[\w.]+
      | error\.type | exception\.type | server\.(address|port) | service\.(name|version)
      | http\.(route|request\.method|response\.status_code)
    """
)
"""Texts an agent's span may carry where the job keeps prompts and answers out of its traces; numbers and flags always may."""
_MAY_BE_JSON = re.compile(r"\s*[\[{\"\-0-9tfn]")
_KINDS = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True, slots=True)
class _Told:
    """A span as a trace tells it: `parts` by name, in lower case and without underscores."""

    parts: Mapping[str, object]
    id: str
    parent: str
    started_ns: int


def agent_spans(trace: str, under: SpanIds, taken: Sequence[str], content: Content) -> tuple[list[SpanDraft], int]:
    """The spans of a trace, given as JSON text, to hang `under` an attempt, and how many were left out. `taken` are the ids that
    other spans of the call have."""
    found = _spans_in(parse_json(trace))
    told = [span for raw in found[:MAX_AGENT_SPANS] if (span := _told(raw)) is not None]
    spans = [_draft(span, ids, content) for span, ids in zip(told, _ids(told, under, taken), strict=True)]
    return spans, len(found) - len(spans)


def _spans_in(trace: object) -> Sequence[object]:
    """The spans, wherever the trace has them."""
    whole = mapping(parse_json(trace) if isinstance(trace, str) else trace)
    if found := sequence(mapping(whole.get("data")).get("spans")) or sequence(whole.get("spans")):
        return found
    return [
        span
        for resource in sequence(_parts(whole).get("resourcespans"))
        for scope in sequence(_parts(resource).get("scopespans"))
        for span in sequence(mapping(scope).get("spans"))
    ]


def _parts(value: object) -> dict[str, object]:
    """The parts of an object by name, `spanId` and `span_id` alike."""
    return {key.replace("_", "").lower(): part for key, part in mapping(value).items()}


def _told(raw: object) -> _Told | None:
    parts = _parts(raw)
    context = _parts(parts.get("context"))
    started = _nanos(_either(parts, "starttimeunixnano", "starttime"))
    if started is None:
        return None
    own = _id(_either(parts, "spanid") or context.get("spanid"))
    return _Told(parts, own, _id(_either(parts, "parentspanid", "parentid")), started)


def _either(parts: Mapping[str, object], *names: str) -> object:
    return next((parts[name] for name in names if parts.get(name) is not None), None)


def _id(value: object) -> str:
    """An id as 16 hex digits where it is one, else as it is told, empty where it is not."""
    if not isinstance(value, str):
        return ""
    digits = value.lower().removeprefix("0x")
    if re.fullmatch("[0-9a-f]{16}", digits) or (value[:2] in ("0x", "0X") and re.fullmatch("[0-9a-f]{1,15}", digits)):
        return digits.zfill(16)
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return raw.hex() if len(raw) == 8 else value


def _ids(told: Sequence[_Told], under: SpanIds, taken: Sequence[str]) -> list[SpanIds]:
    """Ids for the table: those of the trace where they are fit for it and nobody has them."""
    used = set(taken)
    table_ids: list[str] = []
    of_told: dict[str, str] = {}
    for index, span in enumerate(told):
        fit = re.fullmatch("[0-9a-f]{16}", span.id) and span.id.strip("0") and span.id not in used
        own = span.id if fit else span_id(under.trace, f"agent span {index}")
        used.add(own)
        table_ids.append(own)
        if span.id:
            of_told.setdefault(span.id, own)
    parents = {own: of_told.get(span.parent, under.own) for own, span in zip(table_ids, told, strict=True)}
    _cut_circles(parents, under.own)
    return [SpanIds(under.trace, own, parents[own]) for own in table_ids]


def _cut_circles(parents: dict[str, str], top: str) -> None:
    """A span that is above itself hangs under the top."""
    sound = {top}
    for own in parents:
        path: set[str] = set()
        at = own
        while at not in sound and at not in path:
            path.add(at)
            at = parents[at]
        if at in path:
            parents[at] = top
        sound |= path


def _draft(told: _Told, ids: SpanIds, content: Content) -> SpanDraft:
    parts = told.parts
    attributes = _attributes(parts.get("attributes"), content)
    ended = _nanos(_either(parts, "endtimeunixnano", "endtime"))
    events = [_event(raw, told.started_ns, content) for raw in sequence(parts.get("events"))[:MAX_EVENTS]]
    return SpanDraft(
        ids=ids,
        name=_name(parts.get("name"), str(attributes.get("mlflow.spanType") or "span"), content),
        kind=f"SPAN_KIND_{_enum(parts.get('kind'), 'SPAN_KIND_', ('', *_KINDS)) or 'INTERNAL'}",
        started_ns=told.started_ns,
        ended_ns=max(told.started_ns, ended or 0),
        attributes=attributes,
        status=_status(parts, content),
        events=events,
    )


def _event(raw: object, otherwise_ns: int, content: Content) -> SpanEvent:
    parts = _parts(raw)
    at = _nanos(_either(parts, "timeunixnano", "timestamp"))
    name = _name(parts.get("name"), "event", content)
    return SpanEvent(otherwise_ns if at is None else at, name, _attributes(parts.get("attributes"), content))


def _name(told: object, otherwise: str, content: Content) -> str:
    name = str(told or otherwise)[:200]
    return name if content != "none" or is_name(name) else otherwise


def _status(parts: Mapping[str, object], content: Content) -> dict[str, str]:
    status = _parts(parts.get("status"))
    code = _enum(_either(status, "code") or parts.get("statuscode"), "STATUS_CODE_", _CODES)
    message = _either(status, "message") or parts.get("statusmessage") or ""
    return {"message": "" if content == "none" else str(message)[:PREVIEW], "code": f"STATUS_CODE_{code or 'UNSET'}"}


def _enum(value: object, prefix: str, names: Sequence[str]) -> str:
    """The name that stands for a value of an enumeration, given as a name or a number."""
    if isinstance(value, str):
        name = value.upper().removeprefix(prefix)
        return name if name in names else ""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else ""


def _attributes(raw: object, content: Content) -> dict[str, object]:
    told = mapping(raw) or {
        str(pair["key"]): _any_value(pair.get("value")) for pair in map(mapping, sequence(raw)) if "key" in pair
    }
    attributes = {f"agent.{key}" if key.startswith("rowcall.") else key: _plain(value) for key, value in told.items()}
    if content == "full":
        return attributes
    return {
        key: value if _tells_no_text(key, value, content) else content_of(value, content)
        for key, value in attributes.items()
        if content != "none" or is_name(key)
    }


def _tells_no_text(key: str, value: object, content: Content) -> bool:
    """Whether a value may stay as it is: a number, or what such a key is about. Where no text may, that has to be names."""
    if isinstance(value, bool | int | float):
        return True
    return _ABOUT.fullmatch(key) is not None and (content != "none" or _is_of_names(value))


def _is_of_names(value: object, depth: int = 0) -> bool:
    if isinstance(value, str):
        return is_name(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return all(_is_of_names(part, depth + 1) for pair in mapping(value).items() for part in pair)
    if depth < _DEEPEST and isinstance(value, list | tuple):
        return all(_is_of_names(part, depth + 1) for part in sequence(value))
    return value is None or isinstance(value, bool | int | float)


def _any_value(value: object, depth: int = 0) -> object:
    """What an OTLP value stands for: `{"stringValue": …}`, `{"arrayValue": {"values": […]}}`."""
    if depth > _DEEPEST:
        return None
    for kind, said in _parts(value).items():
        match kind:
            case "intvalue":
                return int(said) if isinstance(said, str) and re.fullmatch(r"-?\d{1,19}", said) else said
            case "arrayvalue":
                return [_any_value(item, depth + 1) for item in sequence(mapping(said).get("values"))]
            case "kvlistvalue":
                pairs = map(mapping, sequence(mapping(said).get("values")))
                return {str(pair["key"]): _any_value(pair.get("value"), depth + 1) for pair in pairs if "key" in pair}
            case "stringvalue" | "boolvalue" | "doublevalue" | "bytesvalue":
                return said
            case _:
                continue
    return None


def _plain(value: object) -> object:
    """An attribute's value, decoded where it is JSON text, and once more where that is the JSON text of an object or a list."""
    if not isinstance(value, str):
        return value
    parsed = parse_json(value) if _MAY_BE_JSON.match(value) else None
    if parsed is None and value != "null":
        return value
    inner = parse_json(parsed) if isinstance(parsed, str) and parsed[:1] in ("{", "[") else None
    return inner if isinstance(inner, dict | list) else parsed


def _nanos(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,19}", value) else value
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _INT64 else None
