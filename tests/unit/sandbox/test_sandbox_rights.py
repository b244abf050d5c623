"""Rights that are withheld, a clock that is wrong, a warehouse that stands still: as the real SDK hears of them."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.catalog import Privilege
from databricks.sdk.service.serving import ServingEndpointDetailedPermissionLevel as Level
from databricks.sdk.service.sql import State
from sandbox_user import SECONDS, Workspace

from support import control


@pytest.fixture
def asked(workspace: Workspace) -> Iterator[Workspace]:
    """A sandbox with the table `main.rights.texts` and the volume `main.rights.files`, which withholds nothing afterwards."""
    home = Path(workspace.process.config_file).parent
    log = home / "lakehouse" / "main" / "rights" / "texts" / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / "0.json").touch()
    (home / "volumes" / "main" / "rights" / "files").mkdir(parents=True, exist_ok=True)
    yield workspace
    control(workspace.process, "PUT", "rights", {})
    control(workspace.process, "PUT", "clock", {"ahead": 0})
    control(workspace.process, "PUT", "warehouse/state", {"state": "RUNNING"})


def withhold(workspace: Workspace, on: str, *rights: str, hidden: bool = False) -> None:
    control(workspace.process, "PUT", "rights", {"withheld": {on: list(rights)} if rights else {}, "hidden": hidden})


def held(workspace: Workspace, kind: str, name: str) -> set[Privilege | None]:
    listed = workspace.client().grants.get_effective(kind, name).privilege_assignments or []
    return {one.privilege for assigned in listed for one in assigned.privileges or []}


@pytest.mark.parametrize(
    ("kind", "name", "all_of_them"),
    [
        ("catalog", "main", {Privilege.USE_CATALOG, Privilege.CREATE_SCHEMA}),
        ("schema", "main.rights", {Privilege.USE_SCHEMA, Privilege.CREATE_TABLE, Privilege.CREATE_VOLUME}),
        ("table", "main.rights.texts", {Privilege.SELECT, Privilege.MODIFY}),
        ("volume", "main.rights.files", {Privilege.READ_VOLUME, Privilege.WRITE_VOLUME}),
    ],
)
def test_privileges_are_all_but_the_withheld(
    asked: Workspace, kind: str, name: str, all_of_them: set[Privilege]
) -> None:
    assert held(asked, kind, name) == all_of_them
    for one in all_of_them:
        withhold(asked, f"{kind} {name}", one.value)
        assert held(asked, kind, name) == all_of_them - {one}


def test_what_is_there_is_told_with_its_owner(asked: Workspace) -> None:
    client = asked.client()
    assert client.catalogs.get("main").owner == "sandbox@localhost"
    assert client.schemas.get("main.rights").full_name == "main.rights"
    assert client.tables.get("main.rights.texts").schema_name == "rights"
    assert client.volumes.read("main.rights.files").name == "files"


def test_what_is_not_there_is_not_found(asked: Workspace) -> None:
    client = asked.client()
    for look in (
        lambda: client.catalogs.get("nothing"),
        lambda: client.schemas.get("main.nothing"),
        lambda: client.tables.get("main.rights.nothing"),
        lambda: client.volumes.read("main.rights.nothing"),
        lambda: client.grants.get_effective("table", "main.rights.nothing"),
    ):
        with pytest.raises(NotFound, match="does not exist"):
            look()


def test_hidden_grants_are_for_others_to_see(asked: Workspace) -> None:
    withhold(asked, "", hidden=True)
    with pytest.raises(PermissionDenied):
        asked.client().grants.get_effective("catalog", "main")


def test_an_app_is_asked_by_those_who_can_use_it(asked: Workspace) -> None:
    withhold(asked, "app echo", "CAN_USE")
    assert asked.ask("hi", app="echo").status_code == 403
    assert asked.http.get(f"{asked.host}/apps/echo/agent/info", timeout=SECONDS).status_code == 403
    assert asked.ask("hi", serving="echo").status_code == 200


def test_an_endpoint_is_asked_by_those_who_can_query_it(asked: Workspace) -> None:
    assert asked.client().serving_endpoints.get("echo").permission_level is Level.CAN_QUERY
    withhold(asked, "serving-endpoint echo", "CAN_QUERY")
    assert asked.client().serving_endpoints.get("echo").permission_level is Level.CAN_VIEW
    body = {"model": "echo", "input": [{"role": "user", "content": "hi"}]}
    for path in ("/serving-endpoints/responses", "/ai-gateway/mlflow/v1/responses"):
        assert asked.post(path, json=body).status_code == 403
    assert asked.ask("hi", serving="echo").json()["error_code"] == "PERMISSION_DENIED"


def test_a_volume_is_read_and_written_by_those_who_may(asked: Workspace) -> None:
    files, path = asked.client().files, "/Volumes/main/rights/files/one"
    files.upload(path, io.BytesIO(b"1"))
    withhold(asked, "volume main.rights.files", "WRITE_VOLUME")
    assert files.get_metadata(path).content_length == 1
    with pytest.raises(PermissionDenied, match="WRITE VOLUME"):
        files.delete(path)
    withhold(asked, "volume main.rights.files", "READ_VOLUME")
    with pytest.raises(PermissionDenied, match="READ VOLUME"):
        files.download(path)
    files.delete(path)


def test_a_secret_is_read_by_those_who_may(asked: Workspace) -> None:
    control(asked.process, "PUT", "secrets/kept/key", {"value": "x"})
    withhold(asked, "secret-scope kept", "READ")
    with pytest.raises(PermissionDenied, match="READ permission on scope kept"):
        asked.client().secrets.get_secret("kept", "key")


def test_a_warehouse_is_for_those_who_can_use_it(asked: Workspace) -> None:
    withhold(asked, "warehouse sandbox", "CAN_USE")
    with pytest.raises(PermissionDenied):
        asked.client().warehouses.get("sandbox")
    assert asked.post("/sql/1.0/warehouses/sandbox", data=b"").status_code == 403


def test_a_warehouse_is_said_to_stand_still(asked: Workspace) -> None:
    control(asked.process, "PUT", "warehouse/state", {"state": "STOPPED"})
    assert asked.client().warehouses.get("sandbox").state is State.STOPPED


def test_the_clock_is_said_to_be_ahead(asked: Workspace) -> None:
    control(asked.process, "PUT", "clock", {"ahead": 3600})
    told = asked.http.get(f"{asked.host}/api/2.0/preview/scim/v2/Me", timeout=SECONDS).headers["Date"]
    assert timedelta(minutes=59) < parsedate_to_datetime(told) - datetime.now(UTC) < timedelta(minutes=61)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("rights", {"held": {}}, "unknown held"),
        ("rights", {"hidden": 1}, "expected true or false"),
        ("rights", {"withheld": {"chair x": ["SIT"]}}, "begins with none of"),
        ("rights", {"withheld": {"table x": ["CAN_USE"]}}, "expected a list of SELECT, MODIFY"),
        ("clock", {"ahead": "soon"}, "expected a number"),
        ("warehouse/state", {"state": "TIRED"}, "expected one of RUNNING"),
    ],
)
def test_a_mistake_is_told(asked: Workspace, path: str, body: object, said: str) -> None:
    reply = asked.http.put(f"{asked.host}/sandbox/{path}", json=body, timeout=SECONDS)
    assert reply.status_code == 400
    assert said in reply.json()["error"]
