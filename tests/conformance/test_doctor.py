"""What `rowcall doctor` finds where all is there, and with each thing missing in turn: on a SQL warehouse and a workspace that
withhold it."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rowcall import api
from rowcall.adapters.aside import Aside
from rowcall.adapters.auth import WorkspaceLogin
from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.spark import SparkSqlSession
from rowcall.adapters.warehouse import WarehouseSqlSession
from rowcall.adapters.workspace import DatabricksWorkspace
from rowcall.core.doctor.checks import Check, State, ok, worst
from rowcall.core.doctor.principal import Principal
from rowcall.core.errors import SqlError
from rowcall.doctor import Checks, examine
from rowcall.doctor_data import DataChecks
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess
from rowcall.wiring import Options, Surroundings
from support import VOLUME, control, fill, make_job, texts

APP, SERVING = {"app": "echo"}, {"serving": "echo-model"}
AI_QUERY = {"engine": {"kind": "ai_query"}}


@dataclass
class Ward:
    """Where jobs are examined: a sandbox with a SQL warehouse, and the tables of a job that has run once."""

    sandbox: SandboxProcess
    folder: Path
    profile: str = "doctor"

    def examine(self, warehouse: str | None = "sandbox", **changes: Any) -> dict[str, Check]:
        job = api.load_job(make_job("doctor", **changes))
        return by_name(examine(job, self.options(warehouse)))

    def options(self, warehouse: str | None = "sandbox") -> Options:
        return Options(home=self.folder, warehouse=warehouse, profile=self.profile)

    def stage(self, path: str, body: object) -> None:
        control(self.sandbox, "PUT", path, body)

    def withhold(self, on: str, right: str, *, hidden: bool = False) -> None:
        self.stage("rights", {"withheld": {on: [right]}, "hidden": hidden})

    def log_in(self, profile: str) -> None:
        self.profile = profile


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture(scope="module")
def treated(
    sandbox: SandboxProcess, warehouse: WarehouseSqlSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The job has run once, so that its tables and its volume are there."""
    folder = tmp_path_factory.mktemp("doctor")
    write_profiles(sandbox, folder / "databrickscfg")
    fill(warehouse, Path(sandbox.config_file).parent / "volumes/main/test/files", "doctor", texts(3), seen=VOLUME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABRICKS_CONFIG_FILE", str(folder / "databrickscfg"))
        control(sandbox, "PUT", "behaviour/echo", {})
        options = Options(home=folder, warehouse="sandbox", profile="doctor")
        row = api.run(make_job("doctor"), options=options).row
        assert (row.status, row.ok) == ("done", 3)
        yield folder


def write_profiles(sandbox: SandboxProcess, file: Path) -> None:
    """Profiles that no other test has: a process keeps what a name once stood for."""
    theirs, ours = ConfigParser(interpolation=None), ConfigParser(interpolation=None)
    theirs.read(sandbox.config_file)
    ours["doctor"] = dict(theirs[sandbox.profile])
    ours["doctor-pat"] = dict(theirs[f"{sandbox.profile}-pat"])
    ours["doctor-wrong"] = {**theirs[sandbox.profile], "client_secret": "wrong"}
    with file.open("w") as opened:
        ours.write(opened)


@pytest.fixture
def ward(treated: Path, sandbox: SandboxProcess) -> Iterator[Ward]:
    control(sandbox, "DELETE", "figures")
    made = Ward(sandbox, treated)
    yield made
    for path, body in (
        ("rights", {}),
        ("clock", {"ahead": 0}),
        ("warehouse", {}),
        ("warehouse/state", {"state": "RUNNING"}),
        ("lookup/echo", {}),
        ("lookup/echo-model", {}),
    ):
        made.stage(path, body)


def states(checks: Mapping[str, Check]) -> dict[str, State]:
    return {name: check.found.state for name, check in checks.items()}


def names_of(checks: Mapping[str, Check], state: State) -> list[str]:
    return [name for name, found in states(checks).items() if found is state]


def me(ward: Ward) -> str:
    found = Path(ward.sandbox.config_file).read_text().split("client_id = ")[1].split()[0]
    assert found.startswith("sandbox-")
    return found


@pytest.mark.parametrize(("endpoint", "more"), [(APP, {}), (SERVING, {}), (SERVING, AI_QUERY)])
def test_where_all_is_there_nothing_is_missing_asked_or_left(
    ward: Ward, endpoint: dict[str, str], more: dict[str, Any]
) -> None:
    home = Path(ward.sandbox.config_file).parent
    before = {path for path in home.rglob("*") if path.is_dir()}
    checks = ward.examine(endpoint=endpoint, **more)
    assert set(states(checks).values()) == {State.OK}
    assert checks["workspace"].found.what == f"it knows this login as service principal {me(ward)}"
    assert set(checks) >= {
        *("packages", "login", "workspace", "clock", "warehouse sandbox", "SQL", "prompts", "journal", "plan"),
        *("catalog main", "schema main.test", "table main.test.doctor", "table main.test.doctor_out"),
        *("table main.test.doctor_traces", "table main.test.doctor_runs", "volume main.test.rowcall"),
    }
    asked = control(ward.sandbox, "GET", "figures")
    assert {name: figures["calls"] for name, figures in asked.items() if figures["calls"]} == {}
    assert {path for path in home.rglob("*") if path.is_dir()} == before


@dataclass(frozen=True)
class Missing:
    """What is missing and how; the check that must find it, what it must say is to be done, and what is not checked then."""

    name: str
    check: str
    remedy: str
    arrange: Callable[[Ward], object] = lambda _: None
    job: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: State = State.MISSING
    warehouse: str | None = "sandbox"
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def withheld(on: str, right: str) -> Callable[[Ward], None]:
    return lambda ward: ward.withhold(on, right)


def staged(path: str, body: object) -> Callable[[Ward], None]:
    return lambda ward: ward.stage(path, body)


def refused(match: str, said: str) -> Callable[[Ward], None]:
    return staged("warehouse", {"faults": [{"match": match, "error": said}]})


def url(path: str, **more: object) -> Callable[[Ward], dict[str, Any]]:
    return lambda ward: {"endpoint": {"url": f"{ward.sandbox.host}{path}", **more}}


NOT_ALLOWED = "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on Table. SQLSTATE: 42501"
NO_AI_QUERY = "[AI_FUNCTION_UNSUPPORTED] ai_query is not supported on this warehouse. SQLSTATE: 0A000"
SQL_SIDE = ("SQL", "prompts", "plan")
ASKED_APP = ("app echo", "app echo: login", "app echo: CAN USE")
OUT, TRACES, RUNS = (f"main.test.doctor_{name}" for name in ("out", "traces", "runs"))
ELSEWHERE = {"outputs": {"table": "main.test_new.doctor_out"}}
NEW_TABLE = {"outputs": {"table": "main.test.doctor_new"}}

ENDPOINTS = [
    Missing("the app", "app nowhere", "databricks apps update-permissions nowhere", job={"endpoint": {"app": "nowhere"}},
            unchecked=("app nowhere: CAN USE", "plan")),
    Missing("an app that runs", "app echo", "databricks apps start echo", staged("lookup/echo", {"compute": "STOPPED"}),
            unchecked=("app echo: CAN USE", "plan")),
    Missing("CAN USE on the app", "app echo: CAN USE",
            "databricks apps update-permissions echo --json '{\"access_control_list\": "
            "[{\"service_principal_name\": \"{me}\", \"permission_level\": \"CAN_USE\"}]}'",
            withheld("app echo", "CAN_USE"), unchecked=("plan",)),
    Missing("an OAuth login for apps", "app echo: login", "databricks auth login", lambda ward: ward.log_in("doctor-pat"),
            unchecked=("app echo: CAN USE", "plan")),
    Missing("the serving endpoint", "serving nowhere", "CAN QUERY", job={"endpoint": {"serving": "nowhere"}},
            unchecked=("serving nowhere: CAN QUERY", "ai_query", "plan")),
    Missing("a serving endpoint that is ready", "serving echo-model", "Serving",
            staged("lookup/echo-model", {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}),
            {"endpoint": SERVING}, unchecked=("serving echo-model: CAN QUERY", "ai_query", "plan")),
    Missing("CAN QUERY on the serving endpoint", "serving echo-model: CAN QUERY",
            "databricks serving-endpoints update-permissions endpoint-echo-model --json '{\"access_control_list\": "
            "[{\"service_principal_name\": \"{me}\", \"permission_level\": \"CAN_QUERY\"}]}'",
            withheld("serving-endpoint echo-model", "CAN_QUERY"), {"endpoint": SERVING}, unchecked=("ai_query", "plan")),
]  # fmt: skip
WORKSPACE = [
    Missing("the right time", "clock", "NTP", staged("clock", {"ahead": 600})),
    Missing("the warehouse", "warehouse nowhere", "databricks warehouses update-permissions nowhere", warehouse="nowhere",
            unchecked=SQL_SIDE),
    Missing("CAN USE on the warehouse", "warehouse sandbox", '"permission_level": "CAN_USE"',
            withheld("warehouse sandbox", "CAN_USE"), unchecked=SQL_SIDE),
]  # fmt: skip
DATA = [
    Missing("the prompt table", "prompts", "GRANT SELECT ON TABLE main.test.nowhere TO `{me}`;",
            job={"prompts": {"table": "main.test.nowhere", "key": "id"}}, unchecked=("plan",)),
    Missing("SELECT, as SQL finds out", "prompts", "GRANT SELECT ON TABLE main.test.doctor TO `{me}`;",
            refused("DESCRIBE QUERY", NOT_ALLOWED), unchecked=("plan",)),
    Missing("SELECT in a query", "prompts", "GRANT SELECT on what the query reads.", refused("DESCRIBE QUERY", NOT_ALLOWED),
            {"prompts": {"query": "SELECT * FROM main.test.doctor", "key": "id"}}, unchecked=("plan",)),
    Missing("the catalog", "catalog nowhere", "GRANT USE CATALOG, CREATE SCHEMA ON CATALOG nowhere TO `{me}`;",
            job={"runs": {"table": "nowhere.test.runs"}}),
    Missing("USE CATALOG", "catalog main", "GRANT USE CATALOG ON CATALOG main TO `{me}`;",
            withheld("catalog main", "USE_CATALOG")),
    Missing("CREATE SCHEMA", "catalog main", "GRANT CREATE SCHEMA ON CATALOG main TO `{me}`;",
            withheld("catalog main", "CREATE_SCHEMA"), ELSEWHERE),
    Missing("USE SCHEMA", "schema main.test", "GRANT USE SCHEMA ON SCHEMA main.test TO `{me}`;",
            withheld("schema main.test", "USE_SCHEMA")),
    Missing("CREATE TABLE", "schema main.test", "GRANT CREATE TABLE ON SCHEMA main.test TO `{me}`;",
            withheld("schema main.test", "CREATE_TABLE"), NEW_TABLE),
    Missing("CREATE TABLE for a run's own tables", "schema main.test",
            "GRANT CREATE TABLE ON SCHEMA main.test TO `{me}`;", withheld("schema main.test", "CREATE_TABLE")),
    Missing("CREATE VOLUME", "schema main.test_bare", "GRANT CREATE VOLUME ON SCHEMA main.test_bare TO `{me}`;",
            withheld("schema main.test_bare", "CREATE_VOLUME"), {"outputs": {"table": "main.test_bare.doctor_out"}}),
    Missing("SELECT on the prompts", "table main.test.doctor", "GRANT SELECT ON TABLE main.test.doctor TO `{me}`;",
            withheld("table main.test.doctor", "SELECT")),
    *(Missing(f"{right} on {table}", f"table {table}", f"GRANT {right} ON TABLE {table} TO `{{me}}`;",
              withheld(f"table {table}", right)) for table in (OUT, TRACES, RUNS) for right in ("SELECT", "MODIFY")),
    *(Missing(f"{right} VOLUME", "volume main.test.rowcall", f"GRANT {right} VOLUME ON VOLUME main.test.rowcall TO `{{me}}`;",
              withheld("volume main.test.rowcall", f"{right}_VOLUME"), unchecked=("journal",)) for right in ("READ", "WRITE")),
    Missing("a journal that can be written", "journal",
            "GRANT READ VOLUME, WRITE VOLUME ON VOLUME main.test.rowcall TO `{me}`;",
            lambda ward: ward.withhold("volume main.test.rowcall", "WRITE_VOLUME", hidden=True)),
    Missing("the volume that the job names", "journal", "CREATE VOLUME main.test.nowhere;",
            job={"journal": "/Volumes/main/test/nowhere/journal"}),
    Missing("SQL with ai_query", "ai_query", "serverless", refused("ai_query", NO_AI_QUERY),
            {"endpoint": SERVING, **AI_QUERY}, unchecked=("plan",)),
    Missing("a right that the plan needs", "plan", "", refused("by_key", NOT_ALLOWED)),
    Missing("a condition that SQL can read", "prompts", "", state=State.WRONG, unchecked=("plan",),
            job={"prompts": {"table": "main.test.doctor", "key": "id", "where": "nowhere > 1"}}),
    Missing("a column that is there", "plan", "", state=State.WRONG, job={"request": {"input": "{nowhere}"}}),
]  # fmt: skip


@pytest.mark.parametrize("case", [*ENDPOINTS, *WORKSPACE, *DATA], ids=str)
def test_what_is_missing_is_named_with_what_to_do(ward: Ward, warehouse: WarehouseSqlSession, case: Missing) -> None:
    warehouse.create_schema("`main`.`test_bare`")
    case.arrange(ward)
    checks = ward.examine(case.warehouse, **case.job)
    assert names_of(checks, case.state) == [case.check], states(checks)
    found = checks[case.check].found
    assert case.remedy.replace("{me}", me(ward)) in found.remedy, found
    assert found.what
    assert names_of(checks, State.NOT_CHECKED) == list(case.unchecked)
    assert worst(checks.values()) is case.state
    for name in case.unchecked:
        assert "because of" in checks[name].found.what


def test_a_warehouse_that_stands_still_is_not_started(ward: Ward) -> None:
    control(ward.sandbox, "DELETE", "figures")
    ward.stage("warehouse/state", {"state": "STOPPED"})
    checks = ward.examine()
    assert names_of(checks, State.NOT_CHECKED) == ["SQL", "prompts", "plan"]
    assert checks["SQL"].found.remedy == "databricks warehouses start sandbox; then once more"
    assert worst(checks.values()) is State.OK
    assert control(ward.sandbox, "GET", "statements") == []


def test_grants_that_are_not_told_are_unknown_and_no_failure(ward: Ward) -> None:
    ward.stage("rights", {"hidden": True})
    checks = ward.examine()
    unknown = [check for name, check in checks.items() if check.found.state is State.UNKNOWN]
    assert {check.name.split()[0] for check in unknown} == {"catalog", "schema", "table", "volume"}
    assert all(check.found.remedy.startswith("GRANT ") for check in unknown)
    assert worst(checks.values()) is State.OK


NOT_TO_MAKE = "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have CREATE on it. SQLSTATE: 42501"


def no_creating(ward: Ward) -> None:
    """Databricks refuses CREATE … IF NOT EXISTS to whoever may not create, though it is there."""
    made = ("CREATE SCHEMA", "CREATE VOLUME", "CREATE TABLE IF NOT EXISTS")
    ward.stage("warehouse", {"faults": [{"match": match, "error": NOT_TO_MAKE} for match in made]})


def test_where_doctor_finds_all_there_a_run_needs_to_make_nothing(ward: Ward) -> None:
    no_creating(ward)
    ward.withhold("catalog main", "CREATE_SCHEMA")
    assert set(states(ward.examine()).values()) == {State.OK}
    assert api.run(make_job("doctor"), options=ward.options()).row.status == "done"


def test_what_is_not_there_cannot_be_made_without_the_right(ward: Ward) -> None:
    no_creating(ward)
    with pytest.raises(SqlError, match="does not have CREATE"):
        api.run(make_job("doctor", **NEW_TABLE), options=ward.options())


SECRET = {"url": "{host}/serving-endpoints", "model": "echo", "api": "responses", "api_key": "{{secrets/doctor/key}}"}
URLS = [
    ("secret doctor/other", "put-secret doctor other", {**SECRET, "api_key": "{{secrets/doctor/other}}"}, None),
    ("secret doctor/key", "databricks secrets put-acl doctor {me} READ", SECRET, ("secret-scope doctor", "READ")),
    ("url {host}/serving-endpoints", "", {**SECRET, "api_key": "env:DOCTOR_HAS_NO_KEY"}, None),
    ("url {host}/api/2.0", "endpoint.api_key", {"url": "{host}/api/2.0", "model": "x", "api": "chat"}, None),
    ("url http://127.0.0.1:{closed}/v1", "reached", {"url": "http://127.0.0.1:{closed}/v1", "api": "chat"}, None),
]


@pytest.mark.parametrize(("check", "remedy", "endpoint", "without"), URLS, ids=[case[0] for case in URLS])
def test_a_url_and_its_key(
    ward: Ward, check: str, remedy: str, endpoint: dict[str, str], without: tuple[str, str] | None
) -> None:
    filled = {"{host}": ward.sandbox.host, "{closed}": str(closed_port()), "{me}": me(ward)}

    def fit(said: str) -> str:
        for name, value in filled.items():
            said = said.replace(name, value)
        return said

    ward.stage("secrets/doctor/key", {"value": "sk-doctor"})
    if without is not None:
        ward.withhold(*without)
    checks = ward.examine(endpoint={key: fit(value) for key, value in endpoint.items()})
    assert names_of(checks, State.MISSING) == [fit(check)]
    assert fit(remedy) in checks[fit(check)].found.remedy
    assert "sk-doctor" not in str(checks)


def test_a_url_that_answers_is_there(ward: Ward) -> None:
    ward.stage("secrets/doctor/key", {"value": "sk-doctor"})
    checks = ward.examine(endpoint={key: value.replace("{host}", ward.sandbox.host) for key, value in SECRET.items()})
    assert set(states(checks).values()) == {State.OK}
    assert "secret doctor/key" in checks


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]


def test_what_keeps_sql_from_being_opened_hides_nothing_else(ward: Ward) -> None:
    checks = ward.examine(outputs={"table": "doctor_out"})
    assert names_of(checks, State.MISSING) == ["SQL"]
    assert "names no catalog and schema" in checks["SQL"].found.what
    assert set(names_of(checks, State.OK)) == {
        "packages",
        "login",
        "workspace",
        "clock",
        "warehouse sandbox",
        *ASKED_APP,
    }


def test_without_a_login_the_rest_is_not_checked(ward: Ward) -> None:
    ward.log_in("doctor-wrong")
    checks = ward.examine()
    assert names_of(checks, State.MISSING) == ["login"]
    assert "invalid_client" in checks["login"].found.what
    assert names_of(checks, State.OK) == ["packages"]
    assert set(names_of(checks, State.NOT_CHECKED)) >= {
        "workspace",
        "warehouse sandbox",
        "app echo",
        "rights",
        "journal",
        *SQL_SIDE,
    }


def test_a_workspace_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections, and that is all."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        profile = f"[silent]\nhost = http://127.0.0.1:{silent.getsockname()[1]}\ntoken = x\n"
        (tmp_path / "databrickscfg").write_text(profile)
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "databrickscfg"))
        checks = by_name(examine(None, Options(home=tmp_path, profile="silent"), seconds=0.5))
    assert checks["login"].found.what == "no answer within 0.5 s"
    assert names_of(checks, State.NOT_CHECKED) == ["workspace", "clock"]


def test_a_job_that_needs_no_workspace_is_asked_for_none(ward: Ward) -> None:
    checks = ward.examine(
        None,
        endpoint={"url": f"http://127.0.0.1:{closed_port()}/v1", "api": "chat"},
        prompts={"query": "SELECT 1 AS id, 'x' AS text", "key": "id"},
    )
    assert "login" not in checks
    assert checks["rights"].found.what == "the embedded lakehouse asks for none"
    assert checks["prompts"].found.state is State.OK


def test_each_of_several_endpoints_is_checked(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "doctor.yml"
    file.write_text(
        "job: doctor\nprompts: {table: main.test.doctor, key: id}\nrequest: {input: '{text}'}\n"
        "endpoints: {one: {app: nowhere}, other: {serving: echo-model}}\noutputs: {table: main.test.doctor_both}\n"
    )
    job = api.load_job(file)
    checks = by_name(examine(job, ward.options()))
    assert names_of(checks, State.MISSING) == ["app nowhere"]
    assert states(checks)["serving echo-model: CAN QUERY"] is State.OK
    assert names_of(checks, State.NOT_CHECKED) == ["app nowhere: CAN USE", "plan one"]
    assert states(checks)["plan other"] is State.OK


@pytest.mark.parametrize(
    ("kind", "rights", "names"),
    [
        (
            "Databricks 17.3",
            State.OK,
            ["SQL", "prompts", "rights", "catalog main", "plan", "tasks"],
        ),
        ("Spark Connect at sc://x", State.UNKNOWN, ["SQL", "prompts", "rights", "journal", "plan", "tasks"]),
    ],
)
def test_on_a_spark(
    house: Lakehouse, sandbox: SandboxProcess, tmp_path: Path, kind: str, rights: State, names: list[str]
) -> None:
    session = SparkSqlSession(LakehouseSql(house, sandbox.serving()), kind, house, ai_query=True)
    session.create_schema("`main`.`test`")
    login = WorkspaceLogin(sandbox.profile, sandbox.config_file)
    here = Surroundings(session, True, DatabricksWorkspace(login), login, FolderJournals(tmp_path / "journal"))
    job = api.load_job(make_job("doctor_spark", prompts={"query": "SELECT 1 AS id, 'x' AS text", "key": "id"}))
    done = Checks(Aside(60))
    checks = DataChecks(done.make, here, Principal("somebody"))
    checks.sql(job, [])
    checks.rights(job.definition, [])
    checks.run(job, [])
    found = by_name(done.checks)
    assert set(names) <= set(found)
    assert (found["rights"].found.state, found["plan"].found.state) == (rights, State.OK)
    assert found["tasks"].found == ok("Spark's tasks reach the endpoint")
    if rights is State.OK:
        # The sandbox grants its own login everything, and somebody else nothing.
        assert "USE CATALOG" in found["catalog main"].found.remedy
        assert found["catalog main"].found.remedy.endswith(" ON CATALOG main TO `somebody`;")


def test_tables_without_a_catalog_in_their_names_cannot_be_looked_up(ward: Ward) -> None:
    checks = ward.examine(runs={"table": "test.doctor_runs"})
    assert checks["rights"].found.state is State.UNKNOWN
    assert "test.doctor_runs" in checks["rights"].found.what
    assert worst(checks.values()) is State.OK
