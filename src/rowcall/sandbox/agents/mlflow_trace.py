"""The trace a serving agent returns on request, as MLflow 3.17's `Trace.to_dict()` writes it (FACTS 2.2).

Ids are base64 of their bytes, every attribute is JSON text, and times are Unix nanoseconds.
"""

import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rowcall.sandbox.agents.steps import Step

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Trace:
    """One answer's trace: the agent's span over the whole time, its steps under it. `usage` counts tokens."""

    agent: str
    asked: Mapping[str, object]
    said: Mapping[str, object]
    usage: Mapping[str, int]
    steps: tuple[Step, ...]
    started_ns: int
    ended_ns: int
    trace_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def name(self) -> str:
        return f"tr-{self.trace_id.hex()}"

    def as_json(self) -> Json:
        return {"info": self._info(), "data": {"spans": self._spans()}}

    def _info(self) -> Json:
        inputs, outputs = json.dumps(self.asked), json.dumps(self.said)
        started = datetime.fromtimestamp(self.started_ns / 1e9, UTC)
        return {
            "trace_id": self.name,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
            "request_time": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "execution_duration_ms": (self.ended_ns - self.started_ns) // 1_000_000,
            "state": "OK",
            "request_preview": inputs[:1000],
            "response_preview": outputs[:1000],
            "trace_metadata": {
                "mlflow.traceInputs": inputs,
                "mlflow.traceOutputs": outputs,
                "mlflow.trace_schema.version": "3",
                "mlflow.trace.tokenUsage": json.dumps(self.usage),
            },
            "tags": {"mlflow.traceName": self.agent},
        }

    def _spans(self) -> list[Json]:
        root = secrets.token_bytes(8)
        whole = Step(self.agent, self.asked, self.said, self.started_ns, self.ended_ns)
        tools = [self._span(step, secrets.token_bytes(8), root, "TOOL") for step in self.steps]
        return [self._span(whole, root, None, "AGENT"), *tools]

    def _span(self, step: Step, span_id: bytes, parent: bytes | None, kind: str) -> Json:
        attributes = {
            "mlflow.traceRequestId": self.name,
            "mlflow.spanType": kind,
            "mlflow.spanInputs": step.given,
            "mlflow.spanOutputs": step.found,
        }
        return {
            "trace_id": _base64(self.trace_id),
            "span_id": _base64(span_id),
            "parent_span_id": None if parent is None else _base64(parent),
            "name": step.name,
            "start_time_unix_nano": step.started_ns,
            "end_time_unix_nano": step.ended_ns,
            "events": [],
            "status": {"code": "STATUS_CODE_OK", "message": ""},
            "links": [],
            "attributes": {key: json.dumps(value) for key, value in attributes.items()},
        }


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
