"""A job's spans reach its collector as they reach the traces table; a collector that is away costs nothing but its copy."""

import re
from pathlib import Path
from typing import Any

import pytest

from collectors import Taking
from leaks import files, leaks
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import SetupError
from rowcall.testing import RecordingReporter
from support import Bench, make_job, texts

SECRET = "quite-a-secret-0816"
ROWS = 30


def exporting(bench: Bench, name: str, url: str, **changes: Any) -> JobDefinition:
    headers = {"Authorization": "Bearer env:COLLECTOR_TOKEN", "X-Databricks-UC-Table-Name": "main.agents.x_otel_spans"}
    traces = {"table": f"main.test.{name}_traces", "otlp": {"endpoint": url, "headers": headers}}
    bench.fill(name, texts(ROWS))
    return make_job(name, traces=traces, **changes)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_TOKEN", SECRET)


def ids_in_table(bench: Bench, job: JobDefinition) -> set[tuple[object, object]]:
    rows = bench.session.query(f"SELECT trace_id, span_id FROM {job.traces.table}")
    return {(row["trace_id"], row["span_id"]) for row in rows}


def ids_at(collector: Taking) -> set[tuple[object, object]]:
    return {(span.trace_id.hex(), span.span_id.hex()) for span in collector.spans}


@pytest.mark.parametrize(
    "engine", [{"concurrency": 8, "flush_seconds": 0.1}, {"kind": "ai_query"}], ids=["responses", "ai_query"]
)
def test_the_collector_gets_what_the_table_gets(bench: Bench, collector: Taking, engine: dict[str, Any]) -> None:
    job = exporting(bench, f"exported_{len(engine)}", collector.url, endpoint={"serving": "echo"}, engine=engine)
    said = RecordingReporter()
    assert bench.run(job, reporter=said).ok == ROWS
    assert ids_at(collector) == ids_in_table(bench, job)
    assert len(ids_at(collector)) == 2 * ROWS
    assert {headers["authorization"] for headers in collector.headers} == {f"Bearer {SECRET}"}
    assert not any("collector" in step for step in said.steps)


def test_a_collector_that_is_away_is_told_of_once_and_gets_all_when_it_is_back(bench: Bench, collector: Taking) -> None:
    collector.answer = 400, f"not you, {SECRET}".encode()
    engine = {"concurrency": 2, "flush_seconds": 0.05, "flush_rows": 5, "publish_seconds": 0.1}
    job = exporting(bench, "export_away", collector.url, engine=engine)
    bench.behave(latency_ms=100)

    class Comes(RecordingReporter):
        """Says that the collector is back once it was told away."""

        def step(self, text: str) -> None:
            super().step(text)
            if text == "publishing the answers":
                collector.answer = 200, b""

    said = Comes()
    row = bench.run(job, reporter=said)
    assert (row.status, row.ok) == ("done", ROWS)
    (told,) = [step for step in said.steps if "collector" in step]
    assert re.fullmatch(r"the collector at http://127\.0\.0\.1:\d+/v1/traces does not get the spans, .*400.*", told)
    assert SECRET not in told
    assert ids_at(collector) == ids_in_table(bench, job)


def test_a_collector_that_is_not_there_fails_nothing(bench: Bench) -> None:
    job = exporting(bench, "export_nowhere", "http://127.0.0.1:9/v1/traces")
    said = RecordingReporter()
    row = bench.run(job, reporter=said)
    assert (row.status, row.ok) == ("done", ROWS)
    assert len([step for step in said.steps if "does not get the spans" in step]) == 1
    assert len(ids_in_table(bench, job)) == 2 * ROWS


def test_what_a_dead_run_left_is_exported_by_the_next(bench: Bench, collector: Taking) -> None:
    job = exporting(bench, "export_left", collector.url)

    class Dies(RecordingReporter):
        def step(self, text: str) -> None:
            if text == "publishing the answers":
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.run(job, reporter=Dies())
    assert collector.spans == []
    assert bench.run(job).asked == 0
    assert ids_at(collector) == ids_in_table(bench, job)
    assert len(ids_at(collector)) == 2 * ROWS


def test_a_secret_that_is_missing_is_told_before_anything_is_asked(
    bench: Bench, collector: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = exporting(bench, "export_no_secret", collector.url)
    monkeypatch.delenv("COLLECTOR_TOKEN")
    with pytest.raises(SetupError, match="COLLECTOR_TOKEN"):
        bench.run(job)
    assert bench.figures()["calls"] == 0


def test_the_secret_gets_into_nothing_that_is_kept(bench: Bench, collector: Taking) -> None:
    job = exporting(bench, "export_secret", collector.url)
    collector.answer = 400, SECRET.encode()
    kept: list[tuple[str, bytes]] = []

    class Keeps(RecordingReporter):
        """Looks at the journal while it is there."""

        def step(self, text: str) -> None:
            super().step(text)
            if text == "publishing the answers":
                kept.extend(files(Path(bench.journal)))

    said = Keeps()
    bench.run(job, reporter=said)
    assert any("manifest" in name for name, _ in kept)
    for table in (job.outputs.table, job.traces.table or "", job.runs.table or ""):
        kept += files(Path(bench.delta_folder(table)))
    kept += [("said", repr((said.steps, said.seen, said.plans)).encode())]
    assert leaks({"collector's token": SECRET.encode()}, kept) == []
