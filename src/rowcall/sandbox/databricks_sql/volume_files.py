"""`read_files`: which files of a volume a path with globs names (FACTS, and Databricks' page on `read_files`).

`/Volumes/<catalog>/<schema>/<volume>/…` is below the folder of volumes as `volumes` has it; nothing outside can be named, not
by `..` and not through a symbolic link. A folder stands for all files in it, however deep; names that begin with `_` or `.` are
left out. Globs are `*`, `?`, `[ab]` and `{one,two}`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from rowcall.sandbox.databricks_sql.sql_calls import StatementError

_LIST = re.compile(r"\{([^{}]*)\}")
_GLOB = re.compile(r"[*?\[{]")


def files_of(volumes: Path, path: str) -> list[str]:
    """The files that a path names, in order. Raises `StatementError`, also where there are none."""
    first, *names = path.removeprefix("dbfs:").strip("/").split("/")
    whole = first == "Volumes" and len(names) >= 3 and not any(_GLOB.search(name) for name in names[:3])
    if not whole or any(name in ("", ".", "..") or "\0" in name for name in names):
        message = f"The path {path} is not one of a volume: /Volumes/<catalog>/<schema>/<volume>/…"
        raise StatementError("INVALID_PARAMETER_VALUE.PATH", message, "22023")
    root = volumes.resolve()
    found = {
        file for pattern in _alternatives("/".join(names)) for place in root.glob(pattern) for file in _files(place)
    }
    inside = sorted(str(file) for file in found if file.resolve().is_relative_to(root))
    if not inside:
        raise StatementError("PATH_NOT_FOUND", f"Path does not exist: {path}.", "42K03")
    return inside


def _alternatives(pattern: str) -> Iterator[str]:
    """The pattern without `{…}`: one for each way to choose."""
    match = _LIST.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in match[1].split(","):
        yield from _alternatives(pattern[: match.start()] + choice + pattern[match.end() :])


def _files(place: Path) -> Iterator[Path]:
    """The place if it is a file, else the files below it."""
    if place.is_file():
        yield place
        return
    for file in place.rglob("*"):
        if file.is_file() and not any(part.startswith(("_", ".")) for part in file.relative_to(place).parts):
            yield file
