"""Every `SqlSession`: what the runner and the engines rely on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowcall.core.errors import RunError, SqlError
from rowcall.core.ports import Batches, SqlSession, TaskWork
from rowcall.core.records import Column


# Work is made inside functions so that it travels by value: the tasks' processes have no tests to import.
def counting() -> TaskWork:
    def count_rows(batches: Batches) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"report": [json.dumps(sum(batch.num_rows for batch in batches))]})

    return count_rows


def failing() -> TaskWork:
    def fail(batches: Batches) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            raise ValueError("no luck")
        yield pa.RecordBatch.from_pydict({"report": ["never"]})

    return fail


def test_rows_come_back_as_mappings(session: SqlSession):
    rows = session.query("SELECT 1 AS a, named_struct('x', array('y')) AS b, CAST(NULL AS STRING) AS c")
    assert [dict(row) for row in rows] == [{"a": 1, "b": {"x": ["y"]}, "c": None}]


def test_parameters_are_values_and_never_sql(session: SqlSession):
    hostile = "x'; DROP TABLE y; --\\"
    assert [dict(row) for row in session.query("SELECT :text AS text, :n AS n", {"text": hostile, "n": 7})] == [
        {"text": hostile, "n": 7}
    ]


def test_columns_are_told_without_running_the_query(session: SqlSession):
    columns = session.columns("SELECT id, CAST(id AS STRING) AS `odd name`, array(1.5D) AS a FROM range(1000000000000)")
    assert columns == (Column("id", "bigint"), Column("odd name", "string"), Column("a", "array<double>"))


@pytest.mark.parametrize("table", ["main.test.nowhere", "main.nowhere.t", "nowhere.test.t"])
def test_a_missing_table_is_told_apart_from_other_mistakes(session: SqlSession, table: str):
    with pytest.raises(SqlError) as missing:
        session.columns(f"SELECT * FROM {table}")
    assert missing.value.missing


def test_bad_sql_is_an_error_with_its_statement(session: SqlSession):
    for statement in ("SELEC 1", "SELECT nope FROM range(3)"):
        with pytest.raises(SqlError) as wrong:
            session.query(statement)
        assert not wrong.value.missing
        assert statement in str(wrong.value)


def test_files_become_a_view_that_can_be_replaced(session: SqlSession, tmp_path: Path):
    paths = [str(tmp_path / f"{name}.parquet") for name in "ab"]
    for path in paths:
        pq.write_table(pa.table({"path": [path]}), path)
    session.view_of_files("seen", paths)
    assert sorted(str(row["path"]) for row in session.query("SELECT path FROM seen")) == paths
    session.view_of_files("seen", paths[:1])
    assert [row["path"] for row in session.query("SELECT path FROM seen")] == paths[:1]


def test_batches_stream_every_row(session: SqlSession):
    batches = list(session.batches("SELECT id FROM range(5000)"))
    assert sorted(number for batch in batches for number in batch.column("id").to_pylist()) == list(range(5000))


def test_a_dropped_table_can_be_made_again_with_other_columns(session: SqlSession):
    name = "`main`.`test`.`again`"
    session.drop_table(name)
    session.execute(f"CREATE TABLE {name} USING DELTA AS SELECT 1 AS a")
    session.drop_table(name)
    session.execute(f"CREATE TABLE {name} USING DELTA AS SELECT 'x' AS b, 2 AS c")
    assert [dict(row) for row in session.query(f"SELECT * FROM {name}")] == [{"b": "x", "c": 2}]
    session.create_schema("`main`.`test`")
    assert len(session.query(f"SELECT * FROM {name}")) == 1


@pytest.mark.parametrize("tasks", [1, 3])
def test_fan_out_runs_as_many_tasks_as_it_was_told(session: SqlSession, tasks: int):
    assert session.executors
    reports = session.fan_out("SELECT id FROM range(3000)", tasks, counting())
    counts = [json.loads(str(row["report"])) for row in reports]
    assert len(counts) == tasks
    assert sum(counts) == 3000


def test_a_task_that_fails_is_a_run_error_with_its_reason(session: SqlSession):
    with pytest.raises(RunError, match="no luck"):
        session.fan_out("SELECT id FROM range(10)", 1, failing())
