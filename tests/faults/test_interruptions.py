"""Runs that are cut off and run again: every key answered once, nothing durable paid twice. The command line, in a process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until

ROWS, LIMIT, FLUSH = 400, 8, 20
JOB = f"""
job: cut
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range({ROWS})
  key: id
request: {{input: "{{text}}"}}
endpoint: {{app: echo}}
engine: {{concurrency: {LIMIT}, flush_rows: {FLUSH}, flush_seconds: 0.1, publish_seconds: 0.5}}
outputs: {{table: main.demo.cut}}
"""


class Command:
    """`rowcall run --json` in a folder of its own, asking the shared sandbox's `agent`."""

    def __init__(self, folder: Path, sandbox: SandboxProcess, job: str = JOB, agent: str = "echo") -> None:
        self.folder, self.sandbox, self.agent = folder, sandbox, agent
        (folder / "job.yml").write_text(job)
        control(sandbox, "DELETE", "figures")
        control(sandbox, "PUT", f"behaviour/{agent}", {"latency_ms": 20})

    def start(self) -> "subprocess.Popen[str]":
        login = {"DATABRICKS_CONFIG_FILE": self.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile}
        return subprocess.Popen(
            [sys.executable, "-m", "rowcall", "run", "job.yml", "--json"],
            cwd=self.folder,
            env={**os.environ, **login},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> dict[str, object]:
        done, errors = self.start().communicate(timeout=60)
        assert done, errors
        return json.loads(done.splitlines()[-1])

    def answered(self) -> int:
        return control(self.sandbox, "GET", "figures").get(self.agent, {}).get("answered", 0)

    def answers(self) -> list[tuple[int, str]]:
        table = DeltaTable(self.folder / ".rowcall" / "lakehouse" / "main" / "demo" / "cut").to_pyarrow_table()
        return sorted((row["id"], row["answer"]) for row in table.to_pylist())


@pytest.mark.parametrize(
    ("number", "message"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated (SIGTERM)")]
)
def test_a_stopped_run_keeps_every_answer_and_says_how_to_go_on(
    tmp_path: Path, sandbox: SandboxProcess, number: signal.Signals, message: str
):
    command = Command(tmp_path, sandbox)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS // 2)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["status"], stopped["message"]) == ("stopped", message)
    assert stopped["ok"] == command.answered() == len(command.answers())
    assert f"asks only the {ROWS - stopped['ok']} that are left" in errors

    again = command.run()
    assert (again["status"], again["asked"]) == ("done", ROWS - stopped["ok"])
    assert command.answered() == ROWS
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_killed_run_is_finished_by_the_next_and_pays_at_most_a_flush_again(
    tmp_path: Path, sandbox: SandboxProcess, share: float
):
    command = Command(tmp_path, sandbox)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS * share)
    process.kill()
    process.communicate(timeout=60)
    paid = command.answered()

    again = command.run()
    assert again["status"] == "done"
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]
    assert command.answered() <= ROWS + LIMIT + FLUSH
    assert command.answered() - ROWS <= paid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_begun_on_the_durable_agent_server_is_found_again_and_never_paid_twice(
    tmp_path: Path, sandbox: SandboxProcess, number: signal.Signals
):
    rows = 60
    job = JOB.replace(f"range({ROWS})", f"range({rows})").replace("app: echo", "app: echo-durable")
    job = job.replace("job: cut", f"job: cut_durable_{number.name}")
    command = Command(tmp_path, sandbox, job, "echo-durable")
    process = command.start()
    wait_until(lambda: command.answered() > rows // 3)
    process.send_signal(number)
    process.communicate(timeout=60)

    assert command.run()["status"] == "done"
    assert command.answers() == [(n, f"row {n}") for n in range(rows)]
    assert control(sandbox, "GET", "figures")["echo-durable"]["calls"] == rows


def test_a_run_killed_again_and_again_still_ends(tmp_path: Path, sandbox: SandboxProcess):
    command, kills = Command(tmp_path, sandbox), 3
    for kill in range(1, kills + 1):
        process = command.start()
        wait_until(lambda kill=kill: command.answered() > kill * ROWS // (kills + 2))
        process.kill()
        process.communicate(timeout=60)
    assert command.run()["status"] == "done"
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]
    assert command.answered() <= ROWS + kills * (LIMIT + FLUSH)


def test_the_runs_table_tells_of_the_dead_run(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS // 3)
    process.kill()
    process.communicate(timeout=60)
    command.run()
    runs = DeltaTable(tmp_path / ".rowcall" / "lakehouse" / "main" / "rowcall" / "runs").to_pyarrow_table().to_pylist()
    dead, done = sorted(runs, key=lambda run: run["started_at"])
    assert (dead["status"], done["status"]) == ("interrupted", "done")
    assert dead["ok"] + done["ok"] == ROWS
    assert dead["ok"] > 0


def test_two_runs_of_a_job_at_once_are_refused(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox)
    first = command.start()
    wait_until(lambda: command.answered() > 20)
    first.send_signal(signal.SIGSTOP)
    second = command.start()
    _, errors = second.communicate(timeout=60)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert f"is going on (process {first.pid} " in errors
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert command.answered() == ROWS
