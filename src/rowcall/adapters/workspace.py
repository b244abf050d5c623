"""`Workspace` over the databricks-sdk: what is known about apps and serving endpoints."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

from rowcall.adapters.workspace_login import WorkspaceLogin, get, login_kind, sdk_reason, workspace_config
from rowcall.core.doctor.told import Told
from rowcall.core.errors import SetupError
from rowcall.core.login import LoginKind
from rowcall.core.loose import mapping, parse_json, text
from rowcall.core.ports import Connect
from rowcall.core.records import HttpFailure, HttpReply, HttpRequest

APP_SECONDS = 20.0


def load_sdk() -> None:
    """Import the SDK, which takes a second or two; whoever has something to wait for can do it meanwhile."""
    import_module("databricks.sdk")


def look_at(url: str, connect: Connect) -> tuple[int, object] | None:
    """Status and JSON of one GET, None where nothing answers. Raises `SetupError` where the client's login cannot work."""

    async def once() -> HttpReply | HttpFailure:
        async with connect() as client:
            return await client.send(HttpRequest(url, None, {}, APP_SECONDS))

    # In a thread of its own: a notebook's has a loop that runs already.
    with ThreadPoolExecutor(1) as aside:
        got = aside.submit(lambda: asyncio.run(once())).result()
    return None if isinstance(got, HttpFailure) else (got.status, parse_json(got.body))


class DatabricksWorkspace:
    """Asks the workspace's REST API; logs in when first asked."""

    def __init__(self, login: WorkspaceLogin) -> None:
        self._login = login

    @property
    def host(self) -> str:
        return str(workspace_config(self._login).host).rstrip("/")

    def app(self, name: str) -> Mapping[str, object] | None:
        return self._get(f"/api/2.0/apps/{name}")

    def serving(self, name: str) -> Mapping[str, object] | None:
        return self._get(f"/api/2.0/serving-endpoints/{name}")

    def look(self, url: str) -> tuple[int, object] | None:
        from rowcall.adapters.http import connect

        return look_at(url, partial(connect, self._login))

    def tell(self, path: str, query: Mapping[str, str] | None = None) -> Told:
        from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
        from databricks.sdk.errors.base import DatabricksError

        refusals = {Unauthenticated: 401, PermissionDenied: 403, NotFound: 404}
        try:
            body = get(self._login, path, query, headers=["Date"])
        except (DatabricksError, ValueError, OSError, TimeoutError) as error:
            status = next((refusals[kind] for kind in refusals if isinstance(error, kind)), 0)
            return Told(status, {}, sdk_reason(error))
        return Told(200, mapping(body), date=text(mapping(body).get("Date")) or "")

    def login_kind(self) -> LoginKind:
        return login_kind(self._login)

    def _get(self, path: str) -> dict[str, Any] | None:
        """The reply as it came: fields newer than the installed SDK are kept. None for what does not exist."""
        from databricks.sdk.errors import NotFound
        from databricks.sdk.errors.base import DatabricksError

        try:
            found = get(self._login, path)
        except NotFound:
            return None
        except (DatabricksError, ValueError, OSError, TimeoutError) as error:
            raise SetupError(f"the workspace {self.host} did not answer {path}: {sdk_reason(error)}") from error
        return found if isinstance(found, dict) else {}
