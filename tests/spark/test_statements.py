"""Statements that Apache Spark takes otherwise than the embedded lakehouse does."""

import pytest
from spark_bench import OpenBench

from rowcall.adapters.packaged import sql_texts
from rowcall.core.comparison import Side, outcomes_statement

pytestmark = pytest.mark.timeout(300)


def test_answers_with_maps_are_compared(open_bench: OpenBench):
    session = open_bench("local[1]").session
    rows = ("1 AS id, map('a', 1) AS m", "2 AS id, map('a', 1, 'b', 2) AS m")
    answers = " UNION ALL ".join(f"SELECT {row}, 'ok' AS outcome" for row in rows)
    outputs = f"(SELECT id, named_struct('m', m, 'deep', array(m)) AS answer, outcome, id AS run_id FROM ({answers}))"
    columns, fields = (session.columns(f"SELECT {what} FROM {outputs}") for what in ("*", "answer.*"))
    side = Side("one", outputs, columns, fields)
    (found,) = session.query(outcomes_statement(sql_texts(), side, side))
    assert (found["rows"], found["same"], found["field_0"], found["field_1"]) == (2, 2, 2, 2)
