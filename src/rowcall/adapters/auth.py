"""How to log in: what travels to workers, and what makes headers of it there.

A login is a recipe, never a secret: it names a profile, a file or an environment variable. `Credentials` reads it where the calls
are made, keeps one `Config` of the databricks-sdk per process, and refreshes off the event loop.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from rowcall.core.errors import SetupError

FRESH_SECONDS = 30.0
"""How long a header is used before the SDK is asked again; the SDK itself renews a token well before it expires."""


@dataclass(frozen=True, slots=True)
class WorkspaceLogin:
    """Databricks unified authentication: environment, profile, or a configuration file."""

    profile: str | None = None
    config_file: str | None = None


@dataclass(frozen=True, slots=True)
class KeyLogin:
    """A bearer key in an environment variable, for OpenAI-compatible servers."""

    variable: str


@dataclass(frozen=True, slots=True)
class NoLogin:
    """A server that asks for nothing."""


Login = WorkspaceLogin | KeyLogin | NoLogin


class Credentials(Protocol):
    async def headers(self) -> dict[str, str]: ...

    async def refreshed(self, refused: dict[str, str]) -> dict[str, str] | None:
        """Other headers than the refused ones, from one login for all calls that were refused; None where there are none."""
        ...


def credentials(login: Login) -> Credentials:
    """Raises `SetupError` where the login cannot work here."""
    match login:
        case WorkspaceLogin():
            return _RenewedHeaders(workspace_config(login).authenticate)
        case KeyLogin(variable):
            key = os.environ.get(variable)
            if not key:
                raise SetupError(
                    f"endpoint.api_key names the environment variable {variable}, which is not set where the calls are made"
                )
            return _FixedHeaders({"Authorization": f"Bearer {key}"})
        case NoLogin():
            return _FixedHeaders({})


@cache
def workspace_config(login: WorkspaceLogin) -> Any:
    """The SDK's configuration for a login, one per process. Raises `SetupError` with the SDK's reason."""
    from databricks.sdk.core import Config

    try:
        return Config(
            profile=login.profile,
            config_file=login.config_file,
            http_timeout_seconds=20,
            retry_timeout_seconds=5,
            product="rowcall",
        )
    except Exception as error:
        raise SetupError(f"no login to a Databricks workspace: {sdk_reason(error)}") from error


@cache
def workspace_api(login: WorkspaceLogin) -> Any:
    """The SDK's REST client for a login, one per process; it may be used from any thread."""
    from databricks.sdk.core import ApiClient

    return ApiClient(workspace_config(login))


def sdk_reason(error: Exception) -> str:
    """What the SDK says went wrong, without the dump of the configuration it adds."""
    return str(error).split(". Config:")[0].split("\n")[0][:400]


@dataclass(frozen=True, slots=True)
class _FixedHeaders:
    fixed: dict[str, str]

    async def headers(self) -> dict[str, str]:
        return self.fixed

    async def refreshed(self, refused: dict[str, str]) -> dict[str, str] | None:
        return None if refused == self.fixed else self.fixed


class _RenewedHeaders:
    """The SDK's headers, fetched in a thread: renewing a token is a blocking request."""

    def __init__(self, authenticate: Callable[[], dict[str, str]]) -> None:
        self._authenticate = authenticate
        self._lock = asyncio.Lock()
        self._headers: dict[str, str] = {}
        self._until = 0.0

    async def headers(self) -> dict[str, str]:
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    self._headers = await asyncio.to_thread(self._authenticate)
                    self._until = time.monotonic() + FRESH_SECONDS
        return self._headers

    async def refreshed(self, refused: dict[str, str]) -> dict[str, str] | None:
        async with self._lock:
            if self._headers == refused:
                self._headers = await asyncio.to_thread(self._authenticate)
                self._until = time.monotonic() + FRESH_SECONDS
        return None if self._headers == refused else self._headers
