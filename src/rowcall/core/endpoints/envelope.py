"""What a reply of any shape says beside its answer: an error, token counts, ids, a trace."""

from collections.abc import Mapping

from rowcall.core.error_body import page_text, read_error
from rowcall.core.error_kinds import kind_of
from rowcall.core.loose import json_text, mapping, one_line, told_count, whole_characters
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

_EXCERPT = 200
_READ_AS = 500
"""An agent's error in a reply with status 200 is read as if it came with this one."""
_PASSING = (ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT)


def unreadable(complaint: str, body: bytes) -> Reply:
    """A reply that is none, with the beginning of what came."""
    excerpt = one_line(page_text(body.decode("utf-8", "replace")), _EXCERPT)
    message = f"{complaint}: {excerpt}" if excerpt else f"{complaint}: it is empty"
    return Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, message))


def error_in(reply: Mapping[str, object]) -> object:
    """What a reply, or an event of a stream, gives as its error; falsy where it gives none."""
    error = reply.get("error") or mapping(reply.get("databricks_output")).get("error")
    return reply if not error and "error_code" in reply and "output" not in reply else error


def error_of(reply: Mapping[str, object]) -> CallError | None:
    """The error in a reply with status 200: the agent's own, or Model Serving's in `databricks_output`."""
    error, status = error_in(reply), reply.get("status")
    if not error and status not in ("failed", "cancelled"):
        return None
    return agent_error(error, f"the response has status {status}")


def agent_error(error: object, otherwise: str) -> CallError:
    """An agent's own error; `otherwise` is the message of one without words. What passes is told as such. A refusal is not: what
    one of the agent's tools may not do says nothing of other rows."""
    said = read_error(error)
    kind, code = kind_of(said, _READ_AS)
    return CallError(kind if kind in _PASSING else ErrorKind.AGENT_ERROR, said.message or otherwise, code=code)


def about(
    reply: Mapping[str, object],
    outcome: Outcome = Outcome.EMPTY,
    *,
    text: str | None = None,
    error: CallError | None = None,
    finished: str | None = None,
) -> Reply:
    """A reply with this outcome and all that a parsed reply says beside its answer. `finished` is its finish reason, where it says
    that elsewhere."""
    trace = mapping(mapping(reply.get("databricks_output")).get("trace"))
    return Reply(
        outcome=outcome,
        text=text,
        error=error,
        usage=_usage(mapping(reply.get("usage"))),
        model=_name(reply.get("model")),
        response_id=_name(reply.get("id")),
        finish_reason=_name(finished) or finish_reason(reply),
        custom_outputs=json_text(reply.get("custom_outputs")),
        trace_id=_trace_id(mapping(reply.get("metadata")), mapping(trace.get("info"))),
        trace=json_text(trace),
    )


def _trace_id(metadata: Mapping[str, object], info: Mapping[str, object]) -> str | None:
    return _name(metadata.get("trace_id")) or _name(info.get("trace_id")) or _name(info.get("request_id"))


def finish_reason(reply: Mapping[str, object]) -> str | None:
    """Why a reply of the Responses API ends where it does."""
    return _name(mapping(reply.get("incomplete_details")).get("reason")) or _name(reply.get("status"))


def _name(value: object) -> str | None:
    return (one_line(whole_characters(value)) or None) if isinstance(value, str) else None


def _usage(usage: Mapping[str, object]) -> Usage:
    """Token counts; agents that pass on a chat model's usage say `prompt_tokens`, `completion_tokens`."""
    read_from = mapping(usage.get("input_tokens_details") or usage.get("prompt_tokens_details"))
    written = mapping(usage.get("output_tokens_details") or usage.get("completion_tokens_details"))
    return Usage(
        input_tokens=told_count(usage.get("input_tokens", usage.get("prompt_tokens"))),
        cached_tokens=told_count(read_from.get("cached_tokens")),
        output_tokens=told_count(usage.get("output_tokens", usage.get("completion_tokens"))),
        reasoning_tokens=told_count(written.get("reasoning_tokens")),
        total_tokens=told_count(usage.get("total_tokens")),
    )
