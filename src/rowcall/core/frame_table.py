"""The rows of a local frame as an Arrow table that every SQL engine reads alike from Parquet; a key for those that have none."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pyarrow as pa


def plain_table(table: "pa.Table") -> "pa.Table":
    """The table with types that Spark reads from Parquet: no dictionaries, unsigned or half numbers, nanoseconds. What SQL has no
    type for is text: times of day, durations. Raises `ValueError` for a column that cannot be had so, with its name."""
    for index, field in enumerate(table.schema):
        wanted = plain_type(field.type)
        if wanted != field.type:
            table = table.set_column(index, field.name, _as_type(table.column(index), wanted, field.name))
    return table


def plain_type(kind: "pa.DataType") -> "pa.DataType":
    """The type that a column is sent as."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([(each.name, plain_type(each.type)) for each in kind])
    if types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type))
    return _plain_scalar(kind)


def _plain_scalar(kind: "pa.DataType") -> "pa.DataType":
    """Views are told by their names: pyarrow 15, which has none, cannot be asked."""
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if types.is_date(kind):
        return pa.date32()
    if types.is_decimal(kind):
        return pa.decimal128(min(kind.precision, 38), kind.scale)
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or str(kind) == "binary_view":
        return pa.binary()
    numbers: dict[pa.DataType, pa.DataType] = {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
    }
    kept = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_binary(kind)
    return numbers.get(kind) or (kind if kept else pa.string())


def content_hashes(table: "pa.Table") -> list[str]:
    """What stands for each row: the same for rows with the same values, here and in any other process."""
    names = table.column_names
    return [_hash([row[name] for name in names]) for row in table.to_pylist()] if names else []


def _hash(values: list[Any]) -> str:
    said = json.dumps(values, default=str, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _as_type(column: "pa.ChunkedArray[Any]", wanted: "pa.DataType", name: str) -> "pa.ChunkedArray[Any]":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(wanted) and not _is_text(column.type):
        column = _in_microseconds(column)
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, wanted)])
    try:
        return cast("Any", pc).cast(column, options=pc.CastOptions(wanted, allow_time_truncate=True))
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} cannot be read as {wanted}: {error}") from error


def _in_microseconds(column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    """Times of day and durations as Python has them, whose texts are the same wherever they come from."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_time64(column.type) and not pa.types.is_duration(column.type):
        return column
    wanted = pa.time64("us") if pa.types.is_time64(column.type) else pa.duration("us")
    return cast("Any", pc).cast(column, options=pc.CastOptions(wanted, allow_time_truncate=True))


def _is_text(kind: "pa.DataType") -> bool:
    """Whether Arrow's own texts are those of the values; of durations they are numbers."""
    import pyarrow as pa

    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(values) or pa.types.is_large_string(values) or str(values) == "string_view"
