"""`Journal` in a Unity Catalog Volume through the Files API: for where the Volume is not mounted as a folder.

    <root>/<job>/<run id>/{segments,notes,records}/…    the layout of `adapters.journal`, below /Volumes/catalog/schema/volume
    <root>/<job>/overflow/<run id>/…

The Files API makes a file whole or not at all, and makes the folders above it; there is nothing to rename. What is not there
is empty, never an error. Journals are looked at often, and each look is a request, so a note is read again only once its
place in the listing of its folder says that it changed.
"""

import io
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rowcall.adapters.journal import PARTS, is_run, plain_name, texts_of
from rowcall.adapters.workspace_login import WorkspaceLogin, sdk_reason, workspace_api
from rowcall.core.errors import JournalError, SetupError
from rowcall.core.overflow import OVERFLOW
from rowcall.core.ports import Journal, OpenJournal, Row
from rowcall.core.records import Size

if TYPE_CHECKING:
    import pyarrow as pa

LISTING_SECONDS = 0.5
"""How old a listing of the notes may be. Each prefix sees a listing once, so whoever looks again sees what is new."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries while the service is away, on top of the SDK's own short retries."""
_SETTLED_SECONDS = 2.0
_AT_ONCE = 8
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class VolumeJournals:
    """Where the journals of all runs are: a folder of a volume, `/Volumes/<catalog>/<schema>/<volume>/…`."""

    login: WorkspaceLogin
    root: str

    def __post_init__(self) -> None:
        names = self.root.strip("/").split("/")
        if names[0] != "Volumes" or len(names) < 4 or not all(names):
            raise SetupError(
                f"journal {self.root!r} is not a folder of a volume, /Volumes/<catalog>/<schema>/<volume>/…"
            )

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        """How to open a run's journal, here or in a task."""
        return partial(open_volume_journal, self.login, f"{self._of(job)}/{plain_name(run_id)}")

    def runs(self, job: str) -> list[str]:
        return self._folders(self._of(job))

    def overflows(self, job: str) -> list[str]:
        return self._folders(f"{self._of(job)}/{OVERFLOW}")

    def _folders(self, place: str) -> list[str]:
        try:
            found = [entry.name for entry in _Files(self.login).entries(place) if entry.is_folder]
        except JournalError as error:
            raise SetupError(str(error)) from error
        return sorted(filter(is_run, found))

    def probe(self) -> None:
        files, folder = _Files(self.login), f"/{self.root.strip('/')}"
        path = f"{folder}/probe-{uuid.uuid4().hex}"
        files.write(path, b"")
        files.delete(path)
        with suppress(JournalError):  # journals are in it
            files.delete_folder(folder)

    def _of(self, job: str) -> str:
        return f"/{self.root.strip('/')}/{plain_name(job)}"


def open_volume_journal(login: WorkspaceLogin, folder: str) -> Journal:
    return VolumeJournal(login, folder)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or folder in a listing. `modified` is in milliseconds."""

    name: str
    is_folder: bool
    modified: int
    size: int


@dataclass(frozen=True, slots=True)
class _Known:
    """A note's text, and whether it is sure to be what its entry stands for."""

    entry: _Entry
    first_seen: float
    text: str
    settled: bool


class VolumeJournal:
    """One run's journal. Logs in when first used. Raises `JournalError`."""

    def __init__(self, login: WorkspaceLogin, folder: str) -> None:
        self._folder = folder
        self._files = _Files(login)
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._listing: list[_Entry] = []
        self._listed_at = 0.0
        self._shown_to: set[str] | None = None
        self._changes = 0

    @property
    def place(self) -> str:
        return self._folder

    def write_segment(self, name: str, table: "pa.Table") -> None:
        self._files.write(f"{self._folder}/segments/{time.time_ns():020d}-{name}.parquet", _parquet(table))

    @property
    def overflow(self) -> str:
        job, _, run_id = self._folder.rpartition("/")
        return f"{job}/{OVERFLOW}/{run_id}"

    def write_overflow(self, name: str, table: "pa.Table") -> None:
        self._files.write(f"{self.overflow}/{time.time_ns():020d}-{name}.parquet", _parquet(table))

    def overflowed(self, trace_id: str) -> list[Row]:
        paths = sorted(f"{self.overflow}/{entry.name}" for entry in self._files.entries(self.overflow))
        found = _side_by_side(partial(self._texts_of, trace_id), paths)
        return [row for rows in found for row in rows]

    def overflow_size(self) -> Size:
        return self._size_of([self.overflow])

    def remove_overflow(self) -> None:
        with suppress(JournalError):
            self._empty(self.overflow, ".parquet")

    def _texts_of(self, trace_id: str, path: str) -> list[Row]:
        import pyarrow as pa

        content = self._files.read(path)
        return [] if content is None else texts_of(trace_id, pa.BufferReader(content))

    def write_record(self, name: str, table: "pa.Table") -> str:
        path = f"{self._folder}/records/{name}.parquet"
        self._files.write(path, _parquet(table))
        return path

    def segments(self) -> list[str]:
        listed = self._files.entries(f"{self._folder}/segments")
        return sorted(entry.name for entry in listed if entry.name.endswith(".parquet"))

    def paths(self, names: Sequence[str]) -> list[str]:
        return [f"{self._folder}/segments/{name}" for name in names]

    def answered_hashes(self) -> set[str]:
        found: set[str] = set()
        for hashes in _side_by_side(self._hashes, self.paths(self.segments())):
            found |= hashes
        return found

    def write_note(self, name: str, text: str) -> None:
        self._files.write(f"{self._folder}/notes/{name}", text.encode())
        self._forget_listing()

    def notes(self, prefix: str) -> dict[str, str]:
        entries = [entry for entry in self._list_notes(prefix) if entry.name.startswith(prefix)]
        texts = _side_by_side(self._text, entries)
        found = {entry.name: text for entry, text in zip(entries, texts, strict=True) if text is not None}
        return dict(sorted(found.items()))

    def noted_at(self, name: str) -> float | None:
        listed = self._files.entries(f"{self._folder}/notes")
        return next((entry.modified / 1000 for entry in listed if entry.name == name), None)

    def size(self) -> Size:
        return self._size_of([f"{self._folder}/{part}" for part in PARTS])

    def _size_of(self, folders: Sequence[str]) -> Size:
        found = [entry.size for entries in _side_by_side(self._files.entries, folders) for entry in entries]
        return Size(len(found), sum(found))

    def discard(self, names: Sequence[str]) -> None:
        _side_by_side(self._files.delete, self.paths(names))

    def remove(self) -> None:
        """The notes go last: what is left of a journal that was removed in part can still be told from one that lost its
        manifest."""
        with suppress(JournalError):
            for part in PARTS:
                self._empty(f"{self._folder}/{part}")
            self._files.delete_folder(self._folder)
        self._forget_listing()

    def _empty(self, folder: str, suffix: str = "") -> None:
        """Delete the files in a folder, and the folder."""
        names = [entry.name for entry in self._files.entries(folder) if entry.name.endswith(suffix)]
        _side_by_side(self._files.delete, [f"{folder}/{name}" for name in names])
        self._files.delete_folder(folder)

    def _hashes(self, path: str) -> set[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self._files.read(path)
        if content is None:
            return set()
        return set(map(str, pq.read_table(pa.BufferReader(content), columns=["request_hash"]).column(0).to_pylist()))

    def _list_notes(self, prefix: str) -> list[_Entry]:
        now = time.monotonic()
        with self._lock:
            shown, changes = self._shown_to, self._changes
            if shown is not None and prefix not in shown and now - self._listed_at < LISTING_SECONDS:
                shown.add(prefix)
                return self._listing
        listing = self._files.entries(f"{self._folder}/notes", patient=False)
        with self._lock:
            if changes == self._changes:
                self._listing, self._listed_at, self._shown_to = listing, now, {prefix}
        return listing

    def _forget_listing(self) -> None:
        with self._lock:
            self._changes += 1
            self._shown_to = None

    def _text(self, entry: _Entry) -> str | None:
        """A note's text. Some stores tell times in whole seconds: there, two texts of a second may have one entry, and only
        what is read well after that second is sure to be the last."""
        known, now = self._known.get(entry.name), time.monotonic()
        same = known is not None and known.entry == entry
        if known is not None and same and known.settled:
            return known.text
        content = self._files.read(f"{self._folder}/notes/{entry.name}", patient=False)
        if content is None:
            return None
        first_seen = known.first_seen if known is not None and same else now
        settled = entry.modified % 1000 != 0 or now - first_seen >= _SETTLED_SECONDS
        known = _Known(entry, first_seen, content.decode("utf-8", "replace"), settled)
        self._known[entry.name] = known
        return known.text


class _Files:
    """The Files API as the SDK speaks it. What is missing is None or empty; whatever else fails is a `JournalError`, at once
    or, if `patient`, after a while in which the service may come back."""

    def __init__(self, login: WorkspaceLogin) -> None:
        self._login = login

    def write(self, path: str, content: bytes) -> None:
        from databricks.sdk.errors import NotFound

        try:
            _try("written", path, True, lambda: self._api().upload(path, io.BytesIO(content), overwrite=True))
        except NotFound as error:
            raise JournalError(f"{path} cannot be written: {sdk_reason(error)}") from error

    def read(self, path: str, *, patient: bool = True) -> bytes | None:
        def download() -> bytes:
            with self._api().download(path).contents as stream:
                return stream.read()

        with _missing_is_fine():
            return _try("read", path, patient, download)
        return None

    def entries(self, folder: str, *, patient: bool = True) -> list[_Entry]:
        with _missing_is_fine():
            return _try("listed", folder, patient, lambda: [_entry(found) for found in self._found(folder)])
        return []

    def delete(self, path: str) -> None:
        with _missing_is_fine():
            _try("deleted", path, True, lambda: self._api().delete(path))

    def delete_folder(self, folder: str) -> None:
        """Delete an empty folder."""
        with _missing_is_fine():
            _try("deleted", folder, True, lambda: self._api().delete_directory(folder))

    def _found(self, folder: str) -> Iterable[Any]:
        return self._api().list_directory_contents(folder)

    def _api(self) -> Any:
        from databricks.sdk.service.files import FilesAPI

        return FilesAPI(workspace_api(self._login))


def _entry(found: Any) -> _Entry:
    modified, size = int(found.last_modified or 0), int(found.file_size or 0)
    return _Entry(str(found.name or ""), bool(found.is_directory), modified, size)


@contextmanager
def _missing_is_fine() -> Generator[None]:
    from databricks.sdk.errors import NotFound

    try:
        yield
    except NotFound:
        return


def _try(done: str, path: str, patient: bool, call: Callable[[], _Out]) -> _Out:
    """Make a call, again and again while the service is away. Raises `JournalError`, and `NotFound` as it is."""
    from databricks.sdk.errors import NotFound
    from databricks.sdk.errors.base import DatabricksError

    pauses = iter(PAUSES if patient else ())
    while True:
        try:
            return call()
        except NotFound:
            raise
        except (DatabricksError, OSError, ValueError) as error:
            pause = next(pauses, None)
            if pause is None or not _may_pass(error):
                raise JournalError(f"{path} cannot be {done}: {sdk_reason(error)}") from error
            time.sleep(pause)


def _may_pass(error: Exception) -> bool:
    """Whether the service is away or busy, rather than refusing."""
    from databricks.sdk import errors
    from databricks.sdk.errors.base import DatabricksError

    if not isinstance(error, DatabricksError):
        return isinstance(error, OSError)
    busy = (errors.DeadlineExceeded, errors.InternalError, errors.TemporarilyUnavailable, errors.TooManyRequests)
    # The SDK knows no class for 502, a gateway's own answer.
    return isinstance(error, busy) or type(error) is DatabricksError


def _side_by_side(work: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))


def _parquet(table: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()
