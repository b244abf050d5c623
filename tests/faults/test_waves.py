"""Runs of `ai_query` that are cut off: what a statement was answered is never asked again. The client is a process of its own,
with nothing but a SQL warehouse; the warehouse outlives it, as the real one does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from deltalake import DeltaTable

from matrix import MatrixRow
from rowcall import api
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal, JournalStore, OpenJournal
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import RecordingReporter
from support import Bench, control, make_job, texts

pytestmark = pytest.mark.timeout(300)

ROWS, WAVE = 400, 50
JOB = """
job: {name}
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range({rows})
  key: id
request: {{input: "{{text}}"}}
endpoint: {{serving: echo}}
engine: {{kind: ai_query, rows_per_statement: {wave}}}
outputs: {{table: main.demo.{name}}}
runs: {{table: main.demo.{name}_runs}}
traces: {{table: main.demo.{name}_traces}}
"""


class Command:
    """`rowcall run --json --warehouse sandbox` in a folder of its own."""

    def __init__(self, folder: Path, sandbox: SandboxProcess, name: str) -> None:
        self.folder, self.sandbox, self.name = folder, sandbox, name
        (folder / "job.yml").write_text(JOB.format(name=name, rows=ROWS, wave=WAVE))
        control(sandbox, "DELETE", "figures")
        control(sandbox, "PUT", "behaviour/echo", {"latency_ms": 400})

    def start(self) -> "subprocess.Popen[str]":
        login = {"DATABRICKS_CONFIG_FILE": self.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile}
        return subprocess.Popen(
            [sys.executable, "-m", "rowcall", "run", "job.yml", "--json", "--warehouse", "sandbox"],
            cwd=self.folder,
            env={**os.environ, **login},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> dict[str, object]:
        control(self.sandbox, "PUT", "behaviour/echo", {})
        done, errors = self.start().communicate(timeout=90)
        assert done, errors
        return json.loads(done.splitlines()[-1])

    def answered(self) -> int:
        return self.figures().get("answered", 0)

    def figures(self) -> dict[str, int]:
        return control(self.sandbox, "GET", "figures").get("echo", {})

    def rows(self, table: str) -> list[dict[str, object]]:
        folder = Path(self.sandbox.config_file).parent / "lakehouse" / "main" / "demo" / table
        return DeltaTable(folder).to_pyarrow_table().to_pylist()

    def answers(self) -> list[tuple[object, object]]:
        return sorted((row["id"], row["answer"]) for row in self.rows(self.name))  # type: ignore[type-var]


def wait_for_wave(command: Command, process: "subprocess.Popen[str]", wave: int, seconds: float = 90.0) -> None:
    """Wait until the calls of a wave are in flight."""
    deadline = time.monotonic() + seconds
    while (figures := command.figures()).get("calls", 0) <= (wave - 1) * WAVE or not figures["in_flight"]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("wave", [1, 3, 7])
def test_a_killed_run_loses_at_most_the_statement_under_way(
    tmp_path: Path, sandbox: SandboxProcess, matrix: Callable[[MatrixRow], None], wave: int
):
    command = Command(tmp_path, sandbox, f"killed_in_{wave}")
    process = command.start()
    wait_for_wave(command, process, wave)
    process.kill()
    process.communicate(timeout=60)

    again = command.run()
    assert again["status"] == "done", again["message"]
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]
    assert ROWS <= command.answered() <= ROWS + WAVE
    runs = sorted(command.rows(f"{command.name}_runs"), key=lambda run: str(run["run_id"]))
    assert [run["status"] for run in runs] == ["interrupted", "done"]
    calls, answered = (command.figures()[name] for name in ("calls", "answered"))
    matrix(MatrixRow("kill", f"the driver, in statement {wave} of ai_query", ROWS, ROWS, 0, calls, 0, answered - ROWS))
    kept = int(str(runs[0]["ok"]))
    assert kept >= (wave - 2) * WAVE
    assert kept + int(str(runs[1]["ok"])) == ROWS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_cancels_its_statement_and_keeps_the_others(
    tmp_path: Path, sandbox: SandboxProcess, number: signal.Signals
):
    command = Command(tmp_path, sandbox, f"stopped_by_{number.name.lower()}")
    process = command.start()
    wait_for_wave(command, process, 3)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["status"], stopped["message"]) == ("stopped", "interrupted")
    assert stopped["ok"] == len(command.answers()) >= WAVE
    assert stopped["statement_ids"]
    states = {one["id"]: one["state"] for one in control(sandbox, "GET", "statements")}
    assert "CANCELED" in {states[each] for each in stopped["statement_ids"] if each in states}

    again = command.run()
    assert (again["status"], again["asked"]) == ("done", ROWS - stopped["ok"])
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]
    assert command.answered() <= ROWS + WAVE


class FullDisk:
    """A journal that takes no more segments: the run dies after a statement, before its answers are in the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    def write_segment(self, name: str, table: object) -> None:
        raise OSError(28, "No space left on device")


class FullDisks:
    """A store of such journals."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        return lambda: cast("Journal", FullDisk(self._store.recipe(job, run_id)()))

    def runs(self, job: str) -> list[str]:
        return self._store.runs(job)


@pytest.mark.parametrize("where", ["bench", "warehouse_bench"])
def test_what_a_statement_was_answered_is_read_by_the_next_run(request: pytest.FixtureRequest, where: str):
    bench: Bench = request.getfixturevalue(where)
    job = make_job("full_disk", endpoint={"serving": "echo"}, engine={"kind": "ai_query"})
    bench.fill("full_disk", texts(40))
    here = bench.surroundings()
    here.journals = FullDisks(here.journals)
    with pytest.raises(RunError, match="No space left on device"):
        api.run_here(api.load_job(job), here, reporter=RecordingReporter())
    assert bench.figures()["answered"] >= 3
    row = bench.run(job)
    assert (row.status, row.ok + row.answered_rows) == ("done", 40)
    assert bench.figures()["answered"] == 40
    assert [(out["answer"], out["outcome"]) for out in bench.outputs(job)] == [(f"row {n}", "ok") for n in range(40)]


@pytest.mark.parametrize("where", ["bench", "warehouse_bench"])
def test_a_statement_that_takes_too_long_is_given_up_and_its_rows_are_asked_again(
    request: pytest.FixtureRequest, where: str
):
    bench: Bench = request.getfixturevalue(where)
    bench.behave("echo-model", faults=[{"first": 1, "delay_ms": 60_000}])
    engine = {"kind": "ai_query", "statement_timeout": "2s"}
    job = make_job("overdue", endpoint={"serving": "echo-model"}, engine=engine)
    bench.fill("overdue", texts(20))
    row = bench.run(job)
    assert row.message is None
    assert (row.status, row.ok) == ("done", 20)
    assert [out["answer"] for out in bench.outputs(job)] == [f"row {n}" for n in range(20)]
