"""Texts that are too long for their spans, as a table beside the journal: a row for each, with its span and its attribute."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rowcall.core.segments import Finished

if TYPE_CHECKING:
    import pyarrow as pa

OVERFLOW = "overflow"
"""The folder of such tables, among the journals of a job's runs, which it outlives."""


def overflow(finished: Sequence[Finished]) -> "pa.Table | None":
    """The long texts of finished calls, if there are any."""
    rows = [
        {"trace_id": span["trace_id"], "span_id": span["span_id"], "attribute": attribute, "text": text}
        for call in finished
        for span in call.spans
        for attribute, text in span.get("overflow", {}).items()
    ]
    if not rows:
        return None
    import pyarrow as pa

    return pa.Table.from_pylist(rows)
