"""Apache Spark and Delta Lake on the JVM. `make test-spark` installs them; elsewhere these tests are not collected."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from spark_bench import OpenBench, SparkBench

from rowcall.adapters.spark import SparkSqlSession
from rowcall.sandbox.process import SandboxProcess

collect_ignore_glob = ["test_*.py"] if find_spec("pysail") else []


@pytest.fixture(scope="session", autouse=True)
def delta_lake() -> None:
    """There is a JVM, and the jars of Delta Lake."""
    from cluster import JARS

    found = {"Java": shutil.which("java"), "the jars of Delta Lake": list(JARS.glob("delta-spark*.jar"))}
    missing = [name for name, there in found.items() if not there]
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{' and '.join(missing)} not found: make test-spark fetches the jars, with Java 17 and Maven")


@pytest.fixture(scope="module")
def open_bench(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBench]:
    """Open a session on a cluster; it is stopped at the end of the module."""
    from cluster import open_session

    opened: list[Any] = []

    def open_one(*cluster: Any) -> SparkBench:
        folder = tmp_path_factory.mktemp("spark")
        opened.append(spark := open_session(folder / "tables", *cluster))
        return SparkBench(SparkSqlSession(spark, "Spark"), sandbox, folder, folder / "tables", spark=spark)

    yield open_one
    for spark in opened:
        spark.stop()
