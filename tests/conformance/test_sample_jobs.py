"""The jobs that come with rowcall run from end to end on the demo's texts."""

from pathlib import Path

import pytest

from rowcall import api, demo
from rowcall.testing import RecordingReporter
from support import Bench

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yml"))


def on_spark(path: Path) -> list[pytest.MarkDecorator]:
    """Apache Spark has no `ai_query`."""
    return [] if "ai_query" in path.read_text() else [pytest.mark.apache_spark]


@pytest.mark.parametrize("path", [pytest.param(path, marks=on_spark(path), id=path.stem) for path in JOBS])
def test_a_sample_job_answers_every_row(bench: Bench, path: Path):
    demo.fill_texts(bench.session, RecordingReporter())
    loaded = api.load_job(path)
    row = api.run_here(loaded, bench.surroundings(), reporter=RecordingReporter())
    assert (row.status, row.failed) == ("done", 0)
    assert row.ok > 50
    (counted,) = bench.session.query(f"SELECT count(*) AS n FROM {row.outputs_table} WHERE outcome = 'ok'")
    assert counted["n"] == row.ok


def test_the_agents_own_spans_come_with_the_answers(bench: Bench):
    demo.fill_texts(bench.session, RecordingReporter())
    loaded = api.load_job(Path(__file__).parents[2] / "jobs" / "summaries.yml")
    row = api.run_here(loaded, bench.surroundings(), reporter=RecordingReporter())
    spans = bench.session.query(
        f"SELECT kind, count(*) AS n FROM {row.traces_table} WHERE trace_id IN "
        f"(SELECT trace_id FROM {row.outputs_table}) GROUP BY kind"
    )
    counts = {str(span["kind"]): int(str(span["n"])) for span in spans}
    answers = int(str(bench.session.query(f"SELECT count(*) AS n FROM {row.outputs_table}")[0]["n"]))
    assert counts["SPAN_KIND_CLIENT"] == 2 * answers
    assert counts["SPAN_KIND_INTERNAL"] >= answers
