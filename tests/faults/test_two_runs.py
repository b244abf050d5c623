"""Runs at once: of one job one after the other, of different jobs side by side, nothing lost. The command line, in processes."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import FLUSH, LIMIT, ROWS, RUN, Command, Process, job_of
from deltalake import DeltaTable

from rowcall.lock import ALIVE_NOTE
from rowcall.sandbox.process import SandboxProcess
from support import control, wait_until

WAIT = (*RUN, "--wait")
SLOW = 2000
"""Milliseconds to an answer: a run that is hurried only once the other has come."""


def ended(process: Process) -> tuple[dict[str, Any], str]:
    """The row of a run, empty for one that was refused, and what it said."""
    out, errors = process.communicate(timeout=100)
    assert "Traceback" not in errors, errors
    return (json.loads(out.splitlines()[-1]) if out else {}), errors


def hurry(sandbox: SandboxProcess) -> None:
    control(sandbox, "PUT", "behaviour/echo", {})


def states(folder: Path) -> list[str]:
    """What the runs of the job say of themselves."""
    return [json.loads(note.read_text())["state"] for note in folder.glob(f".rowcall/journal/cut/*/notes/{ALIVE_NOTE}")]


def test_of_two_that_start_at_once_one_is_refused_and_names_the_other(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox, latency_ms=SLOW)
    processes = [command.start(), command.start()]
    wait_until(lambda: any(process.poll() is not None for process in processes))
    hurry(sandbox)
    both = [ended(process) for process in processes]
    ((done, _),) = [run for run in both if run[0]]
    ((_, refused),) = [run for run in both if not run[0]]
    assert (done["status"], done["ok"], command.answered()) == ("done", ROWS, ROWS)
    assert f"run {done['run_id']} of this job is going on" in refused
    assert command.statuses() == ["done"]


def test_of_two_that_start_at_once_one_waits_and_finds_all_answered(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox, latency_ms=SLOW)
    processes = [command.start(WAIT), command.start(WAIT)]
    wait_until(lambda: sorted(states(tmp_path)) == ["holds", "waits"])
    hurry(sandbox)
    first, second = sorted((ended(process)[0] for process in processes), key=lambda run: run["started_at"])
    assert [(run["status"], run["asked"], run["answered_rows"]) for run in (first, second)] == [
        ("done", ROWS, 0),
        ("done", 0, ROWS),
    ]
    assert command.answered() == ROWS
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]


def test_whoever_waits_for_a_run_that_is_killed_takes_over(tmp_path: Path, sandbox: SandboxProcess):
    command = Command(tmp_path, sandbox, latency_ms=SLOW)
    first = command.start()
    wait_until(lambda: command.answered() > 0)
    second = command.start(WAIT)
    wait_until(lambda: "waits" in states(tmp_path))
    assert first.poll() is None
    first.kill()
    first.communicate(timeout=60)
    hurry(sandbox)
    row, _ = ended(second)
    assert (row["status"], command.statuses()) == ("done", ["interrupted", "done"])
    assert command.answers() == [(n, f"row {n}") for n in range(ROWS)]
    assert command.answered() <= ROWS + LIMIT + FLUSH


@pytest.mark.parametrize("options", [(), ("--warehouse", "sandbox")], ids=["lakehouse", "warehouse"])
def test_first_runs_of_different_jobs_share_new_tables_and_lose_nothing(
    tmp_path: Path, sandbox: SandboxProcess, options: tuple[str, ...]
):
    jobs, rows = [f"side_{len(options)}_{n}" for n in range(4)], 120
    commands: list[Command] = []
    for job in jobs:
        text = job_of(rows, publish_seconds=0.2).replace("job: cut", f"job: {job}").replace("demo.cut", f"demo.{job}")
        shared = "\n".join(f"{kind}: {{table: main.side_{len(options)}.{kind}}}" for kind in ("traces", "runs"))
        (tmp_path / job).mkdir()
        home = ("--home", str(tmp_path / "home"))
        commands.append(Command(tmp_path / job, sandbox, f"{text}{shared}\n", options=(*options, *home)))
    processes = [command.start() for command in commands]
    assert [ended(process)[0]["ok"] for process in processes] == [rows] * 4
    folder = Path(sandbox.config_file).parent if options else tmp_path / "home"
    tables = folder / "lakehouse" / "main" / f"side_{len(options)}"
    runs = DeltaTable(tables / "runs").to_pyarrow_table().to_pylist()
    assert sorted((run["job"], run["status"], run["ok"]) for run in runs) == [(job, "done", rows) for job in jobs]
    traces = DeltaTable(tables / "traces")
    spans = traces.to_pyarrow_table(columns=["trace_id", "span_id"]).to_pylist()
    assert len({span["span_id"] for span in spans}) == len(spans) == 4 * rows * 2
    assert len({span["trace_id"] for span in spans}) == 4 * rows
    assert traces.version() > len(jobs), "each run published more than once"
