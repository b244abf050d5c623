"""Apache Spark and Delta Lake on the JVM. `make test-spark` installs them; elsewhere these tests are not collected."""

from collections.abc import Iterator
from typing import Any

import pyspark
import pytest
from spark_bench import OpenBench, SparkBench

from rowcall.adapters.spark import SparkSqlSession
from rowcall.sandbox.process import SandboxProcess

# The jars of Delta Lake are for these.
collect_ignore_glob = [] if pyspark.__version__.startswith(("3.5.", "4.0.")) else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def delta_lake() -> None:
    from cluster import need_delta_lake

    need_delta_lake()


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
