"""Segments: one row a request, whatever the keys are and whatever the endpoint said."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowcall.core.records import Attempt, Call, CallError, ErrorKind, Outcome, Reply, Usage
from rowcall.core.segments import Finished, schema, segment

ENDED = 1_795_387_458_123_456_789


def call(reply: Reply, attempts: int = 1) -> Call:
    made = tuple(Attempt(number + 1, ENDED - 2_500_999, ENDED) for number in range(attempts))
    return Call("hash", reply, made, "0af7651916cd43dd8448eb211c80319c", ENDED - 2_500_999, ENDED)


def keys(values: list[list[dict[str, Any]]], type_: pa.DataType | None = None) -> pa.Array:
    """A keys column; `type_` is that of its one key column `id`."""
    return pa.array(values, pa.list_(pa.struct([("id", type_ or pa.int64())])))


def row_of(reply: Reply, attempts: int = 1, cost: float | None = None) -> dict[str, Any]:
    (row,) = segment([Finished(call(reply, attempts), [], cost, keys([[{"id": 1}]]))]).to_pylist()
    return row


def test_an_answer() -> None:
    row = row_of(Reply(Outcome.OK, "fine", usage=Usage(1, 0, 2, None, 3), custom_outputs='{"a":1}'), 2, cost=0.25)
    assert row == {
        "request_hash": "hash",
        "answer": "fine",
        "outcome": "ok",
        "error": None,
        "usage": {
            "input_tokens": 1,
            "cached_tokens": 0,
            "output_tokens": 2,
            "reasoning_tokens": None,
            "total_tokens": 3,
        },
        "cost": 0.25,
        "latency_ms": 2,
        "attempts": 2,
        "custom_outputs": '{"a":1}',
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "answered_at": dt.datetime(2026, 11, 22, 22, 44, 18, 123456, tzinfo=dt.UTC),
        "spans": [],
        "keys": [{"id": 1}],
    }


def test_a_failure() -> None:
    error = CallError(ErrorKind.RATE_LIMITED, "slow down", 429, "REQUEST_LIMIT_EXCEEDED")
    row = row_of(Reply(Outcome.ERROR, error=error))
    assert (row["outcome"], row["answer"], row["usage"]) == ("error", None, None)
    assert row["error"] == {
        "kind": "rate_limited",
        "status": 429,
        "code": "REQUEST_LIMIT_EXCEEDED",
        "message": "slow down",
    }


@pytest.mark.parametrize(
    ("outcome", "kept"), [(outcome, outcome in (Outcome.OK, Outcome.TRUNCATED)) for outcome in Outcome]
)
def test_only_an_answer_is_in_the_answer_column(outcome: Outcome, kept: bool) -> None:
    assert row_of(Reply(outcome, "text"))["answer"] == ("text" if kept else None)


def test_lone_surrogates_cannot_spoil_a_segment() -> None:
    error = CallError(ErrorKind.INTERNAL, "bad \ud800", code="\udfff")
    row = row_of(Reply(Outcome.TRUNCATED, "cut \ud83d", error=error, custom_outputs='"\ud800"'))
    assert row["answer"].startswith("cut ")
    assert row["error"]["message"].startswith("bad ")
    for text in (row["answer"], row["custom_outputs"], row["error"]["code"], row["error"]["message"]):
        text.encode()


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pa.int8(), -128),
        (pa.int64(), 2**63 - 1),
        (pa.string(), "'; DROP TABLE x; --\x00"),
        (pa.large_string(), "é"),
        (pa.bool_(), True),
        (pa.date32(), dt.date(1582, 10, 15)),
        (pa.timestamp("us", tz="UTC"), dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
        (pa.timestamp("us"), dt.datetime(2026, 1, 2, 3, 4, 5, 6)),
        (pa.decimal128(38, 2), Decimal("1.50")),
    ],
)
def test_keys_keep_their_type_and_value(type_: pa.DataType, value: object) -> None:
    column = keys([[{"id": value}]], type_)
    made = segment([Finished(call(Reply(Outcome.OK, "x")), [], None, column)])
    assert made.schema.field("keys").type == column.type
    assert made["keys"].to_pylist() == [[{"id": value}]]


def test_every_row_keeps_its_own_keys() -> None:
    column = keys([[{"id": 1}, {"id": 2}], [{"id": 3}], []])
    rows = [Finished(call(Reply(Outcome.OK, str(at))), [], None, column.slice(at, 1)) for at in (2, 0, 1)]
    made = segment(rows).to_pylist()
    assert [(row["answer"], row["keys"]) for row in made] == [
        ("2", []),
        ("0", [{"id": 1}, {"id": 2}]),
        ("1", [{"id": 3}]),
    ]


def test_the_schema_is_the_same_whatever_is_in_it(tmp_path: Any) -> None:
    empty = segment([Finished(call(Reply(Outcome.ERROR), attempts=0), [], None, keys([[{"id": 1}]]))])
    assert empty.schema.remove(empty.schema.get_field_index("keys")) == schema()
    pq.write_table(empty, tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").equals(empty)
