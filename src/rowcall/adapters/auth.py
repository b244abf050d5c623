"""How to log in: what travels to workers, and what makes headers of it there.

A login is a recipe, never a secret: it names a profile, a file, an environment variable or a secret of the workspace.
`credentials` reads it where the calls are made, once per process.
"""

import os
from base64 import b64decode
from dataclasses import dataclass
from typing import Protocol

from rowcall.adapters.renewal import RenewedHeaders
from rowcall.adapters.workspace_login import WorkspaceLogin, get, once_per_process, sdk_reason, workspace_config
from rowcall.core.errors import SetupError


@dataclass(frozen=True, slots=True)
class KeyLogin:
    """A bearer key in an environment variable, for OpenAI-compatible servers."""

    variable: str

    def __str__(self) -> str:
        return f"the environment variable {self.variable}"


@dataclass(frozen=True, slots=True)
class SecretLogin:
    """A bearer key that is a secret of a workspace, for OpenAI-compatible servers."""

    scope: str
    key: str
    workspace: WorkspaceLogin

    def __str__(self) -> str:
        return f"the secret {{{{secrets/{self.scope}/{self.key}}}}}"


@dataclass(frozen=True, slots=True)
class NoLogin:
    """A server that asks for nothing."""


Login = WorkspaceLogin | KeyLogin | SecretLogin | NoLogin


class Credentials(Protocol):
    async def headers(self) -> dict[str, str]: ...

    async def refreshed(self, refused: dict[str, str]) -> dict[str, str] | None:
        """Other headers than the refused ones, from one login for all calls that were refused; None where there are none."""
        ...


def key_login(reference: str | None, workspace: WorkspaceLogin) -> Login:
    """The login that `endpoint.api_key` names: `env:NAME` or `{{secrets/scope/key}}`."""
    if not reference:
        return NoLogin()
    if reference.startswith("env:"):
        return KeyLogin(reference.removeprefix("env:"))
    _, scope, key = reference.strip("{}").split("/")
    return SecretLogin(scope, key, workspace)


def credentials(login: Login) -> Credentials:
    """Blocks while it logs in. Raises `SetupError` where the login cannot work here."""
    match login:
        case WorkspaceLogin():
            return _renewed_headers(login)
        case KeyLogin():
            return _FixedHeaders(_bearer(_variable(login)))
        case SecretLogin():
            return _FixedHeaders(_bearer(_secret(login)))
        case NoLogin():
            return _FixedHeaders({})


@dataclass(frozen=True, slots=True)
class _FixedHeaders:
    fixed: dict[str, str]

    async def headers(self) -> dict[str, str]:
        return self.fixed

    async def refreshed(self, refused: dict[str, str]) -> dict[str, str] | None:
        return None if refused == self.fixed else self.fixed


@once_per_process
def _renewed_headers(login: WorkspaceLogin) -> RenewedHeaders:
    return RenewedHeaders(workspace_config(login))


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _variable(login: KeyLogin) -> str:
    key = os.environ.get(login.variable, "").strip()
    if not key:
        raise _no_key(login, "which is not set where the calls are made, or empty")
    if not key.isprintable():
        raise _no_key(login, "which is not one line of printable text")
    return key


@once_per_process
def _secret(login: SecretLogin) -> str:
    from databricks.sdk.errors import NotFound, PermissionDenied

    try:
        found = get(login.workspace, "/api/2.0/secrets/get", {"scope": login.scope, "key": login.key})
        key = b64decode(found["value"], validate=True).decode().strip()
    except NotFound as error:
        raise _no_key(login, "which the workspace does not have, or does not show to this login") from error
    except PermissionDenied as error:
        raise _no_key(login, "which this login may not read (it needs READ on the scope)") from error
    except (UnicodeDecodeError, KeyError, TypeError) as error:
        raise _no_key(login, "which is not text") from error
    except Exception as error:
        raise _no_key(login, f"which could not be read: {sdk_reason(error)}") from error
    if not key or not key.isprintable():
        raise _no_key(login, "which is empty or more than one line of text")
    return key


def _no_key(login: KeyLogin | SecretLogin, why: str) -> SetupError:
    return SetupError(f"endpoint.api_key names {login}, {why}")
