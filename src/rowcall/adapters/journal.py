"""`Journal` in a folder: a local one, or a Unity Catalog Volume through its FUSE path.

    <root>/<job>/<run id>/segments/<name>.parquet    answers, each file whole or absent
    <root>/<job>/<run id>/notes/<name>               small texts: the manifest, tasks' progress, a request to stop
    <root>/<job>/<run id>/records/<name>.parquet     the row of the run
    <root>/<job>/overflow/<run id>/<name>.parquet    texts too long for their spans; they outlive the journal

A file is written under another name, synced, and renamed: it exists whole or not at all.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rowcall.core.errors import JournalError, SetupError
from rowcall.core.overflow import OVERFLOW
from rowcall.core.ports import Journal, OpenJournal, Row
from rowcall.core.records import Size

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = ("segments", "records", "notes")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class FolderJournal:
    """One run's journal."""

    folder: Path

    @property
    def place(self) -> str:
        return str(self.folder)

    def write_segment(self, name: str, table: "pa.Table") -> None:
        self._write(self.folder / "segments" / f"{time.time_ns():020d}-{name}.parquet", table)

    @property
    def overflow(self) -> str:
        return str(self._overflow)

    @property
    def _overflow(self) -> Path:
        return self.folder.absolute().parent / OVERFLOW / self.folder.name

    def write_overflow(self, name: str, table: "pa.Table") -> None:
        self._write(self._overflow / f"{time.time_ns():020d}-{name}.parquet", table)

    def overflowed(self, trace_id: str) -> list[Row]:
        return [row for path in sorted(self._overflow.glob("*.parquet")) for row in texts_of(trace_id, path)]

    def overflow_size(self) -> Size:
        return _size([self._overflow])

    def remove_overflow(self) -> None:
        with suppress(OSError):
            for path in _files(self._overflow):
                path.unlink(missing_ok=True)
            self._overflow.rmdir()

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
        with _whole(self.folder / "notes" / name) as part:
            part.write_text(text, encoding="utf-8")

    def notes(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with suppress(FileNotFoundError):  # notes are replaced, and go only with their journal
            for path in sorted((self.folder / "notes").glob(f"{prefix}*")):
                if not path.name.endswith(".part"):
                    found[path.name] = path.read_text(encoding="utf-8", errors="replace")
        return found

    def noted_at(self, name: str) -> float | None:
        try:
            return (self.folder / "notes" / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def size(self) -> Size:
        return _size([self.folder / part for part in PARTS])

    def discard(self, names: Sequence[str]) -> None:
        for name in names:
            (self.folder / "segments" / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """The notes go last: what is left of a journal that was removed in part can still be told from one that lost its
        manifest."""
        with suppress(OSError):
            for folder in (self.folder / part for part in PARTS):
                if folder.exists():
                    shutil.rmtree(folder)
            self.folder.rmdir()

    def _write(self, final: Path, table: "pa.Table") -> None:
        import pyarrow.parquet as pq

        with _whole(final) as part:
            pq.write_table(table, part, compression="snappy", use_dictionary=False)
        with suppress(OSError):
            _sync(final.parent)  # not every file system lets folders be synced


@dataclass(frozen=True, slots=True)
class FolderJournals:
    """Where the journals of all runs are."""

    root: Path

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        """How to open a run's journal, here or in a task."""
        return partial(open_journal, str(self.root.absolute() / plain_name(job) / plain_name(run_id)))

    def runs(self, job: str) -> list[str]:
        return sorted(filter(is_run, _folders(self.root / plain_name(job))))

    def overflows(self, job: str) -> list[str]:
        return sorted(filter(is_run, _folders(self.root / plain_name(job) / OVERFLOW)))

    def probe(self) -> None:
        made = not self.root.exists()
        file = self.root / f"probe-{uuid.uuid4().hex}"
        with _whole(file) as part:
            part.touch()
        with suppress(OSError):
            file.unlink()
            if made:
                self.root.rmdir()


def _folders(place: Path) -> list[str]:
    """The folders in a folder. A link leads to what is somebody else's."""
    try:
        return [path.name for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SetupError(f"the journal folder {place} cannot be read: {error.strerror}") from error


def _files(folder: Path) -> list[Path]:
    """What was written here, or half written, into a folder that is no link."""
    if folder.is_symlink():
        return []
    return [path for path in folder.glob("*") if path.suffix in (".parquet", ".part")]


def _size(folders: Sequence[Path]) -> Size:
    files = total = 0
    for folder in folders:
        for path in folder.glob("*"):
            with suppress(OSError):  # it went meanwhile
                files, total = files + 1, total + path.lstat().st_size
    return Size(files, total)


def texts_of(trace_id: str, file: "Path | pa.NativeFile") -> list[Row]:
    """The texts of a trace in a file of overflow."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return [*pq.read_table(file, filters=pc.field("trace_id") == trace_id).to_pylist()]


def is_run(folder: str) -> bool:
    """Whether a folder among the journals of a job is that of a run."""
    return folder != OVERFLOW and PLAIN_NAME.fullmatch(folder) is not None


def plain_name(name: str) -> str:
    """The name of a job or a run as the name of a folder. Raises `SetupError` for one that leads elsewhere."""
    if not PLAIN_NAME.fullmatch(name):
        raise SetupError(f"{name!r} cannot be the name of a job's or a run's folder: letters, digits, _, - and . only")
    return name


def open_journal(folder: str) -> Journal:
    return FolderJournal(Path(folder))


@contextmanager
def _whole(final: Path) -> Generator[Path]:
    """Where to write a file that is to be whole or not there at all. Raises `JournalError` where it cannot be written."""
    part = final.with_name(f"{final.name}.{uuid.uuid4().hex}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _sync(part)
        part.replace(final)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise JournalError(
            f"{final} cannot be written: {reason}. Make room there, or set `journal` to another folder."
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
