"""Arrow tables in the shapes of TCLIService: the schema of a result, its metadata, and its rows as Arrow batches (FACTS 5.3)."""

from typing import TYPE_CHECKING, Any

from databricks.sql.thrift_api.TCLIService import ttypes

if TYPE_CHECKING:
    import pyarrow as pa

_ID = ttypes.TTypeId
_SQL_NAME = b"Spark:DataType:SqlName"
_VARIANT = b"variant"


def sent_as(table: "pa.Table") -> "pa.Table":
    """The table as a warehouse sends it: variants as JSON texts that say what they are."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if _is_variant(field):
            texts = pa.array([_json(value) for value in table.column(place).to_pylist()], pa.string())
            table = table.set_column(place, pa.field(field.name, pa.string(), metadata={_SQL_NAME: b"VARIANT"}), texts)
    return table


def metadata(schema: "pa.Schema") -> Any:
    """What GetResultSetMetadata answers for a result."""
    columns = [
        ttypes.TColumnDesc(columnName=field.name, typeDesc=_type(field.type), position=position + 1, comment="")
        for position, field in enumerate(schema)
    ]
    return ttypes.TGetResultSetMetadataResp(
        status=ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS),
        schema=ttypes.TTableSchema(columns=columns),
        resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
        lz4Compressed=False,
        arrowSchema=schema.serialize().to_pybytes(),
        isStagingOperation=False,
    )


def row_set(table: "pa.Table", offset: int) -> Any:
    """Rows as Arrow batches; `offset` is the place of the first in the whole result."""
    batches = [
        ttypes.TSparkArrowBatch(batch=batch.serialize().to_pybytes(), rowCount=batch.num_rows)
        for batch in table.combine_chunks().to_batches()
    ]
    return ttypes.TRowSet(startRowOffset=offset, rows=[], arrowBatches=batches)


def _type(kind: "pa.DataType") -> Any:
    qualifiers = None
    type_id = _type_id(kind)
    if type_id == _ID.DECIMAL_TYPE:
        decimal: Any = kind
        qualifiers = ttypes.TTypeQualifiers(
            {
                "precision": ttypes.TTypeQualifierValue(i32Value=decimal.precision),
                "scale": ttypes.TTypeQualifierValue(i32Value=decimal.scale),
            }
        )
    entry = ttypes.TPrimitiveTypeEntry(type=type_id, typeQualifiers=qualifiers)
    return ttypes.TTypeDesc([ttypes.TTypeEntry(primitiveEntry=entry)])


def _type_id(kind: "pa.DataType") -> int:
    """Thrift's type; STRING for what it does not know."""
    import pyarrow as pa

    tests = (
        (pa.types.is_boolean, _ID.BOOLEAN_TYPE),
        (pa.types.is_int8, _ID.TINYINT_TYPE),
        (pa.types.is_int16, _ID.SMALLINT_TYPE),
        (pa.types.is_int32, _ID.INT_TYPE),
        (pa.types.is_int64, _ID.BIGINT_TYPE),
        (pa.types.is_float32, _ID.FLOAT_TYPE),
        (pa.types.is_float64, _ID.DOUBLE_TYPE),
        (pa.types.is_decimal, _ID.DECIMAL_TYPE),
        (pa.types.is_timestamp, _ID.TIMESTAMP_TYPE),
        (pa.types.is_date, _ID.DATE_TYPE),
        (pa.types.is_binary, _ID.BINARY_TYPE),
        (pa.types.is_large_binary, _ID.BINARY_TYPE),
        (pa.types.is_map, _ID.MAP_TYPE),
        (pa.types.is_list, _ID.ARRAY_TYPE),
        (pa.types.is_struct, _ID.STRUCT_TYPE),
        (pa.types.is_null, _ID.NULL_TYPE),
    )
    return next((type_id for test, type_id in tests if test(kind)), _ID.STRING_TYPE)


def _is_variant(field: "pa.Field[Any]") -> bool:
    import pyarrow as pa

    kind: Any = field.type
    marked = field.metadata is not None and _VARIANT in field.metadata
    inside = pa.types.is_struct(kind) and any(_VARIANT in (part.metadata or {}) for part in kind)
    return marked or inside


def _json(value: Any) -> str | None:
    from pyspark.sql.types import VariantVal

    return None if value is None else VariantVal(value["value"], value["metadata"]).toJson()
