"""One project on the embedded lakehouse and on Apache Spark: what either has written, the other reads and goes on with."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rowcall
from cluster import ApacheSpark
from rowcall.sandbox.process import SandboxProcess
from rowcall.wiring import Options
from support import control

pytestmark = [pytest.mark.timeout(600), pytest.mark.apache_spark]

JOB = """
job: both
prompts: {{query: "SELECT id, concat('row ', id) AS text FROM range({rows})", key: id}}
request: {{input: "{{text}}"}}
endpoint: {{app: text-insight}}
answer: {{schema: {{sentiment: [positive, neutral, negative], words: int}}}}
engine: {{fan_out: driver}}
outputs: {{table: main.demo.both}}
"""


@dataclass(slots=True)
class Project:
    """A job, and its tables in the folder of the embedded lakehouse."""

    folder: Path
    sandbox: SandboxProcess
    house: ApacheSpark

    @property
    def home(self) -> Path:
        return self.folder / ".rowcall"

    def write(self, rows: int) -> None:
        (self.folder / "job.yml").write_text(JOB.format(rows=rows))

    def on_sail(self) -> dict[str, Any]:
        """How a run there went."""
        done = subprocess.run(
            [sys.executable, "-m", "rowcall", "run", "job.yml", "--json"],
            check=False,
            cwd=self.folder,
            env={**os.environ, "DATABRICKS_CONFIG_FILE": self.sandbox.config_file},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def on_spark(self) -> dict[str, Any]:
        self.house.move(self.home / "lakehouse")
        return json.loads(json.dumps(rowcall.run(self.folder / "job.yml", options=self.options).as_json()))

    @property
    def options(self) -> Options:
        return Options(home=self.home, profile=self.sandbox.profile, spark=self.house.spark)

    def rows(self, table: str) -> list[Any]:
        """As Spark reads them."""
        return self.house.spark.sql(f"SELECT * FROM {table}").collect()


@pytest.fixture
def project(
    request: pytest.FixtureRequest, sandbox: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    if not request.config.getoption("--spark"):
        pytest.skip("no session of Apache Spark is named: --spark=classic")
    house = request.getfixturevalue("house")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", sandbox.config_file)
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", sandbox.profile)
    control(sandbox, "PUT", "behaviour/text-insight", {})
    control(sandbox, "DELETE", "figures")
    return Project(tmp_path, sandbox, house)


def asked(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["status"], run["message"], run["asked"], run["answered_rows"]


@pytest.mark.parametrize("first", ["Sail", "Spark"])
def test_what_one_has_written_the_other_goes_on_with(project: Project, first: str) -> None:
    turns = [project.on_sail, project.on_spark]
    if first == "Spark":
        turns.reverse()
    one, other = turns
    project.write(6)
    assert asked(one()) == ("done", None, 6, 0)
    assert asked(other()) == ("done", None, 0, 6)
    project.write(9)
    assert asked(other()) == ("done", None, 3, 6)
    assert asked(one()) == ("done", None, 0, 9)
    assert control(project.sandbox, "GET", "figures")["text-insight"]["calls"] == 9
    project.house.move(project.home / "lakehouse")
    outputs = project.rows("main.demo.both")
    assert sorted((row["id"], row["answer"]["words"], row["outcome"]) for row in outputs) == [
        (n, 1, "ok") for n in range(9)
    ]
    traces = {row["trace_id"] for row in project.rows("main.rowcall.traces")}
    assert {row["trace_id"] for row in outputs} <= traces
    assert [row["status"] for row in project.rows("main.rowcall.runs")] == ["done"] * 4
    assert len(rowcall.runs("main.rowcall.runs", options=project.options)) == 4
