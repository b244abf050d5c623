"""Files of volumes as files of a folder: where a path of the Files API leads, and whole-file writes.

`/Volumes/<catalog>/<schema>/<volume>/<path>` is `HOME/volumes/<catalog>/<schema>/<volume>/<path>`. Volumes
spring into being with their first file. Nothing outside the folder can be named: not by `..`, not through a
symbolic link.
"""

import secrets
from collections.abc import AsyncIterable
from pathlib import Path


class PathError(ValueError):
    """A path that names no place in a volume."""


class Volumes:
    """The volumes under one home."""

    def __init__(self, home: Path) -> None:
        self._root = (home / "volumes").absolute()
        # Beside the volumes, so that no listing shows a half-written file; a rename makes it whole.
        self._unfinished = (home / "unfinished").absolute()

    def locate(self, path: str, *, least: int) -> Path:
        """The place of a decoded path with at least `least` names after `/Volumes`; raises `PathError`."""
        first, *names = path.strip("/").split("/")
        if first != "Volumes" or len(names) < least:
            raise PathError(f"{path}: expected /Volumes/<catalog>/<schema>/<volume>/…")
        if any(name in ("", ".", "..") or "\\" in name or "\0" in name for name in names):
            raise PathError(f"{path}: not a plain path")
        place = self._root.joinpath(*names)
        if place.resolve() != self._root.resolve().joinpath(*names):
            raise PathError(f"{path}: leads through a link")
        return place

    async def write(self, place: Path, chunks: AsyncIterable[bytes]) -> None:
        """Write a file whole or not at all, replacing an earlier one."""
        self._unfinished.mkdir(parents=True, exist_ok=True)
        draft = self._unfinished / secrets.token_hex(16)
        try:
            with draft.open("xb") as file:
                async for chunk in chunks:
                    file.write(chunk)
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
