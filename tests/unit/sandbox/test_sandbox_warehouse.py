"""The SQL warehouse of the sandbox, asked by real clients: the SQL connector, SQLAlchemy and the SDK, over HTTP."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import sqlalchemy as sa
from databricks import sql
from databricks.sdk.errors import NotFound
from databricks.sql.backend.types import CommandState
from databricks.sql.exc import DatabaseError, RequestError, ServerOperationError
from databricks.sql.parameters import TinyIntParameter
from sandbox_user import SECONDS, Workspace

from rowcall.sandbox.lakehouse import open_lakehouse
from rowcall.sandbox.process import SandboxProcess, start_sandbox

ENDLESS = "SELECT sum(id % 7) AS n FROM range(1000000000000)"
"""Interrupted, it stops: Sail looks after each batch, and one batch of a join could keep a core busy for hours."""
Connect = Callable[..., Any]


def connection(process: SandboxProcess, **options: Any) -> Any:
    token = process.serving().token
    path = "/sql/1.0/warehouses/" + options.pop("warehouse", "sandbox")
    given = {"access_token": token, "enable_telemetry": False, "_retry_stop_after_attempts_count": 1, **options}
    return sql.connect(server_hostname="127.0.0.1", http_path=path, _connection_uri=process.host + path, **given)


@pytest.fixture
def connect(workspace: Workspace) -> Iterator[Connect]:
    opened: list[Any] = []

    def make(**options: Any) -> Any:
        opened.append(connection(workspace.process, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
    workspace.http.put(f"{workspace.host}/sandbox/warehouse", json={}, timeout=SECONDS)


@pytest.fixture
def cursor(connect: Connect) -> Any:
    made = connect().cursor()
    made.execute("CREATE SCHEMA IF NOT EXISTS main.w")
    return made


def rows(cursor: Any, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cursor.execute(statement, parameters).fetchall()]


def refusal(cursor: Any, statement: str, parameters: Any = None) -> str:
    with pytest.raises(ServerOperationError) as caught:
        cursor.execute(statement, parameters)
    return str(caught.value)


def statements(workspace: Workspace) -> list[dict[str, Any]]:
    return workspace.http.get(f"{workspace.host}/sandbox/statements", timeout=SECONDS).json()


def wait_until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline


def test_a_query_returns_rows_and_says_what_columns_they_have(cursor: Any):
    assert rows(cursor, "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY a") == [(1, "x"), (2, None)]
    assert [column[:2] for column in cursor.description] == [("a", "int"), ("b", "string")]
    assert cursor.rowcount == -1


def test_comments_before_a_statement_change_nothing(cursor: Any):
    comments = "/* SELECT */ -- INSERT\n" * 40
    assert rows(cursor, f"{comments}SELECT 1") == [(1,)]
    assert rows(cursor, f"{comments}CREATE OR REPLACE TABLE main.w.commented AS SELECT 1 AS a") == [(1, 1)]
    assert rows(cursor, f"{comments}DELETE FROM main.w.commented") == [(1,)]
    assert "[PARSE_SYNTAX_ERROR]" in refusal(cursor, f"{comments}NOTHING OF THE KIND")


def test_tables_are_delta_folders_and_dml_says_how_many_rows_it_changed(cursor: Any, workspace: Workspace):
    folder = Path(workspace.process.config_file).parent / "lakehouse" / "main" / "w" / "dml"
    changes = [
        ("CREATE TABLE main.w.dml (id INT, s STRING)", [], -1),
        ("INSERT INTO main.w.dml SELECT CAST(id AS INT), 'x' FROM range(100)", [(100, 100)], 100),
        ("UPDATE main.w.dml SET s = 'y' WHERE id < 10", [(10,)], 10),
        ("DELETE FROM main.w.dml WHERE id >= 95", [(5,)], 5),
        (
            "MERGE INTO main.w.dml t USING (SELECT CAST(id AS INT) AS id FROM range(90, 100)) u ON t.id = u.id "
            "WHEN MATCHED THEN UPDATE SET s = 'm' WHEN NOT MATCHED THEN INSERT (id, s) VALUES (u.id, 'n')",
            [(10, 5, 0, 5)],
            10,
        ),
        ("UPDATE main.w.dml SET s = 'y' WHERE id > 1000", [(0,)], 0),
    ]
    for statement, returned, modified in changes:
        assert (rows(cursor, statement), cursor.rowcount) == (returned, modified), statement
    assert list(folder.glob("_delta_log/*.json"))
    cursor.execute("DROP TABLE IF EXISTS main.w.dml")
    assert not folder.exists()
    cursor.execute("DROP TABLE IF EXISTS main.w.dml")
    assert rows(cursor, "CREATE TABLE main.w.dml AS SELECT 'again' AS s") == [(1, 1)]


def test_create_table_if_not_exists_leaves_a_table_and_or_replace_replaces_even_its_columns(cursor: Any):
    cursor.execute("CREATE OR REPLACE TABLE main.w.twice AS SELECT 1 AS a")
    cursor.execute("CREATE TABLE IF NOT EXISTS main.w.twice AS SELECT 2 AS a")
    assert refusal(cursor, "CREATE TABLE main.w.twice AS SELECT 2 AS a").startswith("[TABLE_OR_VIEW_ALREADY_EXISTS]")
    assert rows(cursor, "SELECT * FROM main.w.twice") == [(1,)]
    cursor.execute("CREATE OR REPLACE TABLE main.w.twice AS SELECT 'x' AS b, a FROM main.w.twice")
    assert rows(cursor, "SELECT * FROM main.w.twice") == [("x", 1)]
    assert refusal(cursor, "CREATE OR REPLACE TABLE main.w.twice AS SELECT 1 / 0 AS c").startswith("[DIVIDE_BY_ZERO]")
    assert rows(cursor, "SELECT * FROM main.w.twice") == [("x", 1)]


def test_a_table_whose_first_rows_failed_is_not_there(cursor: Any):
    assert "[CAST_INVALID_INPUT]" in refusal(
        cursor, "CREATE TABLE main.w.failed AS SELECT CAST(concat('x', id) AS INT) AS y FROM range(3)"
    )
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in refusal(cursor, "SELECT * FROM main.w.failed")
    cursor.execute("CREATE TABLE main.w.failed AS SELECT 1 AS y")
    assert rows(cursor, "SELECT y FROM main.w.failed") == [(1,)]


def test_volumes_and_schemas_are_folders(cursor: Any, workspace: Workspace):
    home = Path(workspace.process.config_file).parent
    cursor.execute("CREATE VOLUME IF NOT EXISTS main.w.files COMMENT 'of a test'")
    assert (home / "volumes" / "main" / "w" / "files").is_dir()
    cursor.execute("DROP VOLUME IF EXISTS main.w.files")
    assert not (home / "volumes" / "main" / "w" / "files").exists()
    cursor.execute("CREATE SCHEMA main.short COMMENT 'of a test'")
    cursor.execute("CREATE TABLE main.short.t AS SELECT 1 AS a")
    assert "[SCHEMA_ALREADY_EXISTS]" in refusal(cursor, "CREATE SCHEMA main.short")
    assert "[SCHEMA_NOT_EMPTY]" in refusal(cursor, "DROP SCHEMA main.short")
    cursor.execute("DROP SCHEMA main.short CASCADE")
    assert not (home / "lakehouse" / "main" / "short").exists()


def test_a_big_result_comes_bit_for_bit_in_several_fetches(connect: Connect):
    cursor = connect().cursor(arraysize=30_000, buffer_size_bytes=10_000_000)
    cursor.execute(
        """
        SELECT CAST(id AS INT) AS i, IF(id % 7 = 0, NULL, concat('text ', id)) AS s,
          CAST(id AS DECIMAL(20, 3)) / 8 AS d, named_struct('a', id, 'b', array(id, NULL)) AS n,
          map('k', CAST(id AS DOUBLE) / 3) AS m, timestamp_micros(id * 1000003) AS t
        FROM range(100000) ORDER BY id
        """
    )
    table = cursor.fetchmany_arrow(10)
    table = pa.concat_tables([table, cursor.fetchmany_arrow(40_000), cursor.fetchall_arrow()])
    ids = range(100_000)
    assert table["i"].to_pylist() == list(ids)
    assert table["s"].to_pylist() == [None if n % 7 == 0 else f"text {n}" for n in ids]
    assert table["d"].to_pylist() == [Decimal(n) / 8 for n in ids]
    assert table["n"].to_pylist() == [{"a": n, "b": [n, None]} for n in ids]
    assert table["m"].to_pylist() == [[("k", n / 3)] for n in ids]
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert table["t"].to_pylist() == [epoch + dt.timedelta(microseconds=n * 1_000_003) for n in ids]


def test_every_type_comes_as_what_it_is(cursor: Any):
    cursor.execute(
        "SELECT CAST(1 AS TINYINT) AS a, CAST(2 AS SMALLINT) AS b, 3 AS c, 4L AS d, CAST(0.5 AS FLOAT) AS e, 1e300 AS f, "
        "CAST('12.50' AS DECIMAL(38, 2)) AS g, true AS h, X'00FF' AS i, DATE'2024-02-29' AS j, "
        "TIMESTAMP'2024-02-29 01:02:03.000004' AS k, TIMESTAMP_NTZ'2024-02-29 01:02:03.000004' AS l, NULL AS m, "
        """parse_json('{"v": [1, null]}') AS n, array(array(1)) AS o"""
    )
    names = (
        "tinyint smallint int bigint float double decimal boolean binary date timestamp timestamp null variant array"
    )
    assert [column[1] for column in cursor.description] == names.split()
    moment = dt.datetime(2024, 2, 29, 1, 2, 3, 4)
    assert [column[0] for column in cursor.fetchall_arrow().to_pydict().values()] == [
        *(1, 2, 3, 4, 0.5, 1e300, Decimal("12.50"), True, b"\x00\xff", moment.date()),
        *(moment.replace(tzinfo=dt.UTC), moment, None, '{"v":[1,null]}', [[1]]),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "int"),
        (-5, "int"),
        (-(2**31), "int"),
        (2**40, "bigint"),
        (-1.5e-300, "double"),
        (Decimal("12.345"), "decimal(5,3)"),
        (Decimal("1E+3"), "decimal(4,0)"),
        (True, "boolean"),
        (None, "void"),
        (dt.date(2024, 2, 29), "date"),
        (dt.datetime(2024, 2, 29, 1, 2, 3, 4, dt.UTC), "timestamp"),
        ([1, 2], "array<int>"),
        (["it's", "a \\"], "array<string>"),
        ([[1], [2]], "array<array<int>>"),
        ([], "array<string>"),
        ({"a'": 1, "b": 2}, "map<string,int>"),
        ("'; DROP TABLE main.w.dml; --", "string"),
        ("back\\slash \\' \\n ` \" ? :x $x {x} %s", "string"),
        ("new\nline\ttab \r /* no */ -- no", "string"),
        ("\u2028 😀 \u0000 é", "string"),
        ("", "string"),
    ],
)
def test_a_parameter_arrives_as_it_was_sent(cursor: Any, value: object, kind: str):
    cursor.execute("SELECT :x AS x, typeof(:x) AS kind, ':x' AS y -- :x", {"x": value})
    found = cursor.fetchall_arrow().to_pylist()[0]
    given = dict(found["x"]) if isinstance(value, dict) else found["x"]
    assert (given, found["kind"], found["y"]) == (value, kind, ":x")


def test_parameters_stand_anywhere_in_queries_and_in_commands(cursor: Any):
    cursor.execute("CREATE TABLE main.w.params (i INT, s STRING)")
    cursor.execute("INSERT INTO main.w.params VALUES (?, ?), (?, ?)", [1, "one '?", 2, "two"])
    cursor.execute("UPDATE main.w.params SET s = :s WHERE i = :i", {"s": "zwei", "i": 2})
    found = rows(cursor, "SELECT s FROM IDENTIFIER(:t) WHERE i IN (:a, :b) ORDER BY i LIMIT :n", {
        "t": "main.w.params", "a": 1, "b": 2, "n": 2
    })  # fmt: skip
    assert found == [("one '?",), ("zwei",)]
    assert rows(cursor, "SELECT typeof(?)", [TinyIntParameter(3)]) == [("tinyint",)]
    assert "[UNBOUND_SQL_PARAMETER]" in refusal(cursor, "SELECT ?, ?", [1])
    assert "[UNBOUND_SQL_PARAMETER]" in refusal(cursor, "SELECT :there, :missing", {"there": 1})


@pytest.mark.parametrize(
    ("statement", "error_class", "sqlstate"),
    [
        ("SELEC 1", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT * FROM main.w.nothing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SELECT nothing FROM range(3)", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703"),
        ("CREATE TABLE main.nowhere.t (a INT)", "SCHEMA_NOT_FOUND", "42704"),
        ("CREATE SCHEMA nowhere.w", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
        ("USE SCHEMA nowhere", "SCHEMA_NOT_FOUND", "42704"),
        ("SELECT 1 / 0", "DIVIDE_BY_ZERO", "22012"),
        ("SELECT CAST('x' AS INT)", "CAST_INVALID_INPUT", "22018"),
        ("SELECT nothing(1)", "UNRESOLVED_ROUTINE", "42883"),
        ("SELECT ai_query('nobody', 'hi')", "AI_FUNCTION_HTTP_REQUEST_ERROR", "08000"),
    ],
)
def test_a_failed_statement_says_why_with_class_and_state(cursor: Any, statement: str, error_class: str, sqlstate: str):
    said = refusal(cursor, statement)
    assert said.startswith(f"[{error_class}] ")
    assert said.endswith(f" SQLSTATE: {sqlstate}")
    with pytest.raises(ServerOperationError) as caught:
        cursor.execute(statement)
    assert caught.value.context["operation-id"] == cursor.query_id
    assert said in caught.value.context["diagnostic-info"]


def test_writers_that_cross_conflict_as_delta_does(cursor: Any, connect: Connect):
    cursor.execute("CREATE TABLE main.w.crossing AS SELECT id FROM range(4)")
    said: list[str] = []

    def write(number: int) -> None:
        own = connect().cursor()
        for _ in range(8):
            try:
                own.execute(f"UPDATE main.w.crossing SET id = id WHERE id = {number}")
            except ServerOperationError as error:
                said.append(str(error))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(SECONDS)
    assert said
    assert all(one.startswith("[DELTA_CONCURRENT_APPEND] ") and one.endswith("2D521") for one in said)
    assert rows(cursor, "SELECT count(DISTINCT id), count(*) FROM main.w.crossing") == [(4, 4)]


def test_a_statement_is_sent_and_looked_after_later(cursor: Any, workspace: Workspace):
    cursor.execute_async("SELECT count(*) AS n FROM range(1000)")
    query_id = cursor.query_id
    cursor.get_async_execution_result()
    assert cursor.get_query_state() is CommandState.SUCCEEDED
    assert [tuple(row) for row in cursor.fetchall()] == [(1000,)]
    assert [one["state"] for one in statements(workspace) if one["id"] == query_id] == ["FINISHED"]
    assert str(UUID(query_id)) == query_id


def test_cancelling_from_another_thread_stops_a_statement(cursor: Any, workspace: Workspace):
    said: list[BaseException] = []
    before = cursor.query_id

    def run() -> None:
        try:
            cursor.execute(ENDLESS)
        except DatabaseError as error:
            said.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    wait_until(lambda: cursor.query_id != before)
    cursor.cancel()
    runner.join(SECONDS)
    assert [str(error).split("]")[0] for error in said] == ["[OPERATION_CANCELED"]
    assert statements(workspace)[-1]["state"] == "CANCELED"
    assert rows(cursor, "SELECT 1") == [(1,)]


def test_cancelling_stops_what_ai_query_asks(cursor: Any, workspace: Workspace):
    workspace.behave("echo", latency_ms=200)
    cursor.execute_async("SELECT ai_query('echo', concat('row ', id)) AS answer FROM range(3000)")
    workspace.wait_for("echo", lambda figures: figures["calls"] > 64)
    cursor.cancel()
    assert cursor.get_query_state() is CommandState.CANCELLED
    figures = workspace.wait_for("echo", lambda figures: figures["in_flight"] == 0)
    assert rows(cursor, "SELECT 1") == [(1,)]
    assert workspace.figures("echo")["calls"] == figures["calls"] < 3000


def test_ai_query_answers_inside_a_statement(cursor: Any):
    cursor.execute("CREATE TABLE main.w.answers AS SELECT id, ai_query('echo', concat('row ', id)) AS a FROM range(50)")
    assert rows(cursor, "SELECT count(*) FROM main.w.answers WHERE a = concat('row ', id)") == [(50,)]


def test_a_statement_that_takes_too_long_fails(connect: Connect):
    cursor = connect(session_configuration={"STATEMENT_TIMEOUT": 1}).cursor()
    said = refusal(cursor, ENDLESS)
    assert said.startswith("[QUERY_EXECUTION_TIMEOUT_EXCEEDED] ")
    assert said.endswith("SQLSTATE: 57KD0")
    cursor.execute("SET STATEMENT_TIMEOUT = 60")
    assert rows(cursor, "SELECT 1") == [(1,)]


def test_sessions_have_a_schema_settings_and_temporary_views_of_their_own(connect: Connect, cursor: Any):
    cursor.execute("CREATE OR REPLACE TABLE main.w.mine AS SELECT 1 AS a")
    one, other = connect(catalog="main", schema="w").cursor(), connect().cursor()
    for session, number in ((one, 1), (other, 2)):
        session.execute(f"CREATE OR REPLACE TEMPORARY VIEW seen AS SELECT {number} AS a")
    assert rows(one, "SELECT seen.a, mine.a FROM seen JOIN mine ON seen.a = mine.a") == [(1, 1)]
    assert rows(other, "SELECT seen.a FROM seen") == [(2,)]
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in refusal(other, "SELECT * FROM mine")
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in refusal(cursor, "SELECT * FROM seen")
    other.execute("USE SCHEMA w")
    assert rows(other, "WITH seen AS (SELECT 3 AS a) SELECT s.a, m.a FROM seen s, mine m") == [(3, 1)]
    assert rows(other, "WITH a AS (SELECT 1), seen AS (SELECT a + 5 AS a FROM seen) SELECT a FROM seen") == [(7,)]
    assert rows(other, "DESCRIBE QUERY SELECT * FROM mine") == [("a", "int", None)]
    one.execute("SET hello = 'there'")
    assert rows(one, "SET hello") == [("HELLO", "there")]
    assert rows(other, "SET hello") == []
    one.execute("DROP VIEW seen")
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in refusal(one, "SELECT * FROM seen")


def test_two_sessions_run_at_once(connect: Connect, workspace: Workspace):
    workspace.http.put(
        f"{workspace.host}/sandbox/warehouse", json={"faults": [{"match": "slow", "delay_ms": 60_000}]}, timeout=SECONDS
    )
    slow, quick = connect().cursor(), connect().cursor()
    slow.execute_async("SELECT 'slow'")
    assert rows(quick, "SELECT 'quick'") == [("quick",)]
    assert slow.get_query_state() is CommandState.RUNNING
    slow.cancel()
    assert slow.get_query_state() is CommandState.CANCELLED


def test_tables_that_another_process_makes_and_drops_are_seen(cursor: Any, workspace: Workspace):
    house = open_lakehouse(Path(workspace.process.config_file).parent / "lakehouse")
    try:
        house.spark.sql("CREATE TABLE main.w.theirs USING DELTA AS SELECT 1 AS a")
        assert rows(cursor, "SELECT * FROM main.w.theirs") == [(1,)]
        house.spark.sql("INSERT INTO main.w.theirs VALUES (2)")
        assert rows(cursor, "SELECT count(*) FROM main.w.theirs") == [(2,)]
        house.spark.sql("DROP TABLE main.w.theirs")
        house.forget("main.w.theirs")
    finally:
        house.stop()
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in refusal(cursor, "SELECT * FROM main.w.theirs")
    cursor.execute("CREATE TABLE IF NOT EXISTS main.w.theirs AS SELECT 'ours' AS b")
    assert rows(cursor, "SELECT * FROM main.w.theirs") == [("ours",)]


def test_the_history_knows_statements_with_their_sessions_and_tags(connect: Connect, workspace: Workspace):
    cursor = connect(session_configuration={"QUERY_TAGS": r"job:a\:b\,c,run:1"}).cursor()
    cursor.execute("SELECT 'tagged'", query_tags={"run": "2", "extra": None})
    refusal(cursor, "SELECT 1 / 0")
    first, second = statements(workspace)[-2:]
    assert (first["statement"], first["state"]) == ("SELECT 'tagged'", "FINISHED")
    assert first["tags"] == {"job": "a:b,c", "run": "2", "extra": ""}
    assert (second["state"], second["id"]) == ("ERROR", cursor.query_id)
    assert first["session"] == second["session"] == cursor.connection.get_session_id_hex()
    workspace.http.delete(f"{workspace.host}/sandbox/figures", timeout=SECONDS)
    assert statements(workspace) == []


def test_statements_fail_on_purpose(cursor: Any, workspace: Workspace):
    faults = [
        {"match": "conflicting", "first": 1, "error": "[DELTA_CONCURRENT_APPEND] Try again. SQLSTATE: 2D521"},
        {"match": "unavailable", "first": 1, "http_status": 400, "headers": {"Retry-After": "1"}},
    ]
    control = f"{workspace.host}/sandbox/warehouse"
    assert workspace.http.put(control, json={"faults": faults}, timeout=SECONDS).status_code == 200
    assert refusal(cursor, "SELECT 'conflicting'") == "[DELTA_CONCURRENT_APPEND] Try again. SQLSTATE: 2D521"
    assert rows(cursor, "SELECT 'conflicting'") == [("conflicting",)]
    with pytest.raises(RequestError) as caught:
        cursor.execute("SELECT 'unavailable'")
    assert caught.value.context["http-code"] == 400
    assert rows(cursor, "SELECT 'unavailable'") == [("unavailable",)]
    for wrong in ({"match": "x"}, {"error": "x", "drop": "before"}, {"error": 3}, {"http_status": 99}):
        assert workspace.http.put(control, json={"faults": [wrong]}, timeout=SECONDS).status_code == 400


def test_catalogs_schemas_tables_and_columns_can_be_looked_up(cursor: Any):
    cursor.execute(
        "CREATE OR REPLACE TABLE main.w.looked_up (id BIGINT NOT NULL, price DECIMAL(10, 2) COMMENT 'in euros')"
    )
    assert [row.TABLE_CAT for row in cursor.catalogs().fetchall()] == ["main"]
    assert [tuple(row) for row in cursor.schemas(schema_name="w%").fetchall()] == [("w", "main")]
    tables = cursor.tables(catalog_name="main", schema_name="w", table_name="looked\\_up").fetchall()
    assert [(row.TABLE_CAT, row.TABLE_SCHEM, row.TABLE_NAME, row.TABLE_TYPE) for row in tables] == [
        ("main", "w", "looked_up", "TABLE")
    ]
    columns = cursor.columns(schema_name="w", table_name="looked_up").fetchall()
    assert [(row.COLUMN_NAME, row.TYPE_NAME, row.NULLABLE, row.REMARKS) for row in columns] == [
        ("id", "BIGINT", 0, ""),
        ("price", "DECIMAL(10,2)", 1, "in euros"),
    ]
    assert ("w", "looked_up", False) in rows(cursor, "SHOW TABLES IN main.w")
    assert ("w",) in rows(cursor, "SHOW SCHEMAS")


def test_sqlalchemy_creates_fills_reads_and_reflects_a_table(cursor: Any, workspace: Workspace):
    url = sa.URL.create(
        "databricks",
        username="token",
        password=workspace.process.serving().token,
        host="127.0.0.1",
        query={"http_path": "/sql/1.0/warehouses/sandbox", "catalog": "main", "schema": "w"},
    )
    uri = f"{workspace.host}/sql/1.0/warehouses/sandbox"
    engine = sa.create_engine(url, connect_args={"_connection_uri": uri, "enable_telemetry": False})
    people = sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger),
        sa.Column("name", sa.String),
        sa.Column("born", sa.Date),
    )
    people.metadata.create_all(engine)
    given = [(1, "O'Hara \\ Co", dt.date(2000, 1, 2)), (2, None, None)]
    with engine.begin() as opened:
        opened.execute(people.insert(), [dict(zip(people.columns.keys(), row, strict=True)) for row in given])
        assert [tuple(row) for row in opened.execute(sa.select(people).order_by(people.c.id))] == given
        named = sa.select(people.c.id).where(people.c.name == "O'Hara \\ Co")
        assert opened.execute(named).scalar() == 1
    assert "people" in sa.inspect(engine).get_table_names()
    assert [column["name"] for column in sa.inspect(engine).get_columns("people")] == ["id", "name", "born"]
    people.metadata.drop_all(engine)
    assert not sa.inspect(engine).has_table("people")
    engine.dispose()


def test_the_sdk_finds_the_warehouse(workspace: Workspace):
    client = workspace.client()
    assert [found.id for found in client.warehouses.list()] == ["sandbox"]
    odbc = client.warehouses.get("sandbox").odbc_params
    assert odbc is not None
    assert odbc.path == "/sql/1.0/warehouses/sandbox"
    with pytest.raises(NotFound):
        client.warehouses.get("other")


def test_an_oauth_token_is_as_good_as_a_personal_one(workspace: Workspace, connect: Connect):
    login = workspace.config("sandbox")
    cursor = connect(access_token=None, credentials_provider=lambda: login.authenticate).cursor()
    assert rows(cursor, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(("options", "status"), [({"access_token": "wrong"}, 401), ({"warehouse": "other"}, 404)])
def test_a_bad_token_and_an_unknown_warehouse_are_refused(workspace: Workspace, options: dict[str, Any], status: int):
    with pytest.raises(RequestError) as caught:
        connection(workspace.process, **options)
    assert caught.value.context["http-code"] == status


@pytest.mark.parametrize("body", [b"", b"not thrift", b"\x80\x01\x00\x01\xff\xff\xff\xff"])
def test_what_is_no_thrift_request_is_refused(workspace: Workspace, body: bytes):
    reply = workspace.post("/sql/1.0/warehouses/sandbox", data=body)
    assert reply.status_code == 400
    assert reply.json()["error_code"] == "BAD_REQUEST"


def test_a_closed_session_is_gone_with_its_statements(connect: Connect, workspace: Workspace):
    closing = connect()
    cursor = closing.cursor()
    cursor.execute_async(ENDLESS)
    kept = closing.session.session_id
    closing.close()
    assert statements(workspace)[-1]["state"] == "CANCELED"
    other = connect()
    other.session._session_id = kept
    with pytest.raises(DatabaseError, match="Invalid SessionHandle"):
        other.cursor().execute("SELECT 1")


def test_a_sandbox_stops_at_once_though_a_statement_runs(tmp_path: Path):
    with start_sandbox(tmp_path / "home", lakehouse=tmp_path / "tables") as process:
        cursor = connection(process).cursor()
        cursor.execute("CREATE TABLE main.default.here AS SELECT 1 AS a")
        cursor.execute_async(ENDLESS)
        server = next(int(line.split()[-1]) for line in _children(process.process.pid) if "sail_server" in line)
        process.stop()
        assert process.process.returncode == 0
        wait_until(lambda: not Path(f"/proc/{server}").exists())
    assert (tmp_path / "tables" / "main" / "default" / "here" / "_delta_log").is_dir()
    assert (tmp_path / "home" / "sandbox.log").read_text() == ""


def test_a_sandbox_loads_no_spark_before_its_warehouse_is_asked(tmp_path: Path):
    with start_sandbox(tmp_path) as process:
        maps = Path(f"/proc/{process.process.pid}/maps").read_text()
        assert not [name for name in ("pyspark", "pyarrow", "grpc") if name in maps]
        assert not list(_children(process.process.pid))
    assert not (tmp_path / "lakehouse").exists()


def _children(parent: int) -> Iterator[str]:
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield f"{Path(f'/proc/{child}/cmdline').read_bytes().decode()} {child}"
