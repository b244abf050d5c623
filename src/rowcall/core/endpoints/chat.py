"""Chats: chat completions with `choices` (FACTS 2.2), and the `messages` of a ChatAgent, which has no choices.

The content of a message is a text, or a list of parts of which those of type `text` are the answer.
"""

from collections.abc import Iterator, Mapping

from rowcall.core.answer import AnswerSchema
from rowcall.core.endpoints.responses import about, error_of, unreadable
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.records import Outcome, Reply

_OWN_KEYS = frozenset({"model", "messages", "stream"})
_CHAT_NAMES = {"max_output_tokens": "max_tokens"}


def build(request: Mapping[str, object], model: str | None, answer: AnswerSchema | None) -> dict[str, object]:
    """The body for a neutral request. Parameters never replace the model or the messages."""
    parameters = {
        key: value for key, value in chat_parameters(mapping(request.get("parameters"))).items() if key not in _OWN_KEYS
    }
    body: dict[str, object] = {"model": model} if model is not None else {}
    body |= {"messages": list(sequence(request.get("messages"))), **parameters}
    body |= {key: part for key in ("custom_inputs", "databricks_options") if (part := request.get(key))}
    if answer is not None:
        schema = {"name": "answer", "schema": answer.json_schema, "strict": answer.strict}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def chat_parameters(parameters: Mapping[str, object]) -> dict[str, object]:
    """A job's parameters as chats call them: `max_output_tokens` is `max_tokens` there."""
    renamed = {_CHAT_NAMES.get(name, name): value for name, value in parameters.items()}
    return {**renamed, **{name: value for name, value in parameters.items() if name in _CHAT_NAMES.values()}}


def read(payload: object, body: bytes = b"") -> Reply:
    """What a parsed reply says. Total. `body` are its bytes, for an excerpt where it says nothing."""
    if not isinstance(payload, dict):
        return unreadable("the reply is not a JSON object", body)
    reply = mapping(payload)
    if error := error_of(reply):
        return about(reply, Outcome.ERROR, error=error)
    messages = list(_messages(reply))
    if not any(isinstance(reply.get(name), list) for name in ("choices", "messages")):
        return unreadable("the reply has neither choices nor messages", body)
    answer = "".join(_words(message) for message in messages)
    refusal = "".join(text(message.get("refusal")) or "" for message in messages)
    finish = _finish(reply)
    if refusal or finish == "content_filter":
        return about(reply, Outcome.REFUSED, text=answer or refusal or None, finish_reason=finish)
    if finish == "length":
        return about(reply, Outcome.TRUNCATED, text=answer or None, finish_reason=finish)
    found = answer if answer.strip() else None
    return about(reply, Outcome.OK if found else Outcome.EMPTY, text=found, finish_reason=finish)


def _messages(reply: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The assistant's messages: of the first choice, or all that a ChatAgent said."""
    for choice in sequence(reply.get("choices"))[:1]:
        yield mapping(mapping(choice).get("message"))
    for message in map(mapping, sequence(reply.get("messages"))):
        if message.get("role") in (None, "assistant"):
            yield message


def _words(message: Mapping[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return text(content) or ""
    parts = [mapping(part) for part in sequence(content)]
    return "".join(text(part.get("text")) or "" for part in parts if part.get("type") in ("text", "output_text"))


def _finish(reply: Mapping[str, object]) -> str | None:
    choice = next(iter(sequence(reply.get("choices"))), None)
    return text(mapping(choice).get("finish_reason")) or text(reply.get("finish_reason"))
