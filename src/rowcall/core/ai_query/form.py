"""Which ways to write a request for `ai_query` an endpoint takes, the likeliest first.

The request was rendered once, as JSON text in the pending table. A statement parses it with `from_json` into a column `r`, and
every form is an expression over `r`; the row's text is never part of a statement.

    prompt      one text, the instructions before the user's message: models, and agents as Databricks' own page asks them
    responses   a STRUCT that is the body of the Responses API: agents with the task agent/v1/responses
    chat        a STRUCT that is the body of a chat: agents with the tasks agent/v2/chat and agent/v1/chat
    columns     a STRUCT of named input columns: custom models
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from rowcall.core.ai_query.sql_value import literal_text, quoted, sql_value
from rowcall.core.answer import AnswerSchema
from rowcall.core.definition import Request
from rowcall.core.endpoints.chat import chat_parameters
from rowcall.core.loose import json_text, mapping
from rowcall.core.prompt import PromptError, neutral_request, struct_fields, value_type
from rowcall.core.records import Column
from rowcall.core.template import constant, varies

FormName = Literal["prompt", "responses", "chat", "columns"]
MESSAGES = "ARRAY<STRUCT<role: STRING, content: STRING>>"
TOP_FIELD = "answer"
"""The one field at the top of a `responseFormat` that is written as DDL."""
_TYPES: Mapping[type, str] = {bool: "boolean", int: "bigint", float: "double"}
_CHAT_OWN = frozenset({"model", "messages", "stream"})
_FRACTIONS = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})
"""DOUBLE even where a job writes a whole number (FACTS 1.1)."""
_RESPONSES_OWN = frozenset({"model", "input", "stream"})
_TURNS = ("user", "assistant")
_RESPONSE = (
    "STRUCT<id: STRING, model: STRING, status: STRING, error: STRUCT<code: STRING, message: STRING>, "
    "incomplete_details: STRUCT<reason: STRING>, output: ARRAY<STRUCT<type: STRING, role: STRING, "
    "content: ARRAY<STRUCT<type: STRING, text: STRING, refusal: STRING>>>>, "
    "usage: STRUCT<input_tokens: BIGINT, output_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>"
)
_CHAT = (
    "STRUCT<id: STRING, model: STRING, finish_reason: STRING, messages: ARRAY<STRUCT<role: STRING, content: STRING>>, "
    "choices: ARRAY<STRUCT<message: STRUCT<role: STRING, content: STRING, refusal: STRING>, finish_reason: STRING>>, "
    "usage: STRUCT<prompt_tokens: BIGINT, completion_tokens: BIGINT, total_tokens: BIGINT>, custom_outputs: STRING>"
)


class FormError(ValueError):
    """A request that a form, or `ai_query` as such, cannot carry; `key` says where in the job."""

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        self.key, self.message, self.hint = key, message, hint
        super().__init__(f"{key}: {message} {hint}".rstrip())


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a request. `parsed` is the DDL that the pending request is parsed with, `request` the argument as SQL
    over `r`, `arguments` the named ones, `unwrap` a field around the answer."""

    name: FormName
    parsed: str
    request: str
    arguments: tuple[tuple[str, str], ...] = ()
    unwrap: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job asks of `ai_query`: its request, over these columns, and the shape of its answers."""

    request: Request
    columns: Sequence[Column]
    answer: AnswerSchema | None
    form: FormName | Literal["auto"] = "auto"
    response_format: Literal["json_schema", "ddl"] = "json_schema"


def forms(wanted: Wanted, task: str) -> list[Form]:
    """The forms to try for an endpoint with this task (empty where it says none). Raises `FormError` where none can work."""
    if wanted.request.databricks_options:
        raise FormError("request.databricks_options", "ai_query passes no databricks_options on")
    names: list[FormName] = _names(wanted.request, task) if wanted.form == "auto" else [wanted.form]
    made: list[Form] = []
    refusals: list[FormError] = []
    for name in names:
        try:
            made.append(_form(name, wanted, task))
        except FormError as refusal:
            refusals.append(refusal)
    if not made:
        raise refusals[0]
    return made


def _names(request: Request, task: str) -> list[FormName]:
    if request.inputs is not None:
        return ["columns"]
    if task == "agent/v1/responses":
        return ["responses", "prompt"]
    if task.startswith("agent/"):
        return ["chat", "prompt"]
    return ["prompt"] if task.startswith("llm/") else ["prompt", "responses", "chat"]


def _form(name: FormName, wanted: Wanted, task: str) -> Form:
    if (name == "columns") != (wanted.request.inputs is not None):
        raise FormError("request", f"the form {name} takes {'inputs' if name == 'columns' else 'input or messages'}")
    if wanted.request.files and name != "prompt":
        raise FormError("request.files", f"ai_query takes files with a prompt, not in the form {name}")
    makers = {"prompt": _prompt, "responses": _responses, "chat": _chat, "columns": _columns}
    return makers[name](wanted, task)


def _prompt(wanted: Wanted, task: str) -> Form:
    request = wanted.request
    if any(isinstance(turn, str) for turn in request.messages or ()):
        raise FormError("request.messages", "as one prompt only instructions and one user message can be asked")
    messages = cast("list[dict[str, str]]", neutral_request(request)["messages"])
    turns = [message for message in messages if message["role"] in _TURNS]
    if [turn["role"] for turn in turns] != ["user"] or messages[-1]["role"] != "user":
        raise FormError("request.messages", "as one prompt only instructions and one user message can be asked")
    if request.custom_inputs:
        raise FormError("request.custom_inputs", "a prompt carries no custom_inputs")
    contents = [f"r.messages[{place}].content" for place in range(len(messages))]
    text = contents[0] if len(contents) == 1 else f"concat_ws({literal_text(chr(10) * 2)}, {', '.join(contents)})"
    # What Databricks documents as for chat models only is not given to agents, whose signature it would have to fit.
    model = not task.startswith("agent/")
    structured = list(_response_format(wanted)) if model and wanted.answer else []
    unwrap = TOP_FIELD if structured and wanted.response_format == "ddl" else None
    return Form("prompt", f"STRUCT<messages: {MESSAGES}>", text, (*_parameters(request), *structured), unwrap)


def _parameters(request: Request) -> Iterator[tuple[str, str]]:
    if not _given(request, _CHAT_OWN):
        return
    if varies(request.parameters):
        raise FormError("request.parameters", "ai_query takes the same parameters for all rows")
    given = _given(request, _CHAT_OWN)
    fractions = {name: float(value) for name, value in given.items() if name in _FRACTIONS and isinstance(value, int)}
    yield "modelParameters", sql_value(constant({**given, **fractions}))


def _given(request: Request, own: frozenset[str]) -> dict[str, object]:
    """The job's parameters as chats call them, without those that are not the job's to set."""
    return {name: value for name, value in chat_parameters(_parameters_of(request)).items() if name not in own}


def _parameters_of(request: Request) -> Mapping[str, object]:
    if isinstance(request.parameters, str):
        raise FormError("request.parameters", "ai_query takes parameters by name, not a column of them")
    return request.parameters


def _response_format(wanted: Wanted) -> Iterator[tuple[str, str]]:
    answer = wanted.answer
    if answer is None:
        return
    if wanted.response_format == "ddl":
        yield "responseFormat", literal_text(f"STRUCT<{TOP_FIELD}: {answer.ddl}>")
        return
    schema = {"name": "answer", "schema": answer.json_schema, "strict": answer.strict}
    yield "responseFormat", literal_text(json_text({"type": "json_schema", "json_schema": schema}) or "")


def _responses(wanted: Wanted, _: str) -> Form:
    given = _parameters_of(wanted.request)
    parameters = {name: value for name, value in given.items() if name not in _RESPONSES_OWN}
    fixed: dict[str, object] = {}
    if wanted.answer is not None:
        text = parameters.pop("text", None)
        if varies(text):
            raise FormError("request.parameters.text", "beside an answer schema it is the same for all rows")
        schema = {"type": "json_schema", "name": "answer", "schema": wanted.answer.json_schema}
        fixed["text"] = {**mapping(constant(text)), "format": {**schema, "strict": wanted.answer.strict}}
    return _body("responses", "input", wanted, parameters, fixed, _RESPONSE)


def _chat(wanted: Wanted, _: str) -> Form:
    parameters = _given(wanted.request, _CHAT_OWN)
    fixed: dict[str, object] = {}
    if wanted.answer is not None:
        parameters.pop("response_format", None)
        schema = {"name": "answer", "schema": wanted.answer.json_schema, "strict": wanted.answer.strict}
        fixed["response_format"] = {"type": "json_schema", "json_schema": schema}
    return _body("chat", "messages", wanted, parameters, fixed, _CHAT)


def _body(
    name: FormName,
    messages: str,
    wanted: Wanted,
    parameters: Mapping[str, object],
    fixed: Mapping[str, object],
    returns: str,
) -> Form:
    """The STRUCT that is the body of a request: constant fields as literals, those of a row from the parsed request."""
    request, columns = wanted.request, wanted.columns
    _check_columns(wanted)
    fields = [(messages, "r.messages")]
    parsed = [f"messages: {MESSAGES}"]
    varying = {key: value for key, value in parameters.items() if varies(value)}
    if varying:
        parsed.append(f"parameters: {_type(varying, columns, 'request.parameters')}")
    fields += [
        (key, f"r.parameters.{quoted(key)}" if key in varying else sql_value(constant(value)))
        for key, value in parameters.items()
    ]
    if request.custom_inputs:
        parsed.append(f"custom_inputs: {_type(request.custom_inputs, columns, 'request.custom_inputs')}")
        fields.append(("custom_inputs", "r.custom_inputs"))
    fields += [(key, sql_value(value)) for key, value in fixed.items()]
    return Form(name, f"STRUCT<{', '.join(parsed)}>", _struct(fields), (("returnType", literal_text(returns)),))


def _check_columns(wanted: Wanted) -> None:
    """Whole columns of messages or inputs have SQL's own types here: JSON text would be sent as a text."""
    for turn in wanted.request.messages or ():
        if isinstance(turn, str):
            type_ = _text_type(turn, wanted.columns, "request.messages")
            fields = struct_fields(type_.removeprefix("array<").removesuffix(">")) or {}
            if {name: fields.get(name) for name in ("role", "content")} != {"role": "string", "content": "string"}:
                said = f"{turn} is {type_}; ai_query takes array<struct<role: string, content: string>>"
                raise FormError("request.messages", said)
    if isinstance(wanted.request.custom_inputs, str):
        type_ = _text_type(wanted.request.custom_inputs, wanted.columns, "request.custom_inputs")
        if not type_.startswith(("struct", "map")):
            raise FormError("request.custom_inputs", f"the column is {type_}; ai_query takes a struct or a map")


def _columns(wanted: Wanted, _: str) -> Form:
    if wanted.request.custom_inputs:
        raise FormError("request.custom_inputs", "a custom model takes inputs and no custom_inputs")
    inputs = wanted.request.inputs or {}
    parsed = f"STRUCT<inputs: {_type(inputs, wanted.columns, 'request.inputs')}>"
    request = _struct([(name, f"r.inputs.{quoted(name)}") for name in inputs])
    arguments = [("returnType", literal_text(wanted.answer.ddl))] if wanted.answer else []
    return Form("columns", parsed, request, (*_parameters(wanted.request), *arguments))


def _struct(fields: Sequence[tuple[str, str]]) -> str:
    return f"named_struct({', '.join(f'{literal_text(name)}, {value}' for name, value in fields)})"


def _type(value: object, columns: Sequence[Column], key: str) -> str:
    """The DDL type of a rendered value. Raises `FormError` for what SQL has no type for."""
    match value:
        case str():
            return _text_type(value, columns, key)
        case Mapping():
            return _struct_type(cast("Mapping[str, object]", value), columns, key)
        case list() | tuple():
            items = {_type(each, columns, key) for each in cast("Sequence[object]", value)} or {"string"}
            if len(items) > 1:
                raise FormError(key, f"a list in SQL has items of one type, not of {' and '.join(sorted(items))}")
            return f"ARRAY<{items.pop()}>"
        case _:
            return _TYPES.get(type(value), "string")


def _struct_type(fields: Mapping[str, object], columns: Sequence[Column], key: str) -> str:
    typed = [f"{quoted(name)}: {_type(value, columns, f'{key}.{name}')}" for name, value in fields.items()]
    return f"STRUCT<{', '.join(typed)}>"


def _text_type(value: str, columns: Sequence[Column], key: str) -> str:
    try:
        return value_type(value, columns)
    except PromptError as error:
        raise FormError(key, error.message, error.hint) from error
