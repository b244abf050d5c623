"""Logging in to a workspace with the databricks-sdk: one configuration per process and login, shared by all who ask it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from threading import RLock
from typing import Any, TypeVar

from rowcall.core.errors import SetupError
from rowcall.core.login import LoginKind

_AMBIENT = ("runtime", "runtime-oauth", "model-serving")
_OAUTH = ("azure-cli", "external-browser", "metadata-service")
"""Their tokens are OAuth tokens, but the SDK does not hand them out as such."""
_NO_LOGIN_FOUND = "cannot configure default credentials"
_NO_DISCOVERY = "Invalid URL 'None'"

Key = TypeVar("Key")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class WorkspaceLogin:
    """Databricks unified authentication: environment, profile, or a configuration file."""

    profile: str | None = None
    config_file: str | None = None


def once_per_process(make: Callable[[Key], Made]) -> Callable[[Key], Made]:
    """Call `make` once for each argument, however many threads ask; what it raises is raised, and not remembered."""
    made, lock = cache(make), RLock()

    @wraps(make)
    def kept(key: Key) -> Made:
        with lock:
            return made(key)

    return kept


@once_per_process
def workspace_config(login: WorkspaceLogin) -> Any:
    """The SDK's configuration for a login. Raises `SetupError` with the SDK's reason."""
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
        raise SetupError(_no_login(login, sdk_reason(error))) from error


@once_per_process
def workspace_api(login: WorkspaceLogin) -> Any:
    """The SDK's REST client for a login; it may be used from any thread."""
    from databricks.sdk.core import ApiClient

    return ApiClient(workspace_config(login))


def get(login: WorkspaceLogin, path: str, query: Mapping[str, str] | None = None, headers: Sequence[str] = ()) -> Any:
    """What the REST API answers, with those of the reply's headers in it. A refused token is replaced once: it may have been
    revoked since it was issued."""
    from databricks.sdk.errors import Unauthenticated

    api = workspace_api(login)
    try:
        return api.do("GET", path, query=query, response_headers=list(headers))
    except Unauthenticated:
        workspace_config(login).init_auth()
        return api.do("GET", path, query=query, response_headers=list(headers))


def login_kind(login: WorkspaceLogin) -> LoginKind:
    """Logs in, if that has not been done. Raises `SetupError` where it cannot be."""
    config = workspace_config(login)
    name = str(config.auth_type)
    try:
        oauth = name in _OAUTH or oauth_token(config) is not None
    except Exception as error:
        raise SetupError(_no_login(login, sdk_reason(error))) from error
    return LoginKind(name, oauth, ambient=name in _AMBIENT, profile=login.profile or str(config.profile or ""))


def oauth_token(config: Any) -> Any:
    """The SDK's OAuth token with its expiry; None for logins that have none, which the SDK tells by one of these errors."""
    try:
        return config.oauth_token()
    except (ValueError, NotImplementedError, AttributeError):
        return None


def sdk_reason(error: BaseException) -> str:
    """What the SDK says went wrong, without the dump of the configuration it adds."""
    return str(error).split(". Config:")[0].split("\n")[0][:400]


def _no_login(login: WorkspaceLogin, reason: str) -> str:
    if _NO_LOGIN_FOUND in reason and login == WorkspaceLogin() and "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return (
            "the login of the notebook or job is not known here: only its driver has it. Let the driver make the calls "
            "(engine: {fan_out: driver}), or log in as a service principal where the calls are made"
        )
    if _NO_DISCOVERY in reason:
        reason = "it does not say where it gives tokens; is its address right, and can it be reached from here?"
    return f"no login to a Databricks workspace: {reason}"
