"""`rowcall.ask` on Apache Spark: a classic DataFrame and one of pandas, in a session that is handed in."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from spark_bench import OpenBench, SparkBench

import rowcall
from rowcall.wiring import Options

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def spark_bench(open_bench: OpenBench) -> SparkBench:
    return open_bench("local[2]")


@pytest.fixture
def how(spark_bench: SparkBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Where to ask: the driver makes the calls, for the login is this process's."""
    spark_bench.reset()
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", spark_bench.sandbox.config_file)
    tables = {table: {"table": f"test.asked_{table}"} for table in ("traces", "runs")}
    options = Options(home=tmp_path, profile=spark_bench.sandbox.profile)
    return {"engine": {"fan_out": "driver"}, "job": tables, "options": options}


def test_a_classic_frame_comes_back_as_it_was_asked(spark_bench: SparkBench, how: dict[str, Any]) -> None:
    frame = spark_bench.spark.range(12).selectExpr("id", "uuid() AS text")
    found = rowcall.ask(frame, "Say {text}", "app:echo", key="id", outputs="test.asked_classic", **how)
    assert type(found) is type(frame)
    first, second = found.orderBy("id").collect(), found.orderBy("id").collect()
    assert first == second
    assert [row["answer"] for row in first] == [f"Say {row['text']}" for row in first]
    other = spark_bench.spark.range(3).selectExpr("id", "'new' AS text", "id AS more")
    again = rowcall.ask(other, "Say {text}", "app:echo", key="id", outputs="test.asked_classic", **how)
    assert [(row["answer"], row["more"]) for row in again.orderBy("id").collect()] == [("Say new", n) for n in range(3)]
    assert spark_bench.figures()["calls"] == 13


def test_a_frame_of_pandas_comes_back(spark_bench: SparkBench, how: dict[str, Any]) -> None:
    frame = pd.DataFrame({"text": ["a", None, "it's \\ 'b'"], "when": pd.to_datetime(["2026-01-31"] * 3)})
    for _ in range(2):
        found = rowcall.ask(
            frame, "{text} on {when}", "app:echo", outputs="test.asked_pandas", spark=spark_bench.spark, **how
        )
        assert list(found.answer) == [
            "a on 2026-01-31 00:00:00",
            " on 2026-01-31 00:00:00",
            "it's \\ 'b' on 2026-01-31 00:00:00",
        ]
    assert spark_bench.figures()["calls"] == 3
