"""Signals that come while answers take long: a cancelled job is given 15 seconds, a person who insists does not wait."""

import json
import signal
from pathlib import Path

import pytest
from commands import LIMIT, Command, job_of

from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until

GRACE_OF_DATABRICKS = 15
QUICK, SLOW = 60, LIMIT - 1
ROWS = QUICK + SLOW
JOB = job_of(ROWS, flush_rows=10 * ROWS, flush_seconds=GRACE_OF_DATABRICKS)
"""No answer is durable when the signal comes."""


@pytest.fixture
def command(tmp_path: Path, sandbox: SandboxProcess) -> Command:
    """A run that soon has its quick answers, by the one slot that no slow one takes, and waits for the slow ones."""
    made = Command(tmp_path, sandbox, JOB.replace("outputs:", "limits: {timeout: 2h}\noutputs:"))
    slow = [{"match": f"row {n}", "delay_ms": 3_600_000} for n in range(QUICK, ROWS)]
    control(sandbox, "PUT", "behaviour/echo", {"latency_ms": 5, "faults": slow})
    return made


def ended(command: Command, signals: list[signal.Signals], message: str) -> None:
    process = command.start()
    wait_until(lambda: command.answered() == QUICK and command.figures()["in_flight"] == SLOW)
    for number in signals:
        process.send_signal(number)
        wait_until(lambda: process.poll() is not None or message in notes(command))
    out, errors = process.communicate(timeout=GRACE_OF_DATABRICKS)
    assert process.returncode == 1
    assert "Traceback" not in errors
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["status"], stopped["message"]) == ("stopped", message)
    assert stopped["ok"] == len(command.answers()) == QUICK

    control(command.sandbox, "PUT", "behaviour/echo", {})
    assert command.run()["status"] == "done"
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]


def notes(command: Command) -> str:
    """What the run's journal has been told."""
    found = (command.folder / ".rowcall" / "journal" / "cut").glob("*/notes/stop")
    return "".join(path.read_text() for path in found)


def test_a_cancelled_job_ends_in_time(command: Command) -> None:
    ended(command, [signal.SIGTERM], "terminated (SIGTERM)")


def test_a_person_who_insists_does_not_wait(command: Command) -> None:
    ended(command, [signal.SIGINT, signal.SIGINT], "interrupted")
