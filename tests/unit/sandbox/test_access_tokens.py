"""Access tokens: for a client, for a workload's identity, from the Databricks CLI; counted, short-lived, revoked."""

import stat
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import Unauthenticated
from sandbox_user import SECONDS, Workspace

from databricks_cli import write_databricks_cli
from rowcall.core.loose import one_line
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import control

EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, no_databricks_environment: None) -> Iterator[SandboxProcess]:
    """A sandbox of their own: these tests revoke the tokens that everybody has."""
    with start_sandbox(tmp_path_factory.mktemp("tokens")) as started:
        yield started


@pytest.fixture
def user(process: SandboxProcess) -> Workspace:
    """Somebody who has the only token; it is the one that is counted."""
    control(process, "DELETE", "tokens")
    control(process, "PUT", "tokens", {"ttl": 3600})
    return Workspace(process)


def profile(user: Workspace, name: str = "sandbox") -> dict[str, str]:
    config = ConfigParser(interpolation=None)
    config.read(user.process.config_file)
    return dict(config[name])


def identity_token(user: Workspace) -> Path:
    return Path(user.process.config_file).with_name("identity-token")


def exchange(user: Workspace, **form: str) -> requests.Response:
    return requests.post(f"{user.host}/oidc/v1/token", data={**EXCHANGE, **form}, timeout=SECONDS)


def bearer(header: dict[str, str]) -> str:
    return header["Authorization"].removeprefix("Bearer ")


def test_an_access_token_looks_like_a_jwt_says_sandbox_and_is_redacted(user: Workspace) -> None:
    token = user.config("sandbox").oauth_token().access_token
    assert token.startswith("eyJ")
    assert token.split(".")[1:-1] == ["sandbox"]
    assert one_line(f"the token {token} leaked") == "the token [redacted] leaked"


def test_tokens_and_refusals_are_counted(user: Workspace) -> None:
    assert control(user.process, "GET", "tokens") == {"issued": 1, "refused": 0}
    user.config("sandbox").authenticate()
    wrong = {"Authorization": "Bearer wrong"}
    pat = {"Authorization": f"Bearer {profile(user, 'sandbox-pat')['token']}"}
    question = {"input": "hi"}
    for path, headers in [
        ("/serving-endpoints/echo/invocations", wrong),
        ("/apps/echo/responses", pat),
        ("/api/2.0/preview/scim/v2/Me", {}),
    ]:
        method = "GET" if path.startswith("/api") else "POST"
        reply = requests.request(method, user.host + path, headers=headers, json=question, timeout=SECONDS)
        assert reply.status_code == 401
    assert control(user.process, "GET", "tokens") == {"issued": 2, "refused": 3}


def test_tokens_live_as_long_as_they_are_told_from_then_on(user: Workspace) -> None:
    control(user.process, "PUT", "tokens", {"ttl": 0})
    with pytest.raises(Unauthenticated, match="Invalid Token"):
        user.client().current_user.me()
    assert user.ask("hi", app="echo").status_code == 200


@pytest.mark.parametrize("ttl", [{}, {"ttl": "soon"}, {"ttl": -1}, {"ttl": True}, []])
def test_a_lifetime_that_makes_no_sense_is_refused(user: Workspace, ttl: Any) -> None:
    reply = user.http.put(f"{user.host}/sandbox/tokens", json=ttl, timeout=SECONDS)
    assert (reply.status_code, reply.json()) == (400, {"error": "ttl: expected a number of seconds from 0 up"})


def test_revoked_tokens_are_refused_and_new_ones_are_good(user: Workspace) -> None:
    assert user.ask("hi", app="echo").status_code == 200
    control(user.process, "DELETE", "tokens")
    assert user.ask("hi", app="echo").status_code == 401
    assert control(user.process, "GET", "tokens") == {"issued": 0, "refused": 1}
    assert Workspace(user.process).ask("hi", app="echo").status_code == 200


def test_the_sdk_logs_in_with_a_workloads_identity_from_a_file(user: Workspace) -> None:
    client = user.client("sandbox-oidc")
    assert client.config.auth_type == "file-oidc"
    assert client.current_user.me().user_name == profile(user)["client_id"]
    user.http.headers["Authorization"] = f"Bearer {client.config.oauth_token().access_token}"
    assert user.ask("hi", app="echo").status_code == 200
    assert control(user.process, "GET", "tokens") == {"issued": 2, "refused": 0}


def test_the_sdk_logs_in_with_a_workloads_identity_from_the_environment(
    user: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", user.host)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", profile(user)["client_id"])
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN", identity_token(user).read_text())
    client = WorkspaceClient()
    assert client.config.auth_type == "env-oidc"
    user.http.headers.update(client.config.authenticate())
    assert user.ask("hi", app="echo").status_code == 200


def test_an_identity_is_for_its_owner_only(user: Workspace) -> None:
    assert stat.S_IMODE(identity_token(user).stat().st_mode) == 0o600
    assert profile(user, "sandbox-oidc")["oidc_token_filepath"] == str(identity_token(user))


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"subject_token": "wrong"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token"}, 400, "unsupported_grant_type"),
    ],
)
def test_an_exchange_for_nobody_known_gets_no_token(
    user: Workspace, form: dict[str, str], status: int, error: str
) -> None:
    reply = exchange(user, **form)
    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert control(user.process, "GET", "tokens")["issued"] == 1


def test_an_exchange_says_what_kind_of_token_it_brings(user: Workspace) -> None:
    subject = {"subject_token": identity_token(user).read_text()}
    assert exchange(user, **subject).status_code == 200
    other = exchange(user, **subject, subject_token_type="urn:ietf:params:oauth:token-type:saml2")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_request")


@pytest.fixture
def cli(user: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A login through a `databricks` on PATH that is logged in to the sandbox."""
    login = profile(user)
    write_databricks_cli(tmp_path, login["client_id"], login["client_secret"])
    monkeypatch.setenv("PATH", str(tmp_path))
    return Config(host=user.host, auth_type="databricks-cli")


def test_the_sdk_logs_in_through_the_databricks_cli(user: Workspace, cli: Config) -> None:
    assert cli.auth_type == "databricks-cli"
    assert WorkspaceClient(config=cli).current_user.me().user_name == profile(user)["client_id"]
    assert bearer(cli.authenticate()) == bearer(cli.authenticate())
    user.http.headers.update(cli.authenticate())
    assert user.ask("hi", app="echo").status_code == 200


def test_the_databricks_cli_is_asked_again_when_its_token_is_about_to_expire(user: Workspace, cli: Config) -> None:
    control(user.process, "PUT", "tokens", {"ttl": 5})
    short_lived = Config(host=user.host, auth_type="databricks-cli")
    assert bearer(short_lived.authenticate()) != bearer(short_lived.authenticate())
