"""What `ai_query` sends for a row, and the answer in what comes back, by the endpoint's task (FACTS 2.1, 2.2).

llm/v1/chat             STRING  {"messages": […]} with parameters       the message's text
agent/v1/responses      STRING  {"input": […]}                          the output's text, or the reply as returnType
                        STRUCT  the body                                the reply as returnType
agent/v2/chat, v1/chat  the same with "messages"
none: a custom model    STRUCT  {"dataframe_records": [{…}]}            the prediction as returnType
                        other   {"inputs": […]}
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rowcall.core.answer_type import Scalar, ddl
from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.databricks_sql.ai_call import CHAT, CHAT_AGENTS, NAME, RESPONSES_AGENT, AiCall, unknown_schema
from rowcall.sandbox.databricks_sql.sql_calls import StatementError
from rowcall.sandbox.databricks_sql.sql_values import image_url, json_text, sql_value

_REPORTED = 2000


class RowError(StatementError):
    """A row that has no answer; the text is what `errorMessage` says."""


@dataclass(frozen=True, slots=True)
class Request:
    """A row's request. `type` is its SQL type as `typeof` writes it; the fields of a STRUCT that are NULL may be missing."""

    value: object
    type: str
    image: bytes | None = None

    @property
    def struct(self) -> bool:
        return self.type.startswith("struct<")


def check_type(call: AiCall, type_: str) -> None:
    """Raises `StatementError` for a request of a type that the endpoint does not take."""
    struct = type_.startswith("struct<")
    takes = ("string", "void") if call.task == CHAT else ("string", "void", "struct")
    if call.task != "" and type_.split("<", maxsplit=1)[0] not in takes:
        raise StatementError(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            f"The endpoint `{call.endpoint}` takes a request of type {' or '.join(takes[::2]).upper()}, not {type_.upper()}.",
            "42K09",
        )
    if struct and not call.typed:
        raise unknown_schema(call.endpoint)


def body(call: AiCall, request: Request) -> Mapping[str, object]:
    """Raises `RowError`."""
    if call.task == "":
        if not request.struct:
            return {"inputs": [request.value], **_params(call)}
        columns = {name: mapping(request.value).get(name) for name in _fields(request.type)}
        return {"dataframe_records": [columns], **_params(call)}
    if request.struct:
        return {**call.parameters, **mapping(request.value)}
    message = {"role": "user", "content": _content(request)}
    asked = {"input" if call.task == RESPONSES_AGENT else "messages": [message], **call.parameters}
    return asked if call.response_format is None else {**asked, "response_format": call.response_format}


def _params(call: AiCall) -> Mapping[str, object]:
    return {"params": call.parameters} if call.parameters else {}


def _content(request: Request) -> object:
    if request.image is None:
        return request.value
    try:
        url = image_url(request.image)
    except ValueError as error:
        raise request_failed(str(error)) from error
    return [{"type": "text", "text": request.value}, {"type": "image_url", "image_url": {"url": url}}]


def _fields(type_: str) -> list[str]:
    """The fields' names of a STRUCT: `struct<a:int,b:array<string>>`."""
    names: list[str] = []
    depth, name = 0, ""
    for char in type_.removeprefix("struct<"):
        if depth == 0 and char == ":":
            names.append(name.strip("`"))
        depth += (char in "<(") - (char in ">)")
        name = "" if char == "," and depth == 0 else name + char
    return names


def answer(call: AiCall, request: Request, reply: object) -> object:
    """The answer in a reply, as Arrow takes a value of `call.type`. Raises `RowError`."""
    try:
        found = _found(call, request, reply)
    except ValueError as error:
        raise invalid_response(f"{error}: {_shown(reply)}") from error
    try:
        return sql_value(found, call.type)
    except ValueError as error:
        raise _cast_failed(call, reply) from error


def _found(call: AiCall, request: Request, reply: object) -> object:
    """The part of a reply that becomes the answer. Raises ValueError for a reply that is not of the endpoint's shape."""
    said = mapping(reply)
    if call.task == "":
        predictions = said.get("predictions")
        if not isinstance(predictions, list) or not predictions:
            raise ValueError("no predictions")
        return sequence(predictions)[0]
    plain = call.type == Scalar("string")
    if call.task != CHAT and (request.struct or not plain):
        return reply
    text = _output_text(said) if call.task == RESPONSES_AGENT else _message_text(call, said)
    return text if plain else _parsed(text)


def _parsed(text: str) -> object:
    """What a model wrote, for a type that is no STRING. Text that is no JSON is left for the cast to refuse."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _output_text(reply: Mapping[str, object]) -> str:
    if not isinstance(reply.get("output"), list):
        raise ValueError("no output")
    items = [mapping(item) for item in sequence(reply["output"])]
    parts = [mapping(part) for item in items if item.get("type") == "message" for part in sequence(item.get("content"))]
    return "".join(str(part.get("text", "")) for part in parts if part.get("type") == "output_text")


def _message_text(call: AiCall, reply: Mapping[str, object]) -> str:
    """The text of a chat completion, or of the last message of a chat agent."""
    choices, messages = sequence(reply.get("choices")), sequence(reply.get("messages"))
    if choices:
        content = mapping(mapping(choices[0]).get("message")).get("content")
    elif messages and call.task in CHAT_AGENTS:
        content = mapping(messages[-1]).get("content")
    else:
        raise ValueError("no message")
    return "".join(_texts(content))


def _texts(content: object) -> Iterator[str]:
    """The content of a message is a text, or for some models a list of parts."""
    if isinstance(content, str):
        yield content
    parts: Sequence[object] = sequence(content)
    yield from (str(mapping(part).get("text", "")) for part in parts if mapping(part).get("type") == "text")


def request_failed(reason: str) -> RowError:
    message = f"Error occurred while making an HTTP request for function {NAME}: {reason}."
    return RowError("AI_FUNCTION_HTTP_REQUEST_ERROR", message, "08000")


def invalid_response(reason: str) -> RowError:
    return RowError(
        "AI_FUNCTION_INVALID_HTTP_RESPONSE", f"Invalid HTTP response for function {NAME}: {reason}.", "08000"
    )


def _cast_failed(call: AiCall, reply: object) -> RowError:
    message = (
        f'Failed to parse model output when casting to the specified returnType: "{ddl(call.type)}", '
        f'response JSON was: "{_shown(reply)}".'
    )
    return RowError("AI_FUNCTION_HTTP_PARSE_CAST_ERROR", message, "2203G")


def _shown(reply: object) -> str:
    text = json_text(reply)
    return text if len(text) <= _REPORTED else f"{text[:_REPORTED]}…"
