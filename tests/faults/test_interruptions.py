"""Runs that are cut off and run again: every key answered once, nothing durable paid twice. The command line, in a process."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import FLUSH, JOB, LIMIT, ROWS, Command, descendants
from deltalake import DeltaTable

from matrix import MatrixRow
from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until


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
    tmp_path: Path, sandbox: SandboxProcess, matrix: Callable[[MatrixRow], None], share: float
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
    matrix(command.outcome(f"the driver, at {share:.0%} of the answers"))


def test_a_killed_driver_leaves_nobody_behind_that_asks_on(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS // 10)
    started = descendants(process.pid)
    assert started
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not any(Path("/proc", str(each)).exists() for each in started))
    wait_until(lambda: command.figures()["in_flight"] == 0)
    assert command.figures()["calls"] < ROWS


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
