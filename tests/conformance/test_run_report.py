"""The report of real runs: over the embedded lakehouse and a SQL warehouse, however the run ended and whatever was answered."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rowcall import cli, run_report
from rowcall.adapters.packaged import sql_texts
from rowcall.core.definition import JobDefinition
from rowcall.core.report import RunRow
from rowcall.core.run_report.page import Page
from support import Bench, make_job, texts

NASTY = {
    "script": "<script>document.title = 'run'</script>",
    "style": "</style><body onload=alert(1)>",
    "turned": "\u202egnirts\u2066 \u0645\u0631\u062d\u0628\u0627",
    "control": "bell\x07 nul\x00 escape\x1b[31m",
    "long": "x" * 1_000_000,
}


def page_of(bench: Bench, job: JobDefinition, run_id: str) -> Page:
    return run_report.read_page(bench.session, sql_texts(), job.runs.table or "", run_id)


def reported(bench: Bench, job: JobDefinition, row: RunRow | None = None) -> tuple[Page, str]:
    page = page_of(bench, job, (row or bench.run(job)).run_id)
    return page, run_report.render(page)


def amounts(page: Page) -> dict[str, str]:
    return {tile.name: tile.value for tile in page.tiles}


@pytest.mark.parametrize("where", ["bench", "warehouse_bench"])
def test_a_run_with_nasty_answers_and_errors_is_told_as_text(where: str, request: pytest.FixtureRequest) -> None:
    bench: Bench = request.getfixturevalue(where)
    name = f"report_nasty_{where}"
    bench.fill(
        name, [{"id": f"{key} <b>&", "text": text} for key, text in NASTY.items()] + [{"id": "bad", "text": "fails"}]
    )
    body = {"error_code": "BAD_REQUEST", "message": "</td><script>alert('error')</script>"}
    bench.behave(faults=[{"match": "fails", "status": 400, "body": body}, {"first": 1, "status": 503}])
    page, written = reported(bench, make_job(name, description="<script>"))
    assert amounts(page) | {"asked": "6", "ok": "5", "failed": "1"} == amounts(page)
    assert "<script" not in written
    assert len(written) < 300_000
    shown = html.unescape(written)
    assert NASTY["script"] in shown
    assert "script <b>&" in shown
    assert "</td><script>alert('error')</script>" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2066]", written)
    assert {trouble.name: (trouble.lost, trouble.attempts) for trouble in page.troubles} == {
        "bad_request": (1, 1),
        "unavailable": (0, 1),
    }
    assert len(page.slowest) == 6
    assert {row.outcome for row in page.slowest} == {"ok", "error"}


@pytest.mark.apache_spark
def test_figures_are_those_of_the_run(bench: Bench) -> None:
    bench.fill("report_figures", texts(60))
    bench.behave(latency_ms=150, faults=[{"every": 10, "status": 500}])
    job = make_job("report_figures", engine={"concurrency": 4, "flush_seconds": 0.1})
    row = bench.run(job)
    page, written = reported(bench, job, row)
    assert page.timeline is not None
    assert page.latencies is not None
    width = page.timeline.width
    assert round(sum(page.timeline.ok) * width) == 60 == page.latencies.calls
    assert sum(page.timeline.not_ok) == 0
    seconds = "sum(end_time_unix_nano - start_time_unix_nano) / 1e9"
    spans = bench.session.query(f"SELECT {seconds} AS seconds FROM {job.traces.table} WHERE name LIKE 'attempt %'")
    assert sum(page.timeline.in_flight) * width == pytest.approx(float(str(spans[0]["seconds"])), rel=1e-3)
    assert max(page.timeline.in_flight) <= 4.0 + 1e-6
    lasted = sorted(int(str(out["latency_ms"])) for out in bench.outputs(job))
    assert page.latencies.percentile(1.0) * 1000 == pytest.approx(lasted[-1], abs=1.5)
    assert page.slowest[0].seconds * 1000 == pytest.approx(lasted[-1], abs=1.5)
    assert f"of {row.asked + row.retries} attempts" in page.attempts
    assert row.bound_by
    assert row.bound_by in html.unescape(written)
    assert {share.name for share in page.states} >= {"asking"}


def test_one_answer_names_the_rows_that_share_it(bench: Bench) -> None:
    bench.fill("report_shared", [{"id": n, "text": "the same"} for n in range(5)])
    page, _ = reported(bench, make_job("report_shared"))
    (row,) = page.slowest
    assert re.fullmatch(r"(\d · ){3}and 2 more", row.key)
    assert amounts(page)["asked"] == "1"


def test_ai_query_has_statements_and_says_why_there_are_no_latencies(bench: Bench) -> None:
    bench.fill("report_waves", texts(30))
    bench.behave(
        "echo-model",
        faults=[{"match": "row 7", "status": 400, "body": {"error_code": "BAD_REQUEST", "message": "no 7"}}],
    )
    job = make_job(
        "report_waves", endpoint={"serving": "echo-model"}, engine={"kind": "ai_query", "rows_per_statement": 20}
    )
    page, written = reported(bench, job)
    assert sum(int(wave.asked) for wave in page.waves) >= 30
    assert [trouble.name for trouble in page.troubles] == ["bad_request"]
    assert page.latencies is None
    assert "so there is no latency here" in written
    assert "<svg" not in written


def test_a_run_that_was_stopped_says_why(bench: Bench) -> None:
    bench.fill("report_stopped", texts(40))
    bench.behave(
        faults=[{"every": 1, "status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": "not <you>"}}]
    )
    page, written = reported(bench, make_job("report_stopped"))
    assert page.status in ("stopped", "failed")
    assert page.message
    assert "not &lt;you&gt;" in written
    assert amounts(page)["ok"] == "0"


def test_a_run_that_asked_nothing_says_so(bench: Bench) -> None:
    bench.fill("report_nothing", texts(3))
    job = make_job("report_nothing")
    bench.run(job)
    page, written = reported(bench, job)
    assert page.sentence == "There was nothing to ask: all 3 rows had their answer already."
    assert "<svg" not in written


def test_a_run_that_goes_on_is_told_as_far_as_it_is_published(bench: Bench) -> None:
    bench.fill("report_running", texts(5))
    job = make_job("report_running")
    row = bench.run(job)
    begun = "status = 'running', ended_at = NULL, asked = 0, ok = 0"
    bench.session.execute(f"UPDATE {job.runs.table} SET {begun}")
    page, _ = reported(bench, job, row)
    assert page.sentence == "The run goes on: 5 of 5 requests have a published answer."
    assert page.timeline is not None


def test_a_run_is_told_from_its_row_where_its_traces_are_gone(bench: Bench) -> None:
    bench.fill("report_gone", texts(4))
    job = make_job("report_gone")
    row = bench.run(job)
    bench.session.drop_table("`main`.`test`.`report_gone_traces`")
    page, written = reported(bench, job, row)
    assert "report_gone_traces is not there any more" in page.missing
    assert amounts(page)["ok"] == "4"
    assert "<svg" not in written


def test_slow_rows_are_named_by_trace_where_the_outputs_are_gone(bench: Bench) -> None:
    bench.fill("report_outputs", texts(4))
    job = make_job("report_outputs")
    row = bench.run(job)
    bench.session.drop_table("`main`.`test`.`report_outputs_out`")
    page, _ = reported(bench, job, row)
    assert {row.key for row in page.slowest} == {row.trace_id for row in page.slowest}


def test_only_the_run_that_is_asked_for_is_in_it(bench: Bench) -> None:
    bench.fill("report_two", texts(6))
    job = make_job("report_two")
    first = bench.run(job)
    bench.fill("report_two", texts(10))
    second = bench.run(job)
    pages = [page_of(bench, job, row.run_id) for row in (first, second)]
    assert [page.latencies and page.latencies.calls for page in pages] == [6, 4]


@pytest.mark.parametrize("engine", [{"concurrency": 4}, {"kind": "ai_query"}], ids=["responses", "ai_query"])
def test_content_none_is_kept_out_of_the_report(engine: dict[str, Any], bench: Bench) -> None:
    name = f"report_none_{len(engine['kind']) if 'kind' in engine else 0}"
    bench.fill(name, [{"id": n, "text": f"amber-otter {n}"} for n in range(4)])
    quoted = {"status": 400, "body": {"error_code": "BAD_REQUEST", "message": "cannot say amber-otter"}}
    bench.behave("echo-model", answer="violet-heron", faults=[{"match": "otter 2", **quoted}])
    traces = {"table": f"main.test.{name}_traces", "content": "none"}
    page, written = reported(bench, make_job(name, endpoint={"serving": "echo-model"}, engine=engine, traces=traces))
    assert amounts(page)["failed"] == "1"
    assert "amber-otter" not in written
    assert "violet-heron" not in written


def test_a_folder_is_refused_before_anything_is_looked_up(tmp_path: Path) -> None:
    refused = CliRunner().invoke(cli.app, ["report", "2026", "-o", str(tmp_path), "--home", str(tmp_path / "home")])
    assert refused.exit_code == cli.FAILED
    assert "is a folder; name a file in it" in refused.output
    assert not (tmp_path / "home").exists()
