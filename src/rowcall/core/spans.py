"""From a finished call to its spans: the call, its attempts, and what the agent itself traced.

Rows for the `spans` column of a segment; `sql/statements/merge_traces.sql` gives them the remaining columns of Unity Catalog's
span tables. Attribute names follow OpenTelemetry's GenAI conventions (all "development" there) and `rowcall.*`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rowcall.core.agent_trace import agent_spans
from rowcall.core.records import Attempt, Call, CallError, Outcome
from rowcall.core.span_row import Content, Span, SpanDraft, SpanIds, content_of, is_name, row_of, span_id


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What all calls of a run have in common. `overflow` is where the whole of what is too long for a span is kept; nowhere, where
    it is empty."""

    run_id: str
    job: str
    endpoint: str
    operation: str
    model: str | None
    address: str
    content: Content
    overflow: str = ""


def told(error: CallError, content: str) -> str:
    """An error in one line, for who watches a run and for its row; without what the server said where that may be a prompt."""
    status = f" (HTTP {error.status})" if error.status else ""
    said = "the outputs have what was said" if content == "none" else error.message
    return f"{error.kind.value}{status}: {said}"


def traceparent(trace_id: str, attempt: int) -> str:
    """The W3C header of one attempt, so that the agent's spans can join."""
    return f"00-{trace_id}-{span_id(trace_id, f'attempt {attempt}')}-01"


def call_spans(call: Call, request: str, context: SpanContext) -> list[Span]:
    """Every span of a call, the root first."""
    root = span_id(call.trace_id, "call")
    attempts = [_attempt(call, attempt, context, root) for attempt in call.attempts]
    traced: list[SpanDraft] = []
    left_out = 0
    if call.reply.trace and attempts:
        taken = [root, *(attempt.ids.own for attempt in attempts)]
        traced, left_out = agent_spans(call.reply.trace, attempts[-1].ids, taken, context.content)
    place = context.overflow if context.content == "full" else ""
    return [row_of(span, place) for span in (_root(call, request, context, root, left_out), *attempts, *traced)]


@dataclass(slots=True)
class LateSpans:
    """The spans of a call, described when they are first looked at: where they are kept, not in the loop that makes the calls."""

    call: Call
    request: str
    context: SpanContext
    _described: list[Span] | None = None

    def __iter__(self) -> Iterator[Span]:
        if self._described is None:
            try:
                self._described = call_spans(self.call, self.request, self.context)
            except Exception:  # what an agent traced must not cost a paid answer
                without = replace(self.call, reply=replace(self.call.reply, trace=None))
                self._described = call_spans(without, self.request, self.context)
        return iter(self._described)


def _root(call: Call, request: str, context: SpanContext, root: str, left_out: int) -> SpanDraft:
    reply = call.reply
    finished = _named(reply.finish_reason, context.content)
    attributes: dict[str, object] = {
        "gen_ai.operation.name": context.operation,
        "gen_ai.provider.name": "databricks",
        "gen_ai.request.model": context.model,
        "gen_ai.response.model": _named(reply.model, context.content),
        "gen_ai.response.id": _named(reply.response_id, context.content),
        "gen_ai.response.finish_reasons": [finished] if finished else None,
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
        "rowcall.agent_trace_id": _named(reply.trace_id, context.content),
        "rowcall.agent_spans_left_out": left_out or None,
        "rowcall.request": content_of(request, context.content),
        "rowcall.answer": content_of(reply.text, context.content),
    }
    return SpanDraft(
        ids=SpanIds(call.trace_id, root),
        name=f"{context.operation} {context.endpoint}",
        kind="SPAN_KIND_CLIENT",
        started_ns=call.started_ns,
        ended_ns=call.ended_ns,
        attributes=attributes,
        status=_status(reply.outcome, reply.error, context.content),
    )


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


def _attempt(call: Call, attempt: Attempt, context: SpanContext, root: str) -> SpanDraft:
    error = attempt.error
    attributes: dict[str, object] = {
        "http.request.method": "POST" if attempt.wave is None else None,
        "rowcall.wave": attempt.wave,
        "rowcall.statement_id": attempt.statement_id,
        "http.response.status_code": attempt.status,
        "http.request.resend_count": attempt.number - 1 or None,
        "server.address": context.address,
        "error.type": error.kind.value if error else None,
        "rowcall.error.code": _named(error.code if error else None, context.content),
        "rowcall.waited_seconds": round(attempt.waited, 3) or None,
        "rowcall.waited_for": attempt.waited_for,
        "rowcall.retry_after_seconds": attempt.retry_after,
        "rowcall.request_id": _named(attempt.request_id, context.content),
        "rowcall.first_byte_ms": (attempt.first_byte_ns - attempt.started_ns) // 1_000_000
        if attempt.first_byte_ns
        else None,
    }
    name = f"attempt {attempt.number}"
    return SpanDraft(
        ids=SpanIds(call.trace_id, span_id(call.trace_id, name), root),
        name=name,
        kind="SPAN_KIND_CLIENT",
        started_ns=attempt.started_ns,
        ended_ns=attempt.ended_ns,
        attributes=attributes,
        status=_status(Outcome.ERROR if error else Outcome.OK, error, context.content),
    )


def _status(outcome: Outcome, error: CallError | None, content: Content) -> dict[str, str]:
    """How it ended. What a server says of an error may quote the prompt; the outputs have it."""
    if outcome is Outcome.OK:
        return {"message": "", "code": "STATUS_CODE_OK"}
    said = error.message if error and content != "none" else error.kind.value if error else outcome.value
    return {"message": said, "code": "STATUS_CODE_ERROR"}


def _named(said: str | None, content: Content) -> str | None:
    """An id or a name that a server told. Where no text may be, only what looks like one: else it may be a prompt, or an answer."""
    return said if said is None or content != "none" or is_name(said) else None
