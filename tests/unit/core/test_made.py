"""How one sees that a table or a volume is there."""

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.made import look_at_made, look_at_schema
from rowcall.core.records import Column

TABLES = sql.Tables(
    *(f"`main`.`my ``odd`` schema`.`{name}`" for name in ("out", "traces", "runs", "p", "r")), staged="s"
)


def test_every_table_that_rowcall_makes_can_be_looked_at() -> None:
    made = sql.create_tables(
        sql_texts(), TABLES, [Column("id", "string")], "STRUCT<a: STRING>", "CREATE TABLE IF NOT EXISTS `x`"
    )
    assert [look_at_made(one) for one in made] == [
        f"DESCRIBE TABLE {name}" for name in (TABLES.outputs, TABLES.traces, TABLES.runs)
    ]


def test_so_can_the_volume_and_schemas() -> None:
    create = sql.create_volume(sql_texts(), ("main", "x", "rowcall"))
    assert look_at_made(create) == "DESCRIBE VOLUME `main`.`x`.`rowcall`"
    assert look_at_schema("`main`.`x`") == "DESCRIBE SCHEMA `main`.`x`"


@pytest.mark.parametrize("statement", ["", "CREATE TABLE `x` AS SELECT 1", "DROP TABLE `x`"])
def test_other_statements_make_nothing_that_may_be_there(statement: str) -> None:
    with pytest.raises(ValueError, match="makes no table"):
        look_at_made(statement)
