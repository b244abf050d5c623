"""Tables of runs that are gone, or are other tables by now: what looks at them says which, and what it is."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rowcall import history, lock
from rowcall.adapters.journal import FolderJournals
from rowcall.core.errors import RunError
from rowcall.engines.processes import this_process
from rowcall.lock import ALIVE_NOTE
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.wiring import Options
from support import Bench, make_job, texts

Look = Callable[[str, str], object]
"""Takes a runs table and the id of a run in it."""


@pytest.fixture
def looks(house: Lakehouse, tmp_path: Path) -> dict[str, Look]:
    here = Options(spark=house.spark)
    return {
        "runs": lambda table, _: history.runs(table, options=here),
        "costs": lambda table, _: history.costs(table, options=here),
        "failures": lambda table, run: history.failures(table, run, options=here),
        "trace": lambda table, _: history.trace(table, table.split(".")[-1].removesuffix("_runs"), "1", options=here),
        "compare": lambda table, run: history.compare(table, run, run, options=here),
        "report": lambda table, run: history.report(table, run, tmp_path / "report.html", options=here),
    }


def told(looks: dict[str, Look], names: str, table: str, run: str) -> set[str]:
    """What the looks of those names say is wrong."""
    said: set[str] = set()
    for name in names.split():
        with pytest.raises(RunError) as error:
            looks[name](table, run)
        said.add(str(error.value))
    return said


@pytest.mark.apache_spark
def test_a_runs_table_that_is_none(bench: Bench, looks: dict[str, Look]) -> None:
    everything = " ".join(looks)
    bench.session.execute(
        "CREATE TABLE main.test.tables_other USING DELTA AS SELECT 1 AS asked, 'x' AS run_id, 'x' AS job"
    )
    (said,) = told(looks, everything, "main.test.tables_other", "x")
    assert said.startswith("main.test.tables_other is no runs table of rowcall: it has no column status, message, ")
    (said,) = told(looks, everything, "main.test.tables_none", "x")
    assert said == "there is no table main.test.tables_none: no job was run here yet, or name its runs table"


@pytest.mark.parametrize("kind", ["outputs", "traces"])
def test_tables_of_a_run_that_are_gone_and_others_by_now(bench: Bench, looks: dict[str, Look], kind: str) -> None:
    name = f"tables_{kind}"
    job = make_job(name)
    bench.fill(name, texts(2))
    run = bench.run(job).run_id
    runs, table = f"main.test.{name}_runs", f"main.test.{name}_{'out' if kind == 'outputs' else kind}"
    bench.session.drop_table(table)
    looking = {"outputs": "failures trace compare", "traces": "trace"}[kind]
    what = {"outputs": "answers", "traces": "spans"}[kind]
    assert told(looks, looking, runs, run) == {f"the table {table}, with the {what} of the run, is no more"}
    looks["report"](runs, run)
    bench.session.execute(f"CREATE TABLE {table} USING DELTA AS SELECT 1 AS other, 'x' AS run_id")
    looking = {"outputs": "failures trace compare", "traces": "trace report"}[kind]
    (said,) = told(looks, looking, runs, run)
    lacking = {"outputs": "answer, outcome, error", "traces": "trace_id, span_id"}[kind]
    assert said.startswith(f"{table} is no {kind} table of rowcall: it has no column {lacking}")


@pytest.mark.parametrize(("started", "alive"), [("1", False), (None, True), ("of another machine", None)])
def test_a_run_without_an_end_goes_on_was_cut_off_or_nobody_knows(
    bench: Bench, looks: dict[str, Look], started: str | None, alive: bool | None
) -> None:
    job = make_job("tables_alive")
    bench.fill("tables_alive", texts(1))
    run = bench.run(job).run_id
    journal = FolderJournals(bench.folder / "left").recipe("tables_alive", run)()
    machine, pid, _ = this_process().split(" ")
    process = {"1": f"{machine} {pid} 1", None: this_process()}.get(started, "")
    if process:
        journal.write_note(ALIVE_NOTE, json.dumps({"run_id": run, "state": "holds", "process": process}))
    context = f"context = map('journal', '{journal.place}')"
    bench.session.execute(f"UPDATE {job.runs.table} SET status = 'running', ended_at = NULL, {context}")
    lock._HERE.add(run)
    try:
        rows: Any = looks["runs"](str(job.runs.table), "")
        page = Path(str(looks["report"](str(job.runs.table), run))).read_text(encoding="utf-8")
    finally:
        lock._HERE.discard(run)
    assert [(row["status"], row["alive"]) for row in rows if row["run_id"] == run] == [("running", alive)]
    assert ("The run was cut off" in page) == (alive is False)


def test_a_report_names_no_rows_of_an_outputs_table_that_is_another(bench: Bench, looks: dict[str, Look]) -> None:
    job = make_job("tables_report")
    bench.fill("tables_report", texts(1))
    run = bench.run(job).run_id
    bench.session.drop_table("main.test.tables_report_out")
    bench.session.execute("CREATE TABLE main.test.tables_report_out USING DELTA AS SELECT 1 AS other")
    path = looks["report"]("main.test.tables_report_runs", run)
    assert "1 request" in Path(str(path)).read_text(encoding="utf-8")


def test_where_no_job_was_run_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE", "DATABRICKS_WAREHOUSE_ID"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / ".rowcall"
    with pytest.raises(RunError, match=r"no job was run here yet: there is no folder .*lakehouse"):
        history.runs("main.rowcall.runs", options=Options(home=home))
    assert not home.exists()


@pytest.mark.apache_spark
def test_times_are_in_utc_wherever_they_are_read(bench: Bench, looks: dict[str, Look]) -> None:
    job = make_job("tables_times")
    bench.fill("tables_times", texts(1))
    run = bench.run(job)
    rows: Any = looks["runs"](str(job.runs.table), "")
    started = rows[0]["started_at"]
    assert started.utcoffset() == timedelta(0)
    assert started.timestamp() == run.started_at / 1e6
