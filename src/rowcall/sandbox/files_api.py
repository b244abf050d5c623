"""The Files API: files and directories of volumes, kept under HOME/volumes."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from pathlib import Path

from aiohttp import web

from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.oauth import Handler, signed_in
from rowcall.sandbox.state import Sandbox
from rowcall.sandbox.volumes import PathError, Volumes

MOST_ENTRIES = 1_000
_CHUNK = 1024 * 1024
_FILES = "/api/2.0/fs/files/{path:.+}"
_DIRECTORIES = "/api/2.0/fs/directories/{path:.+}"


@dataclass(frozen=True, slots=True)
class At:
    """A request for a place: its path in the API and the place it leads to."""

    volumes: Volumes
    path: str
    place: Path
    request: web.Request


Work = Callable[[At], Awaitable[web.StreamResponse]]


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    volumes = Volumes(sandbox.home)

    def handler(work: Work, least: int) -> Handler:
        return signed_in(sandbox.logins, partial(_at_place, sandbox, volumes, work, least))

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


async def _at_place(
    sandbox: Sandbox, volumes: Volumes, work: Work, least: int, request: web.Request
) -> web.StreamResponse:
    path = request.match_info["path"]
    volume = ".".join(path.strip("/").split("/")[1:4])
    right = "READ_VOLUME" if request.method in ("GET", "HEAD") else "WRITE_VOLUME"
    if not sandbox.rights.has(right, "volume", volume):
        return platform_error(403, f"User does not have {right.replace('_', ' ')} on Volume '{volume}'.")
    try:
        return await work(At(volumes, path, volumes.locate(path, least=least), request))
    except PathError as wrong:
        return platform_error(400, str(wrong), "INVALID_PARAMETER_VALUE")
    except (FileNotFoundError, NotADirectoryError):
        return platform_error(404, f"No such file or directory: /{path}", "NOT_FOUND")
    except (FileExistsError, IsADirectoryError):
        return platform_error(409, f"Already exists: /{path}")


async def _upload(at: At) -> web.StreamResponse:
    if at.place.is_dir() or (at.request.query.get("overwrite") == "false" and at.place.exists()):
        raise FileExistsError
    await at.volumes.write(at.place, at.request.content.iter_chunked(_CHUNK))
    return web.Response(status=204)


async def _download(at: At) -> web.StreamResponse:
    with at.place.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start, end = _range(at.request, size)
        if size and start >= end:
            return platform_error(416, "Range not satisfiable", "INVALID_PARAMETER_VALUE")
        headers = _file_headers(at.place)
        if part := end - start < size:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = end - start
        await response.prepare(at.request)
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


async def _file_head(at: At) -> web.StreamResponse:
    if at.place.is_dir():
        raise FileNotFoundError
    headers = _file_headers(at.place)
    return web.Response(headers={**headers, "Content-Length": str(at.place.stat().st_size)})


async def _delete_file(at: At) -> web.StreamResponse:
    if at.place.is_dir():
        raise FileNotFoundError
    at.place.unlink()
    return web.Response(status=204)


async def _start_parts(_: At) -> web.StreamResponse:
    """Large uploads start in parts. No URLs for parts are given out, so the SDK sends the file whole."""
    return web.json_response({"multipart_upload": {"session_token": "none"}})


async def _make_directory(at: At) -> web.StreamResponse:
    at.place.mkdir(parents=True, exist_ok=True)
    return web.Response(status=204)


async def _directory_head(at: At) -> web.StreamResponse:
    if not at.place.is_dir():
        raise FileNotFoundError
    return web.Response()


async def _delete_directory(at: At) -> web.StreamResponse:
    if any(at.place.iterdir()):
        return platform_error(400, "Directory is not empty", "DIRECTORY_NOT_EMPTY")
    at.place.rmdir()
    return web.Response(status=204)


async def _list_directory(at: At) -> web.StreamResponse:
    """A page of the directory by name; a page token is the last name of the page before."""
    names = sorted(entry.name for entry in at.place.iterdir())
    after = at.request.query.get("page_token", "")
    size = at.request.query.get("page_size", "")
    most = min(int(size), MOST_ENTRIES) if size.isdecimal() and int(size) else MOST_ENTRIES
    rest = [name for name in names if name > after]
    folder = at.path.rstrip("/")
    entries = [_entry(at.place / name, f"/{folder}/{name}") for name in rest[:most]]
    listing: dict[str, object] = {"contents": [entry for entry in entries if entry is not None]}
    if len(rest) > most:
        listing["next_page_token"] = rest[most - 1]
    return web.json_response(listing)


def _entry(place: Path, path: str) -> dict[str, object] | None:
    """A file or directory as listings show it; None if it has just gone."""
    try:
        facts = place.lstat()
    except FileNotFoundError:
        return None
    entry: dict[str, object] = {"path": path, "name": place.name, "is_directory": place.is_dir()}
    if not entry["is_directory"]:
        entry |= {"file_size": facts.st_size, "last_modified": facts.st_mtime_ns // 1_000_000}
    return entry


def _file_headers(place: Path) -> dict[str, str]:
    modified = formatdate(place.stat().st_mtime, usegmt=True)
    return {"Content-Type": "application/octet-stream", "Last-Modified": modified, "Accept-Ranges": "bytes"}
