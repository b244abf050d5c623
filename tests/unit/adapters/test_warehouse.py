"""The SQL warehouse adapter, apart from what every `SqlSession` does: errors, logins, and the statements it makes."""

import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from databricks.sql import exc
from http_server import Answer, serving
from thrift_server import ScriptedWarehouse

from rowcall.adapters.auth import WorkspaceLogin, workspace_config
from rowcall.adapters.warehouse import WarehouseSqlSession, failure_of, read_files
from rowcall.core.errors import RowcallError, RunError, SetupError, SqlError

CONNECTOR_ERRORS = [
    error
    for _, error in inspect.getmembers(exc, inspect.isclass)
    if issubclass(error, Exception) and error.__module__ == exc.__name__
]


def login_to(host: str, folder: Path, secret: str = "token = secret") -> WorkspaceLogin:
    file = folder / "databricks.cfg"
    file.write_text(f"[here]\nhost = {host}\n{secret}\n")
    return WorkspaceLogin("here", str(file))


def made(error: type[Exception], text: str) -> Exception:
    return error(ValueError(text)) if error is exc.TelemetryNonRateLimitError else error(text)


@pytest.mark.parametrize("error", CONNECTOR_ERRORS, ids=lambda error: error.__name__)
def test_every_error_of_the_connector_is_one_of_ours_with_its_text(error: type[Exception]):
    failure = failure_of(made(error, "so it is"), "SELECT 1")
    assert isinstance(failure, RowcallError)
    assert "so it is" in str(failure)


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), pa.ArrowInvalid("ours")])
def test_an_error_that_is_not_the_warehouses_is_left_alone(error: Exception):
    assert failure_of(error, "SELECT 1") is None


@pytest.mark.parametrize(
    ("text", "missing", "conflict"),
    [
        ("[TABLE_OR_VIEW_NOT_FOUND] The table or view `a` cannot be found. SQLSTATE: 42P01", True, False),
        ("[SCHEMA_NOT_FOUND] The schema `a` cannot be found. SQLSTATE: 42704", True, False),
        ("[DELTA_CONCURRENT_APPEND] Files were added by a concurrent update. SQLSTATE: 2D521", False, True),
        ("[PARSE_SYNTAX_ERROR] Syntax error at or near 'SELEC'. SQLSTATE: 42601", False, False),
        ("[STATEMENT_TIMEOUT] The statement took longer than 10 seconds. SQLSTATE: 57KD0", False, False),
    ],
)
def test_a_failed_statement_says_what_kind_of_failure_it_is(text: str, missing: bool, conflict: bool):
    failure = failure_of(exc.ServerOperationError(text, {"operation-id": "x"}), "SELECT 1")
    assert isinstance(failure, SqlError)
    assert (failure.reason, failure.missing, failure.conflict) == (text, missing, conflict)
    assert "SELECT 1" in str(failure)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exc.RequestError("no", {"http-code": 401}), SetupError),
        (exc.RequestError("no", {"http-code": 403}), SetupError),
        (exc.RequestError("no", {"http-code": 404, "method": "OpenSession"}), SetupError),
        (exc.RequestError("no", {"http-code": 404, "method": "GetOperationStatus"}), RunError),
        (exc.MaxRetryDurationError("no"), RunError),
        (exc.DatabaseError("Invalid SessionHandle: SessionHandle [00]"), RunError),
        (exc.InterfaceError("Cannot create cursor from closed connection"), RunError),
    ],
)
def test_a_warehouse_that_refuses_or_is_lost_is_no_failed_statement(error: Exception, kind: type[RowcallError]):
    assert type(failure_of(error, "SELECT 1")) is kind


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, SetupError, "refuses the login"),
        (403, SetupError, "refuses the login"),
        (404, SetupError, "no such warehouse"),
        (503, RunError, "stopped answering"),
        (500, RunError, "stopped answering"),
    ],
)
def test_a_server_that_does_not_let_in_is_told_by_its_status(
    serve: Callable[[Answer], str], tmp_path: Path, status: int, kind: type[RowcallError], text: str
):
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 404, b""
        asked.append(path)
        return status, b"no"

    session = WarehouseSqlSession(login_to(serve(answer), tmp_path), "abc", retry_seconds=1.0)
    with pytest.raises(kind, match=text):
        session.execute("SELECT 1")
    assert set(asked) == {"/sql/1.0/warehouses/abc"}


def test_a_warehouse_that_is_not_there_stops_the_run(tmp_path: Path):
    with serving(lambda *_: (404, b"")) as host:
        login = login_to(host, tmp_path)
        workspace_config(login)
    session = WarehouseSqlSession(login, "abc", retry_seconds=1.0)
    with pytest.raises(RunError, match="stopped answering"):
        session.execute("SELECT 1")


def test_a_login_that_fails_is_found_before_anything_is_sent(serve: Callable[[Answer], str], tmp_path: Path):
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return 404, b""

    secret = "client_id = me\nclient_secret = secret\nauth_type = oauth-m2m"
    session = WarehouseSqlSession(login_to(serve(answer), tmp_path, secret), "abc", retry_seconds=1.0)
    with pytest.raises(SetupError, match="no login"):
        session.execute("SELECT 1")
    assert not any(path.startswith("/sql") for path in asked)


@pytest.fixture
def scripted() -> ScriptedWarehouse:
    return ScriptedWarehouse()


@pytest.fixture
def session(
    scripted: ScriptedWarehouse, serve: Callable[[Answer], str], tmp_path: Path
) -> Iterator[WarehouseSqlSession]:
    login = login_to(serve(scripted.answer), tmp_path)
    opened = WarehouseSqlSession(login, "abc", tags={"run": "a:b,c\\"}, statement_timeout=7200, retry_seconds=4.0)
    yield opened
    opened.close()


def when_asleep(scripted: ScriptedWarehouse, act: Callable[[], object]) -> threading.Thread:
    """Do something once a statement is running."""

    def wait() -> None:
        if scripted.sleeping.wait(30):
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_session_of_the_warehouse_is_set_up_for_paid_calls(session: WarehouseSqlSession, scripted: ScriptedWarehouse):
    session.execute("SELECT 1")
    (settings,) = scripted.sessions.values()
    assert settings["USE_CACHED_RESULT"] == "false"
    assert settings["STATEMENT_TIMEOUT"] == "7200"
    assert settings["QUERY_TAGS"] == "run:a\\:b\\,c\\\\"


def test_interrupt_cancels_what_another_thread_runs(session: WarehouseSqlSession, scripted: ScriptedWarehouse):
    thread = when_asleep(scripted, session.interrupt)
    with pytest.raises(SqlError, match="cancelled"):
        session.execute("SLEEP")
    thread.join()
    assert scripted.cancelled == ["SLEEP"]
    assert [dict(row) for row in session.query("SELECT 1")] == [{"a": 1}]
    assert scripted.opened == 1


def test_ctrl_c_cancels_the_statement_before_it_goes_on(session: WarehouseSqlSession, scripted: ScriptedWarehouse):
    thread = when_asleep(scripted, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        session.execute("SLEEP")
    thread.join()
    assert scripted.cancelled == ["SLEEP"]
    assert [dict(row) for row in session.query("SELECT 1")] == [{"a": 1}]


@pytest.mark.parametrize(("statement", "text"), [("TIME OUT", "timed out"), ("CANCELED BY ANOTHER", "was cancelled")])
def test_a_statement_that_the_warehouse_ended_says_so(session: WarehouseSqlSession, statement: str, text: str):
    with pytest.raises(SqlError, match=text):
        session.execute(statement)


def test_a_statement_whose_answer_is_lost_is_never_sent_again(
    session: WarehouseSqlSession, scripted: ScriptedWarehouse
):
    with pytest.raises(RunError, match="stopped answering"):
        session.execute("LOSE THE ANSWER")
    assert scripted.statements == ["LOSE THE ANSWER"]


def test_a_session_that_the_warehouse_lost_is_opened_again_for_the_next_statement(
    session: WarehouseSqlSession, scripted: ScriptedWarehouse
):
    session.execute("SELECT 1")
    scripted.sessions.clear()
    with pytest.raises(RunError, match="stopped answering") as lost:
        session.execute("SELECT 2")
    assert not isinstance(lost.value, SqlError)
    session.execute("SELECT 3")
    assert scripted.statements == ["SELECT 1", "SELECT 3"]
    assert scripted.opened == 2


def test_each_thread_has_a_session_of_its_own_and_close_ends_them_all(
    session: WarehouseSqlSession, scripted: ScriptedWarehouse
):
    both_here = threading.Barrier(2, timeout=30)

    def run() -> None:
        session.execute("SELECT 1")
        both_here.wait()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scripted.sessions) == 2
    session.close()
    assert scripted.sessions == {}


def test_what_a_statement_left_behind_is_given_back(session: WarehouseSqlSession, scripted: ScriptedWarehouse):
    session.execute("INSERT INTO a SELECT 1")
    next(session.batches("SELECT 1"))
    assert scripted.running == {}


@pytest.fixture
def offline(tmp_path: Path) -> WarehouseSqlSession:
    return WarehouseSqlSession(login_to("http://127.0.0.1:1", tmp_path), "abc")


def test_a_warehouse_says_what_it_can(offline: WarehouseSqlSession):
    assert (offline.kind, offline.executors, offline.ai_query) == ("SQL warehouse abc", False, True)
    assert list(offline.statement_ids) == []
    offline.interrupt()
    offline.close()


def test_a_warehouse_runs_no_tasks(offline: WarehouseSqlSession):
    with pytest.raises(RunError, match="no executors"):
        offline.fan_out("SELECT 1", 2, lambda batches, part: iter(()))


@pytest.mark.parametrize(
    "path", ["/tmp/a.parquet", "a.parquet", "dbfs:/a.parquet", "/Volumes/main/test/files/*.parquet", "/Volumes/a/{b}/c"]
)
def test_files_elsewhere_and_patterns_are_refused(offline: WarehouseSqlSession, path: str):
    with pytest.raises(RunError, match="files of volumes only"):
        offline.view_of_files("seen", ["/Volumes/main/test/files/a.parquet", path])


def test_files_of_a_folder_are_one_pattern_in_a_safe_literal():
    folder = "/Volumes/main/it's/files"
    options = "format => 'parquet', schemaEvolutionMode => 'none'"
    one = read_files([f"{folder}/a.parquet"])
    two = read_files([f"{folder}/a.parquet", f"{folder}/b c.parquet"])
    assert one == rf"SELECT * FROM read_files('/Volumes/main/it\'s/files/a.parquet', {options})"
    assert two == rf"SELECT * FROM read_files('/Volumes/main/it\'s/files/{{a.parquet,b c.parquet}}', {options})"


def test_very_many_files_are_several_patterns():
    query = read_files([f"/Volumes/main/test/files/{number}.parquet" for number in range(1201)])
    assert query.count("read_files") == 3
    assert query.count("UNION ALL") == 2
    assert all(f"{number}.parquet" in query for number in range(1201))
