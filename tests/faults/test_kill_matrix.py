"""SIGKILL at every point of a run, and the same job again: every key answered once, nothing durable paid twice.

The crash table in `rowcall.runner` has all the points, those in other tests, too.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import FLUSH, LIMIT, Command, descendants, job_of

from matrix import MatrixRow
from rowcall import runner
from rowcall.sandbox.process import SandboxProcess
from support import wait_until

ROWS = 60
JOB = job_of(ROWS, publish_seconds=60, fan_out="driver")
ANSWERS = [(n, f"row {n}") for n in range(ROWS)]
PENDING = "CREATE TABLE `main`.`demo`.`cut__pending"
OUTPUTS, TRACES, RUNS = (
    f"MERGE INTO `main`.{name}" for name in ("`demo`.`cut`", "`rowcall`.`traces`", "`rowcall`.`runs`")
)
ON_SPARK = ("between the MERGE of outputs and of traces", "published, before its row says so")
"""Points that are met with `--spark`, too, where each takes a JVM of its own."""
Note = Callable[[MatrixRow], None]

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is killed (see `crash.py`), how many answers may be paid for again, and what becomes of its row."""

    when: str
    what: str
    count: int = 1
    repaid: int = 0
    status: str = "interrupted"


POINTS = {
    "before its row is in the runs table": Point("before", RUNS),
    "before the table of pending rows is made": Point("before", PENDING),
    "after the table of pending rows is made": Point("after", PENDING),
    "before a segment is written": Point("before", "write_segment", 2, repaid=LIMIT + FLUSH),
    "in the middle of writing a segment": Point("before", "replace .*/segments/", 2, repaid=LIMIT + FLUSH),
    "between the MERGE of outputs and of traces": Point("after", OUTPUTS),
    "after the MERGE of traces": Point("after", TRACES),
    "published, before its row says so": Point("before", RUNS, 2, status="done"),
    "published, before its journal is removed": Point("before", "remove", status="done"),
    "in the middle of removing its journal": Point("after", "rmdir .*notes", status="done"),
}


@pytest.fixture
def command(request: pytest.FixtureRequest, tmp_path: Path, sandbox: SandboxProcess) -> Command:
    """Runs on the embedded lakehouse, or with `--spark` on Apache Spark."""
    spark = request.getfixturevalue("house") if request.config.getoption("--spark") else None
    return Command(tmp_path, sandbox, JOB, spark=spark)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.apache_spark] if name in ON_SPARK else []) for name in POINTS]
)
def test_a_run_killed_at_any_point_is_finished_by_the_next(command: Command, matrix: Note, name: str):
    point = POINTS[name]
    command.die(point.when, point.what, point.count)
    assert command.go_on().status == "done"
    assert_complete(command, [point.status, "done"])
    outcome = command.outcome(name)
    matrix(outcome)
    assert (outcome.lost, outcome.error) == (0, 0)
    assert outcome.repaid <= point.repaid


def test_the_crash_table_names_every_point():
    table = [line.split("|")[1].strip() for line in str(runner.__doc__).splitlines() if line.startswith("|")]
    assert set(POINTS) <= set(table)


def assert_complete(command: Command, statuses: list[str]) -> None:
    """Every key is answered once, its trace is there once, and nothing is left of runs that are over."""
    assert command.answers() == ANSWERS
    spans = [(span["trace_id"], span["span_id"]) for span in command.rows("rowcall", "traces")]
    assert len(spans) == len(set(spans))
    assert {row["trace_id"] for row in command.rows("demo", "cut")} <= {trace for trace, _ in spans}
    assert command.statuses() == statuses
    home = command.folder / ".rowcall"
    if not command.spark:  # a session of Spark takes what another has made for external tables, whose files stay
        assert list(home.glob("lakehouse/main/demo/cut__pending*")) == []
    assert list(home.glob("journal/cut/*/segments/*.parquet")) == []


@pytest.mark.apache_spark
def test_recovery_may_be_killed_again_and_again(command: Command, matrix: Note):
    command.die("before", OUTPUTS)
    again = (("before", OUTPUTS), ("after", OUTPUTS), ("after", RUNS))
    for when, what in again[1:2] if command.spark else again:
        command.die(when, what)
    assert command.go_on().status == "done"
    assert_complete(command, ["interrupted", "done"])
    outcome = command.outcome("in recovery")
    matrix(outcome)
    assert (outcome.lost, outcome.error, outcome.repaid) == (0, 0, 0)


def test_a_run_that_asked_nothing_and_dies_at_its_end_is_told_of_by_the_next(command: Command):
    command.go_on()
    command.die("before", RUNS, 2)
    command.go_on()
    assert_complete(command, ["done", "done", "done"])


def test_a_lakehouse_that_is_killed_fails_the_run_and_the_next_goes_on(
    tmp_path: Path, sandbox: SandboxProcess, matrix: Note
):
    command = Command(tmp_path, sandbox, job_of(ROWS), latency_ms=200)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS // 3)
    for child in descendants(process.pid):
        os.kill(child, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "are safe but could not be published: the Spark server stopped answering" in errors
    assert "Traceback" not in errors
    assert command.go_on().status == "done"
    assert_complete(command, ["interrupted", "done"])
    outcome = command.outcome("the embedded lakehouse, and the task in it")
    matrix(outcome)
    assert (outcome.lost, outcome.error) == (0, 0)
    assert outcome.repaid <= LIMIT + FLUSH
