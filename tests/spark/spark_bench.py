"""Jobs and where to run them, on a cluster of Apache Spark."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from matrix import MatrixRow
from rowcall import api
from rowcall.core.definition import JobDefinition
from rowcall.core.report import RunRow
from rowcall.testing import RecordingReporter
from support import Bench, make_job


@dataclass(slots=True)
class SparkBench(Bench):
    """A bench whose session is that of a cluster."""

    spark: Any = None

    def run(self, job: JobDefinition, *, only_new: bool = False, reporter: RecordingReporter | None = None) -> RunRow:
        parallel = replace(self.surroundings(), parallel=True)
        return api.run_here(api.load_job(job), parallel, only_new=only_new, reporter=reporter or RecordingReporter())

    def answers(self, job: JobDefinition) -> list[tuple[object, ...]]:
        return [(row["id"], row["answer"], row["outcome"]) for row in self.outputs(job)]

    def outcome(self, fault: str, run: RunRow) -> MatrixRow:
        return outcome_of(fault, run.ok, run.failed, self.figures())


Note = Callable[[MatrixRow], None]
OpenBench = Callable[..., SparkBench]
"""From a cluster's master and settings to a bench."""


def outcome_of(fault: str, ok: int, error: int, figures: Mapping[str, Any]) -> MatrixRow:
    """Every row is another text, so what the server answered of them is what it was paid for."""
    answered, once = figures["answered"], figures["distinct_answered"]
    return MatrixRow("kill", f"Spark: {fault}", ok + error, ok, error, figures["calls"], once - ok, answered - once)


def spark_job(name: str, rows: int, **changes: Any) -> JobDefinition:
    """A job over so many rows whose tables are in the schema `test`."""
    tables = {table: {"table": f"test.{name}_{table}"} for table in ("outputs", "traces", "runs")}
    prompts = {"query": f"SELECT id, concat('row ', id) AS text FROM range({rows})", "key": "id"}
    return make_job(name, **{"prompts": prompts, **tables, **changes})
