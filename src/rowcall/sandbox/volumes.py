"""Files of volumes as files of a folder: where a path of the Files API leads, and whole-file writes.

`/Volumes/<catalog>/<schema>/<volume>/<path>` is `HOME/volumes/<catalog>/<schema>/<volume>/<path>`. Volumes spring into being with
their first file. Nothing outside the folder can be named: not by `..`, not through a symbolic link.
"""

import os
import secrets
from collections.abc import AsyncIterable
from pathlib import Path


class WrongPath(ValueError):
    """A path that names no place in a volume."""


class Volumes:
    """The volumes under one home."""

    def __init__(self, home: Path) -> None:
        self._root = (home / "volumes").absolute()
        # Beside the volumes, on the same file system: a half-written file is in no listing, and a rename makes it whole.
        self._unfinished = (home / "unfinished").absolute()

    def locate(self, path: str, *, least: int) -> Path:
        """The place of a decoded API path with at least `least` names after `/Volumes`; raises `WrongPath`."""
        first, *names = path.strip("/").split("/")
        if first != "Volumes" or len(names) < least:
            raise WrongPath(f"{path}: expected /Volumes/<catalog>/<schema>/<volume>/…")
        if any(name in ("", ".", "..") or "\\" in name or "\0" in name for name in names):
            raise WrongPath(f"{path}: not a plain path")
        place = self._root.joinpath(*names)
        if place.resolve() != self._root.resolve().joinpath(*names):
            raise WrongPath(f"{path}: leads through a link")
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
            os.replace(draft, place)
        finally:
            draft.unlink(missing_ok=True)
