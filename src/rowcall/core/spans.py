"""From a finished call to its spans: the call, its attempts, and what the agent itself traced.

Rows for the `spans` column of a segment; `sql/statements/merge_traces.sql` gives them the remaining columns of Unity Catalog's
span tables. Attribute names follow OpenTelemetry's GenAI conventions (all "development" there) and `rowcall.*`.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rowcall.core.loose import mapping, parse_json, sequence, whole_characters
from rowcall.core.records import Attempt, Call, CallError, Outcome

Span = dict[str, Any]
MAX_CONTENT = 64_000
PREVIEW = 500
MAX_AGENT_SPANS = 500
_INT64 = 2**63 - 1
_LEFT_OUT = 1_000
"""Attributes longer than this go first where a span has too many characters of them."""
_ABOUT = re.compile(
    r"""(?x) mlflow\.(spanType|traceRequestId|spanFunctionName|spanLogLevel|message\.format|chat\.tokenUsage|llm\.\w+)
      | gen_ai\.(system|operation\.name|provider\.name|conversation\.id|(agent|tool)\.(name|id)|tool\.(call\.id|type))
      | gen_ai\.(request|response)\.(model|id|finish_reasons) | gen_ai\.usage\.[\w.]+
      | error\.type | server\.(address|port) | service\.(name|version)
      | http\.(route|request\.method|response\.status_code)
    """
)
"""Texts an agent's span may carry where the job keeps prompts and answers out of its traces; numbers and flags always may."""
_NAME = re.compile(r"[\w.:/-]{1,100}")
"""What names a thing. Whatever else an agent has made a name of may be the text of a prompt."""


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What all calls of a run have in common."""

    run_id: str
    job: str
    endpoint: str
    operation: str
    model: str | None
    address: str
    content: Literal["full", "preview", "none"]


def told(error: CallError, content: str) -> str:
    """An error in one line, for who watches a run and for its row; without what the server said where that may be a prompt."""
    status = f" (HTTP {error.status})" if error.status else ""
    said = "the outputs have what was said" if content == "none" else error.message
    return f"{error.kind.value}{status}: {said}"


def span_id(trace_id: str, name: str) -> str:
    """A span id that is the same whenever the same call is described again: 16 hex digits, never all zero."""
    return hashlib.sha256(f"{trace_id}/{name}".encode()).hexdigest()[:15] + "1"


def traceparent(trace_id: str, attempt: int) -> str:
    """The W3C header of one attempt, so that the agent's spans can join."""
    return f"00-{trace_id}-{span_id(trace_id, f'attempt {attempt}')}-01"


def call_spans(call: Call, request: str, context: SpanContext) -> list[Span]:
    """Every span of a call, the root first."""
    root = span_id(call.trace_id, "call")
    spans = [_root(call, request, context, root)]
    spans += [_attempt(call, attempt, context, root) for attempt in call.attempts]
    if call.reply.trace and call.attempts:
        parent = span_id(call.trace_id, f"attempt {call.attempts[-1].number}")
        spans += _agent_spans(call.reply.trace, call.trace_id, parent, context.content)
    return spans


def _root(call: Call, request: str, context: SpanContext, root: str) -> Span:
    reply = call.reply
    attributes: dict[str, object] = {
        "gen_ai.operation.name": context.operation,
        "gen_ai.provider.name": "databricks",
        "gen_ai.request.model": context.model,
        "gen_ai.response.model": reply.model,
        "gen_ai.response.id": reply.response_id,
        "gen_ai.response.finish_reasons": [reply.finish_reason] if reply.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": _first_token_seconds(call),
        "gen_ai.usage.input_tokens": reply.usage.input_tokens,
        "gen_ai.usage.output_tokens": reply.usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": reply.usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": reply.usage.reasoning_tokens,
        "server.address": context.address,
        "error.type": reply.error.kind.value if reply.error else None,
        "rowcall.run_id": context.run_id,
        "rowcall.job": context.job,
        "rowcall.request_hash": call.request_hash,
        "rowcall.outcome": reply.outcome.value,
        "rowcall.attempts": call.attempts[-1].number if call.attempts else 0,
        "rowcall.usage_missing": _usage_missing(call),
        "rowcall.agent_trace_id": reply.trace_id,
        "rowcall.request": _content(request, context.content),
        "rowcall.answer": _content(reply.text, context.content),
    }
    name = f"{context.operation} {context.endpoint}"
    times = (call.started_ns, call.ended_ns)
    status = _status(reply.outcome, reply.error, context.content)
    return _span(_Ids(call.trace_id, root), name, "SPAN_KIND_CLIENT", times, attributes, status)


def _first_token_seconds(call: Call) -> float | None:
    """From the last request to the first piece of its answer's text, where it came as a stream."""
    last = call.attempts[-1] if call.attempts else None
    if last is None or last.first_token_ns is None:
        return None
    return round((last.first_token_ns - last.started_ns) / 1e9, 6)


def _usage_missing(call: Call) -> str | None:
    """Why there are no tokens where a person would look for them."""
    asked_in_sql = bool(call.attempts) and call.attempts[-1].wave is not None
    return "ai_query does not tell them" if asked_in_sql and call.reply.usage.total_tokens is None else None


def _attempt(call: Call, attempt: Attempt, context: SpanContext, root: str) -> Span:
    error = attempt.error
    attributes: dict[str, object] = {
        "http.request.method": "POST" if attempt.wave is None else None,
        "rowcall.wave": attempt.wave,
        "rowcall.statement_id": attempt.statement_id,
        "http.response.status_code": attempt.status,
        "http.request.resend_count": attempt.number - 1 or None,
        "server.address": context.address,
        "error.type": error.kind.value if error else None,
        "rowcall.error.code": _code(error, context.content),
        "rowcall.waited_seconds": round(attempt.waited, 3) or None,
        "rowcall.retry_after_seconds": attempt.retry_after,
        "rowcall.request_id": attempt.request_id,
        "rowcall.first_byte_ms": (attempt.first_byte_ns - attempt.started_ns) // 1_000_000
        if attempt.first_byte_ns
        else None,
    }
    name = f"attempt {attempt.number}"
    status = _status(Outcome.ERROR if error else Outcome.OK, error, context.content)
    times = (attempt.started_ns, attempt.ended_ns)
    return _span(
        _Ids(call.trace_id, span_id(call.trace_id, name), root), name, "SPAN_KIND_CLIENT", times, attributes, status
    )


def _agent_spans(trace: str, trace_id: str, parent: str, content: str) -> Iterator[Span]:
    """The spans of an MLflow trace as `databricks_output.trace` carries it (`Trace.to_dict()` of MLflow 3), under the attempt
    that got it. Its ids are base64 bytes and every attribute is JSON text; what cannot be read is left out, and what hung
    under it hangs under the attempt."""
    spans = sequence(mapping(mapping(parse_json(trace)).get("data")).get("spans"))[:MAX_AGENT_SPANS]
    readable = [
        (_hex_id(raw.get("span_id")), _nanos(raw.get("start_time_unix_nano")), raw) for raw in map(mapping, spans)
    ]
    known = {own for own, start, _ in readable if own is not None and start is not None}
    for own, start, raw in readable:
        if own is None or start is None:
            continue
        above, end = _hex_id(raw.get("parent_span_id")), _nanos(raw.get("end_time_unix_nano"))
        status, attributes = mapping(raw.get("status")), _agent_attributes(mapping(raw.get("attributes")), content)
        yield _span(
            _Ids(trace_id, own, above if above in known and above != own else parent),
            _agent_name(str(raw.get("name") or "span")[:200], attributes, content),
            "SPAN_KIND_INTERNAL",
            (start, max(start, end or start)),
            attributes,
            {
                "message": "" if content == "none" else str(status.get("message") or "")[:PREVIEW],
                "code": str(status.get("code") or "STATUS_CODE_UNSET")[:40],
            },
        )


def _agent_attributes(raw: Mapping[str, object], content: str) -> dict[str, object]:
    attributes = {key: _plain(value) for key, value in raw.items()}
    if content == "full":
        return attributes
    return {
        key: value if isinstance(value, bool | int | float) or _ABOUT.fullmatch(key) else _content(value, content)
        for key, value in attributes.items()
        if content != "none" or _NAME.fullmatch(key)
    }


def _agent_name(name: str, attributes: Mapping[str, object], content: str) -> str:
    return name if content != "none" or _NAME.fullmatch(name) else str(attributes.get("mlflow.spanType") or "span")


@dataclass(frozen=True, slots=True)
class _Ids:
    trace: str
    own: str
    parent: str | None = None


def _span(
    ids: _Ids, name: str, kind: str, times: tuple[int, int], attributes: Mapping[str, object], status: Mapping[str, str]
) -> Span:
    return {
        "trace_id": ids.trace,
        "span_id": ids.own,
        "parent_span_id": ids.parent,
        "name": whole_characters(name),
        "kind": kind,
        "start_time_unix_nano": times[0],
        "end_time_unix_nano": times[1],
        "attributes": _json(attributes),
        "events": [],
        "status": {key: whole_characters(value) for key, value in status.items()},
    }


def _json(attributes: Mapping[str, object]) -> str:
    said = {key: text for key, value in attributes.items() if (text := _json_value(value)) is not None}
    limit = MAX_CONTENT * 3
    if sum(map(len, said.values())) > limit:
        said = {
            key: text if len(text) <= _LEFT_OUT else json.dumps(f"({len(text)} characters left out)")
            for key, text in said.items()
        }
    if sum(len(key) + len(text) for key, text in said.items()) > limit:
        said = {"rowcall.dropped": json.dumps(f"{len(said)} attributes")}
    return whole_characters(
        "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {text}" for key, text in said.items()) + "}"
    )


def _json_value(value: object) -> str | None:
    try:
        return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except (ValueError, RecursionError):
        return None


def _status(outcome: Outcome, error: CallError | None, content: str) -> dict[str, str]:
    """How it ended. What a server says of an error may quote the prompt; the outputs have it."""
    if outcome is Outcome.OK:
        return {"message": "", "code": "STATUS_CODE_OK"}
    said = error.message if error and content != "none" else error.kind.value if error else outcome.value
    return {"message": said, "code": "STATUS_CODE_ERROR"}


def _code(error: CallError | None, content: str) -> str | None:
    code = error.code if error else None
    return code if code is None or content != "none" or _NAME.fullmatch(code) else None


def _content(value: object, content: str) -> str | None:
    """Prompt or answer text, as much of it as the job wants in its traces."""
    if value is None or content == "none":
        return None
    text = value if isinstance(value, str) else _json_value(value) or ""
    limit = PREVIEW if content == "preview" else MAX_CONTENT
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _plain(value: object) -> object:
    """An MLflow attribute value, decoded where it is JSON text."""
    parsed = parse_json(value) if isinstance(value, str) else value
    return value if parsed is None and value != "null" else parsed


def _nanos(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INT64 else None


def _hex_id(value: object) -> str | None:
    """A span id as 16 hex digits: MLflow writes base64 of 8 bytes, older versions hex with or without `0x`."""
    if not isinstance(value, str) or not value:
        return None
    text = value.removeprefix("0x").lower()
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return None
        text = raw.hex()
    return text if len(text) == 16 and text.strip("0") else None
