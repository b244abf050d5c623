"""Chats: chat completions with `choices` (FACTS 2.2), and the `messages` of a ChatAgent, which has no choices.

The content of a message is a text, or a list of parts of which those of type `text` are the answer.
"""

from collections.abc import Iterator, Mapping

from rowcall.core.answer import AnswerSchema
from rowcall.core.endpoints.content import for_chat, speaker, words
from rowcall.core.endpoints.envelope import about, error_of, unreadable
from rowcall.core.endpoints.messages import RequestError
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.records import Outcome, Reply

_OWN_KEYS = frozenset({"model", "messages", "stream"})
_CHAT_NAMES = {"max_output_tokens": "max_tokens"}


def build(
    request: Mapping[str, object], model: str | None, answer: AnswerSchema | None, *, stream: bool = False
) -> dict[str, object]:
    """The body for a read request. Parameters never replace the model, the messages or the streaming.

    Raises `RequestError` for an item that only the Responses API has."""
    parameters = {
        key: value for key, value in chat_parameters(mapping(request.get("parameters"))).items() if key not in _OWN_KEYS
    }
    body: dict[str, object] = {"model": model} if model is not None else {}
    body |= {"messages": [_message(mapping(item)) for item in sequence(request.get("messages"))], **parameters}
    body |= {key: part for key in ("custom_inputs", "databricks_options") if (part := request.get(key))}
    if stream:
        body["stream"] = True
    if answer is not None:
        schema = {"name": "answer", "schema": answer.json_schema, "strict": answer.strict}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _message(item: Mapping[str, object]) -> dict[str, object]:
    if "role" not in item:
        kind = text(item.get("type"))
        raise RequestError(
            f"messages: an item of type {kind} is for the Responses API; a chat takes messages with a role"
        )
    message = {"role": item["role"]} if item.get("type") == "message" else dict(item)
    return {**message, "content": for_chat(item["content"])} if "content" in item else message


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
    answer = "".join(words(message.get("content")) for message in messages)
    refusal = "".join(text(message.get("refusal")) or "" for message in messages)
    finish = _finish(reply)
    if refusal or finish == "content_filter":
        return about(reply, Outcome.REFUSED, text=answer or refusal or None, finished=finish)
    if finish == "length":
        return about(reply, Outcome.TRUNCATED, text=answer or None, finished=finish)
    found = answer if answer.strip() else None
    return about(reply, Outcome.OK if found else Outcome.EMPTY, text=found, finished=finish)


def _messages(reply: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The assistant's messages: of the first choice, or all that a ChatAgent said."""
    for choice in sequence(reply.get("choices"))[:1]:
        yield mapping(mapping(choice).get("message"))
    for message in map(mapping, sequence(reply.get("messages"))):
        if speaker(message) == "assistant":
            yield message


def _finish(reply: Mapping[str, object]) -> str | None:
    choice = next(iter(sequence(reply.get("choices"))), None)
    return text(mapping(choice).get("finish_reason")) or text(reply.get("finish_reason"))
