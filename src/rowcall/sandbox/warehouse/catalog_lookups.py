"""What catalogs, schemas, tables and columns there are: SHOW, and the lookups of Thrift's TCLIService.

The columns are those a SQL warehouse answers with; patterns are SQL's: `%`, `_`, and a backslash before either.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowcall.core.sql import identifier

if TYPE_CHECKING:
    import pyarrow as pa

SYSTEM = "system"
"""Sail's own catalog, which a workspace does not have in this form."""
# java.sql.Types, by the first word of a type.
_JDBC = {
    "boolean": 16,
    "tinyint": -6,
    "smallint": 5,
    "int": 4,
    "bigint": -5,
    "float": 6,
    "double": 8,
    "decimal": 3,
    "string": 12,
    "binary": -2,
    "date": 91,
    "timestamp": 93,
    "timestamp_ntz": 93,
    "array": 2003,
    "map": 2000,
    "struct": 2002,
}
_TEXT, _INT = "string", "int32"
_CATALOGS = {"TABLE_CAT": _TEXT}
_SCHEMAS = {"TABLE_SCHEM": _TEXT, "TABLE_CATALOG": _TEXT}
_TABLES: dict[str, str] = dict.fromkeys(("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS"), _TEXT)
_COLUMNS = {
    "TABLE_CAT": _TEXT,
    "TABLE_SCHEM": _TEXT,
    "TABLE_NAME": _TEXT,
    "COLUMN_NAME": _TEXT,
    "DATA_TYPE": _INT,
    "TYPE_NAME": _TEXT,
    "COLUMN_SIZE": _INT,
    "DECIMAL_DIGITS": _INT,
    "NULLABLE": _INT,
    "REMARKS": _TEXT,
    "COLUMN_DEF": _TEXT,
    "ORDINAL_POSITION": _INT,
    "IS_NULLABLE": _TEXT,
    "IS_AUTO_INCREMENT": _TEXT,
}

Rows = Callable[[str], "pa.Table"]
Found = dict[str, Any]


class CatalogLookups:
    """Lookups by SQL. `rows` runs a statement; `spark` tells the columns of a table."""

    def __init__(self, rows: Rows, spark: Any) -> None:
        self._rows = rows
        self._spark = spark

    def catalogs(self) -> list[str]:
        names = self._rows("SHOW CATALOGS").column(0).to_pylist()
        return sorted(str(name) for name in names if name != SYSTEM)

    def get_catalogs(self) -> "pa.Table":
        return _made(_CATALOGS, [{"TABLE_CAT": name} for name in self.catalogs()])

    def get_schemas(self, catalog: str | None, schema: str | None) -> "pa.Table":
        found = self._schemas(catalog, schema)
        return _made(_SCHEMAS, [{"TABLE_SCHEM": name, "TABLE_CATALOG": where} for where, name in found])

    def get_tables(self, catalog: str | None, schema: str | None, table: str | None) -> "pa.Table":
        return _made(_TABLES, list(self._tables(catalog, schema, table)))

    def get_columns(self, catalog: str | None, schema: str | None, table: str | None, column: str | None) -> "pa.Table":
        fits = _pattern(column)
        described = (row for found in self._tables(catalog, schema, table) for row in self._columns(found))
        return _made(_COLUMNS, [row for row in described if fits(str(row["COLUMN_NAME"]))])

    def shown(self, what: str, table: "pa.Table", views: Mapping[str, str]) -> "pa.Table":
        """What SHOW `what` answers, from what Sail answered; of the temporary views only the session's own."""
        own = {physical: name for name, physical in views.items()}
        answered: list[dict[str, Any]] = table.to_pylist()
        rows = [row for row in answered if not row.get("isTemporary") or row["tableName"] in own]
        if what == "SCHEMAS":
            return _made({"databaseName": _TEXT}, [{"databaseName": row["name"]} for row in rows])
        named = [
            {
                **row,
                "namespace": ".".join(row.get("namespace") or ()),
                "tableName": own.get(row["tableName"], row["tableName"]),
                "viewName": own.get(row["tableName"], row["tableName"]),
                "isMaterialized": False,
            }
            for row in rows
        ]
        if what == "TABLES":
            return _made({"database": _TEXT, "tableName": _TEXT, "isTemporary": "bool"}, named)
        return _made({"namespace": _TEXT, "viewName": _TEXT, "isTemporary": "bool", "isMaterialized": "bool"}, named)

    def _schemas(self, catalog: str | None, schema: str | None) -> Iterator[tuple[str, str]]:
        fits_catalog, fits = _pattern(catalog), _pattern(schema)
        for name in self.catalogs():
            if fits_catalog(name):
                rows = self._rows(f"SHOW SCHEMAS IN {identifier(name)}").column(0).to_pylist()
                yield from ((name, found) for found in sorted(map(str, rows)) if fits(found))

    def _tables(self, catalog: str | None, schema: str | None, table: str | None) -> Iterator[Found]:
        fits = _pattern(table)
        for where, name in self._schemas(catalog, schema):
            rows = self._rows(f"SHOW TABLES IN {identifier(where)}.{identifier(name)}").to_pylist()
            for found in sorted(str(row["tableName"]) for row in rows if not row["isTemporary"]):
                if fits(found):
                    yield {
                        "TABLE_CAT": where,
                        "TABLE_SCHEM": name,
                        "TABLE_NAME": found,
                        "TABLE_TYPE": "TABLE",
                        "REMARKS": "",
                    }

    def _columns(self, table: Found) -> Iterator[Found]:
        parts = (table["TABLE_CAT"], table["TABLE_SCHEM"], table["TABLE_NAME"])
        name = ".".join(identifier(str(part)) for part in parts)
        comments = {row["col_name"]: row["comment"] for row in self._rows(f"DESCRIBE TABLE {name}").to_pylist()}
        for position, column in enumerate(self._spark.table(name).schema):
            type_name = column.dataType.simpleString()
            yield {
                **table,
                "COLUMN_NAME": column.name,
                "DATA_TYPE": _JDBC.get(re.split(r"\W", type_name)[0], 1111),
                "TYPE_NAME": type_name.upper(),
                "COLUMN_SIZE": getattr(column.dataType, "precision", None),
                "DECIMAL_DIGITS": getattr(column.dataType, "scale", None),
                "NULLABLE": int(column.nullable),
                "REMARKS": comments.get(column.name) or "",
                "ORDINAL_POSITION": position,
                "IS_NULLABLE": "YES" if column.nullable else "NO",
                "IS_AUTO_INCREMENT": "NO",
            }


def _pattern(pattern: str | None) -> Callable[[str], bool]:
    """What fits a pattern, whatever its case; everything, if there is none."""
    if not pattern:
        return lambda _: True
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    compiled = re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts), re.I | re.S)
    return lambda name: compiled.fullmatch(name) is not None


def _made(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> "pa.Table":
    import pyarrow as pa

    types = {"string": pa.string(), "int32": pa.int32(), "bool": pa.bool_()}
    fields = [pa.field(name, types[kind]) for name, kind in columns.items()]
    return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows], schema=pa.schema(fields))
