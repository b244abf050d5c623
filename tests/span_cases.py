"""Calls and traces to make spans of, and what spans of any origin must be."""

import json
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa

from rowcall.core.records import Attempt, Call, Outcome, Reply
from rowcall.core.segments import schema
from rowcall.core.span_row import Span
from rowcall.core.spans import SpanContext, call_spans

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
START = 1_795_387_458_000_000_000
CONTEXT = SpanContext(
    run_id="20261123-060000-ab12",
    job="triage",
    endpoint="review-triage",
    operation="invoke_agent",
    model="apps/review-triage",
    address="https://triage.test",
    content="full",
)
KEPT = replace(CONTEXT, overflow="/journal/overflow/run")
"""Of a run whose journal keeps what is too long."""
SPAN_TYPE = schema().field("spans").type


def call(reply: Reply | None = None, attempts: tuple[Attempt, ...] | None = None) -> Call:
    attempts = attempts if attempts is not None else (Attempt(1, START, START + 5_000_000, status=200),)
    return Call("hash", reply or Reply(Outcome.OK, "fine"), attempts, TRACE_ID, START, START + 5_000_000)


def spans_of(trace: object, content: str = "full") -> list[Span]:
    """The agent's spans of a trace, given as data or as text."""
    text = trace if isinstance(trace, str) else json.dumps(trace)
    context = replace(CONTEXT, content=content)
    return call_spans(call(Reply(Outcome.OK, "fine", trace=text)), "request", context)[2:]


def attributes(span: Span) -> dict[str, Any]:
    return json.loads(span["attributes"])


def raw_span(own: str = "2LrGX9p18sw=", parent: str | None = None, **more: object) -> dict[str, object]:
    """A span as MLflow 3.17 writes it (FACTS 2.2)."""
    return {
        "trace_id": "DyRbJ4o9MnKuYnEVJdiN5A==",
        "span_id": own,
        "parent_span_id": parent,
        "name": "agent",
        "start_time_unix_nano": 1795387458314960521,
        "end_time_unix_nano": 1795387458475197445,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "links": [],
        "attributes": {
            "mlflow.traceRequestId": '"tr-0f24"',
            "mlflow.spanType": '"AGENT"',
            "mlflow.spanInputs": '{"q": "SECRET question"}',
            "mlflow.spanOutputs": '"SECRET answer"',
        },
        **more,
    }


def trace_of(*spans: object) -> dict[str, object]:
    return {"info": {"trace_id": "tr-0f24", "state": "OK"}, "data": {"spans": list(spans)}}


def assert_whole(spans: list[Span]) -> None:
    """What an OpenTelemetry reader and the journal's files ask of the spans of a call."""
    for span in spans:
        assert re.fullmatch("[0-9a-f]{16}", span["span_id"])
        assert span["span_id"].strip("0")
        assert 0 <= span["start_time_unix_nano"] < 2**63
        assert 0 <= span["end_time_unix_nano"] < 2**63
        for said in (span, *span["events"]):
            json.loads(said["attributes"], parse_constant=_no_json)
    above = {span["span_id"]: span["parent_span_id"] for span in spans}
    assert len(above) == len(spans)
    sound = {spans[0]["span_id"]}
    while more := {own for own, parent in above.items() if parent in sound} - sound:
        sound |= more
    assert sound == set(above)
    pa.array([spans], type=SPAN_TYPE)


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
