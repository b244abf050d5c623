"""A message's speaker and content: a text, or a list of parts, which chats and the Responses API name differently.

chats      {"type": "text", "text": …}        {"type": "image_url", "image_url": {"url": …, "detail": …}}
Responses  {"type": "input_text", "text": …}  {"type": "input_image", "image_url": …, "detail": …}
           {"type": "output_text", "text": …} in what the agent said
"""

from collections.abc import Mapping

from rowcall.core.loose import mapping, sequence, text

_TEXTS = frozenset({"text", "input_text", "output_text"})
_LANGCHAIN = {"ai": "assistant", "AIMessageChunk": "assistant", "human": "user", "system": "system", "tool": "tool"}
"""The `type` of LangChain's messages, which have no `role`: agents written with it return them as they are."""


def speaker(message: Mapping[str, object]) -> str:
    """The role a message is said in; the agent's own where it does not say."""
    return text(message.get("role")) or _LANGCHAIN.get(text(message.get("type")) or "", "assistant")


def words(content: object) -> str:
    """The text of a content: all of its parts that are texts."""
    if isinstance(content, str):
        return text(content) or ""
    parts = [mapping(part) for part in sequence(content)]
    return "".join(text(part.get("text")) or "" for part in parts if _is_text(part))


def _is_text(part: Mapping[str, object]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind in _TEXTS


def for_chat(content: object) -> object:
    """The content with its parts as chats name them. Other parts stay as they are."""
    return [_chat_part(mapping(part)) for part in sequence(content)] if isinstance(content, list) else content


def for_responses(content: object, role: str) -> object:
    """The content with its parts as the Responses API names them in this role. Other parts stay as they are."""
    if not isinstance(content, list):
        return content
    said = "output_text" if role == "assistant" else "input_text"
    return [_responses_part(mapping(part), said) for part in sequence(content)]


def _chat_part(part: Mapping[str, object]) -> dict[str, object]:
    if _is_text(part):
        return {**part, "type": "text"}
    if part.get("type") != "input_image":
        return dict(part)
    image = {"url": part.get("image_url"), "detail": part.get("detail")}
    return {"type": "image_url", "image_url": {key: value for key, value in image.items() if value is not None}}


def _responses_part(part: Mapping[str, object], said: str) -> dict[str, object]:
    if part.get("type") == "text":
        return {**part, "type": said}
    if part.get("type") != "image_url":
        return dict(part)
    image = part.get("image_url")
    given = mapping(image) or {"url": image}
    detail = {"detail": given["detail"]} if given.get("detail") else {}
    return {"type": "input_image", "image_url": given.get("url"), **detail}
