"""Texts too long for their spans, as a table."""

from typing import Any

import pyarrow as pa

from rowcall.core.overflow import overflow
from rowcall.core.records import Outcome, Reply
from rowcall.core.segments import Finished, segment
from rowcall.core.span_row import MAX_CONTENT
from rowcall.core.spans import call_spans
from rowcall.engines.keeping import keep
from rowcall.testing import MemoryJournal
from span_cases import KEPT, TRACE_ID, call

LONG = "q" * (MAX_CONTENT + 1)
KEYS: Any = pa.array([[{"id": 1}]], type=pa.list_(pa.struct([("id", pa.int64())])))


def finished(answer: str) -> Finished:
    made = call(Reply(Outcome.OK, answer))
    return Finished(made, call_spans(made, "request", KEPT), None, KEYS)


def test_is_a_row_for_each_long_text_and_none_where_there_are_none() -> None:
    table = overflow([finished("short"), finished(LONG)])
    assert table is not None
    (row,) = table.to_pylist()
    assert (row["trace_id"], row["attribute"], row["text"]) == (TRACE_ID, "rowcall.answer", LONG)
    assert overflow([finished("short")]) is None


def test_a_segment_has_the_columns_of_spans_and_no_more() -> None:
    (row,) = segment([finished(LONG)]).to_pylist()
    assert row["answer"] == LONG
    assert "overflow" not in row["spans"][0]


def test_is_durable_before_the_span_that_points_to_it() -> None:
    class Watching(MemoryJournal):
        def write_segment(self, name: str, table: pa.Table) -> None:
            assert [row["text"] for row in self.long_texts] == [LONG]
            super().write_segment(name, table)

    journal = Watching()
    keep(journal, "task", [finished(LONG)])
    assert len(journal.rows()) == 1
