"""Rows of the traces table, read through MLflow's and OpenTelemetry's own types; and evaluated by MLflow."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from evaluate_answers import evaluate, says_something, trace_of
from mlflow.entities import Span, SpanStatusCode, SpanType
from mlflow.tracing.utils import construct_trace_id_v4
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from rowcall.adapters.otlp import readable_span
from rowcall.notebook import Run
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.wiring import Options
from support import Bench, make_job

TEXTS = ("The bread was stale.", "The staff was kind and the cake was good.", "Fine.")
LOCATION = "main.agents.bread"


@pytest.fixture
def run(bench: Bench, house: Lakehouse, request: pytest.FixtureRequest) -> Run:
    """A run of three rows, of which one was turned away once, with the agent's own spans."""
    name = "".join(char if char.isalnum() else "_" for char in request.node.name)[:50]
    request_keys = {"input": "{text}", "databricks_options": {"return_trace": True}}
    job = make_job(name, endpoint={"serving": "text-insight"}, request=request_keys, engine={"concurrency": 1})
    bench.fill(name, [{"id": n, "text": text} for n, text in enumerate(TEXTS)])
    bench.behave("text-insight", faults=[{"first": 1, "status": 429, "headers": {"Retry-After": "1"}}])
    row = bench.run(job)
    bench.behave("text-insight")
    assert row.ok == len(TEXTS)
    return Run(row, Options(spark=house.spark))


def rows_of(run: Run) -> dict[str, list[dict[str, Any]]]:
    by_trace: dict[str, list[dict[str, Any]]] = {}
    for row in run.traces.toArrow().to_pylist():
        by_trace.setdefault(row["trace_id"], []).append(row)
    return by_trace


def test_mlflow_reads_a_call_as_a_trace(run: Run) -> None:
    for trace_id, rows in rows_of(run).items():
        trace = trace_of(rows)
        assert trace.info.trace_id == f"tr-{trace_id}"
        assert trace.info.state == "OK"
        by_id = {span.span_id: span for span in trace.data.spans}
        assert set(by_id) == {row["span_id"] for row in rows}
        for row in rows:
            span = by_id[row["span_id"]]
            assert (span.parent_id, span.name) == (row["parent_span_id"], row["name"])
            assert (span.start_time_ns, span.end_time_ns) == (row["start_time_unix_nano"], row["end_time_unix_nano"])
            said = json.loads(row["attributes"])
            assert {key: span.attributes[key] for key in said if key != "mlflow.traceRequestId"} == {
                key: value for key, value in said.items() if key != "mlflow.traceRequestId"
            }
        (agent,) = trace.search_spans(span_type=SpanType.AGENT, name="text-insight")
        assert agent.parent_id in by_id
        assert trace.data.request is not None


def test_mlflow_reads_spans_of_the_unity_catalog_layout(run: Run) -> None:
    """As MLflow itself does it: what the workspace answers of such a table are OpenTelemetry's spans."""
    rows = [row for rows in rows_of(run).values() for row in rows]
    (resource,) = encode_spans([readable_span(row, "0.1") for row in rows]).resource_spans
    protos = [span for scope in resource.scope_spans for span in scope.spans]
    spans = [Span.from_otel_proto(proto, LOCATION) for proto in protos]
    assert [span.trace_id for span in spans] == [construct_trace_id_v4(LOCATION, row["trace_id"]) for row in rows]
    assert [(span.span_id, span.parent_id, span.name) for span in spans] == [
        (row["span_id"], row["parent_span_id"], row["name"]) for row in rows
    ]
    limited = [span for span in spans if span.status.status_code is SpanStatusCode.ERROR]
    assert [span.attributes["http.response.status_code"] for span in limited] == [429]
    assert {span.attributes["rowcall.run_id"] for span in spans if span.parent_id is None} == {run.run_id}
    assert [span.start_time_ns for span in spans] == [row["start_time_unix_nano"] for row in rows]


def test_mlflow_evaluates_the_answers_with_their_traces(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow makes a folder there
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")  # prices of models, which MLflow would fetch
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        mlflow.set_experiment("answers")
        results = evaluate(run.outputs.toPandas(), run.traces.toPandas(), [says_something])
        assert results.metrics == {"says_something/mean": 1.0}
        frame = results.result_df
        assert len(frame) == len(TEXTS)
        asked = [json.dumps(row) for row in frame["request"]]
        assert all(any(text in row for row in asked) for text in TEXTS)
    finally:
        mlflow.set_tracking_uri(before)
