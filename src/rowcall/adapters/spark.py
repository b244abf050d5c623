"""`SqlSession` over a SparkSession, using only what Spark Connect has: Databricks, Apache Spark and Sail alike.

Apache Spark 3.5 is the oldest: what it lacks is done in its own words here, and nowhere else.
"""

import re
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rowcall.adapters.signals import held_back
from rowcall.core.errors import RunError, SetupError, SqlError
from rowcall.core.ports import Batches, Row, TaskWork
from rowcall.core.records import Column
from rowcall.core.sql_failure import conflict, missing, shorten
from rowcall.spark_client import give_main_a_spec

if TYPE_CHECKING:
    import pyarrow as pa

REPORT_SCHEMA = "report STRING"
_ARROW_SCHEMA = "batch BINARY"
_LOST = re.compile(r'StatusCode\.UNAVAILABLE\s+details = "(.+?)"')
_OWN_ERROR = re.compile(r"rowcall\.core\.errors\.\w+: (.+)")


class TableFolders(Protocol):
    """Where the engine does not look after the files of its tables itself."""

    def create_schema(self, name: str) -> str: ...

    def forget(self, table: str) -> None: ...

    def register(self) -> None: ...

    def gathered(self, name: str, paths: Sequence[str], columns: Sequence[str]) -> Sequence[str]: ...


class SparkSqlSession:
    """Runs statements on a SparkSession. `folders` is given for the embedded lakehouse."""

    def __init__(
        self,
        spark: Any,
        kind: str,
        folders: TableFolders | None = None,
        *,
        ai_query: bool = False,
        most_files: int | None = None,
    ) -> None:
        self._spark = spark
        self._kind = kind
        self._folders = folders
        self._ai_query = ai_query
        self._most_files = most_files
        self._tags = _tags(spark)

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
    def most_files(self) -> int | None:
        return self._most_files

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
            found = self._spark.sql(statement)
            batches = found.toArrow().to_batches(1000) if hasattr(found, "toArrow") else arrow_batches(found)
        yield from batches

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

    def view_of_files(self, name: str, paths: Sequence[str], columns: Sequence[str] = ()) -> None:
        files = self._folders.gathered(name, paths, columns) if self._folders else paths
        with self._sending(f"read {len(paths)} Parquet files"):
            self._spark.read.parquet(*files).createOrReplaceTempView(name)

    def fan_out(self, query: str, tasks: int, work: TaskWork) -> list[Row]:
        with self._sending(query):
            rows = self._spark.sql(query).repartition(tasks)
            return [row.asDict() for row in rows.mapInArrow(partial(_run_part, work), REPORT_SCHEMA).collect()]

    def interrupt(self) -> None:
        self._tags.interrupt_all()

    @contextmanager
    def _sending(self, statement: str) -> Generator[None]:
        """Around every use of Spark: a signal that comes meanwhile interrupts what is sent here, and nothing that other threads
        have sent, before it is raised. Raised in the middle it would break the connection, that of gRPC and that to the JVM."""
        tag = f"rowcall-{secrets.token_hex(8)}"
        with held_back(lambda: self._tags.interrupt(tag)), _mapped(statement):
            self._tags.add(tag)
            try:
                yield
            finally:
                self._tags.remove(tag)


class _Tags(NamedTuple):
    """How what a thread sends is told from the rest, and stopped."""

    add: Callable[[str], object]
    remove: Callable[[str], object]
    interrupt: Callable[[str], object]
    interrupt_all: Callable[[], object]


def _tags(spark: Any) -> _Tags:
    """Of the session; in classic Spark before 4.0 only the context has them, and the session's methods raise."""
    try:
        spark.getTags()
    except (AttributeError, RuntimeError):
        context = spark.sparkContext
        return _Tags(context.addJobTag, context.removeJobTag, context.cancelJobsWithTag, context.cancelAllJobs)
    return _Tags(spark.addTag, spark.removeTag, spark.interruptTag, spark.interruptAll)


def arrow_batches(frame: Any) -> "list[pa.RecordBatch]":
    """What `toArrow` brings, of Spark before 4.0: the tasks write the batches as bytes, which come back as any column does."""
    import pyarrow as pa

    found = frame.mapInArrow(_written, _ARROW_SCHEMA).collect()
    return [batch for row in found for batch in pa.ipc.open_stream(row["batch"])]


def _written(batches: Batches) -> Iterator["pa.RecordBatch"]:
    """Inside a task."""
    import pyarrow as pa

    for batch in batches:
        written = pa.BufferOutputStream()
        with pa.ipc.new_stream(written, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_pydict({"batch": [written.getvalue().to_pybytes()]})


def _run_part(work: TaskWork, batches: Batches) -> Iterator["pa.RecordBatch"]:
    """Inside a task: Spark's know which part they have, Sail's do not."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return work(batches, None if context is None else context.partitionId())


def ambient_spark(remote: str | None = None) -> Any:
    """The session of the runtime, or of a Spark Connect server at `remote`. Raises `SetupError` where there is none."""
    give_main_a_spec()
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
        # Classic Spark comes without grpc, Spark Connect without py4j, so their errors are told by their module.
        modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
        if "py4j" in modules and hasattr(error, "java_exception"):
            text = _thrown(str(error))
            raise SqlError(shorten(text), statement, missing=missing(text), conflict=conflict(text)) from error
        if modules & {"grpc", "py4j"}:
            raise RunError(f"the Spark server stopped answering: {shorten(str(error))}") from error
        raise


def _thrown(text: str) -> str:
    """What Java threw that PySpark has no error of its own for, without how it came there."""
    return text.split("\n: ", 1)[-1].split("\n\tat ", 1)[0]


def _told(line: str) -> str:
    """What a task said on purpose as it is; anything else as a failure of Spark's."""
    own = _OWN_ERROR.fullmatch(line)
    return own[1] if own else f"a Spark task failed: {line}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return shorten(lines[-1] if lines else "no message")
