"""Evaluates the answers of a run with MLflow. A scorer sees what was asked, what was answered, and the trace of the call.

    run = rowcall.run("jobs/topics.yml")
    evaluate(run.outputs, run.traces, [says_something])

does so; on Databricks, where the two are Spark's DataFrames, with `run.outputs.toPandas()` and `run.traces.toPandas()`. As a script
it runs a job and evaluates it: `python tests/clients/evaluate_answers.py jobs/topics.yml`.
"""

import base64
import json
import sys
from collections.abc import Sequence
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Trace
from mlflow.genai.evaluation.entities import EvaluationResult
from mlflow.genai.scorers import Scorer, scorer

import rowcall

ELSEWHERE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "rowcall"}}
"""No experiment of MLflow's: it copies the traces into the active one."""


def evaluate(outputs: pd.DataFrame, traces: pd.DataFrame, scorers: Sequence[Scorer]) -> EvaluationResult:
    """Score the answers; MLflow keeps the scores, each with its trace, in a run of the active experiment."""
    return mlflow.genai.evaluate(data=data_of(outputs, traces), scorers=list(scorers))


def data_of(outputs: pd.DataFrame, traces: pd.DataFrame) -> pd.DataFrame:
    """The rows that were answered, each with its trace, as `mlflow.genai.evaluate` takes them."""
    answered = outputs[outputs["outcome"] == "ok"]
    spans = {trace_id: list(rows.to_dict("records")) for trace_id, rows in traces.groupby("trace_id")}
    found = [trace_of(spans[trace_id]) for trace_id in answered["trace_id"] if trace_id in spans]
    return pd.DataFrame({"trace": found})


@scorer
def says_something(inputs: dict[str, Any], outputs: Any) -> bool:
    """Whether the answer is more than what was asked."""
    return bool(outputs) and str(outputs) not in json.dumps(inputs)


def trace_of(rows: list[dict[str, Any]]) -> Trace:
    """MLflow's trace of the spans of one call, as they are in the traces table."""
    # MLflow copies spans in this order, and can do so only if the root is the first.
    root, *others = sorted(rows, key=lambda row: (row["parent_span_id"] is not None, row["start_time_unix_nano"]))
    said = json.loads(root["attributes"])
    asked, answer = json.loads(said.get("rowcall.request") or "{}"), said.get("rowcall.answer")
    trace_id = f"tr-{root['trace_id']}"
    ids = {"mlflow.traceRequestId": trace_id}
    of_root = {**ids, "mlflow.spanType": "AGENT", "mlflow.spanInputs": asked, "mlflow.spanOutputs": answer}
    started, ended = root["start_time_unix_nano"], root["end_time_unix_nano"]
    info = {
        "trace_id": trace_id,
        "trace_location": ELSEWHERE,
        "request_time": pd.Timestamp(started, tz="UTC").isoformat(),
        "execution_duration_ms": (ended - started) // 1_000_000,
        "state": "ERROR" if root["status"]["code"] == "STATUS_CODE_ERROR" else "OK",
        "trace_metadata": {"mlflow.trace_schema.version": "3", "rowcall.run_id": said["rowcall.run_id"]},
        "tags": {"mlflow.traceName": root["name"]},
    }
    spans = [_span(root, of_root), *(_span(row, ids) for row in others)]
    return Trace.from_dict({"info": info, "data": {"spans": spans}})


def _span(row: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A span as MLflow 3 writes it: ids in base64, attributes as JSON texts."""
    attributes = {**json.loads(row["attributes"]), **more}
    return {
        "trace_id": _base64(row["trace_id"]),
        "span_id": _base64(row["span_id"]),
        "parent_span_id": _base64(row["parent_span_id"]) if row["parent_span_id"] else None,
        "name": row["name"],
        "start_time_unix_nano": row["start_time_unix_nano"],
        "end_time_unix_nano": row["end_time_unix_nano"],
        "status": {"code": row["status"]["code"], "message": row["status"]["message"]},
        "attributes": {key: json.dumps(value) for key, value in attributes.items()},
        "events": [
            {
                "name": event["name"],
                "time_unix_nano": event["time_unix_nano"],
                "attributes": _plain(json.loads(event["attributes"])),
            }
            for event in (row["events"] if row["events"] is not None else [])
        ],
    }


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of an event are plain values."""
    return {
        key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in attributes.items()
    }


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


if __name__ == "__main__":
    run = rowcall.run(sys.argv[1])
    sys.stdout.write(f"{evaluate(run.outputs, run.traces, [says_something]).metrics}\n")
