"""Signals that come while answers take long: a cancelled job is given 15 seconds, a person who insists does not wait."""

import json
import signal
from pathlib import Path

import pytest
from test_interruptions import JOB, LIMIT, ROWS, Command

from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until

GRACE_OF_DATABRICKS = 15


@pytest.fixture
def command(tmp_path: Path, sandbox: SandboxProcess) -> Command:
    """A run that has some answers, and then calls in flight that take an hour."""
    made = Command(tmp_path, sandbox, JOB.replace("outputs:", "limits: {timeout: 2h}\noutputs:"))
    slow = [{"match": f"row {n}", "delay_ms": 3_600_000} for n in range(100, 100 + LIMIT)]
    control(sandbox, "PUT", "behaviour/echo", {"latency_ms": 5, "faults": slow})
    return made


def ended(command: Command, signals: list[signal.Signals], message: str) -> None:
    process = command.start()
    wait_until(lambda: figures(command)["in_flight"] == LIMIT and figures(command)["answered"] > 50)
    for number in signals:
        process.send_signal(number)
        wait_until(lambda: process.poll() is not None or message in notes(command))
    out, errors = process.communicate(timeout=GRACE_OF_DATABRICKS)
    assert process.returncode == 1
    assert "Traceback" not in errors
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["status"], stopped["message"]) == ("stopped", message)
    assert stopped["ok"] == len(command.answers()) == figures(command)["answered"]

    control(command.sandbox, "PUT", "behaviour/echo", {})
    assert command.run()["status"] == "done"
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]


def figures(command: Command) -> dict[str, int]:
    return control(command.sandbox, "GET", "figures")["echo"]


def notes(command: Command) -> str:
    """What the run's journal has been told."""
    found = (command.folder / ".rowcall" / "journal" / "cut").glob("*/notes/stop")
    return "".join(path.read_text() for path in found)


def test_a_cancelled_job_ends_in_time(command: Command) -> None:
    ended(command, [signal.SIGTERM], "terminated (SIGTERM)")


def test_a_person_who_insists_does_not_wait(command: Command) -> None:
    ended(command, [signal.SIGINT, signal.SIGINT], "interrupted")
