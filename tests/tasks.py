"""One task of the `responses` engine, to be run on an endpoint and a journal in memory."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa

from rowcall.core.endpoints import Wire
from rowcall.core.limits import Budget
from rowcall.core.retry import RetryPolicy
from rowcall.core.spans import SpanContext
from rowcall.engines.recipe import Recipe
from rowcall.engines.worker import MANIFEST_NOTE, run_task
from rowcall.testing import FakeEndpoint, MemoryJournal


def recipe(endpoint: FakeEndpoint, journal: MemoryJournal, **changes: Any) -> Recipe:
    journal.texts.setdefault(MANIFEST_NOTE, "{}")
    made = Recipe(
        connect=endpoint.connect,
        open_journal=journal.open,
        url="http://agent.test/responses",
        runs_url="http://agent.test/responses",
        headers=(),
        wire=Wire(shape="responses", model="agent"),
        share=4,
        timeout=5.0,
        run_timeout=60.0,
        corrections=0,
        most_bytes=None,
        retry=RetryPolicy(attempts=3, base=0.001),
        deadline_ns=None,
        flush_rows=200,
        flush_seconds=0.05,
        budget=Budget(),
        spans=SpanContext("run-1", "job", "agent", "invoke_agent", "agent", "agent.test", "full"),
        null_prompt="review is NULL",
    )
    return replace(made, **changes)


def rows(texts: Iterable[str | None]) -> pa.RecordBatch:
    requests = [
        None if text is None else json.dumps({"messages": [{"role": "user", "content": text}]}) for text in texts
    ]
    count = len(requests)
    keys = pa.array([[{"id": n}] for n in range(count)], pa.list_(pa.struct([("id", pa.int64())])))
    columns = [pa.array([f"hash-{n}" for n in range(count)]), pa.array(requests, pa.string()), keys]
    return pa.RecordBatch.from_arrays(columns, names=["request_hash", "request", "keys"])


def ask(made: Recipe, *batches: pa.RecordBatch) -> dict[str, Any]:
    """Run the task; returns its report."""
    (report,) = run_task(made, batches)
    return json.loads(report.column("report").to_pylist()[0] or "")
