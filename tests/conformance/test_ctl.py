"""A run that is told what to do while it goes on: with both engines, its journal in a folder and in a volume."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rowcall import cli, history
from rowcall.console import print_state
from rowcall.control import RunState, journal_place, look, tell
from rowcall.core.control import Command, Control
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal, Row
from rowcall.core.progress import STOP_NOTE
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.sandbox.process import SandboxProcess
from rowcall.wiring import Options
from support import Bench, control, make_job, texts, wait_until

ROWS = 600
WAVES: dict[str, Any] = {
    "engine": {"kind": "ai_query", "rows_per_statement": 20, "publish_seconds": 0.2},
    "endpoint": {"serving": "echo"},
}


@dataclass
class GoingOn:
    """A run in a thread of its own."""

    bench: Bench
    job: JobDefinition
    row: Row
    journal: Journal
    run: Future[RunRow]

    def tell(self, command: Command) -> None:
        tell(self.row, self.journal, command)

    def look(self) -> RunState:
        return look(self.row, self.journal)

    def answers(self) -> int:
        return len(self.bench.outputs(self.job))

    def calls(self) -> int:
        return self.bench.figures()["calls"]

    def end(self) -> RunRow:
        return self.run.result(60)


@contextmanager
def begun(bench: Bench, name: str, rows: int = ROWS, **changes: Any) -> Iterator[GoingOn]:
    """A run that has asked its first rows."""
    engine = {"concurrency": 8, "flush_seconds": 0.1, "publish_seconds": 0.2, **changes.pop("engine", {})}
    job = make_job(name, engine=engine if engine.get("kind") != "ai_query" else WAVES["engine"], **changes)
    bench.fill(name, texts(rows))
    bench.behave(latency_ms=20)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(bench.run, job)
        try:
            wait_until(lambda: run.done() or bench.figures()["answered"] > 0)
            (row,) = bench.session.query(f"SELECT * FROM {job.runs.table}")
            yield GoingOn(bench, job, row, bench.surroundings().journals.recipe(name, str(row["run_id"]))(), run)
        finally:
            bench.behave()


@pytest.fixture(params=["folder", "volume"])
def either(request: pytest.FixtureRequest) -> Bench:
    """With the journal in a folder, and in a volume through the Files API."""
    return request.getfixturevalue("bench" if request.param == "folder" else "warehouse_bench")


@pytest.mark.parametrize("engine", ["responses", "ai_query"])
def test_a_paused_run_asks_nothing_publishes_what_it_has_and_goes_on_when_told(either: Bench, engine: str):
    changes = WAVES if engine == "ai_query" else {}
    rows = ROWS if engine == "responses" else 100
    with begun(either, f"paused_{engine}", rows, **changes) as going:
        going.tell("pause")
        wait_until(lambda: going.look().progress.paused == 1 and going.look().progress.in_flight == 0)
        calls = going.calls()
        assert calls < rows
        wait_until(lambda: going.answers() == calls)
        assert going.calls() == calls
        state = going.look()
        assert (state.control.paused, state.progress.asked, state.pending_rows) == (True, calls, rows)
        going.tell("resume")
        row = going.end()
    assert (row.status, row.ok, either.figures()["calls"]) == ("done", rows, rows)


@pytest.mark.parametrize("engine", ["responses", "ai_query"])
def test_a_run_that_is_told_to_stop_waits_for_what_it_asked_and_the_next_goes_on(either: Bench, engine: str):
    changes = WAVES if engine == "ai_query" else {}
    rows = ROWS if engine == "responses" else 100
    with begun(either, f"told_to_stop_{engine}", rows, **changes) as going:
        going.tell("stop")
        row = going.end()
        assert (row.status, row.message) == ("stopped", "stopped by rowcall ctl")
        assert 0 < row.ok == going.answers() == going.calls() < rows
        assert either.run(going.job).ok == rows - row.ok
        assert going.calls() == rows


def test_a_paused_run_can_be_stopped(bench: Bench):
    with begun(bench, "paused_and_stopped") as going:
        going.tell("pause")
        wait_until(lambda: going.look().progress.paused == 1)
        going.tell("stop")
        assert going.end().status == "stopped"


def test_the_deadline_of_a_paused_run_goes_on(bench: Bench):
    with begun(bench, "paused_to_its_deadline", limits={"deadline": 2}) as going:
        going.tell("pause")
        row = going.end()
    assert (row.status, row.message) == ("stopped", "limits.deadline has passed")
    assert 0 < row.ok < ROWS


@pytest.mark.parametrize("engine", [{"concurrency": 8}, {"concurrency": 8, "tasks": 2}])
def test_the_calls_in_flight_become_fewer_and_more_as_told(bench: Bench, engine: dict[str, object]):
    with begun(bench, f"steered_{len(engine)}", 4000, engine=engine) as going:
        going.tell(2)
        wait_until(lambda: going.look().progress.room == 2)
        wait_until(lambda: bench.figures()["in_flight"] <= 2)
        control(bench.sandbox, "DELETE", "figures")
        wait_until(lambda: bench.figures()["answered"] > 20)
        assert bench.figures()["max_in_flight"] == 2
        going.tell(20)
        wait_until(lambda: bench.figures()["max_in_flight"] == 20)
        assert going.look().control.concurrency == 20
        going.tell("stop")
        going.end()
    assert bench.figures()["max_in_flight"] == 20


def test_of_a_run_that_adapts_it_is_the_most(bench: Bench):
    with begun(bench, "adapts_to_four", 4000, engine={"concurrency": "auto"}) as going:
        going.tell(4)
        wait_until(lambda: going.look().progress.room == 4 and bench.figures()["in_flight"] <= 4)
        control(bench.sandbox, "DELETE", "figures")
        wait_until(lambda: bench.figures()["answered"] > 50)
        assert bench.figures()["max_in_flight"] <= 4
        going.tell("stop")
        going.end()


def test_what_a_run_cannot_do_is_refused_and_changes_nothing(bench: Bench):
    with begun(bench, "cannot", engine={"tasks": 2}) as going:
        for calls, why in ((1, "it has 2 tasks, and each needs one call"), (5000, "the most is 4096")):
            with pytest.raises(RunError, match=rf"cannot have {calls} calls in flight: {why}"):
                going.tell(calls)
        assert going.look().control.concurrency is None
        going.tell("stop")
        going.end()


def test_a_run_that_is_over_or_dead_is_told_nothing(bench: Bench):
    with begun(bench, "over") as going:
        going.tell("stop")
        going.end()
    (row,) = bench.session.query(f"SELECT * FROM {going.job.runs.table}")
    with pytest.raises(RunError, match=r"run .* of over is over: stopped"):
        journal_place(row)
    before = going.journal.notes("")
    for command in ("pause", 4):
        with pytest.raises(RunError, match=r"does not go on.*The next run of over publishes"):
            going.tell(command)
    assert going.journal.notes("") == before
    assert "the run is over" in before[STOP_NOTE]


# The command line and Python


JOB = """
job: steered
prompts: {query: "SELECT id, concat('row ', id) AS text FROM range(3000)", key: id}
request: {input: "{text}"}
endpoint: {app: echo}
engine: {concurrency: 4, flush_seconds: 0.1}
outputs: {table: main.demo.steered}
runs: {table: main.demo.steered_runs}
"""


@pytest.mark.parametrize("warehouse", [None, "sandbox"])
def test_another_process_steers_a_run(
    tmp_path: Path, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, warehouse: str | None
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", sandbox.config_file)
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", sandbox.profile)
    table, options = "main.demo.steered_runs", Options(home=Path(".rowcall"), warehouse=warehouse)
    where = ["--warehouse", warehouse] if warehouse else []
    Path("job.yml").write_text(JOB)
    control(sandbox, "DELETE", "figures")
    control(sandbox, "PUT", "behaviour/echo", {"latency_ms": 20})

    def start(*words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-m", "rowcall", *words, *where], stdout=subprocess.PIPE, text=True)

    def figures() -> dict[str, Any]:
        return control(sandbox, "GET", "figures").get("echo", {"answered": 0, "in_flight": 0})

    started = start("run", "job.yml", "--json")
    try:
        wait_until(lambda: figures()["answered"] > 0)
        shown, _ = start("ctl", "20", "pause", "--table", table).communicate(timeout=60)
        assert "paused" in shown
        wait_until(lambda: figures()["in_flight"] == 0)
        answered = figures()["answered"]
        state = history.control(table, "20", "stop", options=options)
        assert (state.progress.asked, state.control.paused) == (answered, True)
        row = json.loads(started.communicate(timeout=60)[0].splitlines()[-1])
    finally:
        started.kill()
        started.wait(30)
    assert (row["run_id"], row["status"], row["ok"]) == (state.run_id, "stopped", answered)
    with pytest.raises(RunError, match="is over: stopped"):
        history.control(table, state.run_id, "pause", options=options)


@pytest.mark.parametrize("words", [["concurrency"], ["pause", "3"]])
def test_a_number_of_calls_belongs_to_concurrency(words: list[str]):
    told = CliRunner().invoke(cli.app, ["ctl", "20", *words])
    assert told.exit_code == cli.WRONG_DEFINITION
    assert "takes a number of calls" in " ".join(told.output.replace("│", " ").split())


def test_the_state_of_a_run_is_a_table_and_json():
    state = RunState(
        run_id="20260101-1",
        job="steered",
        engine="responses",
        tasks=2,
        pending_rows=3000,
        control=Control(paused=True, concurrency=6),
        stop="",
        progress=Progress(asked=1200, ok=1190, failed=10, in_flight=1, room=6, paused=1),
    )
    out = Console(file=StringIO(), width=100)
    print_state(out, state)
    assert [line.strip().split(maxsplit=1) for line in out.file.getvalue().splitlines()[3:]] == [
        ["asked", "with  responses"],
        ["told", "paused, at most 6 calls at once"],
        ["tasks", "2, 1 paused"],
        ["in", "flight   1 of at most 6"],
        ["asked", "1,200 of 3,000"],
        ["ok", "1,190"],
        ["failed", "10"],
    ]
    assert json.loads(json.dumps(state.as_json()))["control"] == {"paused": True, "concurrency": 6}
