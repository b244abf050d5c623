"""What the workspace's answers, packages and clocks say of what a run needs."""

import shlex
from email.utils import formatdate

import pytest

from rowcall.core.doctor.checks import Check, Found, State, blocked, missing, ok, unknown, worst
from rowcall.core.doctor.clock import clock_found
from rowcall.core.doctor.endpoints import (
    app_found,
    app_use_found,
    serving_found,
    serving_use_found,
    url_found,
    warehouse_found,
)
from rowcall.core.doctor.packages import packages_found, read_requirements
from rowcall.core.doctor.principal import NOBODY, Principal, allow, login_found, read_principal, secret_found
from rowcall.core.doctor.told import Told
from rowcall.core.login import LoginKind

ID = "8f1c9a2e-0000-4000-8000-000000000001"
ROBOT, ANN = Principal(ID), Principal("ann@x.test", is_user=True)


@pytest.mark.parametrize(
    ("body", "principal"),
    [
        ({"userName": "ann@x.test"}, ANN),
        ({"userName": ID}, ROBOT),
        (
            {"userName": ID, "groups": [{"display": "robots"}, {"value": "7"}, None]},
            Principal(ID, groups=frozenset({"robots"})),
        ),
        ({"userName": ""}, NOBODY),
        ({"groups": "robots"}, NOBODY),
        ({}, NOBODY),
    ],
)
def test_who_asks(body: dict[str, object], principal: Principal) -> None:
    assert read_principal(body) == principal


def test_a_user_and_a_service_principal_are_let_in_by_different_names() -> None:
    robot, ann = (shlex.split(allow("apps", "echo", "CAN_USE", who)) for who in (ROBOT, ANN))
    assert robot[:5] == ["databricks", "apps", "update-permissions", "echo", "--json"]
    assert (
        robot[5] == f'{{"access_control_list": [{{"service_principal_name": "{ID}", "permission_level": "CAN_USE"}}]}}'
    )
    assert '"user_name": "ann@x.test"' in ann[5]


def test_what_needs_something_missing_is_not_checked() -> None:
    done = [Check("login", ok("")), Check("clock", unknown("")), Check("SQL", missing("")), Check("plan", missing(""))]
    assert blocked(done, ["login", "clock", "never made"]) is None
    assert blocked(done, ["login", "SQL", "plan"]) == Found(State.NOT_CHECKED, "because of SQL, plan")


def test_the_worst_decides_and_the_unknown_is_no_failure() -> None:
    fine = [Check("a", ok("")), Check("b", unknown("")), Check("c", Found(State.NOT_CHECKED, ""))]
    assert worst(fine) is State.OK
    assert worst([*fine, Check("d", missing(""))]) is State.MISSING
    assert worst([Check("d", missing("")), Check("e", Found(State.WRONG, ""))]) is State.WRONG


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (0, State.OK, ""),
        (59, State.OK, ""),
        (-59, State.OK, ""),
        (200, State.MISSING, "3 m 20 s behind"),
        (-200, State.MISSING, "3 m 20 s ahead of"),
    ],
)
def test_clocks(ahead: int, state: State, said: str) -> None:
    found = clock_found(formatdate(1_800_000_000 + ahead, usegmt=True), 1_800_000_000)
    assert (found.state, said in found.what) == (state, True)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Xyz 2026"])
def test_a_reply_without_a_date_tells_no_time(date: str) -> None:
    assert clock_found(date, 0.0).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("looked", "state"),
    [
        (None, State.UNKNOWN),
        ((200, {}), State.OK),
        ((404, None), State.OK),
        ((405, None), State.OK),
        ((302, None), State.MISSING),
        ((401, None), State.MISSING),
        ((403, None), State.MISSING),
        ((503, None), State.UNKNOWN),
    ],
)
def test_an_app_that_may_be_used(looked: tuple[int, object] | None, state: State) -> None:
    assert app_use_found(looked, "echo", ROBOT).state is state


@pytest.mark.parametrize(
    ("told", "state", "said"),
    [
        (Told(200, {"compute_status": {"state": "ACTIVE"}}), State.OK, "it runs"),
        (Told(200, {"compute_status": {"state": "STARTING"}}), State.OK, "a run waits for it"),
        (Told(200, {"compute_status": {"state": "STOPPED"}}), State.MISSING, "STOPPED"),
        (Told(404, {}), State.MISSING, "not shown"),
        (Told(403, {}), State.MISSING, "may not see"),
        (Told(0, {}, "timed out"), State.UNKNOWN, "timed out"),
    ],
)
def test_an_app(told: Told, state: State, said: str) -> None:
    found = app_found(told, "echo", ROBOT)
    assert (found.state, said in found.what) == (state, True)


@pytest.mark.parametrize(
    ("level", "state"),
    [
        ("CAN_QUERY", State.OK),
        ("CAN_MANAGE", State.OK),
        ("CAN_VIEW", State.MISSING),
        ("SOMETHING_NEW", State.MISSING),
        (None, State.UNKNOWN),
        (7, State.UNKNOWN),
    ],
)
def test_a_serving_endpoint_that_may_be_queried(level: object, state: State) -> None:
    found = serving_use_found(Told(200, {"permission_level": level, "id": "abc"}), "m", ANN)
    assert found.state is state
    assert ("update-permissions abc" in found.remedy) == (state is not State.OK)


def test_a_model_behind_the_gateway_need_not_be_an_endpoint() -> None:
    assert serving_found(Told(404, {}), "system.ai.x", gateway=True).state is State.UNKNOWN
    assert serving_found(Told(404, {}), "x", gateway=False).state is State.MISSING


@pytest.mark.parametrize(
    ("looked", "state"),
    [
        (None, State.MISSING),
        ((200, {}), State.OK),
        ((404, {}), State.OK),
        ((401, {}), State.MISSING),
        ((403, {}), State.MISSING),
        ((503, "down"), State.UNKNOWN),
    ],
)
def test_a_url(looked: tuple[int, object] | None, state: State) -> None:
    assert url_found(looked, "http://x.test/v1").state is state


@pytest.mark.parametrize(
    ("told", "state", "said"),
    [
        (Told(200, {"state": "RUNNING"}), State.OK, "RUNNING"),
        (Told(200, {"state": "STOPPED"}), State.OK, "a run starts it"),
        (Told(200, {"state": "DELETED"}), State.MISSING, "DELETED"),
        (Told(200, {}), State.OK, "not told"),
        (Told(404, {}), State.MISSING, "no SQL warehouse w"),
    ],
)
def test_a_warehouse(told: Told, state: State, said: str) -> None:
    found = warehouse_found(told, "w", ROBOT)
    assert (found.state, said in found.what) == (state, True)


@pytest.mark.parametrize(
    ("status", "state", "remedy"),
    [
        (200, State.OK, ""),
        (403, State.MISSING, f"databricks secrets put-acl llm {ID} READ"),
        (404, State.MISSING, "databricks secrets put-secret llm key"),
        (0, State.UNKNOWN, ""),
    ],
)
def test_a_secret(status: int, state: State, remedy: str) -> None:
    found = secret_found(status, "llm", "key", ROBOT)
    assert (found.state, remedy in found.remedy) == (state, True)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (LoginKind("oauth-m2m", oauth=True, ambient=False), "OAuth, renewed before it ends"),
        (LoginKind("pat", oauth=False, ambient=False, profile="mine"), "profile mine, not renewed"),
        (LoginKind("runtime", oauth=False, ambient=True), "the driver makes the calls"),
    ],
)
def test_a_login(login: LoginKind, said: str) -> None:
    assert said in login_found(login, "https://w.test").what


REQUIRED = read_requirements(
    [
        "aiohttp>=3.9",
        "rich",
        "pyspark[connect]<4.3,>=4.1; extra == 'local'",
        "databricks-sql-connector>=4.2 ; extra == 'warehouse'",
        'numpy>=1.2; python_version < "3.12" and extra == "local"',
    ]
)


def test_requirements_are_read_from_metadata() -> None:
    assert [(one.name, one.least, one.extra) for one in REQUIRED] == [
        ("aiohttp", "3.9", ""),
        ("rich", "0", ""),
        ("pyspark", "4.1", "local"),
        ("databricks-sql-connector", "4.2", "warehouse"),
        ("numpy", "1.2", "local"),
    ]


@pytest.mark.parametrize(
    ("installed", "extras", "lacking"),
    [
        ({"aiohttp": "3.9.1", "rich": "13"}, [], ""),
        ({"aiohttp": "3.10rc1", "rich": "13"}, [], ""),
        ({"aiohttp": "3.8.9", "rich": "13"}, [], "aiohttp >= 3.9 (3.8.9)"),
        ({"aiohttp": "3.9", "rich": "13"}, ["warehouse"], "databricks-sql-connector >= 4.2 (not installed)"),
        ({"aiohttp": "3.9", "rich": "13", "databricks-sql-connector": "4.2.0"}, ["warehouse"], ""),
    ],
)
def test_packages(installed: dict[str, str | None], extras: list[str], lacking: str) -> None:
    found = packages_found(REQUIRED, installed, extras, "rowcall 1")
    assert found.state is (State.MISSING if lacking else State.OK)
    assert lacking in found.what
    if extras and lacking:
        assert found.remedy == "pip install --upgrade 'rowcall[warehouse]'"
