"""A job of the bundle as a `python_wheel_task` on serverless compute.

An environment with nothing but the wheel, what it declares, and what a runtime brings; the entry point is called as Databricks
calls it, with the parameters of the bundle's job; Spark is a Spark Connect server with the settings of serverless, whose Python
functions have no network.
"""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rowcall.bundle.jobs import jobs_of
from rowcall.sandbox.process import SandboxProcess
from serverless_spark import serverless_spark
from support import control

pytestmark = pytest.mark.timeout(500)
ROOT = Path(__file__).parents[2]
RUNTIME = ("pyspark-client", "pandas")
"""What a runtime brings that the wheel does not ask for."""
ENTRY_POINT = """
import sys
from importlib.metadata import entry_points
sys.argv = ["rowcall", *sys.argv[1:]]
(found,) = entry_points(group="console_scripts", name="rowcall")
found.load()()
"""
# The part of a runtime that the SDK asks for dbutils.
DBRUNTIME = """
import json, os
class _TaskValues:
    def set(self, key, value):
        with open(os.environ["TASK_VALUES"], "a") as file:
            file.write(json.dumps({key: value}) + "\\n")
class _Jobs:
    taskValues = _TaskValues()
class _Dbutils:
    jobs = _Jobs()
class UserNamespaceInitializer:
    @classmethod
    def getOrCreate(cls):
        return cls()
    def get_namespace_globals(self):
        return {"dbutils": _Dbutils()}
"""
JOB = """
job: task
variables: {catalog: other, rows: 20, journal: none}
prompts: {query: "SELECT id, concat('row ', id) AS text FROM range(${rows})", key: id}
request: {input: "{text}"}
endpoint: {app: echo}
engine: {kind: responses, concurrency: 4}
outputs: {table: "${catalog}.demo.task"}
journal: ${journal}
"""


@dataclass(frozen=True)
class Runtime:
    """A task's environment: its Python, and the variables that are set there."""

    python: Path
    folder: Path
    variables: Mapping[str, str]

    def run(self, parameters: list[str]) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        command = [str(self.python), "-c", ENTRY_POINT, *parameters]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**kept, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def task_values(self) -> list[dict[str, Any]]:
        path = Path(self.variables["TASK_VALUES"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        python,
        wheel,
        *RUNTIME,
    ]
    subprocess.run([*command, "--constraint", ROOT / "constraints.txt"], check=True)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "dbruntime.py").write_text(DBRUNTIME)
    return python


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serverless_spark(tmp_path_factory.mktemp("serverless")) as address:
        yield address


@pytest.fixture
def runtime(python: Path, spark: str, sandbox: SandboxProcess, tmp_path: Path) -> Runtime:
    control(sandbox, "DELETE", "figures")
    return Runtime(
        python,
        tmp_path,
        {
            "DATABRICKS_RUNTIME_VERSION": "client.4.9",
            "DATABRICKS_ENV_VERSION": "4",
            "SPARK_REMOTE": spark,
            "DATABRICKS_CONFIG_FILE": sandbox.config_file,
            "DATABRICKS_CONFIG_PROFILE": sandbox.profile,
            "TASK_VALUES": str(tmp_path / "task-values"),
        },
    )


def parameters(folder: Path, job: str, **values: str) -> list[str]:
    """The parameters of the task that a bundle makes of a job, filled in as the CLI and Databricks fill them in."""
    (folder / "jobs").mkdir()
    (folder / "jobs" / "task.yml").write_text(job)
    made, problems = jobs_of({"catalog": "main", "journal": str(folder / "journal")}, folder)
    assert problems == []
    settings = made["task"].settings
    filled = {
        "workspace.file_path": str(folder),
        "bundle.target": "prod",
        "var.catalog": "main",
        "var.journal": str(folder / "journal"),
        "job.id": "11",
        "job.run_id": "22",
        "task.run_id": "33",
    }
    for parameter in settings["parameters"]:
        name = parameter["name"]
        filled[f"job.parameters.{name}"] = values.get(name, _filled(parameter["default"], filled))
    (task,) = settings["tasks"]
    return [_filled(one, filled) for one in task["python_wheel_task"]["parameters"]]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{([^{}]+)\}|\{\{([^{}]+)\}\}", lambda found: values[found[1] or found[2]], text)


def test_a_task_of_the_bundle(runtime: Runtime, sandbox: SandboxProcess) -> None:
    given = parameters(runtime.folder, JOB, rows="12")
    done = runtime.run(given)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["status"], row["source_rows"], row["ok"], row["outputs_table"]) == ("done", 12, 12, "main.demo.task")
    assert control(sandbox, "GET", "figures")["echo"]["calls"] == 12
    context = row["context"]
    assert {name: context[name] for name in ("databricks_job_id", "databricks_run_id", "bundle_target")} == {
        "databricks_job_id": "11",
        "databricks_run_id": "22",
        "bundle_target": "prod",
    }
    reason = "Spark's tasks do not reach 127.0.0.1: [Errno 101] Network is unreachable"
    assert f"the driver makes the calls: {reason}" in done.stderr
    ((name, value),) = runtime.task_values()[0].items()
    assert (name, value["run_id"], value["ok"]) == ("rowcall", row["run_id"], 12)


def test_a_task_whose_rows_fail_is_a_failed_task(runtime: Runtime, sandbox: SandboxProcess) -> None:
    control(sandbox, "PUT", "behaviour/echo", {"faults": [{"match": "row 3", "status": 400}]})
    try:
        done = runtime.run(parameters(runtime.folder, JOB.replace("demo.task", "demo.failing")))
    finally:
        control(sandbox, "PUT", "behaviour/echo", {})
    assert done.returncode == 3, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["status"], row["failed"]) == ("done", 1)


def test_a_task_with_a_wrong_definition_says_what_is_wrong(runtime: Runtime) -> None:
    given = parameters(runtime.folder, JOB)
    path = runtime.folder / "jobs" / "task.yml"
    path.write_text(path.read_text().replace("key: id", "kye: id"))
    done = runtime.run(given)
    assert done.returncode == 2
    assert "Did you mean `key`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_runtime_without_spark_says_so(runtime: Runtime) -> None:
    variables = {name: value for name, value in runtime.variables.items() if name != "SPARK_REMOTE"}
    nowhere = Runtime(runtime.python, runtime.folder, variables)
    done = nowhere.run(parameters(runtime.folder, JOB))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "this runtime gives no SparkSession" in done.stderr
    assert "--warehouse" in done.stderr
