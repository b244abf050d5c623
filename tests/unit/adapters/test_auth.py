"""Logins by reference: what travels, what kind they are, and what is said where they do not work."""

import asyncio
import base64
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from http_server import Answer

from rowcall.adapters.auth import KeyLogin, Login, NoLogin, SecretLogin, credentials, key_login
from rowcall.adapters.workspace_login import WorkspaceLogin, login_kind, workspace_config
from rowcall.core.errors import SetupError
from rowcall.core.login import LoginKind, refused_by_apps

Serve = Callable[[Answer], str]
SECRET = "{{secrets/models/api-key}}"


def profile(folder: Path, **settings: str) -> WorkspaceLogin:
    """A login with a configuration file of its own."""
    file = folder / "databrickscfg"
    file.write_text("[mine]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return WorkspaceLogin("mine", str(file))


def header(login: Login) -> str | None:
    return asyncio.run(credentials(login).headers()).get("Authorization")


@pytest.mark.parametrize(
    ("reference", "login"),
    [
        (None, NoLogin()),
        ("env:MY_KEY", KeyLogin("MY_KEY")),
        (SECRET, SecretLogin("models", "api-key", WorkspaceLogin("dev"))),
    ],
)
def test_a_reference_says_where_the_key_is(reference: str | None, login: Login):
    assert key_login(reference, WorkspaceLogin("dev")) == login
    assert pickle.loads(pickle.dumps(login)) == login


def test_a_secret_is_read_once_where_it_is_used(tmp_path: Path, serve: Serve):
    asked: list[str] = []

    def answer(_: str, path: str, __: bytes) -> tuple[int, bytes]:
        asked.append(path)
        value = base64.b64encode("säsam\n".encode()).decode()
        return (200, json.dumps({"key": "api-key", "value": value}).encode()) if "secrets" in path else (404, b"{}")

    login = key_login(SECRET, profile(tmp_path, host=serve(answer), token="dapi1"))
    assert [header(login), header(login)] == ["Bearer säsam"] * 2
    assert [path for path in asked if "secrets" in path] == ["/api/2.0/secrets/get?scope=models&key=api-key"]
    assert b"dapi1" not in pickle.dumps(login)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}, "which the workspace does not have"),
        (403, {"error_code": "PERMISSION_DENIED", "message": "x"}, "which this login may not read"),
        (401, {"error_code": 401, "message": "Invalid Token"}, "which could not be read: Invalid Token"),
        (200, {"key": "k", "value": base64.b64encode(b"\xff\x00").decode()}, "which is not text"),
        (200, {"key": "k", "value": base64.b64encode(b"a\nb").decode()}, "which is empty or more than one line"),
        (200, {"key": "k", "value": ""}, "which is empty or more than one line"),
        (200, {"key": "k"}, "which is not text"),
    ],
)
def test_a_secret_that_gives_no_key_is_named(
    tmp_path: Path, serve: Serve, status: int, body: dict[str, object], says: str
):
    def answer(_: str, path: str, __: bytes) -> tuple[int, bytes]:
        return (status, json.dumps(body).encode()) if "secrets" in path else (404, b"{}")

    login = key_login(SECRET, profile(tmp_path, host=serve(answer), token="dapi1"))
    with pytest.raises(SetupError) as caught:
        credentials(login)
    assert str(caught.value).startswith(f"endpoint.api_key names the secret {SECRET}, {says}")


def test_a_personal_access_token_and_a_password_are_no_oauth(tmp_path: Path, serve: Serve):
    host = serve(lambda *_: (404, b"{}"))
    (tmp_path / "basic").mkdir()
    basic = profile(tmp_path / "basic", host=host, username="ada", password="sesame")
    assert login_kind(profile(tmp_path, host=host, token="dapi1")) == LoginKind("pat", False, False, "mine")
    assert login_kind(basic) == LoginKind("basic", False, False, "mine")


def test_apps_say_which_login_they_do_not_take():
    assert refused_by_apps(LoginKind("oauth-m2m", oauth=True, ambient=False)) is None
    said = refused_by_apps(LoginKind("pat", oauth=False, ambient=False, profile="dev"))
    assert said is not None
    assert said.startswith(
        "apps take OAuth tokens only; this login is a personal access token (auth_type pat, profile dev)."
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"client_secret": "sesame"}, "default auth: cannot configure default credentials"),
        ({"client_secret": "sesame", "client_id": "me"}, "it does not say where it gives tokens"),
    ],
)
def test_a_login_that_cannot_work_says_why_without_what_it_looked_at(
    tmp_path: Path, serve: Serve, settings: dict[str, str], says: str
):
    host = serve(lambda *_: (404, b"{}"))
    with pytest.raises(SetupError) as caught:
        workspace_config(profile(tmp_path, host=host, **settings))
    assert str(caught.value).startswith(f"no login to a Databricks workspace: {says}")
    assert "sesame" not in str(caught.value)
    assert "Config:" not in str(caught.value)


NAMESPACE = """
class UserNamespaceInitializer:
    getOrCreate = classmethod(lambda cls: cls())
    get_namespace_globals = lambda self: {}
"""
RUNTIME = """
def init_runtime_native_auth():
    return "{host}", lambda: {{"Authorization": "Bearer dapi-of-the-notebook"}}
"""
ASK = """
import asyncio
from rowcall.adapters.auth import credentials
from rowcall.adapters.workspace_login import WorkspaceLogin, login_kind
print(login_kind(WorkspaceLogin()))
print(asyncio.run(credentials(WorkspaceLogin()).headers()))
"""


def in_a_runtime(folder: Path) -> "subprocess.CompletedProcess[str]":
    """`ASK` in a process of a Databricks runtime, whose modules are in `folder`; no other login is configured there."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DATABRICKS_RUNTIME_VERSION": "17.3"}
    path = ":".join([str(folder), *(entry for entry in sys.path if entry)])
    return subprocess.run(
        [sys.executable, "-c", ASK],
        check=False,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_login_of_a_notebook_is_ambient_and_no_oauth(tmp_path: Path, serve: Serve):
    runtime = tmp_path / "dbruntime"
    runtime.mkdir()
    (runtime / "__init__.py").write_text(NAMESPACE)
    (runtime / "sdk_credential_provider.py").write_text(RUNTIME.format(host=serve(lambda *_: (404, b"{}"))))
    done = in_a_runtime(tmp_path)
    assert done.returncode == 0, done.stderr
    kind, headers = done.stdout.splitlines()
    assert kind == str(LoginKind("runtime", oauth=False, ambient=True))
    assert headers == "{'Authorization': 'Bearer dapi-of-the-notebook'}"


def test_the_login_of_a_notebook_is_not_known_to_executors(tmp_path: Path):
    done = in_a_runtime(tmp_path)
    assert "SetupError: the login of the notebook or job is not known here: only its driver has it." in done.stderr
