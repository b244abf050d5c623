"""Files that a person names to be written: whole, or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from rowcall.core.errors import SetupError


def check_place(path: Path) -> None:
    """Raises `SetupError` where no file can be written, before any work is done for it. What is there already and is no file, such
    as a device, stays what it is."""
    if path.is_dir():
        raise SetupError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise SetupError(f"{path} is no file; name another place with -o")
    if not _real(path).parent.is_dir():
        raise SetupError(f"{path.parent} is no folder to write a file to; make it first, or name another with -o")


def write_whole(path: Path, text: str) -> None:
    """Replace the file as a whole; a link stays, and its file is replaced. Raises `SetupError` where it cannot be written."""
    check_place(path)
    real = _real(path)
    part = real.with_name(f"{real.name}.{uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(real)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SetupError(f"{path} cannot be written: {reason}. Name another place with -o.") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _real(path: Path) -> Path:
    """Where a link leads, in the end."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise SetupError(f"{path} leads nowhere; name another place with -o") from error
