"""Databricks SQL on the embedded lakehouse: what Sail lacks, rewritten where it stands in a statement.

    ai_query(…)            a function of its own for each call, made of its constants (`ai_call`, `ai_query`)
    read_files(…)          a temporary view over Parquet files of volumes (`volume_files`)
    DESCRIBE QUERY …       the analysed columns; nothing runs

Other text of a statement is left as it is, and a statement with none of these goes through untouched. A `LakehouseSql` stands
where a SparkSession is expected.
"""

import hashlib
import json
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rowcall.core.answer_type import ddl
from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.databricks_sql.ai_bodies import request_failed
from rowcall.sandbox.databricks_sql.ai_call import NAME, AiCall, AiCallText, plan_call, read_arguments
from rowcall.sandbox.databricks_sql.ai_query import Batches, arrow_function
from rowcall.sandbox.databricks_sql.interrupts import Interruptible, Interrupts
from rowcall.sandbox.databricks_sql.serving import Serving
from rowcall.sandbox.databricks_sql.sql_calls import (
    FunctionCall,
    StatementError,
    described_query,
    name_markers,
    replace_calls,
)
from rowcall.sandbox.databricks_sql.volume_files import files_of
from rowcall.sandbox.lakehouse import Lakehouse

Args = Mapping[str, object] | Sequence[object] | None
READ_FILES = "read_files"
_SPECIAL = re.compile(rf"(?i)\b({NAME}|{READ_FILES}|desc|describe)\b")
_MARKER = "rowcall_p"
_ERROR = re.compile(r"\[[A-Z][A-Z_.]+\] .*? SQLSTATE: [0-9A-Z]{5}", re.DOTALL)
# DataFusion otherwise moves the fields of a function's result into filters, and evaluates the function twice.
_ONCE = "SET datafusion.optimizer.enable_leaf_expression_pushdown = false"


class LakehouseSql:
    """A session on the lakehouse that takes Databricks SQL. `serving` is what `ai_query` asks, `volumes` the folder that
    `/Volumes` stands for. Statements may be sent from several threads."""

    def __init__(self, house: Lakehouse, serving: Serving | None = None, volumes: Path | None = None) -> None:
        self._spark = house.spark
        self._serving = serving
        self._volumes = volumes
        self._interrupts = Interrupts()
        self._spark.sql(_ONCE)

    def sql(self, statement: str, args: Args = None) -> Any:
        """As `SparkSession.sql`. Raises `PySparkException`, as does whoever fetches the rows of a query; its text may hold a
        traceback around what `error_text` finds."""
        from pyspark.errors import AnalysisException

        if not _SPECIAL.search(statement):
            return self._sent(statement, args)
        try:
            return self._special(statement, args)
        except StatementError as refusal:
            raise AnalysisException(str(refusal)) from refusal

    @property
    def read(self) -> Any:
        return self._spark.read

    @property
    def version(self) -> str:
        return self._spark.version

    def getTags(self) -> set[str]:  # noqa: N802 (the name is Spark's)
        return self._spark.getTags()

    def addTag(self, tag: str) -> None:  # noqa: N802 (the name is Spark's)
        self._spark.addTag(tag)

    def removeTag(self, tag: str) -> None:  # noqa: N802 (the name is Spark's)
        self._spark.removeTag(tag)

    def clearTags(self) -> None:  # noqa: N802 (the name is Spark's)
        self._spark.clearTags()

    def interruptAll(self) -> list[str]:  # noqa: N802 (the name is Spark's)
        """As Spark's; calls of `ai_query` in flight are dropped, and none starts any more."""
        self._interrupts.interrupt()
        return self._spark.interruptAll()

    def interruptTag(self, tag: str) -> list[str]:  # noqa: N802 (the name is Spark's)
        """As Spark's, for the statements sent under a tag."""
        self._interrupts.interrupt(tag)
        return self._spark.interruptTag(tag)

    def _sent(self, statement: str, args: Args) -> Any:
        from pyspark.errors import PythonException, SparkRuntimeException

        try:
            return self._spark.sql(statement, args=args) if args else self._spark.sql(statement)
        except PythonException as error:
            if _ERROR.search(str(error)):
                raise SparkRuntimeException(error_text(error)) from error
            raise

    def _special(self, statement: str, args: Args) -> Any:
        query = described_query(statement)
        text = statement if query is None else query
        if args and not isinstance(args, Mapping):
            text = name_markers(text, _MARKER)
            args = {f"{_MARKER}{number}": value for number, value in enumerate(args)}
        rewriting = _Rewriting(
            self._spark, self._serving, self._volumes, self._interrupts.begin(self._spark.getTags()), args
        )
        text = rewriting.rewritten(text)
        if query is None:
            return self._sent(text, args)
        # In a subquery nothing can stand that does more than read.
        return self._described(self._sent(f"SELECT * FROM (\n{text}\n)", args))

    def _described(self, frame: Any) -> Any:
        columns = [
            (column.name, column.dataType.simpleString(), column.metadata.get("comment")) for column in frame.schema
        ]
        return self._spark.createDataFrame(columns, "col_name STRING, data_type STRING, comment STRING")


class _Rewriting:
    """One statement being rewritten."""

    def __init__(
        self, spark: Any, serving: Serving | None, volumes: Path | None, statement: Interruptible, args: Args
    ) -> None:
        self._spark = spark
        self._serving = serving
        self._volumes = volumes
        self._statement = statement
        self._args = args

    def rewritten(self, text: str) -> str:
        return replace_calls(text, (NAME, READ_FILES), self._replacement)

    def _replacement(self, call: FunctionCall) -> str:
        return self._ai_query(call) if call.name == NAME else self._read_files(call)

    def _ai_query(self, call: FunctionCall) -> str:
        if self._serving is None:
            raise _unresolved(NAME)
        written = read_arguments(call.arguments)
        batches = Batches(self._planned(self._serving, written), self._serving, self._statement)
        name = f"{NAME}_{secrets.token_hex(8)}"
        self._register(name, batches)
        request = self.rewritten(written.request)
        files = "CAST(NULL AS STRING)" if written.files is None else f"base64({self.rewritten(written.files)})"
        return f"{name}(to_json(named_struct('request', {request})), typeof({request}), {files})"

    def _planned(self, serving: Serving, written: AiCallText) -> AiCall:
        task = _task(serving, written.endpoint)
        return plan_call(written, task, self._values(written.constants))

    def _register(self, name: str, batches: Batches) -> None:
        from pyspark.sql import functions

        made: Any = functions
        function = made.arrow_udf(arrow_function(batches), ddl(batches.type))
        self._spark.udf.register(name, function.asNondeterministic())

    def _read_files(self, call: FunctionCall) -> str:
        if self._volumes is None:
            raise _unresolved(READ_FILES)
        path, options = next(iter(call.arguments), None), call.arguments[1:]
        if path is None or path.name not in (None, "path") or any(option.name is None for option in options):
            raise StatementError("INVALID_PARAMETER_VALUE", f"{READ_FILES} takes a path and named options.", "22023")
        expressions = {"path": path.text} | {str(option.name): option.text for option in options}
        values = self._values(expressions)
        format_ = str(values.get("format", "parquet")).lower()
        unknown = sorted(expressions.keys() - {"path", "format", "schemaevolutionmode"})
        if format_ != "parquet" or unknown:
            what = f"the format {format_}" if format_ != "parquet" else f"the option {unknown[0]}"
            raise StatementError(
                "FEATURE_NOT_SUPPORTED", f"{READ_FILES} does not take {what} here, Parquet only.", "0A000"
            )
        return self._view(files_of(self._volumes, str(values.get("path", ""))))

    def _view(self, files: Sequence[str]) -> str:
        """A view over the files, named after them."""
        name = f"{READ_FILES}_{hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]}"
        self._spark.read.parquet(*files).createOrReplaceTempView(name)
        return name

    def _values(self, expressions: Mapping[str, str]) -> Mapping[str, object]:
        """The values of constants, those that are NULL left out. Raises `StatementError` for what is no constant."""
        from pyspark.errors import PySparkException

        if not expressions:
            return {}
        listed = ", ".join(f"'{name}', {expression}" for name, expression in expressions.items())
        try:
            query = f"SELECT to_json(named_struct({listed})) AS constants"
            found = self._spark.sql(query, args=self._args) if self._args else self._spark.sql(query)
            return mapping(parse_json(found.collect()[0]["constants"]))
        except PySparkException as error:
            names = ", ".join(expressions)
            message = f"Cannot evaluate {names}: these are constants. {str(error).splitlines()[0]}"
            raise StatementError("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", message, "42K09") from error


def error_text(error: BaseException) -> str:
    """What an error of a statement says, in Databricks' form where there is one within it: without Python's traceback."""
    found = _ERROR.search(str(error))
    return found[0] if found else str(error)


def _unresolved(name: str) -> StatementError:
    return StatementError(
        "UNRESOLVED_ROUTINE",
        f"Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`].",
        "42883",
    )


def _task(serving: Serving, endpoint: str) -> str:
    """The task of an endpoint, empty for a custom model. Raises `StatementError` with what the workspace says."""
    url = f"{serving.host.rstrip('/')}/api/2.0/serving-endpoints/{quote(endpoint, safe='')}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {serving.token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 (the workspace's own host)
            return str(mapping(parse_json(reply.read())).get("task") or "")
    except urllib.error.HTTPError as error:
        reason = f"request failed with status {error.code}: {error.read().decode(errors='replace')}"
    except OSError as error:
        reason = str(error)
    raise request_failed(reason)
