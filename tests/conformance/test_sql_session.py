"""Every `SqlSession`: what the runner and the engines rely on."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowcall.adapters.spark import arrow_batches
from rowcall.adapters.warehouse import WarehouseSqlSession
from rowcall.core.errors import RunError, SqlError
from rowcall.core.ports import Batches, SqlSession, TaskWork
from rowcall.core.records import Column
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess

pytestmark = pytest.mark.apache_spark


@dataclass(frozen=True, slots=True)
class Place:
    """A session, and a folder whose files it can read: where it is here, and what the session calls it."""

    session: SqlSession
    folder: Path
    path: str

    def put(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file; its path for the session."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self.folder / name)
        return f"{self.path}/{name}"


@pytest.fixture(params=["lakehouse", "warehouse"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "lakehouse":
        return Place(request.getfixturevalue("session"), tmp_path, str(tmp_path))
    sandbox: SandboxProcess = request.getfixturevalue("sandbox")
    folder = f"main/test/files/{uuid4().hex}"
    home = Path(sandbox.config_file).parent
    return Place(request.getfixturevalue("warehouse"), home / "volumes" / folder, f"/Volumes/{folder}")


@pytest.fixture
def sql(place: Place) -> SqlSession:
    return place.session


def rows(session: SqlSession, statement: str) -> list[dict[str, object]]:
    return [dict(row) for row in session.query(statement)]


# Work is made inside functions so that it travels by value: the tasks' processes have no tests to import.
def counting() -> TaskWork:
    def count_rows(batches: Batches, part: int | None) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"report": [json.dumps(sum(batch.num_rows for batch in batches))]})

    return count_rows


def failing(error: Exception) -> TaskWork:
    def fail(batches: Batches, part: int | None) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            raise error
        yield pa.RecordBatch.from_pydict({"report": ["never"]})

    return fail


def test_rows_come_back_as_mappings(sql: SqlSession):
    found = rows(sql, "SELECT 1 AS a, named_struct('x', array('y')) AS b, CAST(NULL AS STRING) AS c")
    assert found == [{"a": 1, "b": {"x": ["y"]}, "c": None}]


def local(text: str) -> datetime:
    """A moment in UTC as this machine's clock shows it, without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("true", True),
        ("CAST(7 AS TINYINT)", 7),
        ("9223372036854775807", 9223372036854775807),
        ("CAST(1.5 AS FLOAT)", 1.5),
        ("0.1D", 0.1),
        ("CAST(12.30 AS DECIMAL(10, 2))", Decimal("12.30")),
        ("'Grüße \\n 😀'", "Grüße \n 😀"),
        ("DATE'2026-02-28'", date(2026, 2, 28)),
        ("timestamp_micros(1767225600123456)", local("2026-01-01 00:00:00.123456")),
        ("timestamp_micros(1782864000000000)", local("2026-07-01 00:00:00")),
        ("array(timestamp_micros(1767225600123456), NULL)", [local("2026-01-01 00:00:00.123456"), None]),
        ("map('a', 1, 'b', CAST(NULL AS INT))", {"a": 1, "b": None}),
        ("array(named_struct('x', map('k', array(1, NULL))))", [{"x": {"k": [1, None]}}]),
        ("CAST(NULL AS STRUCT<a: INT>)", None),
        ("named_struct('a', CAST(NULL AS STRUCT<b: INT>))", {"a": None}),
        ("CAST(array() AS ARRAY<STRING>)", []),
    ],
)
def test_values_have_the_same_python_types_wherever_they_come_from(sql: SqlSession, expression: str, value: object):
    ((found,),) = [row.values() for row in sql.query(f"SELECT {expression} AS value")]
    assert found == value
    assert type(found) is type(value)


def test_no_rows_are_an_empty_list(sql: SqlSession):
    assert sql.query("SELECT id, array(id) AS a FROM range(0)") == []


def test_parameters_are_values_and_never_sql(sql: SqlSession):
    hostile = "x'; DROP TABLE y; --\\"
    found = sql.query("SELECT :text AS text, :n AS n, :f AS f", {"text": hostile, "n": 7, "f": 0.25})
    assert [dict(row) for row in found] == [{"text": hostile, "n": 7, "f": 0.25}]


def test_columns_are_told_without_running_the_query(sql: SqlSession):
    columns = sql.columns("SELECT id, CAST(id AS STRING) AS `odd name`, array(1.5D) AS a FROM range(1000000000000)")
    assert columns == (Column("id", "bigint"), Column("odd name", "string"), Column("a", "array<double>"))


def test_types_of_columns_are_told_without_spaces(sql: SqlSession):
    columns = sql.columns(
        "WITH t AS (SELECT named_struct('a', 1, 'b', array('x')) AS s) SELECT s, map('k', s) AS m FROM t"
    )
    assert columns == (
        Column("s", "struct<a:int,b:array<string>>"),
        Column("m", "map<string,struct<a:int,b:array<string>>>"),
    )


@pytest.mark.parametrize("table", ["main.test.nowhere", "main.nowhere.t", "nowhere.test.t"])
def test_a_missing_table_is_told_apart_from_other_mistakes(sql: SqlSession, table: str):
    with pytest.raises(SqlError) as missing:
        sql.columns(f"SELECT * FROM {table}")
    assert missing.value.missing


def test_bad_sql_is_an_error_with_its_statement(sql: SqlSession):
    for statement in ("SELEC 1", "SELECT nope FROM range(3)"):
        with pytest.raises(SqlError) as wrong:
            sql.query(statement)
        assert not wrong.value.missing
        assert statement in str(wrong.value)


def test_a_session_goes_on_after_an_error(sql: SqlSession):
    with pytest.raises(SqlError):
        sql.execute("SELEC 1")
    assert rows(sql, "SELECT 1 AS a") == [{"a": 1}]


def test_files_become_a_view_that_can_be_replaced(place: Place):
    paths = [place.put(f"{name}.parquet", pa.table({"name": [name]})) for name in ("a", "b c")]
    place.session.view_of_files("seen", paths)
    assert rows(place.session, "SELECT * FROM seen ORDER BY name") == [{"name": "a"}, {"name": "b c"}]
    place.session.view_of_files("seen", paths[:1])
    assert rows(place.session, "SELECT * FROM seen") == [{"name": "a"}]


def test_a_table_can_be_made_of_files(place: Place):
    name = "`main`.`test`.`of_files`"
    written = pa.table({"id": [1, 2], "text": ["it's", None], "tags": [["a"], []]})
    place.session.drop_table(name)
    place.session.view_of_files("given", [place.put("given.parquet", written)])
    place.session.execute(f"CREATE TABLE {name} USING DELTA AS SELECT * FROM given")
    assert rows(place.session, f"SELECT * FROM {name} ORDER BY id") == written.to_pylist()


def test_batches_stream_every_row(sql: SqlSession):
    batches = list(sql.batches("SELECT id FROM range(5000)"))
    assert sorted(number for batch in batches for number in batch.column("id").to_pylist()) == list(range(5000))


def test_batches_of_a_spark_without_to_arrow_are_the_same(house: Lakehouse):
    """As before 4.0."""
    values = "id, timestamp_micros(1767225600123456 + id) AS at, CAST(id AS DECIMAL(10, 2)) AS price"
    values = f"{values}, array(named_struct('a', id, 'b', CAST(NULL AS STRING))) AS nested"
    batches = arrow_batches(house.spark.sql(f"SELECT {values} FROM range(2) ORDER BY id"))
    start = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["id"], row["at"].astimezone(UTC), row["price"], row["nested"]) for row in found] == [
        (n, start + timedelta(microseconds=n), Decimal(n), [{"a": n, "b": None}]) for n in range(2)
    ]
    assert arrow_batches(house.spark.sql("SELECT id FROM range(0)")) == []


def test_batches_may_be_taken_in_another_thread(sql: SqlSession):
    batches, taken = sql.batches("SELECT id FROM range(3000)"), list[pa.RecordBatch]()
    thread = threading.Thread(target=lambda: taken.extend(batches))
    thread.start()
    assert rows(sql, "SELECT 1 AS a") == [{"a": 1}]
    thread.join()
    assert sum(batch.num_rows for batch in taken) == 3000


def test_batches_of_bad_sql_are_an_error(sql: SqlSession):
    with pytest.raises(SqlError):
        list(sql.batches("SELECT nope FROM range(3)"))


def test_threads_run_statements_side_by_side(sql: SqlSession):
    found: list[object] = []

    def count(number: int) -> None:
        found.extend(row["n"] for row in sql.query(f"SELECT count(*) + {number} AS n FROM range(1000)"))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == ["1000", "1001", "1002", "1003"]


def test_a_dropped_table_can_be_made_again_with_other_columns(sql: SqlSession):
    name = "`main`.`test`.`again`"
    sql.drop_table(name)
    sql.execute(f"CREATE TABLE {name} USING DELTA AS SELECT 1 AS a")
    sql.drop_table(name)
    sql.execute(f"CREATE TABLE {name} USING DELTA AS SELECT 'x' AS b, 2 AS c")
    assert rows(sql, f"SELECT * FROM {name}") == [{"b": "x", "c": 2}]
    sql.create_schema("`main`.`test`")
    assert len(sql.query(f"SELECT * FROM {name}")) == 1


@pytest.mark.parametrize("tasks", [1, 3])
def test_fan_out_runs_as_many_tasks_as_it_was_told(session: SqlSession, tasks: int):
    assert session.executors
    reports = session.fan_out("SELECT id FROM range(3000)", tasks, counting())
    counts = [json.loads(str(row["report"])) for row in reports]
    assert len(counts) == tasks
    assert sum(counts) == 3000


def test_a_task_that_fails_is_a_run_error_with_its_reason(session: SqlSession):
    with pytest.raises(RunError, match=r"^a Spark task failed: .*no luck"):
        session.fan_out("SELECT id FROM range(10)", 1, failing(ValueError("no luck")))
    with pytest.raises(RunError, match=r"^the journal is full$"):
        session.fan_out("SELECT id FROM range(10)", 1, failing(RunError("the journal is full")))


def new_ids(warehouse: WarehouseSqlSession, known: Sequence[str]) -> list[str]:
    return list(warehouse.statement_ids)[len(known) :]


def test_a_warehouse_tells_the_id_of_each_statement_it_was_sent(warehouse: WarehouseSqlSession):
    known = warehouse.statement_ids
    warehouse.query("SELECT 1")
    with pytest.raises(SqlError):
        warehouse.query("SELECT nope FROM range(3)")
    assert len(set(new_ids(warehouse, known))) == 2


def test_a_connection_that_was_closed_is_opened_again(warehouse: WarehouseSqlSession):
    warehouse.close()
    assert rows(warehouse, "SELECT 1 AS a") == [{"a": 1}]
