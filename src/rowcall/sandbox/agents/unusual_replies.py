"""Replies with status 200 that are not the usual one, by name: what a fault's `reply` asks for (see `behaviour`).

name              Responses   ChatAgent   chat   rows   durable    what it is
refusal           yes                     yes                      the agent declines
incomplete        yes         yes         yes           yes        half the answer; on the durable server an approval is awaited
empty             yes         yes         yes    yes    yes        no text; no rows
several_messages  yes         yes                       yes        the answer in two messages
tools             yes         yes                       yes        a tool is called first
tools_only        yes         yes         yes           yes        a tool is called and nothing said
reasoning         yes                     yes           yes        thoughts before the answer
parts                                     yes                      the content is a list of parts
content_filter    yes         yes         yes                      a filter took the answer
error_in_200      yes         yes         yes    yes               an error
no_output         yes         yes         yes    yes    yes        an object without the answer
wrong_types       yes         yes         yes    yes    yes        values of other types than promised
not_json, html    yes         yes         yes    yes    yes        no reply of an agent at all; of a run, to what began it
stream_error      streams                                          an error in the middle
stream_cut        streams                                          ends in the middle
no_done           streams                                          everything but its end
deltas_only       streams                                          no whole items; the end says nothing more

A name that a reply does not know leaves it as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from rowcall.core.loose import mapping
from rowcall.sandbox.agents.delivery import JSON, Outgoing
from rowcall.sandbox.agents.shapes import Kind
from rowcall.sandbox.agents.wire import Json, new_id

Change = Callable[[Json], Json]

DONE = "[DONE]"
FAILURE = "the sandbox's agent gave up"
REFUSAL = "I can't help with that."
_THOUGHT = "Let me think."
_TOOL, _FOUND = "look_up", "nothing of note"
_REASONING: Json = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": _THOUGHT}]}
_CALLS = [{"id": "call_1", "type": "function", "function": {"name": _TOOL, "arguments": "{}"}}]
_PLATFORM_ERROR: Json = {"error_code": "INTERNAL_ERROR", "message": FAILURE}
_GARBAGE: Mapping[str, Outgoing] = {
    "not_json": Outgoing(200, JSON, b'{"output": [{"type": "message", "content": [{"type": "output_te'),
    "html": Outgoing(
        200,
        {"Content-Type": "text/html; charset=utf-8"},
        b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to continue</body></html>",
    ),
}


def is_garbage(name: str) -> bool:
    return name in _GARBAGE


def make_garbage(name: str) -> Outgoing:
    return _GARBAGE[name]


def change_reply(kind: Kind, name: str | None, reply: Json) -> Json:
    """A reply of some shape, made unusual."""
    change = _CHANGES[kind].get(name or "")
    return reply if change is None else change(reply)


def change_stream(name: str | None, frames: Sequence[Json | str], error: Json) -> Sequence[Json | str]:
    """The frames of a stream, up to its end marker if it has one, made unusual. `error` is how a failure is said in it."""
    middle = len(frames) // 2
    match name:
        case "stream_error":
            return [*frames[:middle], error, *(frame for frame in frames if frame == DONE)]
        case "stream_cut":
            return frames[:middle]
        case "no_done":
            return [frame for frame in frames if frame != DONE and not _ends(frame)]
        case "deltas_only":
            ending = [DONE] if DONE in frames else [_without_output(frame) for frame in frames if _ends(frame)]
            return [*filter(_is_delta, frames), *ending]
        case _:
            return frames


def _ends(frame: Json | str) -> bool:
    return mapping(frame).get("type") in ("response.completed", "response.incomplete", "response.failed")


def _without_output(frame: Json | str) -> Json:
    whole = mapping(frame)
    return {**whole, "response": {**mapping(whole.get("response")), "output": []}}


def _is_delta(frame: Json | str) -> bool:
    """The last frame of a chat has a delta too, but also the usage."""
    event = mapping(frame)
    return bool({"delta", "choices"} & event.keys()) and "usage" not in event


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _without(key: str) -> Change:
    return lambda reply: {name: value for name, value in reply.items() if name != key}


def _with(**changes: object) -> Change:
    return lambda reply: {**reply, **changes}


def _instead(reply: Json) -> Change:
    return lambda _: dict(reply)


def _output(make: Callable[[Json], list[Json]], **changes: object) -> Change:
    """The output that is made of the one message there is."""
    return lambda reply: {**reply, "output": make(cast("list[Json]", reply["output"])[0]), **changes}


def _item_text(item: Json) -> str:
    return cast("list[dict[str, str]]", item["content"])[0]["text"]


def _item(item: Json, text: str, **changes: object) -> Json:
    return {**item, "content": [{"type": "output_text", "text": text, "annotations": []}], **changes}


def _two_items(item: Json) -> list[Json]:
    first, second = _halves(_item_text(item))
    return [_item(item, first), _item(item, second, id=new_id("msg"))]


def _half_item(item: Json) -> list[Json]:
    return [_item(item, _halves(_item_text(item))[0], status="incomplete")]


_CALL_ITEM: Json = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": _TOOL, "arguments": "{}"}
_CALL_OUTPUT: Json = {"type": "function_call_output", "call_id": "call_1", "output": _FOUND}
_WRONG_ITEM: Json = {"type": "message", "role": 4, "content": [None, {"type": "output_text", "text": 7}]}

_RESPONSES: Mapping[str, Change] = {
    "refusal": _output(lambda item: [{**item, "content": [{"type": "refusal", "refusal": REFUSAL}]}]),
    "incomplete": _output(_half_item, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "empty": _output(lambda item: [_item(item, "")]),
    "several_messages": _output(_two_items),
    "tools": _output(lambda item: [_CALL_ITEM, _CALL_OUTPUT, item]),
    "tools_only": _output(lambda _: [_CALL_ITEM]),
    "reasoning": _output(lambda item: [_REASONING, item]),
    "content_filter": _with(output=[], status="incomplete", incomplete_details={"reason": "content_filter"}),
    "error_in_200": _with(output=[], status="failed", error={"code": "server_error", "message": FAILURE}),
    "no_output": _without("output"),
    "wrong_types": _with(id=7, status=[], output=[None, 5, _WRONG_ITEM], usage="many", custom_outputs=[1]),
}


def _said(make: Callable[[Json], list[Json]], **changes: object) -> Change:
    """The messages that are made of the one message a ChatAgent says, or an invocation's output."""
    return lambda reply: {**reply, "messages": make(cast("list[Json]", reply["messages"])[0]), **changes}


def _text(message: Json) -> str:
    return cast("str", message["content"])


def _half(message: Json) -> Json:
    return {**message, "content": _halves(_text(message))[0]}


def _two_messages(message: Json) -> list[Json]:
    rest: Json = {**message, "content": _halves(_text(message))[1]}
    return [_half(message), {**rest, "id": new_id("msg")} if "id" in message else rest]


def _calling(message: Json) -> Json:
    return {**message, "content": "", "tool_calls": _CALLS, "id": new_id("msg")}


def _told(_: Json) -> Json:
    return {"role": "tool", "content": _FOUND, "name": _TOOL, "tool_call_id": "call_1", "id": new_id("msg")}


_CHAT_AGENT: Mapping[str, Change] = {
    "incomplete": _said(lambda message: [_half(message)], finish_reason="length"),
    "empty": _said(lambda message: [{**message, "content": ""}]),
    "several_messages": _said(_two_messages),
    "tools": _said(lambda message: [_calling(message), _told(message), message]),
    "tools_only": _said(lambda message: [_calling(message)], finish_reason="tool_calls"),
    "content_filter": _said(lambda message: [{**message, "content": ""}], finish_reason="content_filter"),
    "error_in_200": _instead(_PLATFORM_ERROR),
    "no_output": _without("messages"),
    "wrong_types": _with(messages=[None, 5, {"role": 4, "content": 7}], finish_reason=9, usage="many"),
}


def _choice(make: Change, finish_reason: str = "stop") -> Change:
    """The only choice, with the message that is made of its message."""

    def change(reply: Json) -> Json:
        choice = cast("list[Json]", reply["choices"])[0]
        message = make(cast("Json", choice["message"]))
        return {**reply, "choices": [{**choice, "message": message, "finish_reason": finish_reason}]}

    return change


def _parts(message: Json) -> list[Json]:
    return [{"type": "text", "text": half} for half in _halves(_text(message))]


_WRONG_CHOICE: Json = {"index": "0", "message": {"role": 4, "content": 7}, "finish_reason": 9}

_CHAT: Mapping[str, Change] = {
    "refusal": _choice(lambda message: {**message, "content": None, "refusal": REFUSAL}),
    "incomplete": _choice(_half, "length"),
    "empty": _choice(_with(content="")),
    "tools_only": _choice(_with(content=None, tool_calls=_CALLS), "tool_calls"),
    "reasoning": _choice(lambda message: {**message, "content": [_REASONING, *_parts(message)]}),
    "parts": _choice(lambda message: {**message, "content": _parts(message)}),
    "content_filter": _choice(_with(content=None), "content_filter"),
    "error_in_200": _instead({"error": {"message": FAILURE, "type": "server_error", "code": 500}}),
    "no_output": _without("choices"),
    "wrong_types": _with(id=7, choices=[_WRONG_CHOICE], usage="many"),
}

_ROWS: Mapping[str, Change] = {
    "empty": _with(predictions=[]),
    "error_in_200": _instead(_PLATFORM_ERROR),
    "no_output": _without("predictions"),
    "wrong_types": _with(predictions=7),
}

_TOOL_MESSAGES: list[Json] = [
    {"role": "assistant", "content": "", "tool_calls": [{"name": _TOOL, "args": {}}]},
    {"role": "tool", "name": _TOOL, "content": _FOUND},
]
_INTERRUPT: Json = {
    "type": "interrupt",
    "id": "call_1",
    "value": {"action_requests": [{"name": _TOOL, "args": {}, "call_id": "call_1"}]},
}

_DURABLE: Mapping[str, Change] = {
    "incomplete": _output(lambda message: [_half(message), _INTERRUPT], status="interrupted"),
    "empty": _output(lambda message: [{**message, "content": ""}]),
    "several_messages": _output(_two_messages),
    "tools": _output(lambda message: [*_TOOL_MESSAGES, message]),
    "tools_only": _output(lambda _: _TOOL_MESSAGES[:1]),
    "reasoning": _output(lambda message: [{"role": "assistant", "content": [_REASONING]}, message]),
    "no_output": _without("output"),
    "wrong_types": _with(output=[None, 5, {"role": 4, "content": 7}], status=[]),
}

_CHANGES: Mapping[Kind, Mapping[str, Change]] = {
    "responses": _RESPONSES,
    "chat_agent": _CHAT_AGENT,
    "chat": _CHAT,
    "rows": _ROWS,
    "durable": _DURABLE,
}
