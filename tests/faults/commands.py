"""`rowcall run --json` as a process of its own, in a folder of its own; what the server and the tables say of it afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from pyarrow import parquet

from matrix import MatrixRow
from rowcall import api
from rowcall.adapters.workspace import DatabricksWorkspace
from rowcall.adapters.workspace_login import WorkspaceLogin
from rowcall.core.report import RunRow
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import RecordingReporter
from rowcall.wiring import Options, surroundings
from support import control

if TYPE_CHECKING:
    from cluster import ApacheSpark

ROWS, LIMIT, FLUSH = 400, 8, 20
RUN = ("-m", "rowcall", "run", "--json")
CRASH = Path(__file__).with_name("crash.py")
Process = subprocess.Popen[str]


def job_of(rows: int, endpoint: str = "{app: echo}", **engine: object) -> str:
    """A job `cut` over so many rows, which are answered with what they say: `row 0`, `row 1` and so on."""
    options = {"concurrency": LIMIT, "flush_rows": FLUSH, "flush_seconds": 0.1, "publish_seconds": 0.5, **engine}
    return f"""
job: cut
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range({rows})
  key: id
request: {{input: "{{text}}"}}
endpoint: {endpoint}
engine: {json.dumps(options)}
outputs: {{table: main.demo.cut}}
"""


JOB = job_of(ROWS)


class Command:
    """Runs of one job. It asks the sandbox's `agent`, which takes `latency_ms` to answer; `options` are of the command line. Apache
    Spark is in the place of the embedded lakehouse where `spark` is given."""

    def __init__(
        self,
        folder: Path,
        sandbox: SandboxProcess,
        job: str = JOB,
        agent: str = "echo",
        latency_ms: float = 20,
        options: Sequence[str] = (),
        spark: "ApacheSpark | None" = None,
    ) -> None:
        self.folder, self.sandbox, self.agent, self.options = folder, sandbox, agent, options
        self.spark = spark
        self.tables = folder / ".rowcall" / "lakehouse"
        (folder / "job.yml").write_text(job)
        control(sandbox, "DELETE", "figures")
        control(sandbox, "PUT", f"behaviour/{agent}", {"latency_ms": latency_ms})

    def start(self, program: Sequence[str] = RUN, more: Sequence[str] = ()) -> Process:
        login = {"DATABRICKS_CONFIG_FILE": self.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile}
        return subprocess.Popen(
            [sys.executable, *program, "job.yml", *self.options, *more],
            cwd=self.folder,
            env={**os.environ, **login},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, seconds: float = 60) -> dict[str, Any]:
        done, errors = ended(self.start(), seconds)
        assert done, errors
        return json.loads(done.splitlines()[-1])

    def go_on(self) -> RunRow:
        """The same job again, in this process: that saves the seconds that another takes to start."""
        login = WorkspaceLogin(self.sandbox.profile, self.sandbox.config_file)
        if self.spark:
            self.spark.move(self.tables)
        spark = self.spark and self.spark.spark
        options = Options(home=self.folder / ".rowcall", profile=self.sandbox.profile, spark=spark)
        loaded = api.load_job(self.folder / "job.yml")
        with surroundings(loaded.definition, options) as here:
            here.login, here.workspace = login, DatabricksWorkspace(login)
            return api.run_here(loaded, here, reporter=RecordingReporter())

    def die(self, when: str, what: str, count: int = 1) -> None:
        """A run that is killed at that moment (see `crash.py`)."""
        process = self.start([str(CRASH), when, what, str(count)], [str(self.tables)] if self.spark else [])
        if self.spark:  # its JVM has the pipes, too, and goes a while later
            process.wait(timeout=240)
        errors = "" if process.returncode == -signal.SIGKILL else ended(process, 60)[1]
        assert process.returncode == -signal.SIGKILL, errors

    def figures(self) -> dict[str, Any]:
        none = {"calls": 0, "answered": 0, "distinct_answered": 0, "in_flight": 0}
        return control(self.sandbox, "GET", "figures").get(self.agent, none)

    def answered(self) -> int:
        return self.figures()["answered"]

    def rows(self, schema: str, table: str) -> list[dict[str, Any]]:
        return DeltaTable(self.tables / "main" / schema / table).to_pyarrow_table().to_pylist()

    def answers(self) -> list[tuple[int, str]]:
        return sorted((row["id"], row["answer"]) for row in self.rows("demo", "cut"))

    def statuses(self) -> list[str]:
        """How the runs ended, oldest first."""
        return [run["status"] for run in sorted(self.rows("rowcall", "runs"), key=lambda run: run["started_at"])]

    def outcome(self, fault: str) -> MatrixRow:
        """What came of a kill: answers that the server gave and the outputs do not have, answers it gave more than once."""
        outcomes, figures = [row["outcome"] for row in self.rows("demo", "cut")], self.figures()
        ok, distinct = outcomes.count("ok"), figures["distinct_answered"]
        return MatrixRow(
            matrix="kill",
            fault=fault,
            rows=len(outcomes),
            ok=ok,
            error=len(outcomes) - ok,
            calls=figures["calls"],
            lost=distinct - ok,
            repaid=figures["answered"] - distinct,
        )


def ended(process: Process, seconds: float) -> tuple[str, str]:
    """What a process printed, to both streams. One that does not end in time does not stay, to disturb other tests."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.kill()


def durable_rows(folder: Path) -> int:
    """Answers in the journals below a folder."""
    return sum(parquet.read_metadata(path).num_rows for path in folder.glob("**/segments/*.parquet"))


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and those that they did."""
    parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it is gone
        return 0
