"""The Responses API: agents on Databricks Apps (FACTS 2.1), Model Serving (2.2), OpenAI-compatible servers.

`input` is always a list: MLflow's agent servers refuse a plain string. The answer's text is every
`output_text` part of every message item; tool calls, their outputs and reasoning are other items.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rowcall.core.answer import AnswerSchema
from rowcall.core.endpoints.content import for_responses, speaker, words
from rowcall.core.endpoints.envelope import about, error_of, finish_reason, unreadable
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply

_OWN_KEYS = frozenset({"model", "input", "stream"})
_MESSAGES = ("message", "ai", "AIMessageChunk")
"""The types of items that are messages; the agent's own are called otherwise by LangChain."""
_NOT_THE_AGENT = frozenset({"user", "system", "developer", "tool"})
_GOES_ON = ("in_progress", "queued")
_ENDED = ("completed", "incomplete", "failed", "cancelled")


def build(
    request: Mapping[str, object],
    model: str | None,
    answer: AnswerSchema | None,
    *,
    stream: bool = False,
    background: bool = False,
) -> dict[str, object]:
    """The body for a read request. Parameters never replace the model, the input or the streaming."""
    parameters = {key: value for key, value in mapping(request.get("parameters")).items() if key not in _OWN_KEYS}
    body: dict[str, object] = {"model": model} if model is not None else {}
    body |= {"input": [_item(mapping(item)) for item in sequence(request.get("messages"))], **parameters}
    body |= {key: part for key in ("custom_inputs", "databricks_options") if (part := request.get(key))}
    if stream:
        body["stream"] = True
    if background:
        body["background"] = True
    if answer is not None:
        body["text"] = {**mapping(parameters.get("text")), "format": _format(answer)}
    return body


def _item(item: Mapping[str, object]) -> dict[str, object]:
    if "content" not in item or "role" not in item:
        return dict(item)
    return {**item, "content": for_responses(item["content"], speaker(item))}


def _format(answer: AnswerSchema) -> dict[str, object]:
    return {"type": "json_schema", "name": "answer", "schema": answer.json_schema, "strict": answer.strict}


def read(payload: object, body: bytes, *, background: bool = False) -> Reply:
    """What a parsed reply says. Total. `body` are its bytes, for an excerpt where it says nothing; `background` says that the
    answer was asked for in the background, and is waited for."""
    if not isinstance(payload, dict):
        return unreadable("the reply is not a JSON object", body)
    response = mapping(payload)
    error = error_of(response)
    if error is not None:
        return about(response, Outcome.ERROR, error=error)
    if background and _goes_on(response):
        run = text(response.get("id"))
        return replace(about(response), running=run) if run else unreadable("the run has no id", body)
    if not isinstance(response.get("output"), list) and not (background and response.get("status") in _ENDED):
        return unreadable("the reply has no output list", body)
    return _answer(response)


def _goes_on(run: Mapping[str, object]) -> bool:
    """Whether a run in the background is not over: it says so, or has no output and a status that is not one of an end."""
    status = run.get("status")
    return status in _GOES_ON or (isinstance(status, str) and status not in _ENDED and not run.get("output"))


def _answer(response: Mapping[str, object]) -> Reply:
    contents = list(_contents(response))
    said = "".join(map(words, contents))
    refusals = [text(part.get("refusal")) or "" for content in contents for part in _parts(content, "refusal")]
    answer = said if said.strip() else None
    if refusals or finish_reason(response) == "content_filter":
        return about(response, Outcome.REFUSED, text=answer or "".join(refusals) or None)
    if response.get("status") == "incomplete" or mapping(response.get("incomplete_details")):
        return about(response, Outcome.TRUNCATED, text=answer)
    if answer is not None:
        return about(response, Outcome.OK, text=answer)
    if response.get("status") in _GOES_ON:
        # Asking again would start a second background run, so this must not look like a reply to retry.
        message = "the endpoint answers in the background; leave out the parameter background"
        return about(response, Outcome.ERROR, error=CallError(ErrorKind.BAD_REQUEST, message))
    return about(response)


def _contents(response: Mapping[str, object]) -> Iterator[object]:
    """What the agent's messages hold: each a text or a list of parts."""
    for item in map(mapping, sequence(response.get("output"))):
        if is_message(item):
            yield item.get("content")


def is_message(item: Mapping[str, object]) -> bool:
    """Whether an item of the output is a message of the agent."""
    return item.get("type", "message") in _MESSAGES and speaker(item) not in _NOT_THE_AGENT


def _parts(content: object, kind: str) -> list[Mapping[str, object]]:
    return [part for part in map(mapping, sequence(content)) if part.get("type") == kind]
