"""Structured answers: what a job declares in `answer.schema`, and whether what came fits it.

A declared field is a SQL type (`double`, `array<string>`), a nested mapping (a struct) or a list of texts
(a choice).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import assert_never, cast

from rowcall.core.answer_type import (
    FLOATS,
    INTEGERS,
    Array,
    Choice,
    Fixed,
    Map,
    Scalar,
    Struct,
    Type,
    ddl,
    has_map,
    json_schema,
    read_sql_type,
)
from rowcall.core.loose import whole_characters

Complain = Callable[[str, str], None]
_NOTHING = Struct(())
_EXACT = Context(prec=80)
_MOST_COMPLAINTS = 5


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """What an answer must look like. `strict`: model APIs can enforce this, except a map's open keys."""

    ddl: str
    json_schema: dict[str, object]
    strict: bool
    type: Struct


class AnswerSchemaError(ValueError):
    """An answer schema that cannot be used; `problems` holds each as (path, message)."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{path}: {message}" if path else message for path, message in problems))


def parse_answer_schema(fields: Mapping[str, object]) -> AnswerSchema:
    """Read a job's `answer.schema`. Raises `AnswerSchemaError` with all that is wrong in it."""
    problems: list[tuple[str, str]] = []
    kind = _struct(fields, "", lambda path, message: problems.append((path, message)))
    if problems:
        raise AnswerSchemaError(problems)
    return AnswerSchema(ddl(kind), json_schema(kind), not has_map(kind), kind)


def _declared(value: object, path: str, complain: Complain) -> Type:
    if isinstance(value, Mapping):
        return _struct(cast("Mapping[object, object]", value), path, complain)
    if isinstance(value, list | tuple):
        return _choice(cast("Sequence[object]", value), path, complain)
    if not isinstance(value, str):
        complain(path, f"expected a type such as string, a mapping or a list of choices, not {value!r}")
        return _NOTHING
    try:
        return read_sql_type(value)
    except ValueError as error:
        complain(path, str(error))
        return _NOTHING


def _struct(fields: Mapping[str, object] | Mapping[object, object], path: str, complain: Complain) -> Struct:
    if not fields:
        complain(path, "expected at least one field")
    found: dict[str, tuple[str, Type]] = {}
    for name, value in fields.items():
        where = f"{path}.{name}" if path else str(name)
        if not isinstance(name, str) or not name.strip():
            complain(
                where,
                f"the name of a field is a text, not {name!r}; in YAML put yes, no and numbers in quotes",
            )
        elif name.lower() in found:
            complain(where, "is there twice; SQL does not tell upper from lower case in names")
        found[str(name).lower()] = str(name), _declared(value, where, complain)
    return Struct(tuple(found.values()))


def _choice(values: Sequence[object], path: str, complain: Complain) -> Choice:
    if not values:
        complain(path, "expected at least one choice")
    for value in values:
        if not isinstance(value, str) or not value:
            complain(path, f"a choice is a text, not {value!r}; in YAML put yes, no and numbers in quotes")
    if len(set(map(str, values))) < len(values):
        complain(path, "a choice is there twice")
    return Choice(tuple(map(str, values)))


def fit(text: str, schema: AnswerSchema) -> tuple[str | None, str]:
    """The answer as compact JSON of the schema's types and ""; or None and what is wrong with it. Total.

    Takes an object alone, in a code fence, or at the end of some prose. Numbers are kept exact; a map's keys come in order, so that
    equal maps are equal texts.
    """
    try:
        value = json.loads(_object_in(text), parse_float=_EXACT.create_decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return None, "$: the answer does not end with a whole JSON object"
    complaints: list[str] = []
    fitted = _fit(value, schema.type, "$", lambda path, message: complaints.append(f"{path}: {message}"))
    if complaints:
        more = len(complaints) - _MOST_COMPLAINTS
        return None, "; ".join(complaints[:_MOST_COMPLAINTS]) + (f"; and {more} more" if more > 0 else "")
    return whole_characters(_written(fitted)), ""


def _object_in(text: str) -> str:
    """The text from its first brace on, without a closing code fence."""
    bare = text.strip().removesuffix("```")
    return bare[max(bare.find("{"), 0) :]


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _fit(value: object, kind: Type, path: str, complain: Complain) -> object:
    match kind:
        case Scalar() | Fixed() | Choice():
            try:
                return _fit_leaf(value, kind)
            except (ValueError, TypeError, ArithmeticError):
                complain(path, f"expected {_described(kind)}, got {_shown(value)}")
                return None
        case Array(item):
            items = enumerate(_items(value, path, complain))
            return [_fit(each, item, f"{path}[{index}]", complain) for index, each in items]
        case Map(item):
            entries = sorted((_entries(value, path, complain) or {}).items())
            return {key: _fit(each, item, f"{path}.{key}", complain) for key, each in entries}
        case Struct(fields):
            return _fit_struct(_entries(value, path, complain), fields, path, complain)
        case _:
            assert_never(kind)


def _items(value: object, path: str, complain: Complain) -> Sequence[object]:
    if isinstance(value, list):
        return cast("Sequence[object]", value)
    complain(path, f"expected an array, got {_shown(value)}")
    return ()


def _entries(value: object, path: str, complain: Complain) -> Mapping[str, object] | None:
    if isinstance(value, dict):
        return cast("Mapping[str, object]", value)
    complain(path, f"expected an object, got {_shown(value)}")
    return None


def _fit_struct(
    entries: Mapping[str, object] | None, fields: Sequence[tuple[str, Type]], path: str, complain: Complain
) -> dict[str, object] | None:
    """The declared fields, in their order; others are dropped."""
    if entries is None:
        return None
    for name, _ in fields:
        if name not in entries:
            complain(f"{path}.{name}", "is missing")
    present = [(name, kind) for name, kind in fields if name in entries]
    return {name: _fit(entries[name], kind, f"{path}.{name}", complain) for name, kind in present}


def _fit_leaf(value: object, kind: Scalar | Fixed | Choice) -> object:
    """The value as the type has it. Raises ValueError, TypeError or ArithmeticError."""
    if isinstance(kind, Fixed):
        return _fixed(_number(value), kind.precision, kind.scale)
    if isinstance(kind, Choice):
        return _require(value, value in kind.values)
    if kind.name in INTEGERS:
        return _integer(_number(value), INTEGERS[kind.name])
    if kind.name in FLOATS:
        number = float(_number(value))
        return _require(number, abs(number) <= FLOATS[kind.name])
    if kind.name == "boolean":
        return _require(value, isinstance(value, bool))
    return _fit_text(_text(value), kind.name)


def _fit_text(value: str, name: str) -> str:
    """Dates and times in the one ISO form that every SQL engine reads."""
    if name == "date":
        return date.fromisoformat(value).isoformat()
    return datetime.fromisoformat(value).isoformat() if name == "timestamp" else value


def _require(value: object, fits: bool) -> object:
    if not fits:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError
    return Decimal(value)


def _integer(number: Decimal, bits: int) -> int:
    # The range first: int() of 1e999999 would take its time.
    if not -(2**bits) <= number < 2**bits or number != number.to_integral_value():
        raise ValueError
    return int(number)


def _fixed(number: Decimal, precision: int, scale: int) -> Decimal:
    """Rounded half up to the scale, as Spark casts; digits before the point must fit."""
    rounded = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    if abs(rounded) >= Decimal(10) ** (precision - scale):
        raise ValueError
    return rounded


def _described(kind: Scalar | Fixed | Choice) -> str:
    if isinstance(kind, Choice):
        return "one of " + ", ".join(kind.values)
    return ddl(kind).lower()


def _shown(value: object) -> str:
    """The value for a complaint: short, since it is an answer's content."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    shown = _written(value)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"


def _written(value: object) -> str:
    """Compact JSON. json.dumps knows no Decimal, and a float would not keep its digits."""
    if isinstance(value, dict):
        entries = cast("Mapping[str, object]", value).items()
        return "{" + ",".join(f"{_written(key)}:{_written(each)}" for key, each in entries) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, cast("Sequence[object]", value))) + "]"
    if isinstance(value, Decimal):
        return str(value) if abs(value.adjusted()) > 80 else format(value, "f")
    return json.dumps(value, ensure_ascii=False)
