"""Secrets by scope and key, as the real SDK reads them."""

import base64

import pytest
import requests
from databricks.sdk.errors import InvalidParameterValue, NotFound
from sandbox_user import SECONDS, Workspace

from support import control


def test_the_sdk_reads_a_secret(workspace: Workspace) -> None:
    control(workspace.process, "PUT", "secrets/llm/key", {"value": "sk-grün 1"})
    secret = workspace.client().secrets.get_secret("llm", "key")
    assert secret.key == "key"
    assert base64.b64decode(secret.value or "").decode() == "sk-grün 1"


def test_a_secret_is_replaced(workspace: Workspace) -> None:
    for value in ("old", "new"):
        control(workspace.process, "PUT", "secrets/llm/replaced", {"value": value})
    secret = workspace.client().secrets.get_secret("llm", "replaced")
    assert base64.b64decode(secret.value or "") == b"new"


def test_a_scope_or_key_that_nothing_has_is_not_found(workspace: Workspace) -> None:
    control(workspace.process, "PUT", "secrets/known/key", {"value": "x"})
    secrets = workspace.client().secrets
    with pytest.raises(NotFound, match="Scope nothing does not exist"):
        secrets.get_secret("nothing", "key")
    with pytest.raises(NotFound, match="Failed to get secret other for scope known"):
        secrets.get_secret("known", "other")


def test_a_secret_is_asked_for_by_scope_and_key(workspace: Workspace) -> None:
    with pytest.raises(InvalidParameterValue, match="scope"):
        workspace.client().secrets.get_secret("", "key")
    with pytest.raises(InvalidParameterValue, match="key"):
        workspace.client().secrets.get_secret("llm", "")


def test_a_secret_is_for_those_the_workspace_knows(workspace: Workspace) -> None:
    control(workspace.process, "PUT", "secrets/llm/key", {"value": "x"})
    reply = requests.get(f"{workspace.host}/api/2.0/secrets/get?scope=llm&key=key", timeout=SECONDS)
    assert (reply.status_code, reply.json()["error_code"]) == (401, 401)


@pytest.mark.parametrize("body", [{}, {"value": 5}, []])
def test_a_secret_is_a_text(workspace: Workspace, body: object) -> None:
    reply = workspace.http.put(f"{workspace.host}/sandbox/secrets/llm/odd", json=body, timeout=SECONDS)
    assert (reply.status_code, reply.json()) == (400, {"error": "value: expected a text"})
