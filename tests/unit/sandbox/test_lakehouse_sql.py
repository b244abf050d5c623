"""Databricks SQL on the lakehouse, but for `ai_query`: what is rewritten, and that nothing else is."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import AnalysisException, PySparkException

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.records import Column
from rowcall.sandbox.databricks_sql.interrupts import Interrupts
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.databricks_sql.sql_calls import described_query, find_calls, name_markers, replace_calls
from rowcall.sandbox.databricks_sql.volume_files import files_of
from rowcall.sandbox.lakehouse import KIND, Lakehouse

VOLUME = "/Volumes/main/test/files"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    folder = tmp_path / "volumes" / "main" / "test" / "files"
    for name, number in [("one/a", 1), ("one/deep/b", 2), ("two/a", 3), ("two/_hidden/c", 4)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": [number]}), folder / f"{name}.parquet")
    return tmp_path / "volumes"


@pytest.fixture
def sql(house: Lakehouse, volumes: Path) -> LakehouseSql:
    return LakehouseSql(house, volumes=volumes)


def rows(sql: LakehouseSql, statement: str, args: Any = None) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in sql.sql(statement, args).collect()]


def test_a_statement_stands_where_a_spark_session_is_expected(sql: LakehouseSql):
    session = SparkSqlSession(sql, KIND)
    assert [dict(row) for row in session.query("SELECT :a AS a", {"a": "x"})] == [{"a": "x"}]
    assert session.columns("SELECT 1 AS a") == (Column("a", "int"),)
    session.interrupt()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'f(1)', \"f(2)\", r'f(3)' -- f(4)",
        "SELECT /* f(1) */ `f`(1), a.f(2), f",
        "SELECT f(1",
        "SELECT 'not closed, f(1)",
    ],
)
def test_what_is_no_call_is_left_alone(text: str):
    assert find_calls(text, ["f"]) == []
    assert replace_calls(text, ["f"], lambda _: "?") == text


def test_only_the_calls_are_replaced():
    text = "SELECT  F (1) ,g( f(2), 'f(3)') -- é f(4)\n, f( a=>b[1, 2], c => (SELECT ',') )/*x*/"
    assert replace_calls(text, ["f"], lambda call: f"<{len(call.arguments)}>") == (
        "SELECT  <1> ,g( <1>, 'f(3)') -- é f(4)\n, <2>/*x*/"
    )


def test_arguments_have_names_texts_and_literals():
    [call] = find_calls("f('it\\'s', Name => struct( 1 /* , */ , 2 ), r'\\d', 1 + g(2))", ["f"])
    assert [(argument.name, argument.text) for argument in call.arguments] == [
        (None, "'it\\'s'"),
        ("name", "struct( 1 /* , */ , 2 )"),
        (None, "r'\\d'"),
        (None, "1 + g(2)"),
    ]
    assert [argument.literal for argument in call.arguments] == ["it's", None, "\\d", None]
    assert [argument.function for argument in call.arguments] == [None, "struct", None, None]


def test_markers_get_names_outside_of_literals():
    assert name_markers("SELECT ?, '?', ? -- ?", "p") == "SELECT :p0, '?', :p1 -- ?"


@pytest.mark.parametrize(
    ("statement", "query"),
    [
        ("-- why\nDESCRIBE QUERY SELECT 1;", "SELECT 1"),
        ("desc with a AS (SELECT 1) SELECT * FROM a", "with a AS (SELECT 1) SELECT * FROM a"),
        ("DESCRIBE TABLE query", None),
        ("DESCRIBE t", None),
        ("SELECT 'DESCRIBE QUERY SELECT 1'", None),
    ],
)
def test_the_query_that_is_described_is_found(statement: str, query: str | None):
    assert described_query(statement) == query


def test_describe_query_gives_columns_and_runs_nothing(sql: LakehouseSql):
    statement = (
        "DESCRIBE QUERY SELECT id, named_struct('a', array(1.5D)) AS `odd name`, :x AS x FROM range(1000000000000)"
    )
    assert rows(sql, statement, {"x": "y"}) == [
        {"col_name": "id", "data_type": "bigint", "comment": None},
        {"col_name": "odd name", "data_type": "struct<a:array<double>>", "comment": None},
        {"col_name": "x", "data_type": "string", "comment": None},
    ]


def test_describe_query_changes_nothing(sql: LakehouseSql):
    sql.sql("CREATE OR REPLACE TABLE main.default.described USING DELTA AS SELECT 1 AS a")
    for statement in (
        "INSERT INTO main.default.described SELECT 2",
        "WITH x AS (SELECT 2) INSERT INTO main.default.described TABLE x",
    ):
        with pytest.raises(PySparkException):
            sql.sql(f"DESCRIBE QUERY {statement}")
    assert rows(sql, "SELECT * FROM main.default.described") == [{"a": 1}]


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("", [1, 2, 3]),
        ("/one", [1, 2]),
        ("/{one,two}/a.parquet", [1, 3]),
        ("/*/[ab].parquet", [1, 3]),
        ("/one/deep/?.parquet", [2]),
        ("/two/_hidden", [4]),
    ],
)
def test_read_files_takes_folders_globs_and_lists(sql: LakehouseSql, path: str, numbers: list[int]):
    found = rows(sql, f"SELECT n FROM read_files('{VOLUME}{path}', format => 'parquet') AS f ORDER BY n")
    assert [row["n"] for row in found] == numbers


def test_read_files_takes_markers_and_stands_in_any_statement(sql: LakehouseSql):
    assert rows(sql, "SELECT n FROM read_files(:p)", {"p": f"{VOLUME}/two/a.parquet"}) == [{"n": 3}]
    sql.sql(f"CREATE OR REPLACE TABLE main.default.read_in USING DELTA AS SELECT n FROM read_files('{VOLUME}/two')")
    sql.sql(
        f"MERGE INTO main.default.read_in AS t USING (SELECT n FROM read_files('{VOLUME}/one')) AS s ON t.n = s.n "
        "WHEN NOT MATCHED THEN INSERT *"
    )
    assert rows(sql, "SELECT n FROM main.default.read_in ORDER BY n") == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_read_files_sees_files_that_came_later(sql: LakehouseSql, volumes: Path):
    query = f"SELECT count(*) AS n FROM read_files('{VOLUME}/two')"
    assert rows(sql, query) == [{"n": 1}]
    pq.write_table(pa.table({"n": [9]}), volumes / "main" / "test" / "files" / "two" / "z.parquet")
    assert rows(sql, query) == [{"n": 2}]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            f"'{VOLUME}/nowhere'",
            "[PATH_NOT_FOUND] Path does not exist: /Volumes/main/test/files/nowhere. SQLSTATE: 42K03",
        ),
        (f"'{VOLUME}/../../../..'", "[INVALID_PARAMETER_VALUE.PATH]"),
        ("'/Volumes/main/*/files'", "[INVALID_PARAMETER_VALUE.PATH]"),
        ("'/Volumes/main/test'", "[INVALID_PARAMETER_VALUE.PATH]"),
        ("'/tmp'", "[INVALID_PARAMETER_VALUE.PATH]"),
        ("'s3://bucket/x'", "[INVALID_PARAMETER_VALUE.PATH]"),
        (f"'{VOLUME}', format => 'csv'", "[FEATURE_NOT_SUPPORTED] read_files does not take the format csv"),
        (f"'{VOLUME}', pathGlobFilter => '*.parquet'", "[FEATURE_NOT_SUPPORTED] read_files does not take the option"),
        (f"'{VOLUME}', 'parquet'", "[INVALID_PARAMETER_VALUE]"),
        ("", "[INVALID_PARAMETER_VALUE]"),
        ("concat(n, 'x')", "[DATATYPE_MISMATCH.NON_FOLDABLE_INPUT]"),
    ],
)
def test_read_files_refuses_what_it_cannot_read(sql: LakehouseSql, call: str, error: str):
    with pytest.raises(AnalysisException) as refused:
        sql.sql(f"SELECT * FROM read_files({call})")
    assert str(refused.value).startswith(error)


def test_no_link_leads_out_of_the_volumes(volumes: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    pq.write_table(pa.table({"n": [0]}), outside / "secret.parquet")
    (volumes / "main" / "test" / "files" / "three").symlink_to(outside, target_is_directory=True)
    (volumes / "main" / "test" / "files" / "one" / "link.parquet").symlink_to(outside / "secret.parquet")
    with pytest.raises(ValueError, match="PATH_NOT_FOUND"):
        files_of(volumes, f"{VOLUME}/three")
    assert {Path(file).name for file in files_of(volumes, VOLUME)} == {"a.parquet", "b.parquet"}


def test_an_interrupt_reaches_the_statements_begun_and_no_later_one():
    interrupts = Interrupts()
    plain, tagged = interrupts.begin(()), interrupts.begin(["a/../b"])
    interrupts.interrupt("a/../b")
    assert (plain.interrupted(), tagged.interrupted()) == (False, True)
    later = interrupts.begin(["a/../b"])
    assert not later.interrupted()
    interrupts.interrupt()
    assert plain.interrupted()
    assert later.interrupted()
    assert not interrupts.begin(()).interrupted()
