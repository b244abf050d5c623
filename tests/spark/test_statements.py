"""Statements that Apache Spark takes otherwise than the embedded lakehouse does."""

import threading

import pytest
from spark_bench import OpenBench

from rowcall.adapters.packaged import sql_texts
from rowcall.core.comparison import Side, outcomes_statement
from rowcall.core.errors import SqlError
from rowcall.core.ports import SqlSession

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def session(open_bench: OpenBench) -> SqlSession:
    return open_bench("local[1]").session


def test_answers_with_maps_are_compared(session: SqlSession):
    rows = ("1 AS id, map('a', 1) AS m", "2 AS id, map('a', 1, 'b', 2) AS m")
    answers = " UNION ALL ".join(f"SELECT {row}, 'ok' AS outcome" for row in rows)
    outputs = f"(SELECT id, named_struct('m', m, 'deep', array(m)) AS answer, outcome, id AS run_id FROM ({answers}))"
    columns, fields = (session.columns(f"SELECT {what} FROM {outputs}") for what in ("*", "answer.*"))
    side = Side("one", outputs, columns, fields)
    (found,) = session.query(outcomes_statement(sql_texts(), side, side))
    assert (found["rows"], found["same"], found["field_0"], found["field_1"]) == (2, 2, 2, 2)


def test_what_java_throws_is_an_error_of_the_statement(session: SqlSession):
    session.execute("CREATE TABLE test.kept (id BIGINT NOT NULL) USING DELTA")
    with pytest.raises(SqlError, match="NOT NULL constraint violated for column: id") as refused:
        session.execute("INSERT INTO test.kept VALUES (NULL)")
    assert "\n\tat " not in str(refused.value)
    assert session.query("SELECT count(*) AS n FROM test.kept") == [{"n": 0}]


def test_a_writer_who_was_slower_is_told_apart(session: SqlSession):
    session.execute(
        "CREATE TABLE test.raced (id BIGINT) USING DELTA TBLPROPERTIES (delta.isolationLevel = 'Serializable')"
    )
    session.execute("INSERT INTO test.raced VALUES (1)")
    errors: list[SqlError] = []

    def change() -> None:
        try:
            session.execute("UPDATE test.raced SET id = id + 1")
        except SqlError as error:
            errors.append(error)

    for _ in range(2):
        writers = [threading.Thread(target=change) for _ in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    (row,) = session.query("SELECT id FROM test.raced")
    assert row["id"] == 5 - len(errors)
    assert [error for error in errors if not error.conflict] == []
