"""`Journal` in a folder: a local one, or a Unity Catalog Volume through its FUSE path.

    <root>/<job>/<run id>/segments/<name>.parquet    answers, each file whole or absent
    <root>/<job>/<run id>/notes/<name>               small texts: the manifest, tasks' progress, a request to stop
    <root>/<job>/<run id>/records/<name>.parquet     the row of the run

A file is written under another name, synced, and renamed: it exists whole or not at all.
"""

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rowcall.core.errors import SetupError
from rowcall.core.ports import Journal, OpenJournal

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class FolderJournal:
    """One run's journal."""

    folder: Path

    @property
    def place(self) -> str:
        return str(self.folder)

    def write_segment(self, name: str, table: "pa.Table") -> None:
        self._write(self.folder / "segments" / f"{time.time_ns():020d}-{name}.parquet", table)

    def write_record(self, name: str, table: "pa.Table") -> str:
        final = self.folder.absolute() / "records" / f"{name}.parquet"
        self._write(final, table)
        return str(final)

    def segments(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "segments").glob("*.parquet"))

    def paths(self, names: Sequence[str]) -> list[str]:
        return [str(self.folder.absolute() / "segments" / name) for name in names]

    def answered_hashes(self) -> set[str]:
        import pyarrow.parquet as pq

        found: set[str] = set()
        for path in self.paths(self.segments()):
            hashes = pq.read_table(path, columns=["request_hash"]).column(0).to_pylist()
            found.update(str(request_hash) for request_hash in hashes)
        return found

    def write_note(self, name: str, text: str) -> None:
        final = self.folder / "notes" / name
        part = self._part(final)
        part.write_text(text, encoding="utf-8")
        _sync(part)
        part.replace(final)

    def notes(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with suppress(FileNotFoundError):  # notes are replaced, and go only with their journal
            for path in sorted((self.folder / "notes").glob(f"{prefix}*")):
                if not path.name.endswith(".part"):
                    found[path.name] = path.read_text(encoding="utf-8")
        return found

    def noted_at(self, name: str) -> float | None:
        try:
            return (self.folder / "notes" / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def discard(self, names: Sequence[str]) -> None:
        for name in names:
            (self.folder / "segments" / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """The notes go last: what is left of a journal that was removed in part can still be told from one that lost its
        manifest."""
        with suppress(OSError):
            for folder in (self.folder / part for part in ("segments", "records", "notes")):
                if folder.exists():
                    shutil.rmtree(folder)
            self.folder.rmdir()

    def _write(self, final: Path, table: "pa.Table") -> None:
        import pyarrow.parquet as pq

        part = self._part(final)
        pq.write_table(table, part, compression="zstd")
        _sync(part)
        part.replace(final)
        with suppress(OSError):
            _sync(final.parent)  # not every file system lets folders be synced

    def _part(self, final: Path) -> Path:
        final.parent.mkdir(parents=True, exist_ok=True)
        return final.with_name(f"{final.name}.{uuid.uuid4().hex}.part")


@dataclass(frozen=True, slots=True)
class FolderJournals:
    """Where the journals of all runs are."""

    root: Path

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        """How to open a run's journal, here or in a task."""
        return partial(open_journal, str(self.root.absolute() / job / run_id))

    def runs(self, job: str) -> list[str]:
        try:
            return sorted(path.name for path in (self.root / job).iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SetupError(f"the journal folder {self.root / job} cannot be read: {error.strerror}") from error


def open_journal(folder: str) -> Journal:
    return FolderJournal(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
