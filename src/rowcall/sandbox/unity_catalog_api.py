"""Unity Catalog, as far as the folders of the lakehouse and the volumes tell: what there is, and who may do what with it.

GET /api/2.1/unity-catalog/{catalogs|schemas|tables|volumes}/{full name}
GET /api/2.1/unity-catalog/effective-permissions/{type}/{full name}[?principal=…]
"""

from functools import partial
from pathlib import Path

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.oauth import signed_in
from rowcall.sandbox.state import Sandbox

_BASE = "/api/2.1/unity-catalog"
_KINDS = {"catalogs": "catalog", "schemas": "schema", "tables": "table", "volumes": "volume"}
_PARTS = {"catalog": 1, "schema": 2, "table": 3, "volume": 3}
_OWNER = "sandbox@localhost"
_CATALOG = "main"


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    looks = {f"{_BASE}/{path}/{{name}}": partial(_look, sandbox, kind) for path, kind in _KINDS.items()}
    looks[f"{_BASE}/effective-permissions/{{type}}/{{name}}"] = partial(_permissions, sandbox)
    return [web.get(path, signed_in(sandbox.logins, look)) for path, look in looks.items()]


async def _look(sandbox: Sandbox, kind: str, request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if not _exists(sandbox, kind, name):
        return _unknown(kind, name)
    *above, own = name.split(".")
    parents = dict(zip(("catalog_name", "schema_name"), above, strict=False))
    return web.json_response({"name": own, "full_name": name, "owner": _OWNER, **parents})


async def _permissions(sandbox: Sandbox, request: web.Request) -> web.Response:
    kind, name = request.match_info["type"].lower(), request.match_info["name"]
    if kind not in _PARTS:
        return platform_error(400, f"{kind} is not a securable type", "INVALID_PARAMETER_VALUE")
    if not _exists(sandbox, kind, name):
        return _unknown(kind, name)
    if sandbox.rights.hidden:
        return platform_error(403, f"User does not have MANAGE on {kind.capitalize()} '{name}'.")
    me = sandbox.logins.client_id
    held = [{"privilege": one} for one in sandbox.rights.on(kind, name)]
    wanted = request.query.get("principal", me) == me
    listed = [{"principal": me, "privileges": held}] if held and wanted else []
    return web.json_response({"privilege_assignments": listed})


def _exists(sandbox: Sandbox, kind: str, name: str) -> bool:
    parts = name.split(".")
    if len(parts) != _PARTS[kind] or not all(part and "/" not in part for part in parts):
        return False
    tables, volumes = (root.joinpath(*parts) for root in (sandbox.warehouse.folder, sandbox.home / "volumes"))
    match kind:
        case "table":
            return _is_table(tables)
        case "volume":
            return volumes.is_dir()
        case _:
            return name == _CATALOG or tables.is_dir() or volumes.is_dir()


def _is_table(folder: Path) -> bool:
    return any(folder.glob("_delta_log/*.json"))


def _unknown(kind: str, name: str) -> web.Response:
    return platform_error(404, f"{kind.capitalize()} '{name}' does not exist.", f"{kind.upper()}_DOES_NOT_EXIST")
