"""Chats: chat completions as foundation models and MLflow's ChatModel speak them, and MLflow's ChatAgent, which has no choices
(FACTS 2.2)."""

import time
import uuid
from collections.abc import Iterator, Mapping

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents.wire import (
    Answer,
    Json,
    Question,
    RequestError,
    content_text,
    count_input_tokens,
    count_tokens,
    image_label,
    last_user_content,
    new_id,
    pieces,
    read_object,
    within_limit,
)

_MODEL_KIND = "ChatCompletionRequest"
_AGENT_KIND = "ChatAgentRequest"
_ROLES = ("system", "developer", "user", "assistant", "tool")


def read_chat(body: object) -> Question:
    """Read the parsed body of a chat completion; raises `RequestError`."""
    whole = _read_messages(body, _MODEL_KIND)
    messages = sequence(whole["messages"])
    images = [_read_images(index, mapping(message)) for index, message in enumerate(messages)]
    users = [index for index, message in enumerate(messages) if mapping(message)["role"] == "user"]
    return _question(whole, _schema(whole), images[users[-1]] if users else ())


def read_chat_agent(body: object) -> Question:
    """Read the parsed body of a ChatAgent; raises `RequestError`."""
    return _read_texts(body, _AGENT_KIND)


def read_chat_model(body: object) -> Question:
    """Read the parsed body of a ChatModel; raises `RequestError`."""
    return _read_texts(body, _MODEL_KIND)


def _read_texts(body: object, kind: str) -> Question:
    """Agents' messages are plain texts."""
    whole = _read_messages(body, kind)
    for index, message in enumerate(map(mapping, sequence(whole["messages"]))):
        if not isinstance(message.get("content"), str) and not _calls_tools(message):
            raise _invalid(kind, f"messages.{index}.content", "Input should be a valid string")
    return _question(whole)


def _calls_tools(message: Mapping[str, object]) -> bool:
    return message.get("content") is None and bool(message.get("tool_calls"))


def _question(
    body: Mapping[str, object], schema: Mapping[str, object] | None = None, images: tuple[str, ...] = ()
) -> Question:
    messages = sequence(body["messages"])
    text = content_text(last_user_content(messages))
    return Question(text, body, {"messages": messages}, count_input_tokens(messages), schema, images)


def _read_messages(body: object, kind: str) -> Mapping[str, object]:
    whole = read_object(body, kind, "messages")
    messages = sequence(whole["messages"])
    if not messages:
        raise _invalid(kind, "messages", "List should have at least 1 item after validation")
    for index, message in enumerate(messages):
        if mapping(message).get("role") not in _ROLES:
            raise _invalid(kind, f"messages.{index}.role", f"Input should be one of {', '.join(_ROLES)}")
    return whole


def _read_images(index: int, message: Mapping[str, object]) -> tuple[str, ...]:
    """The labels of a message's images. Raises `RequestError` where its content is neither a text nor a list of parts."""
    where, content = f"messages.{index}.content", message.get("content")
    if not isinstance(content, str | list) and not _calls_tools(message):
        raise _invalid(_MODEL_KIND, where, "Input should be a string or a list")
    labels: list[str] = []
    for place, part in enumerate(map(mapping, sequence(content))):
        if part.get("type") == "image_url":
            label = image_label(mapping(part.get("image_url")).get("url"))
            if label is None:
                problem = "Expected data:image/…;base64,…; this model opens no other address"
                raise _invalid(_MODEL_KIND, f"{where}.{place}.image_url.url", problem)
            labels.append(label)
        elif part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise _invalid(_MODEL_KIND, f"{where}.{place}", "Input should be a part of type text or image_url")
    return tuple(labels)


def _schema(body: Mapping[str, object]) -> Mapping[str, object] | None:
    """What `response_format` asks for. Raises `RequestError` for one that models do not take."""
    wanted = body.get("response_format")
    kind = mapping(wanted).get("type")
    if wanted is None or kind in ("text", "json_object"):
        return None
    schema = mapping(mapping(wanted).get("json_schema")).get("schema")
    if kind != "json_schema" or not isinstance(schema, dict):
        raise _invalid(_MODEL_KIND, "response_format", "Input should be text, json_object or a json_schema")
    if _limits_length(mapping(schema)):
        raise _invalid(_MODEL_KIND, "response_format", "maxLength is not supported in a json_schema")
    return mapping(schema)


def _limits_length(value: object) -> bool:
    """Whether a text's `maxLength` is set anywhere: models refuse such a schema (FACTS 1.2)."""
    inside = [*mapping(value).values(), *sequence(value)]
    limited = isinstance(mapping(value).get("maxLength"), int)
    return limited or any(_limits_length(part) for part in inside)


def _invalid(kind: str, where: str, problem: str) -> RequestError:
    return RequestError(f"1 validation error for {kind}\n{where}\n  {problem}")


def make_completion(model: str, question: Question, answer: Answer) -> Json:
    """A whole chat completion. An answer longer than `max_tokens` is cut, with the finish reason `length`."""
    text, finish, usage = _said(question, answer)
    message = {"role": "assistant", "content": text}
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def make_chat_model_reply(model: str, question: Question, answer: Answer) -> Json:
    """What a ChatModel returns: a chat completion, and what else the agent says."""
    return {**make_completion(model, question, answer), "custom_outputs": dict(answer.custom_outputs)}


def completion_chunks(reply: Json) -> Iterator[Json]:
    """The chunks that build up a chat completion; the last has no text, but all that the reply says beside its message."""
    choices = sequence(reply.get("choices"))
    if not choices:
        yield reply
        return
    head: Json = {**{key: reply[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    choice = mapping(choices[0])
    message = mapping(choice.get("message"))
    role: Json = {"role": message.get("role")}
    for piece in _pieces(message):
        yield {**head, "choices": [{"index": 0, "delta": {**role, **piece}, "finish_reason": None}]}
        role = {}
    last = {"index": 0, "delta": {**role, "content": ""}, "finish_reason": choice.get("finish_reason")}
    beside = {key: value for key, value in reply.items() if key not in ("choices", "object")}
    yield {**head, "choices": [last], **beside}


def _pieces(message: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """A message as deltas: texts piece by piece, a list part by part, all else whole."""
    for key, value in message.items():
        if isinstance(value, str) and key in ("content", "refusal"):
            yield from ({key: piece} for piece in pieces(value))
        elif key == "content" and isinstance(value, list):
            yield from ({key: [piece]} for part in sequence(value) for piece in _part_pieces(part))
        elif key != "role" and value is not None:
            yield {key: value}


def _part_pieces(part: object) -> Iterator[object]:
    text = mapping(part).get("text")
    if isinstance(text, str):
        yield from ({**mapping(part), "text": piece} for piece in pieces(text))
    else:
        yield part


def make_agent_reply(_: str, question: Question, answer: Answer) -> Json:
    """What a ChatAgent returns: messages, and neither choices nor the name of a model."""
    text, finish, usage = _said(question, answer)
    return {
        "messages": [{"role": "assistant", "content": text, "id": str(uuid.uuid4())}],
        "finish_reason": finish,
        "custom_outputs": dict(answer.custom_outputs),
        "usage": usage,
    }


def agent_chunks(reply: Json) -> Iterator[Json]:
    """The deltas of a ChatAgent's messages; the last has no text, but all that the reply says beside its messages."""
    beside: Json = {key: value for key, value in reply.items() if key != "messages"}
    for message in map(mapping, sequence(reply.get("messages"))):
        content = message.get("content")
        for piece in pieces(content) if isinstance(content, str) else (content,):
            yield {"delta": {**message, "content": piece}}
        beside["delta"] = {**message, "content": ""}
    yield beside


def _said(question: Question, answer: Answer) -> tuple[str, str, Json]:
    """The text as far as `max_tokens` goes, the finish reason, the usage."""
    text, whole = within_limit(answer.text, question.body.get("max_tokens"))
    asked, said = question.input_tokens, count_tokens(text)
    usage: Json = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return text, "stop" if whole else "length", usage
