"""What a segment of the journal holds: one row per asked request, the same for every engine.

The `keys` column has the key columns' own types and is passed through; `schema` gives the rest. Answers stay text here and
become typed columns when they are published.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowcall.core.records import Call, Outcome, Usage
from rowcall.core.span_row import Span

if TYPE_CHECKING:
    import pyarrow as pa

USAGE = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens")
ANSWERED = (Outcome.OK, Outcome.TRUNCATED)
_UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class Finished:
    """An asked request with all there is to say about it. `keys` is a slice of one row of the keys column."""

    call: Call
    spans: Iterable[Span]
    cost: float | None
    keys: Any


def segment(finished: Sequence[Finished]) -> "pa.Table":
    """The table of a segment."""
    import pyarrow as pa

    keys = pa.concat_arrays([row.keys for row in finished])
    rest = pa.Table.from_pylist([_row(row) for row in finished], schema=schema())
    return rest.append_column("keys", keys)


def schema() -> "pa.Schema":
    """Every column but `keys`."""
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    error = pa.struct([("kind", text), ("status", pa.int32()), ("code", text), ("message", text)])
    event = pa.struct(
        [
            ("time_unix_nano", number),
            ("name", text),
            ("attributes", text),
            ("dropped_attributes_count", pa.int32()),
        ]
    )
    span = pa.struct(
        [
            ("trace_id", text),
            ("span_id", text),
            ("parent_span_id", text),
            ("name", text),
            ("kind", text),
            ("start_time_unix_nano", number),
            ("end_time_unix_nano", number),
            ("attributes", text),
            ("events", pa.list_(event)),
            ("status", pa.struct([("message", text), ("code", text)])),
        ]
    )
    return pa.schema(
        [
            ("request_hash", text),
            ("answer", text),
            ("outcome", text),
            ("error", error),
            ("usage", pa.struct([(name, number) for name in USAGE])),
            ("cost", pa.float64()),
            ("latency_ms", number),
            ("attempts", pa.int32()),
            ("custom_outputs", text),
            ("trace_id", text),
            ("answered_at", pa.timestamp("us", tz="UTC")),
            ("spans", pa.list_(span)),
        ]
    )


def _row(finished: Finished) -> dict[str, object]:
    call, reply = finished.call, finished.call.reply
    usage, last = reply.usage, call.attempts[-1] if call.attempts else None
    return {
        "request_hash": call.request_hash,
        "answer": _clean(reply.text) if reply.outcome in ANSWERED else None,
        "outcome": reply.outcome.value,
        "error": _clean_error(call),
        "usage": None if usage == _UNKNOWN else {name: getattr(usage, name) for name in USAGE},
        "cost": finished.cost,
        "latency_ms": None if last and last.wave is not None else _latency_ms(call),
        "attempts": last.number if last else 0,
        "custom_outputs": _clean(reply.custom_outputs),
        "trace_id": call.trace_id,
        "answered_at": call.ended_ns // 1000,
        "spans": list(finished.spans),
    }


def _latency_ms(call: Call) -> int:
    """From the first attempt on: what a row waited before it, it waited for its turn."""
    started_ns = call.attempts[0].started_ns if call.attempts else call.started_ns
    return (call.ended_ns - started_ns) // 1_000_000


def _clean_error(call: Call) -> dict[str, object] | None:
    error = call.reply.error
    if error is None:
        return None
    return {
        "kind": error.kind.value,
        "status": error.status,
        "code": _clean(error.code),
        "message": _clean(error.message),
    }


def _clean(text: str | None) -> str | None:
    """Lone surrogates, which JSON can carry and UTF-8 cannot, become question marks."""
    return None if text is None else text.encode("utf-8", "replace").decode()
