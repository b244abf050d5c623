"""Values of JSON as values of a SQL type, and these as Arrow arrays.

A JSON value that the type does not hold is a ValueError; a field that is missing is NULL, one too many is left out, and a STRING
takes any value as JSON text, as `from_json` does.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from itertools import accumulate
from typing import TYPE_CHECKING, Any, assert_never, cast

from rowcall.core.answer_type import FLOATS, INTEGERS, Array, Choice, Fixed, Map, Scalar, Struct, Type
from rowcall.core.loose import whole_characters

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = Context(prec=80)
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def sql_value(value: object, kind: Type) -> object:
    """The JSON value as Arrow takes a value of the type. Raises ValueError where it does not fit."""
    if value is None:
        return None
    match kind:
        case Scalar() | Fixed() | Choice():
            return _leaf(value, kind)
        case Array(item):
            return [sql_value(each, item) for each in cast("list[object]", _require(value, isinstance(value, list)))]
        case Map(item):
            return [(key, sql_value(each, item)) for key, each in _entries(value).items()]
        case Struct(fields):
            entries = _entries(value)
            return {name: sql_value(entries.get(name), field) for name, field in fields}
        case _:
            assert_never(kind)


def _entries(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", _require(value, isinstance(value, dict)))


def _leaf(value: object, kind: Scalar | Fixed | Choice) -> object:
    if isinstance(kind, Fixed):
        return _fixed(value, kind.precision, kind.scale)
    return _text(value) if isinstance(kind, Choice) else _scalar(value, kind.name)


def _scalar(value: object, name: str) -> object:
    if name == "string":
        return _text(value)
    if name == "boolean":
        return _require(value, isinstance(value, bool))
    if name in INTEGERS:
        number = _number(value)
        limit = 2 ** INTEGERS[name]
        _require(value, -limit <= number < limit and number == int(number))
        return int(number)
    if name in FLOATS:
        return float(cast("float", _require(value, abs(_number(value)) <= FLOATS[name])))
    said = str(_require(value, isinstance(value, str)))
    if name == "date":
        return date.fromisoformat(said)
    moment = datetime.fromisoformat(said)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fixed(value: object, precision: int, scale: int) -> Decimal:
    try:
        number = Decimal(str(_number(value))).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    except InvalidOperation as error:
        raise ValueError(f"not a DECIMAL({precision},{scale}): {value!r}") from error
    _require(value, abs(number) < Decimal(10) ** (precision - scale))
    return number


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"not a number: {value!r}")
    return value


def _text(value: object) -> str:
    return whole_characters(value if isinstance(value, str) else json_text(value))


def _require(value: object, fits: bool) -> object:
    if not fits:
        raise ValueError(f"does not fit: {value!r}")
    return value


def json_text(value: object) -> str:
    """Compact JSON text, which is what a STRING holds of an object."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def arrow_type(kind: Type) -> "pa.DataType":
    """The Arrow type that Spark has for a SQL type."""
    import pyarrow as pa

    match kind:
        case Scalar(name):
            return _arrow_scalar(name)
        case Fixed(precision, scale):
            return pa.decimal128(precision, scale)
        case Choice():
            return pa.string()
        case Array(item):
            return pa.list_(pa.field("element", arrow_type(item)))
        case Map(item):
            return pa.map_(pa.string(), arrow_type(item))
        case Struct(fields):
            return pa.struct([pa.field(name, arrow_type(field)) for name, field in fields])
        case _:
            assert_never(kind)


def _arrow_scalar(name: str) -> "pa.DataType":
    import pyarrow as pa

    known: dict[str, pa.DataType] = {
        "string": pa.string(),
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    return known[name]


def arrow_array(values: Sequence[Any], kind: Type) -> "pa.Array[Any]":
    """An array of `sql_value`s. The fields of a NULL struct are NULL too, which `pyarrow.array` does not see to: Sail 0.7 looks
    at the fields without looking at the struct."""
    import pyarrow as pa

    missing = pa.array([value is None for value in values], pa.bool_())
    if isinstance(kind, Struct):
        parts = [[None if value is None else value[name] for value in values] for name, _ in kind.fields]
        arrays = [arrow_array(part, field) for part, (_, field) in zip(parts, kind.fields, strict=True)]
        return pa.StructArray.from_arrays(arrays, fields=list(cast("pa.StructType", arrow_type(kind))), mask=missing)
    if isinstance(kind, Array):
        offsets = pa.array([0, *accumulate(len(value or ()) for value in values)], pa.int32())
        items = arrow_array([item for value in values for item in value or ()], kind.item)
        return pa.ListArray.from_arrays(offsets, items, type=arrow_type(kind), mask=missing)
    return pa.array(values, arrow_type(kind))


def image_url(image: bytes) -> str:
    """A picture as a data URL. Raises ValueError for what is neither PNG nor JPEG."""
    media_type = next((name for magic, name in _IMAGES.items() if image.startswith(magic)), None)
    if media_type is None:
        raise ValueError("files takes JPEG and PNG only")
    return f"data:{media_type};base64,{base64.b64encode(image).decode()}"
