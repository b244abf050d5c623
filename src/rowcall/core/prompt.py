"""From a request with `{column}` placeholders to one SQL expression that renders it as JSON text.

The prompt is rendered once, in SQL, for every engine. `parse_template` reads a text; `render_request` builds the expression.

- `{column}` is the column's value as text; a NULL is the empty string. Arrays, maps and structs become JSON text.
- `{address.city}` reaches into a struct; a column that is really named `address.city` comes first.
- ``{`odd}name`}`` names any column at all; a backtick in the name is doubled.
- `{{` and `}}` are plain braces.
- In inputs, parameters, custom_inputs and databricks_options a value that is nothing but `{column}` keeps the column's type.
- In messages, `{column}` in the place of a message stands for all the messages in that column: an array of them, or JSON text.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlglot import exp

from rowcall.core.definition import Request
from rowcall.core.names import some
from rowcall.core.records import Column
from rowcall.core.template import Field, TemplateError, parse_template

DIALECT = "databricks"
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`]|``)*`", re.DOTALL)
_COMPLEX = re.compile(r"(array|map|struct|variant)\b")
_TYPED = ("inputs", "parameters", "custom_inputs", "databricks_options")
_HISTORY = re.compile(r"(array<|string$|variant$|void$)")
_PLAIN_TYPE = re.compile(r"(array|map|struct)<.*>|[a-z_][a-z_ ]*(\(\d+(, ?\d+)?\))?", re.DOTALL)


class PromptError(ValueError):
    """A placeholder that cannot be rendered; `key` says where in the request."""

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        self.key, self.message, self.hint = key, message, hint
        super().__init__(f"{key}: {message} {hint}".rstrip())


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """`json` is SQL for the request as JSON text, NULL where the row is not to be asked; `skip` is SQL that is true for rows to
    leave out, or None; `null_prompt` is what to say of a row whose request is NULL; `files` is SQL for the image that goes with
    it, or None."""

    json: str
    skip: str | None
    null_prompt: str
    files: str | None = None


def render_request(request: Request, columns: Sequence[Column], alias: str = "p") -> RenderedRequest:
    """Build the expression over the columns of the relation `alias`. Raises `PromptProblemsError` with everything that is wrong."""
    scope = _Scope(columns, alias)
    json_sql = _concat(list(_json(neutral_request(request), "request", scope, text=True)))
    files = _files(request, scope)
    if scope.problems:
        raise PromptProblemsError(scope.problems)
    nulls = [field.copy().is_(exp.null()) for field in scope.used.values()]
    if not nulls:
        return RenderedRequest(to_sql(json_sql), None, "", files)
    if request.nulls == "skip":
        return RenderedRequest(to_sql(json_sql), to_sql(exp.or_(*nulls)), "", files)
    unaskable = exp.or_(*nulls) if request.nulls == "error" else exp.and_(*nulls)
    names = ", ".join(scope.used)
    said = f"one of {names} is NULL" if request.nulls == "error" else f"all of {names} are NULL"
    guarded = exp.Case().when(unaskable, exp.cast(exp.null(), "string")).else_(json_sql)
    return RenderedRequest(to_sql(guarded), None, said if len(nulls) > 1 else f"{names} is NULL", files)


def _files(request: Request, scope: "_Scope") -> str | None:
    """The column of `request.files`, as it is: an image is no text and travels in a column of its own."""
    if request.files is None:
        return None
    field = _only_field(request.files)
    if field is None:
        scope.problems.append(PromptError("request.files", "expected one column in braces, such as {photo}"))
        return None
    expression, type_ = scope.resolve(field, "request.files", counts=False, binary=True)
    if type_ not in ("binary", "void"):
        scope.problems.append(PromptError("request.files", f"column {field.name!r} is {type_}, not BINARY"))
    return to_sql(expression)


class PromptProblemsError(ValueError):
    """All the placeholders of a request that cannot be rendered."""

    def __init__(self, problems: Sequence[PromptError]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def neutral_request(request: Request) -> dict[str, object]:
    """The request before its wire shape is known: messages (the instructions first), and what else was given."""
    messages: list[object] = [
        turn if isinstance(turn, str) else {"role": turn.role, "content": turn.content}
        for turn in request.messages or ()
    ]
    if request.input is not None:
        messages = [{"role": "user", "content": request.input}]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    extras = {
        "parameters": request.parameters,
        "custom_inputs": request.custom_inputs,
        "databricks_options": request.databricks_options,
    }
    if request.inputs is not None:
        return {"inputs": request.inputs, **{key: value for key, value in extras.items() if value}}
    return {"messages": messages, **{key: value for key, value in extras.items() if value}}


class _Scope:
    """The columns a template may name, those it did name, and what was wrong."""

    def __init__(self, columns: Sequence[Column], alias: str) -> None:
        self.columns = {column.name.lower(): column for column in columns}
        self.names = [column.name for column in columns]
        self.alias = alias
        self.used: dict[str, exp.Condition] = {}
        self.problems: list[PromptError] = []

    def resolve(self, field: Field, key: str, *, counts: bool, binary: bool = False) -> tuple[exp.Condition, str]:
        """The SQL for a placeholder and its type; an unknown one is noted and stands as NULL."""
        try:
            expression, type_ = self._find(field)
        except _NotFoundError as error:
            self.problems.append(PromptError(key, str(error), error.hint))
            return exp.null(), "void"
        if type_ == "binary" and not binary:
            self.problems.append(
                PromptError(key, f"column {field.name!r} is BINARY", "Decode it in prompts.query first.")
            )
        if counts:
            self.used[field.name] = expression
        return expression.copy(), type_

    def _find(self, field: Field) -> tuple[exp.Condition, str]:
        column = self.columns.get(field.name.lower())
        if column is not None:
            return exp.column(_name(column.name), table=self.alias), column.type
        first, *path = field.name.split(".")
        parent = self.columns.get(first.lower())
        if field.quoted or not path or parent is None or not parent.type.startswith("struct"):
            raise _NotFoundError(f"there is no column {field.name!r}", self._hint(field.name))
        expression: exp.Condition = exp.column(_name(parent.name), table=self.alias)
        for part in path:
            expression = exp.Dot(this=expression, expression=_name(part))
        return expression, field_type(parent.type, path, of=parent.name)

    def _hint(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.names, n=1)
        if close:
            return f"Did you mean {{{close[0]}}}? There are: {some(self.names)}."
        return f"There are: {some(self.names)}. For a plain brace write {{{{ or }}}}."


class _NotFoundError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


def value_type(value: str, columns: Sequence[Column]) -> str:
    """The SQL type of what a text of `inputs`, `parameters` or `custom_inputs` is rendered to: that of the column if it is
    nothing but a placeholder. Raises `PromptError` for an unknown column."""
    try:
        parts = parse_template(value)
    except TemplateError as error:
        raise PromptError("", str(error), "For a plain brace write {{ or }}.") from error
    if len(parts) != 1 or not isinstance(parts[0], Field):
        return "string"
    scope = _Scope(columns, "p")
    _, type_ = scope.resolve(parts[0], "", counts=False)
    if scope.problems:
        raise scope.problems[0]
    return type_


def field_type(type_: str, path: Sequence[str], *, of: str) -> str:
    """The type of a field inside the struct `of`, `string` where it cannot be told. Raises where there is no such field."""
    for part in path:
        fields = struct_fields(type_)
        if fields is None:
            return "string"
        if part.lower() not in fields:
            close = difflib.get_close_matches(part.lower(), fields, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            there = f"There are: {', '.join(fields)}." if fields else f"It is {type_}."
            raise _NotFoundError(f"{of!r} has no field {part!r}", guess + there)
        type_, of = fields[part.lower()], f"{of}.{part}"
    return type_


def struct_fields(type_: str) -> dict[str, str] | None:
    """The fields of a struct type by name, none for another type, None where odd names leave it open. Spark writes names bare,
    so this does not read SQL."""
    match = re.fullmatch(r"struct<(.*)>", type_, re.DOTALL)
    if match is None:
        return {}
    fields: dict[str, str] = {}
    for piece in _top_level(match[1]):
        name, colon, kind = piece.strip().partition(":")
        if not colon or not _PLAIN_TYPE.fullmatch(kind.strip()):
            return None
        quoted = re.fullmatch(r"`((?:[^`]|``)+)`", name.strip())
        fields[(quoted[1].replace("``", "`") if quoted else name.strip()).lower()] = kind.strip()
    return fields


def _top_level(text: str) -> Iterator[str]:
    """The pieces between the commas that are inside no bracket."""
    depth, start = 0, 0
    for index, char in enumerate(text):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _json(value: object, key: str, scope: _Scope, *, text: bool) -> Iterator[str | exp.Condition]:
    """Fragments of JSON text: constant ones as str, per-row ones as SQL. `text` says placeholders are always text."""
    match value:
        case str():
            yield from _json_text(value, key, scope, text=text)
        case Mapping():
            yield "{"
            for index, (name, item) in enumerate(value.items()):
                yield f"{', ' if index else ''}{json.dumps(str(name))}: "
                inside = text and name not in _TYPED
                if text and name == "messages" and any(isinstance(turn, str) for turn in cast("list[object]", item)):
                    yield _conversation(cast("list[object]", item), f"{key}.{name}", scope)
                else:
                    yield from _json(item, f"{key}.{name}", scope, text=inside)
            yield "}"
        case list() | tuple():
            yield "["
            for index, item in enumerate(value):
                yield ", " if index else ""
                yield from _json(item, f"{key}[{index}]", scope, text=text)
            yield "]"
        case _:
            yield json.dumps(value, default=str)


def _conversation(turns: Sequence[object], key: str, scope: _Scope) -> exp.Condition:
    """A list of messages, some of them from columns: what is in an array is put in between, so that all are in one list."""
    pieces: list[exp.Condition] = []
    for index, turn in enumerate(turns):
        where = f"{key}[{index}]"
        pieces.append(
            _history(turn, where, scope)
            if isinstance(turn, str)
            else _concat(list(_json(turn, where, scope, text=True)))
        )
    joined = exp.Anonymous(this="CONCAT_WS", expressions=[exp.Literal.string(", "), *pieces])
    return _concat(["[", joined, "]"])


def _history(turn: str, key: str, scope: _Scope) -> exp.Condition:
    """The messages of a column without the brackets around them, NULL where there are none; JSON text as one text."""
    field = _only_field(turn)
    if field is None:
        scope.problems.append(PromptError(key, "expected one column in braces, such as {conversation}"))
        return exp.null()
    value, type_ = scope.resolve(field, key, counts=True)
    if not _HISTORY.match(type_):
        hint = "Expected an array of messages, or JSON text of one."
        scope.problems.append(PromptError(key, f"column {field.name!r} is {type_}", hint))
    if not type_.startswith("array"):
        return exp.Case().when(value.is_(exp.null()), exp.null()).else_(_to_json(value.copy()))
    inside = _without_ends(exp.Anonymous(this="TO_JSON", expressions=[value]))
    return exp.Anonymous(this="NULLIF", expressions=[inside, exp.Literal.string("")])


def _only_field(text: str) -> Field | None:
    """The column of a text that is nothing but a placeholder."""
    try:
        parts = parse_template(text)
    except TemplateError:
        return None
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Field) else None


def _json_text(value: str, key: str, scope: _Scope, *, text: bool) -> Iterator[str | exp.Condition]:
    try:
        parts = parse_template(value)
    except TemplateError as error:
        scope.problems.append(PromptError(key, str(error), "For a plain brace write {{ or }}."))
        return
    fields = [part for part in parts if isinstance(part, Field)]
    if not fields:
        yield json.dumps("".join(part for part in parts if isinstance(part, str)), ensure_ascii=False)
    elif not text and len(parts) == 1:
        expression, type_ = scope.resolve(fields[0], key, counts=False)
        yield _decimal_json(expression) if type_.startswith("decimal") else _to_json(expression)
    else:
        pieces = [part if isinstance(part, str) else _as_text(*scope.resolve(part, key, counts=text)) for part in parts]
        yield _to_json(_concat(pieces))


def _as_text(value: exp.Condition, type_: str) -> exp.Condition:
    said = exp.func("TO_JSON", value) if _COMPLEX.match(type_) else exp.cast(value, "string")
    return exp.func("COALESCE", said, exp.Literal.string(""))


def _to_json(value: exp.Condition) -> exp.Condition:
    """One value as JSON text. `to_json` takes no bare values, so the value goes in as an array of one and the brackets come off."""
    return _without_ends(exp.Anonymous(this="TO_JSON", expressions=[exp.array(value)]))


def _without_ends(text: exp.Condition) -> exp.Condition:
    """A text without its first and its last character."""
    length = exp.Anonymous(this="CHAR_LENGTH", expressions=[text.copy()])
    return exp.Anonymous(
        this="SUBSTR",
        expressions=[text, exp.Literal.number(2), exp.Sub(this=length, expression=exp.Literal.number(2))],
    )


def _decimal_json(value: exp.Condition) -> exp.Condition:
    """A decimal as JSON text, digit by digit: the `to_json` of Sail 0.7 loses the sign of those between -1 and 0."""
    return exp.func("COALESCE", exp.cast(value, "string"), exp.Literal.string("null"))


def _concat(fragments: Sequence[str | exp.Condition]) -> exp.Condition:
    merged: list[str | exp.Condition] = []
    for fragment in fragments:
        if isinstance(fragment, str) and merged and isinstance(merged[-1], str):
            merged[-1] += fragment
        elif fragment != "":
            merged.append(fragment)
    parts = [exp.Literal.string(part) if isinstance(part, str) else part for part in merged]
    if not parts:
        return exp.Literal.string("")
    return parts[0] if len(parts) == 1 else exp.Anonymous(this="CONCAT", expressions=parts)


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def to_sql(expression: exp.Condition) -> str:
    """An expression as SQL. Apache Spark replaces `${…}` even inside literals (`spark.sql.variable.substitute`), so there the
    dollar is written as its escape."""
    return _TOKEN.sub(_without_substitution, expression.sql(dialect=DIALECT))


def _without_substitution(token: re.Match[str]) -> str:
    return token[0].replace("${", "\\u0024{") if token[0].startswith("'") else token[0]
