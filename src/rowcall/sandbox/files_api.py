"""The Files API: files and directories of volumes, kept under HOME/volumes."""

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from pathlib import Path

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.oauth import Handler, signed_in
from rowcall.sandbox.state import Sandbox
from rowcall.sandbox.volumes import Volumes, WrongPath

MOST_ENTRIES = 1_000
_CHUNK = 1024 * 1024
_FILES = "/api/2.0/fs/files/{path:.+}"
_DIRECTORIES = "/api/2.0/fs/directories/{path:.+}"

Work = Callable[[Volumes, Path, web.Request], Awaitable[web.StreamResponse]]


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    volumes = Volumes(sandbox.home)

    def handler(work: Work, least: int) -> Handler:
        return signed_in(sandbox.logins, partial(_at_place, volumes, work, least))

    return [
        web.put(_FILES, handler(_upload, 4)),
        web.get(_FILES, handler(_download, 4), allow_head=False),
        web.head(_FILES, handler(_file_head, 4)),
        web.delete(_FILES, handler(_delete_file, 4)),
        web.post(_FILES, handler(_start_parts, 4)),
        web.put(_DIRECTORIES, handler(_make_directory, 3)),
        web.get(_DIRECTORIES, handler(_list_directory, 3), allow_head=False),
        web.head(_DIRECTORIES, handler(_directory_head, 3)),
        web.delete(_DIRECTORIES, handler(_delete_directory, 3)),
    ]


async def _at_place(volumes: Volumes, work: Work, least: int, request: web.Request) -> web.StreamResponse:
    path = request.match_info["path"]
    try:
        return await work(volumes, volumes.locate(path, least=least), request)
    except WrongPath as wrong:
        return platform_error(400, str(wrong), "INVALID_PARAMETER_VALUE")
    except (FileNotFoundError, NotADirectoryError):
        return platform_error(404, f"No such file or directory: /{path}", "NOT_FOUND")
    except (FileExistsError, IsADirectoryError):
        return platform_error(409, f"Already exists: /{path}")


async def _upload(volumes: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    if place.is_dir() or (request.query.get("overwrite") == "false" and place.exists()):
        raise FileExistsError
    await volumes.write(place, request.content.iter_chunked(_CHUNK))
    return web.Response(status=204)


async def _download(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    with place.open("rb") as file:
        size = place.stat().st_size
        start, end = _range(request, size)
        if size and start >= end:
            return platform_error(416, "Range not satisfiable", "INVALID_PARAMETER_VALUE")
        headers = _file_headers(place)
        if part := end - start < size:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = end - start
        await response.prepare(request)
        file.seek(start)
        while chunk := file.read(min(_CHUNK, end - file.tell())):
            await response.write(chunk)
    await response.write_eof()
    return response


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """The bytes asked for; all of them where the Range header makes no sense, as HTTP has it."""
    try:
        start, end, _ = request.http_range.indices(size)
    except ValueError:
        return 0, size
    return start, end


async def _file_head(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    if place.is_dir():
        raise FileNotFoundError
    headers = _file_headers(place)
    return web.Response(headers={**headers, "Content-Length": str(place.stat().st_size)})


async def _delete_file(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    if place.is_dir():
        raise FileNotFoundError
    place.unlink()
    return web.Response(status=204)


async def _start_parts(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    """Large uploads start in parts. Nothing here hands out URLs for parts, so the SDK goes on to send the file whole."""
    return web.json_response({"multipart_upload": {"session_token": "none"}})


async def _make_directory(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    place.mkdir(parents=True, exist_ok=True)
    return web.Response(status=204)


async def _directory_head(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    if not place.is_dir():
        raise FileNotFoundError
    return web.Response()


async def _delete_directory(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    if any(place.iterdir()):
        return platform_error(400, "Directory is not empty", "DIRECTORY_NOT_EMPTY")
    place.rmdir()
    return web.Response(status=204)


async def _list_directory(_: Volumes, place: Path, request: web.Request) -> web.StreamResponse:
    """A page of the directory by name; a page token is the last name of the page before."""
    names = sorted(entry.name for entry in place.iterdir())
    after = request.query.get("page_token", "")
    size = request.query.get("page_size", "")
    most = min(int(size), MOST_ENTRIES) if size.isdecimal() and int(size) else MOST_ENTRIES
    rest = [name for name in names if name > after]
    folder = request.match_info["path"].rstrip("/")
    listing: dict[str, object] = {
        "contents": [_entry(place / name, f"/{folder}/{name}") for name in rest[:most]]
    }
    if len(rest) > most:
        listing["next_page_token"] = rest[most - 1]
    return web.json_response(listing)


def _entry(place: Path, path: str) -> dict[str, object]:
    facts = place.lstat()
    entry: dict[str, object] = {"path": path, "name": place.name, "is_directory": place.is_dir()}
    if not entry["is_directory"]:
        entry |= {"file_size": facts.st_size, "last_modified": facts.st_mtime_ns // 1_000_000}
    return entry


def _file_headers(place: Path) -> dict[str, str]:
    modified = formatdate(place.stat().st_mtime, usegmt=True)
    return {"Content-Type": "application/octet-stream", "Last-Modified": modified, "Accept-Ranges": "bytes"}
