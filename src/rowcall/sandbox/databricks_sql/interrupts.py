"""Interrupts of statements that reach into another process: files on which a statement's functions keep an eye.

Sail lets a function that works on a batch run to its end when its statement is interrupted. Statements are numbered; a file per
tag, and one for all, holds the number of the last statement that was interrupted.
"""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_ALL = "all"


@dataclass(frozen=True, slots=True)
class Interruptible:
    """A statement as its functions know it."""

    number: int
    files: tuple[str, ...]

    def interrupted(self) -> bool:
        return any(_number(Path(file)) >= self.number for file in self.files)


class Interrupts:
    """The statements of one session. Safe for threads."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="rowcall-")
        self._lock = threading.Lock()
        self._statements = 0

    def begin(self, tags: Iterable[str]) -> Interruptible:
        """The next statement, with the tags it is started under."""
        with self._lock:
            self._statements += 1
            return Interruptible(self._statements, tuple(str(self._file(tag)) for tag in (None, *tags)))

    def interrupt(self, tag: str | None = None) -> None:
        """Interrupt the statements with this tag, or all, that have begun."""
        with self._lock:
            file = self._file(tag)
            draft = file.with_suffix(".draft")
            draft.write_text(str(self._statements))
            draft.replace(file)

    def _file(self, tag: str | None) -> Path:
        return Path(self._folder.name) / (_ALL if tag is None else hashlib.sha256(tag.encode()).hexdigest())


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except FileNotFoundError:
        return 0
