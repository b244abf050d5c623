"""One call of `ai_query` as SQL text has it: its arguments read and checked, the type of what it returns (FACTS 1.1, 1.2).

    ai_query(endpoint, request [, returnType] [, failOnError] [, modelParameters] [, responseFormat] [, files])

Arguments are positional or named. All but `request` and `files` are constants: `constants` names their expressions, whoever runs
SQL works them out, and `plan_call` takes the values. Everything that is refused here is refused before anything is asked.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rowcall.core.answer_type import Scalar, Struct, Type, json_schema, read_sql_type
from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.databricks_sql.serving import ReplyShape
from rowcall.sandbox.databricks_sql.sql_calls import Argument, StatementError

NAME = "ai_query"
CHAT = "llm/v1/chat"
RESPONSES_AGENT = "agent/v1/responses"
CHAT_AGENTS = ("agent/v2/chat", "agent/v1/chat")
_PARAMETERS = ("endpoint", "request", "returnType", "failOnError", "modelParameters", "responseFormat", "files")
_BY_LOWER = {name.lower(): name for name in _PARAMETERS}
_CONSTANTS = _PARAMETERS[2:6]
_STRING = Scalar("string")
_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class AiCallText:
    """The arguments of a call, as text. `constants` are expressions by argument, `struct` is whether the request is written out
    as a STRUCT."""

    endpoint: str
    request: str
    struct: bool
    constants: Mapping[str, str]
    files: str | None


@dataclass(frozen=True, slots=True)
class AiCall:
    """A call that is ready to be made for any number of rows. `type` is T, the type of an answer; `typed` is whether the call
    named it; `response_format` is a body's `response_format`."""

    endpoint: str
    task: str
    type: Type
    typed: bool = False
    fail_on_error: bool = True
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    response_format: Mapping[str, object] | None = None

    def returns(self, shape: ReplyShape) -> Type:
        """The type of the call's result."""
        if self.fail_on_error or shape.bare:
            return self.type
        return Struct(((shape.result, self.type), (shape.error, _STRING)))


def read_arguments(arguments: Sequence[Argument]) -> AiCallText:
    """Put the arguments in their places. Raises `StatementError`."""
    given = _by_name(arguments)
    for name in _PARAMETERS[:2]:
        if name not in given:
            raise StatementError(
                "REQUIRED_PARAMETER_NOT_FOUND",
                f"Cannot invoke routine `{NAME}` because the parameter named `{name}` is required, but the routine call did "
                "not supply a value.",
                "4274K",
            )
    endpoint, request, files = given["endpoint"], given["request"], given.get("files")
    if not endpoint.literal:
        raise StatementError(
            "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
            f"Cannot resolve `{NAME}`: the input `endpoint` should be a STRING literal; however, got {endpoint.text}.",
            "42K09",
        )
    constants = {name: given[name].text for name in _CONSTANTS if name in given}
    struct = request.function in ("named_struct", "struct")
    return AiCallText(endpoint.literal, request.text, struct, constants, files.text if files else None)


def _by_name(arguments: Sequence[Argument]) -> dict[str, Argument]:
    given: dict[str, Argument] = {}
    for place, argument in enumerate(arguments):
        name = _BY_LOWER.get(argument.name or _positional(place, arguments).lower())
        if name is None:
            raise StatementError(
                "UNRECOGNIZED_PARAMETER_NAME",
                f"Cannot invoke routine `{NAME}` because the routine call included a named argument reference for the "
                f"argument named `{argument.name}`, which is none of its own.",
                "4274K",
            )
        if name in given:
            raise StatementError(
                "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT",
                f"Call to routine `{NAME}` is invalid because it gives the argument `{name}` twice.",
                "4274K",
            )
        given[name] = argument
    return given


def _positional(place: int, arguments: Sequence[Argument]) -> str:
    if any(earlier.name for earlier in arguments[:place]):
        raise StatementError(
            "UNEXPECTED_POSITIONAL_ARGUMENT",
            f"Cannot invoke routine `{NAME}` because a positional argument follows a named one.",
            "4274K",
        )
    if place >= len(_PARAMETERS):
        raise StatementError("WRONG_NUM_ARGS", f"The `{NAME}` requires at most {len(_PARAMETERS)} arguments.", "42605")
    return _PARAMETERS[place]


def plan_call(text: AiCallText, task: str, constants: Mapping[str, object]) -> AiCall:
    """The call, for an endpoint of this task. `constants` are the values of `text.constants`, those that are NULL left out.
    Raises `StatementError`."""
    if task not in ("", CHAT, RESPONSES_AGENT, *CHAT_AGENTS):
        raise _wrong(f"endpoints with the task {task} are not supported here.")
    for problem in _problems(text, task, constants):
        raise _wrong(problem)
    returned = constants.get("returnType")
    response_format, type_ = _response_format(constants.get("responseFormat"))
    named = None if returned is None else _read_type("returnType", returned)
    return AiCall(
        text.endpoint,
        task,
        named or type_ or _inferred(text, task),
        named is not None,
        constants.get("failOnError", True) is True,
        mapping(constants.get("modelParameters")),
        response_format,
    )


def _problems(text: AiCallText, task: str, constants: Mapping[str, object]) -> Iterator[str]:
    if not isinstance(constants.get("failOnError", True), bool):
        yield "failOnError is not a BOOLEAN."
    if "modelParameters" in constants and not isinstance(constants["modelParameters"], dict):
        yield "modelParameters is not a STRUCT."
    if task == CHAT:
        if text.struct:
            yield f"the endpoint `{text.endpoint}` takes a request of type STRING, not STRUCT."
        return
    if "responseFormat" in constants:
        yield "responseFormat is for chat models only."
    if text.files is not None:
        yield "files is for chat models only."


def _inferred(text: AiCallText, task: str) -> Type:
    """T where the call does not say it. What agents and custom models return has no schema to go by."""
    if task == "" or (task != CHAT and text.struct):
        raise unknown_schema(text.endpoint)
    return _STRING


def unknown_schema(endpoint: str) -> StatementError:
    return StatementError(
        "AI_FUNCTION_MODEL_SCHEMA_PARSE_ERROR",
        f'Failed to parse the schema for the serving endpoint "{endpoint}": it has no type for what is returned. Set the '
        f"`returnType` parameter manually in the {NAME} function to override schema resolution.",
        "2203G",
    )


def _response_format(value: object) -> tuple[Mapping[str, object] | None, Type | None]:
    """What is sent for `responseFormat`, and T where it is written as DDL."""
    if value is None:
        return None, None
    written = parse_json(value) if isinstance(value, str) else None
    if isinstance(written, dict):
        if mapping(written).get("type") not in _FORMATS:
            raise _wrong(f"responseFormat has a type other than {', '.join(_FORMATS)}: {json.dumps(written)}")
        return mapping(written), None
    type_ = _read_type("responseFormat", value)
    if not isinstance(type_, Struct) or len(type_.fields) != 1:
        raise _wrong("responseFormat must be a STRUCT with exactly one field at the top.")
    schema = {"name": type_.fields[0][0], "schema": json_schema(type_), "strict": True}
    return {"type": "json_schema", "json_schema": schema}, type_


def _read_type(argument: str, value: object) -> Type:
    try:
        return read_sql_type(str(value))
    except ValueError as error:
        raise _wrong(f"{argument} {error}") from error


def _wrong(problem: str) -> StatementError:
    return StatementError("AI_FUNCTION_COMPILATION_ERROR", f"Failed to compile {NAME}: {problem}", "42883")
