"""A vacuum between a run that was killed and the next: no answer is lost, none is paid for again; and a vacuum that is killed."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import FLUSH, LIMIT, Command, job_of

from rowcall import api
from rowcall.adapters.journal import FolderJournals
from rowcall.housekeeping import Wanted, vacuum_here
from rowcall.sandbox.process import SandboxProcess
from rowcall.wiring import Options, archive
from support import wait_until

ROWS = 60
JOB = job_of(ROWS, publish_seconds=60, fan_out="driver")
COPIES = 500
ANSWERS = [(n, f"row {n}") for n in range(ROWS)]
POINTS = {
    "before its row is in the runs table": ("before", "MERGE INTO `main`.`rowcall`.`runs`", 1, 0),
    "before a segment is written": ("before", "write_segment", 2, LIMIT + FLUSH),
    "between the MERGE of outputs and of traces": ("after", "MERGE INTO `main`.`demo`.`cut`", 1, 0),
    "published, before its row says so": ("before", "MERGE INTO `main`.`rowcall`.`runs`", 2, 0),
    "published, before its journal is removed": ("before", "remove", 1, 0),
}

pytestmark = pytest.mark.timeout(300)


def vacuum(command: Command) -> list[str]:
    """Remove whatever may go, of any age; the kinds of what went."""
    options = Options(home=command.folder / ".rowcall")
    definition = api.load_job(command.folder / "job.yml").definition
    with archive(["main.demo.cut"], options) as found:
        items = vacuum_here(definition, found, found.journals_of(definition, options), Wanted(0.0))
    assert not [item for item in items if item.state == "failed"]
    return [item.kind for item in items if item.state == "gone"]


@pytest.mark.parametrize("name", POINTS)
def test_what_a_killed_run_has_is_not_lost_to_a_vacuum(tmp_path: Path, sandbox: SandboxProcess, name: str) -> None:
    when, what, count, repaid = POINTS[name]
    command = Command(tmp_path, sandbox, JOB)
    command.die(when, what, count)
    vacuum(command)
    row = command.go_on()
    assert row.status == "done"
    assert command.answers() == ANSWERS
    outcome = command.outcome(name)
    assert (outcome.lost, outcome.error) == (0, 0)
    assert outcome.repaid <= repaid
    vacuum(command)
    assert FolderJournals(tmp_path / ".rowcall" / "journal").runs("cut") == []
    assert [path.name for path in (command.tables / "main" / "demo").iterdir()] == ["cut"]


def test_a_vacuum_that_is_killed_is_finished_by_the_next(tmp_path: Path, sandbox: SandboxProcess) -> None:
    command = Command(tmp_path, sandbox, JOB)
    command.die("before", "write_segment", 2)
    command.go_on()  # it has published what the dead one left, whose journal says so
    store, home = FolderJournals(tmp_path / ".rowcall" / "journal"), tmp_path / ".rowcall" / "journal" / "cut"
    (dead,) = store.runs("cut")
    manifest = home / dead / "notes" / "manifest"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "written_at": 0.0}))
    for number in range(COPIES):
        shutil.copytree(home / dead, home / f"20260101-00{number // 60:02d}{number % 60:02d}-abcd")
    there = len(store.runs("cut"))
    process = subprocess.Popen(
        [sys.executable, "-m", "rowcall", "vacuum", "job.yml"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len(store.runs("cut")) < there)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert store.runs("cut")
    assert "journal" in vacuum(command)
    assert store.runs("cut") == []
    assert command.go_on().asked == 0
    assert command.answers() == ANSWERS
