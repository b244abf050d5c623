"""Apache Spark as a cluster runs it, on this machine: executors that are JVMs with Python processes of their own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyspark

JARS = Path(__file__).parents[2] / ".spark-jars"
EXECUTORS = 2
LOCAL_CLUSTER = f"local-cluster[{EXECUTORS},1,1024]"
PATIENCE = 280.0
"""Seconds: JVMs that start beside much else take their time."""
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


def open_session(warehouse: Path, master: str = LOCAL_CLUSTER, settings: Mapping[str, str] | None = None) -> Any:
    """A SparkSession with Delta Lake that has the tables of the folder `warehouse`. They have one schema, `test`."""
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_HOME": str(_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    jars = os.pathsep.join(map(str, sorted(JARS.glob("*.jar"))))
    places = {
        "spark.driver.extraClassPath": jars,
        "spark.executor.extraClassPath": jars,
        "spark.sql.warehouse.dir": str(warehouse),
    }
    builder = SparkSession.builder.master(master).appName("rowcall")
    for name, value in {**_SETTINGS, **places, **(settings or {})}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sql("CREATE SCHEMA IF NOT EXISTS test")
    for table in (warehouse / "test.db").glob("*"):
        spark.sql(f"CREATE TABLE IF NOT EXISTS test.`{table.name}` USING DELTA LOCATION '{table}'")
    return spark


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
def _daemon(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    folder.mkdir(parents=True)
    options = {"SPARK_HOME": str(_HOME), "SPARK_DAEMON_JAVA_OPTS": _QUICK_JVM, "SPARK_DAEMON_MEMORY": "256m"}
    command = [str(_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **options}, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
