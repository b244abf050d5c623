"""Apache Spark with Delta Lake on this machine: in this process, behind a Spark Connect server, or with executors that are JVMs
with Python processes of their own.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyspark
import pytest

from support import wait_until

JARS = Path(__file__).parents[1] / (".spark-jars-3.5" if pyspark.__version__.startswith("3.5.") else ".spark-jars")
EXECUTORS = 2
LOCAL_CLUSTER = f"local-cluster[{EXECUTORS},1,1024]"
KINDS = {"classic": "local[2]", "connect": "", "local-cluster": LOCAL_CLUSTER}
"""Sessions in the place of the embedded lakehouse, and their masters."""
PATIENCE = 280.0
"""Seconds: JVMs that start beside much else take their time."""
_MAIN = re.compile(r"""(?<![\w.`'"])(main|`main`)(?=\.)""")
_SCHEMAS = ("test", "rowcall", "demo")
_HOME = Path(pyspark.__file__).parent
_QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For JVMs that live a minute: half the processor time. Code generation, below, costs more than it brings, too."""
_SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": _QUICK_JVM,
    "spark.executor.extraJavaOptions": _QUICK_JVM,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.stats.collect": "false",
}


def need_delta_lake() -> None:
    """Skip tests where there is no JVM or no jars of Delta Lake; on CI they fail."""
    found = {"Java": shutil.which("java"), "the jars of Delta Lake": list(JARS.glob("delta-spark*.jar"))}
    missing = [name for name, there in found.items() if not there]
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{' and '.join(missing)} not found: make test-spark fetches the jars, with Java 17 and Maven")


def open_session(warehouse: Path, master: str = LOCAL_CLUSTER, settings: Mapping[str, str] | None = None) -> Any:
    """A SparkSession with Delta Lake that has the tables of the folder `warehouse`. They have one schema, `test`."""
    spark = _classic_session(warehouse, master, settings or {})
    spark.sql("CREATE SCHEMA IF NOT EXISTS test")
    for table in (warehouse / "test.db").glob("*"):
        spark.sql(f"CREATE TABLE IF NOT EXISTS test.`{table.name}` USING DELTA LOCATION '{table}'")
    return spark


@dataclass(slots=True)
class ApacheSpark:
    """What stands in the place of the embedded lakehouse: a session, and the folder of its tables."""

    spark: "CatalogMain"
    folder: Path

    def move(self, folder: Path) -> None:
        """Have the catalog `main` in this folder from now on. What the session itself has made in another goes with that."""
        if folder != self.folder:
            for schema in _SCHEMAS:
                self.spark.sql(f"DROP SCHEMA {schema} CASCADE")
        self.folder = folder
        self.look()

    def look(self) -> None:
        """Know the tables that are there."""
        for schema in _SCHEMAS:
            folder = self.folder / "main" / schema
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema} LOCATION '{folder}'")
            for log in folder.glob("*/_delta_log"):
                name = f"{schema}.`{log.parent.name}`"
                self.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION '{log.parent}'")


@contextmanager
def apache_spark(kind: str, folder: Path) -> Iterator[ApacheSpark]:
    """A session of one of the `KINDS`, whose catalog `main` is in the folder."""
    need_delta_lake()
    with ExitStack() as stack:
        if kind == "connect":
            spark = stack.enter_context(_connect_session(folder))
        else:
            spark = _classic_session(folder / "warehouse", KINDS[kind], {})
            stack.callback(spark.stop)
        opened = ApacheSpark(CatalogMain(spark), folder)
        opened.look()
        yield opened


class CatalogMain:
    """A SparkSession whose catalog `main` is Spark's own: without Unity Catalog only `spark_catalog` has tables of Delta Lake."""

    def __init__(self, spark: Any) -> None:
        self._spark = spark

    def sql(self, statement: str, *args: Any, **options: Any) -> Any:
        return self._spark.sql(_in_own_catalog(statement), *args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spark, name)


def _in_own_catalog(statement: str) -> str:
    """The statement, `main` replaced where it is the first part of a name."""
    return _MAIN.sub("spark_catalog", statement)


def _settings(warehouse: Path, more: Mapping[str, str]) -> dict[str, str]:
    jars = os.pathsep.join(map(str, sorted(JARS.glob("*.jar"))))
    places = {
        "spark.driver.extraClassPath": jars,
        "spark.executor.extraClassPath": jars,
        "spark.sql.warehouse.dir": str(warehouse),
    }
    os.environ |= {"SPARK_HOME": str(_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    return {**_SETTINGS, **places, **more}


def _classic_session(warehouse: Path, master: str, settings: Mapping[str, str]) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("rowcall")
    for name, value in _settings(warehouse, settings).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


@contextmanager
def _connect_session(folder: Path) -> Iterator[Any]:
    """A session on a Spark Connect server in a process of its own."""
    from pyspark.sql import SparkSession

    port = _free_port()
    settings = _settings(folder / "warehouse", {"spark.connect.grpc.binding.port": str(port)})
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    server = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", KINDS["classic"]]
    with _daemon(folder / "server", "SparkSubmit", *server, *options, "spark-internal", memory="1g") as process:
        wait_until(lambda: _listens(port) or process.poll() is not None, PATIENCE)
        assert process.poll() is None, (folder / "server" / "daemon.log").read_text()
        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        yield spark
        spark.stop()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def standalone_cluster(folder: Path, hosts: Sequence[str]) -> Iterator[str]:
    """A master, and a worker for one executor on each host, which are addresses of this machine; yields the master's URL.
    A local cluster has one host only, and Spark starts no speculative twin on the host of the first attempt."""
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    with ExitStack() as stack:
        master = ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        stack.enter_context(_daemon(folder / "master", *master))
        for host in hosts:
            worker = ["worker.Worker", "--host", host, "--cores", "1", "--memory", "1g", "--webui-port", "0"]
            stack.enter_context(_daemon(folder / host, *worker, "--work-dir", str(folder / host), url))
        yield url


def driver_of(spark: Any) -> psutil.Process:
    """The driver's JVM."""
    return psutil.Process(spark.sparkContext._gateway.proc.pid)


def asking(driver: psutil.Process, host: str) -> list[psutil.Process]:
    """The Python processes of a driver's executors that are connected to a host."""
    port = int(host.rpartition(":")[2])
    return [process for process in driver.children(recursive=True) if _is_connected(process, port)]


def executor_of(worker: psutil.Process) -> psutil.Process:
    """The JVM that started a Python process."""
    return next(parent for parent in worker.parents() if "CoarseGrainedExecutorBackend" in " ".join(parent.cmdline()))


def _is_connected(process: psutil.Process, port: int) -> bool:
    try:
        return any(one.raddr and one.raddr.port == port for one in process.net_connections("tcp"))
    except psutil.Error:
        return False


@contextmanager
def _daemon(folder: Path, name: str, *arguments: str, memory: str = "256m") -> Iterator["subprocess.Popen[bytes]"]:
    folder.mkdir(parents=True)
    options = {"SPARK_HOME": str(_HOME), "SPARK_DAEMON_JAVA_OPTS": _QUICK_JVM, "SPARK_DAEMON_MEMORY": memory}
    command = [str(_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **options}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
