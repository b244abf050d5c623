"""`SqlSession` over a SparkSession, using only what Spark Connect has: Databricks, Apache Spark and Sail alike."""

import re
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from rowcall.adapters.signals import held_back
from rowcall.core.errors import RunError, SetupError, SqlError
from rowcall.core.ports import Batches, Row, TaskWork
from rowcall.core.records import Column
from rowcall.core.sql_failure import conflict, missing, shorten

if TYPE_CHECKING:
    import pyarrow as pa

REPORT_SCHEMA = "report STRING"
_LOST = re.compile(r'StatusCode\.UNAVAILABLE\s+details = "(.+?)"')
_OWN_ERROR = re.compile(r"rowcall\.core\.errors\.\w+: (.+)")


class TableFolders(Protocol):
    """Where the engine does not look after the files of its tables itself."""

    def create_schema(self, name: str) -> str: ...

    def forget(self, table: str) -> None: ...

    def register(self) -> None: ...


class SparkSqlSession:
    """Runs statements on a SparkSession. `folders` is given for the embedded lakehouse."""

    def __init__(self, spark: Any, kind: str, folders: TableFolders | None = None, *, ai_query: bool = False) -> None:
        self._spark = spark
        self._kind = kind
        self._folders = folders
        self._ai_query = ai_query

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def executors(self) -> bool:
        return True

    @property
    def ai_query(self) -> bool:
        return self._ai_query

    @property
    def statement_ids(self) -> Sequence[str]:
        return ()

    def execute(self, statement: str) -> str | None:
        with self._sending(statement):
            self._spark.sql(statement)

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        with self._sending(statement):
            found = self._spark.sql(statement, args=dict(parameters)) if parameters else self._spark.sql(statement)
            return [row.asDict(recursive=True) for row in found.collect()]

    def batches(self, statement: str) -> Iterator["pa.RecordBatch"]:
        with self._sending(statement):
            rows = self._spark.sql(statement).toArrow()
        yield from rows.to_batches(max_chunksize=1000)

    def frame(self, statement: str) -> Any:
        with self._sending(statement):
            found = self._spark.sql(statement)
            return found.toArrow().to_pandas() if self._folders else found

    def columns(self, query: str) -> tuple[Column, ...]:
        with self._sending(query):
            fields = self._spark.sql(query).schema.fields
        return tuple(Column(field.name, field.dataType.simpleString()) for field in fields)

    def refresh(self) -> None:
        if self._folders:
            with self._sending("register tables"):
                self._folders.register()

    def create_schema(self, name: str) -> None:
        self.execute(self._folders.create_schema(name) if self._folders else f"CREATE SCHEMA IF NOT EXISTS {name}")

    def drop_table(self, name: str) -> None:
        self.execute(f"DROP TABLE IF EXISTS {name}")
        if self._folders:
            self._folders.forget(name)

    def view_of_files(self, name: str, paths: Sequence[str]) -> None:
        with self._sending(f"read {len(paths)} Parquet files"):
            self._spark.read.parquet(*paths).createOrReplaceTempView(name)

    def fan_out(self, query: str, tasks: int, work: TaskWork) -> list[Row]:
        with self._sending(query):
            rows = self._spark.sql(query).repartition(tasks)
            return [row.asDict() for row in rows.mapInArrow(partial(_run_part, work), REPORT_SCHEMA).collect()]

    def interrupt(self) -> None:
        self._spark.interruptAll()

    @contextmanager
    def _sending(self, statement: str) -> Generator[None]:
        """Around every use of Spark: a signal that comes meanwhile interrupts what is sent here, and nothing that other threads
        have sent, before it is raised. Classic Spark before 4.0 has no tags, and no gRPC that a signal could break."""
        if not hasattr(self._spark, "interruptTag"):
            with _mapped(statement):
                yield
            return
        tag = f"rowcall-{secrets.token_hex(8)}"
        with held_back(lambda: self._spark.interruptTag(tag)), _mapped(statement):
            self._spark.addTag(tag)
            try:
                yield
            finally:
                self._spark.removeTag(tag)


def _run_part(work: TaskWork, batches: Batches) -> Iterator["pa.RecordBatch"]:
    """Inside a task: Spark's know which part they have, Sail's do not."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return work(batches, None if context is None else context.partitionId())


def ambient_spark(remote: str | None = None) -> Any:
    """The session of the runtime, or of a Spark Connect server at `remote`. Raises `SetupError` where there is none."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SetupError(
            "pyspark is missing: pip install 'rowcall[spark]' (on Databricks the runtime brings it)"
        ) from error
    builder = SparkSession.builder.remote(remote) if remote else SparkSession.builder
    try:
        return builder.getOrCreate()
    except Exception as error:  # of Spark, of Java's gateway, of gRPC
        where = f"the Spark Connect server at {remote.split(';')[0]}" if remote else "this runtime"
        raise SetupError(
            f"{where} gives no SparkSession: {shorten(_last_line(str(error)))}\n"
            "  A SQL warehouse needs none: --warehouse, or DATABRICKS_WAREHOUSE_ID"
        ) from error


@contextmanager
def _mapped(statement: str) -> Generator[None]:
    """The one place where Spark's errors become rowcall's."""
    from pyspark.errors import PySparkException, PythonException

    try:
        yield
    except PythonException as error:
        raise RunError(_told(_last_line(str(error)))) from error
    except PySparkException as error:
        text = str(error)
        if lost := _LOST.search(text):
            raise RunError(f"the Spark server stopped answering: {shorten(lost[1])}") from error
        raise SqlError(shorten(text), statement, missing=missing(text), conflict=conflict(text)) from error
    except Exception as error:
        # gRPC's errors are a lost server. Classic Spark comes without grpc, so they are told by their module.
        if any(kind.__module__.split(".")[0] == "grpc" for kind in type(error).__mro__):
            raise RunError(f"the Spark server stopped answering: {shorten(str(error))}") from error
        raise


def _told(line: str) -> str:
    """What a task said on purpose as it is; anything else as a failure of Spark's."""
    own = _OWN_ERROR.fullmatch(line)
    return own[1] if own else f"a Spark task failed: {line}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return shorten(lines[-1] if lines else "no message")
