"""The whole driver is killed while executors ask, Python and JVM; then the same command again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from spark_bench import Note, outcome_of

from cluster import EXECUTORS, PATIENCE
from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until

pytestmark = pytest.mark.timeout(600)

ROWS, LIMIT, FLUSH = 400, 8, 20
JOB = f"""
job: cut
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range({ROWS})
  key: id
request: {{input: "{{text}}"}}
endpoint: {{app: echo}}
engine: {{concurrency: {LIMIT}, tasks: {EXECUTORS}, flush_rows: {FLUSH}, flush_seconds: 0.1, publish_seconds: 2}}
outputs: {{table: test.cut}}
traces: {{table: test.traces}}
runs: {{table: test.runs}}
"""


@contextmanager
def command(folder: Path, sandbox: SandboxProcess) -> Iterator["subprocess.Popen[bytes]"]:
    """`rowcall.run` in a process of its own, what it says in two files: a pipe that nobody reads would hold it up, and one that
    what it started holds open would never end. All that it started is gone at the end."""
    (folder / "job.yml").write_text(JOB)
    login = {"DATABRICKS_CONFIG_FILE": sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": sandbox.profile}
    script = str(Path(__file__).with_name("run_job.py"))
    with (folder / "said").open("wb") as said, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, script, str(folder / "tables"), "job.yml"],
            cwd=folder,
            env={**os.environ, **login, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=said,
            stderr=errors,
        )
    started = psutil.Process(process.pid)
    try:
        yield process
    finally:
        for one in [*started.children(recursive=True), started] if started.is_running() else []:
            one.kill()


def kill_driver(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Kill Python and its JVM; returns the processes that they leave behind."""
    started = psutil.Process(process.pid)
    children = started.children(recursive=True)
    jvm = next(child for child in children if "org.apache.spark.deploy.SparkSubmit" in child.cmdline())
    for one in (started, jvm):
        one.kill()
    process.wait(timeout=30)
    return [child for child in children if child != jvm]


def test_a_killed_driver_is_gone_on_from_and_pays_at_most_a_flush_again(
    tmp_path: Path, sandbox: SandboxProcess, matrix: Note
):
    control(sandbox, "DELETE", "figures")
    control(sandbox, "PUT", "behaviour/echo", {"latency_ms": 50})

    def figures() -> dict[str, Any]:
        return control(sandbox, "GET", "figures").get("echo", {"answered": 0})

    with command(tmp_path, sandbox) as process:
        wait_until(lambda: process.poll() is not None or figures()["answered"] > ROWS // 3, PATIENCE)
        left_behind = kill_driver(process)
    with command(tmp_path, sandbox) as process:
        process.wait(timeout=PATIENCE)
    said = (tmp_path / "said").read_text()
    assert said, (tmp_path / "errors").read_text()
    _, survivors = psutil.wait_procs(left_behind, timeout=30)
    for survivor in survivors:
        survivor.kill()
    assert not survivors

    told = json.loads(said)
    assert (told["run"]["status"], told["run"]["failed"]) == ("done", 0)
    assert 0 < told["run"]["asked"] < ROWS
    assert told["answers"] == [[n, f"row {n}", "ok"] for n in range(ROWS)]
    outcome = outcome_of("the driver is killed", ROWS, 0, figures())
    matrix(outcome)
    assert outcome.lost == 0
    assert outcome.repaid <= LIMIT + EXECUTORS * FLUSH
