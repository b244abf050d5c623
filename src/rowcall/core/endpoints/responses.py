"""The Responses API: agents on Databricks Apps (FACTS 2.1), Model Serving (2.2), OpenAI-compatible servers.

`input` is always a list: MLflow's agent servers refuse a plain string. The answer's text is every
`output_text` part of every message item; tool calls, their outputs and reasoning are other items.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rowcall.core.answer import AnswerSchema
from rowcall.core.error_body import page_text, read_error
from rowcall.core.loose import count, json_text, mapping, one_line, sequence, text
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

_OWN_KEYS = frozenset({"model", "input", "stream"})
_NOT_THE_AGENT = frozenset({"user", "system", "developer", "tool"})
_EXCERPT = 200


def build(
    request: Mapping[str, object], model: str | None, answer: AnswerSchema | None, *, stream: bool
) -> dict[str, object]:
    """The body for a neutral request. Parameters never replace the model, the input or the streaming."""
    parameters = {key: value for key, value in mapping(request.get("parameters")).items() if key not in _OWN_KEYS}
    body: dict[str, object] = {"model": model} if model is not None else {}
    body |= {"input": list(sequence(request.get("messages"))), **parameters}
    body |= {key: part for key in ("custom_inputs", "databricks_options") if (part := request.get(key))}
    if stream:
        body["stream"] = True
    if answer is not None:
        body["text"] = {**mapping(parameters.get("text")), "format": _format(answer)}
    return body


def _format(answer: AnswerSchema) -> dict[str, object]:
    return {"type": "json_schema", "name": "answer", "schema": answer.json_schema, "strict": answer.strict}


def read_stream(assembled: Mapping[str, object] | CallError) -> Reply:
    """What an assembled stream says (`sse.assemble`)."""
    if isinstance(assembled, CallError):
        return Reply(Outcome.ERROR, error=assembled)
    return read(assembled, b"")


def read(payload: object, body: bytes) -> Reply:
    """What a parsed reply says. Total. `body` are its bytes, for an excerpt where it says nothing."""
    if not isinstance(payload, dict):
        return unreadable("the reply is not a JSON object", body)
    response = mapping(payload)
    error = error_of(response)
    if error is not None:
        return about(response, Outcome.ERROR, error=error)
    if not isinstance(response.get("output"), list):
        return unreadable("the reply has no output list", body)
    return _answer(response)


def unreadable(complaint: str, body: bytes) -> Reply:
    """A reply that is none, with the beginning of what came."""
    excerpt = one_line(page_text(body.decode("utf-8", "replace")), _EXCERPT)
    message = f"{complaint}: {excerpt}" if excerpt else f"{complaint}: it is empty"
    return Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, message))


def error_of(response: Mapping[str, object]) -> CallError | None:
    """The error in a reply with status 200: the agent's own, or Model Serving's in `databricks_output`."""
    error = response.get("error") or mapping(response.get("databricks_output")).get("error")
    if not error and "error_code" in response and "output" not in response:
        error = response
    status = response.get("status")
    if not error and status not in ("failed", "cancelled"):
        return None
    said = read_error(error)
    code = said.codes[0] if said.codes else None
    return CallError(ErrorKind.AGENT_ERROR, said.message or f"the response has status {status}", code=code)


def about(
    response: Mapping[str, object],
    outcome: Outcome = Outcome.EMPTY,
    *,
    text: str | None = None,
    error: CallError | None = None,
    finish_reason: str | None = None,
) -> Reply:
    """A reply with this outcome and all that a response, or a chat's reply, says beside its answer."""
    databricks_output = mapping(response.get("databricks_output"))
    trace = mapping(databricks_output.get("trace"))
    info = mapping(trace.get("info"))
    trace_ids = (
        mapping(response.get("metadata")).get("trace_id"),
        info.get("trace_id"),
        info.get("request_id"),
    )
    reason = mapping(response.get("incomplete_details")).get("reason")
    return Reply(
        outcome=outcome,
        text=text,
        error=error,
        usage=_usage(mapping(response.get("usage"))),
        model=_name(response.get("model")),
        response_id=_name(response.get("id")),
        finish_reason=_name(finish_reason) or _name(reason) or _name(response.get("status")),
        custom_outputs=json_text(response.get("custom_outputs")),
        trace_id=next((name for value in trace_ids if (name := _name(value))), None),
        trace=json_text(trace),
    )


def _name(value: object) -> str | None:
    return one_line(text(value) or "") or None


def _usage(usage: Mapping[str, object]) -> Usage:
    """Token counts; agents that pass on a chat model's usage say `prompt_tokens`, `completion_tokens`."""
    read_from = mapping(usage.get("input_tokens_details") or usage.get("prompt_tokens_details"))
    written = mapping(usage.get("output_tokens_details") or usage.get("completion_tokens_details"))
    return Usage(
        input_tokens=count(usage.get("input_tokens", usage.get("prompt_tokens"))),
        cached_tokens=count(read_from.get("cached_tokens")),
        output_tokens=count(usage.get("output_tokens", usage.get("completion_tokens"))),
        reasoning_tokens=count(written.get("reasoning_tokens")),
        total_tokens=count(usage.get("total_tokens")),
    )


def _answer(response: Mapping[str, object]) -> Reply:
    empty = about(response)
    parts = list(_parts(response))
    words = "".join(text(part.get("text")) or "" for part in parts if part.get("type") == "output_text")
    refusals = [text(part.get("refusal")) or "" for part in parts if part.get("type") == "refusal"]
    answer = words if words.strip() else None
    if refusals or empty.finish_reason == "content_filter":
        return replace(empty, outcome=Outcome.REFUSED, text=answer or "".join(refusals) or None)
    if response.get("status") == "incomplete" or mapping(response.get("incomplete_details")):
        return replace(empty, outcome=Outcome.TRUNCATED, text=answer)
    if answer is not None:
        return replace(empty, outcome=Outcome.OK, text=answer)
    if response.get("status") in ("in_progress", "queued"):
        # Asking again would start a second background run, so this must not look like a reply to retry.
        message = "the endpoint answers in the background; leave out the parameter background"
        return replace(empty, outcome=Outcome.ERROR, error=CallError(ErrorKind.BAD_REQUEST, message))
    return empty


def _parts(response: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The content parts of the agent's messages; a content that is a plain text counts as one part."""
    for item in map(mapping, sequence(response.get("output"))):
        if item.get("type", "message") != "message" or _role(item) in _NOT_THE_AGENT:
            continue
        content = item.get("content")
        if isinstance(content, str):
            yield {"type": "output_text", "text": content}
        yield from map(mapping, sequence(content))


def _role(item: Mapping[str, object]) -> str:
    return text(item.get("role")) or "assistant"
