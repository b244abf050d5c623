"""Logging in as the real SDK does, and being refused as Databricks refuses."""

import secrets
import stat
from configparser import ConfigParser
from pathlib import Path

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, Unauthenticated
from sandbox_user import SECONDS, Workspace

from rowcall.sandbox.oauth import Logins
from rowcall.sandbox.process import start_sandbox

QUESTION = {"input": [{"role": "user", "content": "hi"}]}


def credentials(workspace: Workspace) -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.read(workspace.process.config_file)
    return config


def test_the_sdk_logs_in_with_oauth(workspace: Workspace) -> None:
    client = workspace.client("sandbox")
    assert client.config.auth_type == "oauth-m2m"
    assert client.current_user.me().user_name == credentials(workspace)["sandbox"]["client_id"]
    assert client.config.oauth_token().token_type == "Bearer"
    assert client.get_workspace_id() == 1


def test_the_sdk_logs_in_with_a_personal_access_token(workspace: Workspace) -> None:
    client = workspace.client("sandbox-pat")
    assert client.config.auth_type == "pat"
    assert "echo" in {endpoint.name for endpoint in client.serving_endpoints.list()}


@pytest.mark.parametrize("token", ["wrong", "dapi" + "0" * 32])
def test_a_wrong_token_is_unauthenticated_to_the_sdk(workspace: Workspace, token: str) -> None:
    client = WorkspaceClient(host=workspace.host, token=token)
    with pytest.raises(Unauthenticated, match="Invalid Token"):
        client.serving_endpoints.get("echo")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}])
def test_a_call_without_a_bearer_token_gets_the_platforms_401(workspace: Workspace, header: dict[str, str]) -> None:
    reply = requests.post(
        f"{workspace.host}/serving-endpoints/echo/invocations", headers=header, json=QUESTION, timeout=SECONDS
    )
    assert reply.status_code == 401
    assert reply.json() == {
        "error_code": 401,
        "message": "Credential was not sent or was of an unsupported type for this API.",
    }
    assert workspace.figures("echo")["calls"] == 0


def test_an_expired_token_is_unauthenticated(tmp_path: Path) -> None:
    with start_sandbox(tmp_path, token_ttl=0) as process, pytest.raises(Unauthenticated, match="Invalid Token"):
        Workspace(process).client().current_user.me()


def test_a_wrong_secret_gets_no_token(workspace: Workspace) -> None:
    client_id = credentials(workspace)["sandbox"]["client_id"]
    reply = requests.post(
        f"{workspace.host}/oidc/v1/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, "wrong"),
        timeout=SECONDS,
    )
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_the_token_endpoint_takes_the_secret_in_the_form_too(workspace: Workspace) -> None:
    profile = credentials(workspace)["sandbox"]
    form = {"client_id": profile["client_id"], "client_secret": profile["client_secret"]}
    url = f"{workspace.host}/oidc/v1/token"
    reply = requests.post(url, data={"grant_type": "client_credentials", **form}, timeout=SECONDS)
    assert reply.json()["expires_in"] == 3600
    refused = requests.post(url, data={"grant_type": "password", **form}, timeout=SECONDS)
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(("method", "path"), [("POST", "responses"), ("POST", "invocations"), ("GET", "health")])
def test_apps_refuse_a_personal_access_token(workspace: Workspace, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {credentials(workspace)['sandbox-pat']['token']}"}
    url = f"{workspace.host}/apps/echo/{path}"
    reply = requests.request(method, url, headers=headers, json=QUESTION, timeout=SECONDS)
    assert reply.status_code == 401
    assert "personal access token" in reply.text


def test_serving_endpoints_take_a_personal_access_token(workspace: Workspace) -> None:
    headers = {"Authorization": f"Bearer {credentials(workspace)['sandbox-pat']['token']}"}
    url = f"{workspace.host}/serving-endpoints/echo/invocations"
    assert requests.post(url, headers=headers, json=QUESTION, timeout=SECONDS).status_code == 200


def test_secrets_are_for_their_owner_only_and_new_at_every_start(workspace: Workspace, tmp_path: Path) -> None:
    assert stat.S_IMODE(Path(workspace.process.config_file).stat().st_mode) == 0o600
    with start_sandbox(tmp_path) as other:
        mine, theirs = credentials(workspace), credentials(Workspace(other))
    assert mine["sandbox"]["client_secret"] != theirs["sandbox"]["client_secret"]
    assert mine["sandbox-pat"]["token"] != theirs["sandbox-pat"]["token"]


def test_endpoints_are_looked_up(workspace: Workspace) -> None:
    client = workspace.client()
    endpoint = client.serving_endpoints.get("echo")
    assert endpoint.task == "agent/v1/responses"
    assert endpoint.state is not None
    assert endpoint.state.ready is not None
    assert endpoint.state.config_update is not None
    assert (endpoint.state.ready.value, endpoint.state.config_update.value) == ("READY", "NOT_UPDATING")
    with pytest.raises(NotFound, match="nobody"):
        client.serving_endpoints.get("nobody")


def test_apps_are_looked_up(workspace: Workspace) -> None:
    client = workspace.client()
    assert client.apps.get("echo").url == f"{workspace.host}/apps/echo"
    apps = {app.name for app in client.apps.list()}
    assert apps == {"text-insight", "echo", "echo-chat-agent", "text-insight-durable", "echo-durable"}
    with pytest.raises(NotFound, match="nobody"):
        client.apps.get("nobody")


def test_an_address_that_nothing_has_is_not_found_in_the_platforms_shape(workspace: Workspace) -> None:
    reply = workspace.http.get(f"{workspace.host}/api/2.0/clusters/list", timeout=SECONDS)
    assert (reply.status_code, reply.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


class Guarded(str):
    """A secret that may be encoded, but not compared or looked up as it is: how long that takes tells how much is right."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared as it is")

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]  # it compares by rules of its own


def test_secrets_are_compared_in_constant_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare_digest(given: bytes, expected: bytes) -> bool:
        compared.append(expected)
        return secrets.compare_digest(given, expected)

    monkeypatch.setattr("rowcall.sandbox.oauth.hmac.compare_digest", compare_digest)
    names = ("client_id", "client_secret", "pat", "identity_token")
    logins = Logins(**{name: Guarded(f"the {name}") for name in names})
    for client in ("wrong", "the client_id"):
        for secret in ("wrong", "the client_secret"):
            right = (client, secret) == ("the client_id", "the client_secret")
            assert logins.is_client(client, secret) == right
    assert [logins.is_workload(token) for token in ("wrong", "the identity_token")] == [False, True]
    assert [logins.refusal(f"Bearer {token}") for token in ("wrong", "the pat")] == ["Invalid Token", None]
    assert {one.decode() for one in compared} == {f"the {name}" for name in names}
    assert compared.count(b"the client_secret") == compared.count(b"the client_id") == 4
