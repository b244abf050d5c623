"""The neutral request `{messages | inputs, parameters?, custom_inputs?, databricks_options?}` of one row, before its shape.

An item of `messages` is a message, or a list of messages (a column that is an array), or the JSON text of such a list (a column
that is a STRING). The other parts are objects, or JSON text of one. A message has a role, and a content that is a text or a
list of parts; the items of a Responses history (a tool's call, its output, reasoning) have a type instead.
"""

from collections.abc import Mapping, Sequence

from rowcall.core.loose import json_text, mapping, one_line, parse_json, sequence

_EXAMPLE = '[{"role": "user", "content": "…"}]'
_OBJECTS = ("inputs", "parameters", "custom_inputs", "databricks_options")


class RequestError(ValueError):
    """A row that cannot be sent: what its columns hold makes no request. The message is for a person."""


def read_request(request: Mapping[str, object]) -> dict[str, object]:
    """The request with one flat list of messages, and objects for its other parts; what is null or empty is left out.

    Raises `RequestError`.
    """
    objects = {key: _object(request.get(key), key) for key in _OBJECTS}
    objects["parameters"] = _without_nulls(objects["parameters"])
    found: dict[str, object] = {key: value for key, value in objects.items() if value}
    if "inputs" in request and "messages" not in request:
        if "inputs" not in found:
            raise RequestError("inputs: expected a JSON object with at least one name, got none")
        return found
    return {"messages": _flat(request.get("messages")), **found}


def corrected(request: Mapping[str, object], answer: str, complaint: str) -> dict[str, object]:
    """The neutral request, asked again: with the answer that does not fit, and what is wrong with it."""
    again = f"This answer does not fit: {complaint}\nAnswer again with the corrected JSON object, and nothing else."
    more = ({"role": "assistant", "content": answer}, {"role": "user", "content": again})
    return {**request, "messages": [*_items(request.get("messages")), *more]}


def _object(value: object, key: str) -> Mapping[str, object]:
    parsed = parse_json(value) if isinstance(value, str) else value
    if isinstance(parsed, dict) or value is None:
        return mapping(parsed)
    raise RequestError(f"{key}: expected a JSON object, got {_shown(value)}")


def _flat(value: object) -> list[Mapping[str, object]]:
    messages = [
        message for index, item in enumerate(_items(value)) for message in _messages(item, f"messages[{index}]")
    ]
    if not messages:
        raise RequestError(f"messages: expected at least one message, such as {_EXAMPLE}, got none")
    return messages


def _items(value: object) -> Sequence[object]:
    return sequence(value) if isinstance(value, list) else [value]


def _messages(item: object, where: str) -> list[Mapping[str, object]]:
    """The messages that one item stands for."""
    parsed = parse_json(item) if isinstance(item, str) else item
    if isinstance(parsed, dict):
        return [_message(parsed, where)]
    if not isinstance(parsed, list) and item is not None:
        raise RequestError(f"{where}: expected a JSON array of messages such as {_EXAMPLE}, got {_shown(item)}")
    places = enumerate(sequence(parsed))
    return [_message(each, f"{where}[{index}]") for index, each in places if each is not None]


def _message(value: object, where: str) -> Mapping[str, object]:
    message = _without_nulls(mapping(value))
    if not isinstance(message.get("role"), str):
        if isinstance(message.get("type"), str) and message["type"] != "message":
            return message
        raise RequestError(f"{where}: expected a message such as {_EXAMPLE[1:-1]}, got {_shown(value)}")
    if "content" in message:
        return {**message, "content": _content(message["content"], f"{where}.content")}
    if not message.get("tool_calls"):
        raise RequestError(f"{where}.content: expected a text or a list of parts, got null")
    return message


def _content(content: object, where: str) -> object:
    if isinstance(content, str):
        return content
    parts = [part for part in sequence(content) if part is not None]
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in parts):
        raise RequestError(f"{where}: expected a text or a list of parts, got {_shown(content)}")
    return [_without_nulls(mapping(part)) for part in parts]


def _without_nulls(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


def _shown(value: object) -> str:
    listed = json_text([value])
    return one_line(listed[1:-1], 80) if listed else "what is nested too deep"
