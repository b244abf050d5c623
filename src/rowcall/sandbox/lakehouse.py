"""The embedded lakehouse: Sail (Spark Connect in Rust) in a process beside this one, tables as Delta folders that outlive it.

    <folder>/<catalog>/<schema>/<table>/_delta_log/…

Sail's catalog lives in memory and forgets its tables with the process, so they are registered again from the folders.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rowcall.core.errors import SetupError
from rowcall.core.names import table_parts
from rowcall.core.sql import identifier, literal
from rowcall.sandbox.child import Child, start_child, stop_child

KIND = "embedded lakehouse"
DEFAULT_CATALOG = "main"


class Lakehouse:
    """A running lakehouse over one folder. `spark` is a Spark Connect session."""

    def __init__(self, folder: Path, server: Child, spark: Any) -> None:
        self.folder = folder
        self.spark = spark
        self._server = server

    def create_schema(self, name: str) -> str:
        """The statement that makes a schema whose tables are folders; `name` is quoted."""
        path = self.folder.joinpath(*_parts(name, 2))
        path.mkdir(parents=True, exist_ok=True)
        return f"CREATE SCHEMA IF NOT EXISTS {name} LOCATION {literal(str(path))}"

    def forget(self, table: str) -> None:
        """Remove a dropped table's files, as a managed table's are; Sail leaves them."""
        shutil.rmtree(self.folder.joinpath(*_parts(table, 3)), ignore_errors=True)

    def stop(self) -> None:
        self.spark.stop()
        stop_child(self._server)


def open_lakehouse(folder: Path, catalogs: Sequence[str] = (), modules: Sequence[str] = ()) -> Lakehouse:
    """Start Sail over a folder. `catalogs` are those a job names; the ones in the folder are always there. `modules` are
    imported ahead of the tasks that will need them."""
    if find_spec("pysail") is None or find_spec("pyspark") is None:
        raise SetupError("the embedded lakehouse needs the extra `local`: pip install 'rowcall[local]'")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({DEFAULT_CATALOG, *catalogs, *(path.name for path in folder.iterdir() if path.is_dir())})
    environment = {**os.environ, **_settings(names)}
    server, ready = start_child(f"the {KIND}", "rowcall.sandbox.sail_server", modules, folder / "sail.log", environment)
    try:
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{ready['port']}").create()
        lakehouse = Lakehouse(folder, server, spark)
        for statement in _registrations(lakehouse):
            spark.sql(statement)
    except BaseException:
        stop_child(server)
        raise
    return lakehouse


def _settings(catalogs: Sequence[str]) -> dict[str, str]:
    listed = ", ".join(f'{{name="{name}", type="memory", initial_database=["default"]}}' for name in catalogs)
    return {
        "SAIL_CATALOG__LIST": f"[{listed}]",
        "SAIL_CATALOG__DEFAULT_CATALOG": DEFAULT_CATALOG,
        "RUST_LOG": os.environ.get("RUST_LOG", "error"),
    }


def _registrations(lakehouse: Lakehouse) -> Iterator[str]:
    for schema in sorted(lakehouse.folder.glob("*/*/")):
        schema_name = ".".join(identifier(part) for part in schema.relative_to(lakehouse.folder).parts)
        yield lakehouse.create_schema(schema_name)
        for log in sorted(schema.glob("*/_delta_log")):
            table = log.parent
            yield f"CREATE TABLE IF NOT EXISTS {schema_name}.{identifier(table.name)} USING delta LOCATION {literal(str(table))}"


def _parts(name: str, count: int) -> list[str]:
    """The parts of a quoted name, the default catalog and schema filled in."""
    parts = list(table_parts(name))
    return [DEFAULT_CATALOG, "default"][: count - len(parts)] + parts
