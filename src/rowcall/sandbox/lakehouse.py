"""The embedded lakehouse: Sail (Spark Connect in Rust) in a process beside this one, tables as Delta folders that outlive it.

    <folder>/<catalog>/<schema>/<table>/_delta_log/…
    <folder>/.gathered-…                               small files put together, while this process reads them

Sail's catalog lives in memory and forgets its tables with the process, so they are registered again from the folders.
Sail 0.7 writes a table whose path has a space or the like to another, escaped path. So it is given a link to a folder that has
any, and names with any are refused.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from rowcall.core.errors import SetupError
from rowcall.core.names import table_parts
from rowcall.core.sql import identifier, literal
from rowcall.sandbox.child import Child, start_child, stop_child
from rowcall.spark_client import check_client, give_main_a_spec

KIND = "embedded lakehouse"
DEFAULT_CATALOG = "main"
MOST_FILES = 200
"""What a MERGE reads at once is in the memory of the one process: so many segments are some 30,000 answers with their spans."""
_FEW_FILES = 20
"""So many are read as they are; of more, so many at a time are put together."""
_GATHERED = ".gathered-"
_OLD_SECONDS = 24 * 3600.0
_AT_ONCE = "0"
_IDLE_SECONDS = str(30 * 24 * 3600)
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Lakehouse:
    """A running lakehouse over one folder. `spark` is a Spark Connect session."""

    def __init__(self, folder: Path, server: Child, spark: Any) -> None:
        self.folder = folder
        self.spark = spark
        self._server = server
        self._registered: set[Path] = set()
        self._gathered: dict[str, Path] = {}
        self._own_folder = folder / f"{_GATHERED}{uuid.uuid4().hex}"

    def create_schema(self, name: str) -> str:
        """The statement that makes a schema whose tables are folders; `name` is quoted."""
        path = self.folder.joinpath(*_parts(name, 2))
        path.mkdir(parents=True, exist_ok=True)
        return f"CREATE SCHEMA IF NOT EXISTS {name} LOCATION {literal(str(path))}"

    def forget(self, table: str) -> None:
        """Remove a dropped table's files, as a managed table's are; Sail leaves them."""
        place = self.folder.joinpath(*_parts(table, 3))
        shutil.rmtree(place, ignore_errors=True)
        self._registered.discard(place)

    def check_table(self, name: str) -> None:
        """Raises `SetupError` for a table it cannot keep."""
        _parts(name, 3)

    def register(self) -> None:
        """Register the tables of the folder that the catalog does not know, such as those another process made. Each once: Sail
        keeps something of every statement."""
        from pyspark.errors import PySparkException

        for place, statement in _registrations(self):
            if place not in self._registered:
                with suppress(PySparkException):  # a half made table is as good as none
                    self.spark.sql(statement)
                    self._registered.add(place)

    def gathered(self, name: str, paths: Sequence[str], columns: Sequence[str]) -> Sequence[str]:
        """The rows of many small files in one, until the next files of that name. Sail opens each file in a thread of its own, and
        what a thread has used is let go of late. Few files are left as they are; so are more than `MOST_FILES`, unless only some
        columns are needed, and what cannot be read or put together: that is for Sail to tell."""
        import pyarrow as pa
        from pyarrow import parquet

        if before := self._gathered.pop(name, None):
            before.unlink(missing_ok=True)
        if len(paths) <= _FEW_FILES or (len(paths) > MOST_FILES and not columns):
            return paths
        file = self._own_folder / f"{uuid.uuid4().hex}.parquet"
        read = partial(parquet.read_table, columns=list(columns) or None)
        try:
            file.parent.mkdir(exist_ok=True)
            with parquet.ParquetWriter(file, read(paths[0]).schema, use_dictionary=False) as writer:
                for first in range(0, len(paths), _FEW_FILES):
                    writer.write_table(pa.concat_tables(map(read, paths[first : first + _FEW_FILES])))
        except (OSError, ValueError, pa.ArrowException):
            file.unlink(missing_ok=True)
            return paths
        self._gathered[name] = file
        return [str(file)]

    def stop(self) -> None:
        self.spark.stop()
        stop_child(self._server)
        shutil.rmtree(self._own_folder, ignore_errors=True)


def open_lakehouse(folder: Path, catalogs: Sequence[str] = (), modules: Sequence[str] = ()) -> Lakehouse:
    """Start Sail over a folder. `catalogs` are those a job names; the ones in the folder are always there. `modules` are
    imported ahead of the tasks that will need them."""
    if not check_client() or find_spec("pysail") is None:
        raise SetupError(f"the {KIND} needs the extra `local`: pip install 'rowcall[local]'")
    folder = _plain_path(folder)
    _forget_gathered(folder)
    names = sorted({DEFAULT_CATALOG, *catalogs, *(path.name for path in folder.iterdir() if _is_plain(path))})
    environment = {**os.environ, **_settings(names)}
    server, ready = start_child(f"the {KIND}", "rowcall.sandbox.sail_server", modules, folder / "sail.log", environment)
    try:
        give_main_a_spec()
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{ready['port']}").create()
        _give_up_soon(spark)
        lakehouse = Lakehouse(folder, server, spark)
        lakehouse.register()
    except BaseException:
        stop_child(server)
        raise
    return lakehouse


def _forget_gathered(folder: Path) -> None:
    """Remove what killed processes have gathered. No statement takes as long."""
    for left in folder.glob(f"{_GATHERED}*"):
        with suppress(OSError):  # it went meanwhile
            if time.time() - left.stat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(left)


def _give_up_soon(spark: Any) -> None:
    """A server on this machine that does not answer for 4 s is gone; by itself, Spark's client would try for ten minutes."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    spark.client.set_retry_policies([DefaultPolicy(max_retries=4)])


def _plain_path(folder: Path) -> Path:
    """The folder, made if need be, under a path without special characters and `..`, which Sail refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
    except OSError as error:
        raise SetupError(f"the {KIND} cannot be kept in {folder}: {error.strerror}. Choose another --home.") from error
    if _PLAIN.fullmatch(str(folder)):
        return folder
    link = Path(gettempdir()) / f"rowcall-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with suppress(FileExistsError):
        link.symlink_to(folder, target_is_directory=True)
    if link.resolve() != folder.resolve():
        raise SetupError(
            f"{link} is in the way of the {KIND}; remove it, or choose a --home without special characters"
        )
    return link


def _settings(catalogs: Sequence[str]) -> dict[str, str]:
    listed = ", ".join(f'{{name="{name}", type="memory", initial_database=["default"]}}' for name in catalogs)
    return {
        "SAIL_CATALOG__LIST": f"[{listed}]",
        "SAIL_CATALOG__DEFAULT_CATALOG": DEFAULT_CATALOG,
        # Sail otherwise forgets a session, with its tables and views, that is idle for 15 minutes.
        "SAIL_SPARK__SESSION_TIMEOUT_SECS": _IDLE_SECONDS,
        # Sail's allocator otherwise keeps what a statement no longer needs: with every MERGE of a run some 30 MB more.
        "MIMALLOC_PURGE_DELAY": _AT_ONCE,
        "RUST_LOG": os.environ.get("RUST_LOG", "error"),
    }


def _registrations(lakehouse: Lakehouse) -> Iterator[tuple[Path, str]]:
    """The folders of schemas and tables, each with the statement that makes it known."""
    for schema in sorted(path for path in lakehouse.folder.glob("*/*") if _is_plain(path) and _is_plain(path.parent)):
        schema_name = ".".join(identifier(part) for part in schema.relative_to(lakehouse.folder).parts)
        yield schema, lakehouse.create_schema(schema_name)
        for table in sorted(
            path for path in schema.iterdir() if _is_plain(path) and any(path.glob("_delta_log/*.json"))
        ):
            name = f"{schema_name}.{identifier(table.name)}"
            yield table, f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION {literal(str(table))}"


def _is_plain(folder: Path) -> bool:
    return folder.is_dir() and _PLAIN_NAME.fullmatch(folder.name) is not None


def _parts(name: str, count: int) -> list[str]:
    """The parts of a quoted name, the default catalog and schema filled in. Raises `SetupError` for names it cannot keep."""
    parts = list(table_parts(name))
    odd = next((part for part in parts if not _PLAIN_NAME.fullmatch(part)), None)
    if odd is not None:
        raise SetupError(f"the {KIND} takes names of plain letters, digits, _ and - only, not {odd!r} in {name}")
    return [DEFAULT_CATALOG, "default"][: count - len(parts)] + parts
