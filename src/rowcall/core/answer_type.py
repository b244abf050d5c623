"""The types a field of a structured answer can have: read from SQL, written as Spark DDL and JSON schema.

To add one: add it to `Type` and follow the type checker to every `assert_never`, here and in `answer`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import assert_never

from sqlglot import exp, tokenize
from sqlglot.errors import SqlglotError

INTEGERS: Mapping[str, int] = MappingProxyType({"tinyint": 7, "smallint": 15, "int": 31, "bigint": 63})
FLOATS: Mapping[str, float] = MappingProxyType({"float": 3.4028234663852886e38, "double": 1.7976931348623157e308})
_FORMATS: Mapping[str, str] = MappingProxyType({"date": "date", "timestamp": "date-time"})
_SCALARS = ("string", "boolean", *INTEGERS, *FLOATS, *_FORMATS)
_NESTED = ("decimal", "array", "map", "struct")
_SYNONYMS = ("integer", "long", "short", "byte", "real", "dec", "numeric")
_LIKELY: Mapping[str, str] = MappingProxyType(
    {
        "number": "double",
        "text": "string",
        "str": "string",
        "varchar": "string",
        "char": "string",
        "datetime": "timestamp",
    }
    | {"list": "array", "dict": "map", "object": "struct"}
)
_TYPE_WORD = re.compile(r"`(?:[^`]|``)*`|([A-Za-z_]\w*)(?=\s*(?:[<>(),]|$))")
_TOKEN = re.compile(r"`(?:[^`]|``)*`|\w+|[^\s:]")
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parts, by its Spark name in lower case."""

    name: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """DECIMAL(precision, scale)."""

    precision: int
    scale: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some texts."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Array:
    item: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """Keys are texts: JSON has no others."""

    value: "Type"


@dataclass(frozen=True, slots=True)
class Struct:
    fields: tuple[tuple[str, "Type"], ...]


Type = Scalar | Fixed | Choice | Array | Map | Struct


def read_sql_type(text: str) -> Type:
    """Parse a SQL type. Raises ValueError for what is none, and for what sqlglot would drop or rename."""
    words = [match[1].lower() for match in _TYPE_WORD.finditer(text.strip()) if match[1]]
    unknown = [word for word in words if word not in (*_SCALARS, *_NESTED, *_SYNONYMS)]
    if unknown:
        raise ValueError("; ".join(f"unknown type {word}{_suggestion(word)}" for word in unknown))
    try:
        parsed = exp.DataType.build(text, dialect="databricks")
        written = parsed.sql("databricks")
    except (SqlglotError, AttributeError):
        raise ValueError(f"cannot be read as a SQL type: {text!r}") from None
    if len(_TOKEN.findall(written)) != len(_TOKEN.findall(text)):
        raise ValueError(f"cannot be read as a SQL type: {text!r}; {written.lower()} is what is clear in it")
    return _known(parsed)


def _suggestion(word: str) -> str:
    close = get_close_matches(word, (*_SCALARS, *_NESTED), n=1, cutoff=0.7)
    likely = _LIKELY.get(word) or next(iter(close), None)
    return f"; did you mean {likely}?" if likely else f"; known are {', '.join((*_SCALARS, *_NESTED))}"


def _known(kind: exp.DataType) -> Type:
    parts: list[object] = kind.expressions
    types = [part for part in parts if isinstance(part, exp.DataType)]
    name = str(kind.sql("databricks")).lower()
    if name in _SCALARS:
        return Scalar(name)
    if kind.this == exp.DataType.Type.DECIMAL:
        return _fixed([str(part) for part in parts])
    if kind.this == exp.DataType.Type.ARRAY and len(types) == len(parts) == 1:
        return Array(_known(types[0]))
    if kind.this == exp.DataType.Type.MAP and len(types) == len(parts) == 2:
        return _map(*types)
    if kind.this == exp.DataType.Type.STRUCT and parts:
        return _struct(parts)
    raise ValueError(f"{name} is not complete, as in decimal(10,2), array<string>, struct<a: int>")


def _fixed(numbers: list[str]) -> Fixed:
    """DECIMAL is DECIMAL(10, 0) in Spark, and DECIMAL(p) is DECIMAL(p, 0)."""
    precision, scale = (int(number) for number in (*numbers, *("10", "0")[len(numbers) :])[:2])
    if len(numbers) > 2 or not 1 <= precision <= 38 or scale > precision:
        raise ValueError(f"decimal({','.join(numbers)}) is out of range: decimal(1,0) to decimal(38,38)")
    return Fixed(precision, scale)


def _map(key: exp.DataType, value: exp.DataType) -> Map:
    if _known(key) != Scalar("string"):
        raise ValueError("the keys of a map are strings, as in map<string, int>")
    return Map(_known(value))


def _struct(parts: list[object]) -> Struct:
    fields: list[tuple[str, Type]] = []
    for part in parts:
        if not isinstance(part, exp.ColumnDef) or part.kind is None or part.constraints:
            raise ValueError("the fields of a struct are names with types, as in struct<a: int>")
        fields.append((part.name, _known(part.kind)))
    if len({name.lower() for name, _ in fields}) < len(fields):
        raise ValueError("a struct names a field twice; SQL does not tell upper from lower case there")
    return Struct(tuple(fields))


def ddl(kind: Type) -> str:
    """The type as Spark DDL."""
    match kind:
        case Scalar(name):
            return name.upper()
        case Fixed(precision, scale):
            return f"DECIMAL({precision},{scale})"
        case Choice():
            return "STRING"
        case Array(item):
            return f"ARRAY<{ddl(item)}>"
        case Map(value):
            return f"MAP<STRING, {ddl(value)}>"
        case Struct(fields):
            return f"STRUCT<{', '.join(f'{_quoted(name)}: {ddl(field)}' for name, field in fields)}>"
        case _:
            assert_never(kind)


def _quoted(name: str) -> str:
    """Backquoted unless it is a plain word that is no keyword."""
    if _BARE_NAME.fullmatch(name) and tokenize(name, read="databricks")[0].token_type.name == "VAR":
        return name
    return "`" + name.replace("`", "``") + "`"


def json_schema(kind: Type) -> dict[str, object]:
    """The type as JSON schema. No ranges or lengths: some endpoints refuse a schema with them (FACTS 1.2)."""
    match kind:
        case Scalar(name):
            return _scalar_schema(name)
        case Fixed():
            return {"type": "number"}
        case Choice(values):
            return {"type": "string", "enum": list(values)}
        case Array(item):
            return {"type": "array", "items": json_schema(item)}
        case Map(value):
            return {"type": "object", "additionalProperties": json_schema(value)}
        case Struct(fields):
            return {
                "type": "object",
                "properties": {name: json_schema(field) for name, field in fields},
                "required": [name for name, _ in fields],
                "additionalProperties": False,
            }
        case _:
            assert_never(kind)


def _scalar_schema(name: str) -> dict[str, object]:
    if name in _FORMATS:
        return {"type": "string", "format": _FORMATS[name]}
    if name in INTEGERS:
        return {"type": "integer"}
    return {"type": "number" if name in FLOATS else name}


def has_map(kind: Type) -> bool:
    """Whether a map is anywhere in it."""
    match kind:
        case Map():
            return True
        case Array(item):
            return has_map(item)
        case Struct(fields):
            return any(has_map(field) for _, field in fields)
        case Scalar() | Fixed() | Choice():
            return False
        case _:
            assert_never(kind)
