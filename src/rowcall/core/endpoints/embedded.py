"""A value that is an answer, or holds a whole reply of an API: what an agent behind another server returned."""

from collections.abc import Mapping

from rowcall.core.endpoints import chat, responses
from rowcall.core.loose import json_text, mapping, sequence, text
from rowcall.core.records import Outcome, Reply

_SPOKEN = ("role", "type")


def read_value(value: object) -> Reply:
    """What a parsed value says: a reply of either API as such, a text as it is, else its JSON. Total."""
    reply = mapping(value)
    if _lists(reply.get("output"), *_SPOKEN):
        return responses.read(value, b"")
    if _lists(reply.get("choices"), "message") or _lists(reply.get("messages"), *_SPOKEN):
        return chat.read(value)
    answer = text(value) if isinstance(value, str) else json_text(value)
    return Reply(Outcome.OK, answer) if answer and answer.strip() else Reply(Outcome.EMPTY)


def _lists(value: object, *keys: str) -> bool:
    """Whether the value is a list of objects that each have one of the keys."""
    items: list[Mapping[str, object]] = [mapping(item) for item in sequence(value)]
    return isinstance(value, list) and all(any(key in item for key in keys) for item in items)
