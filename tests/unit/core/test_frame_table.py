"""Arrow tables as Spark reads them, and hashes that stand for rows."""

import datetime as dt
import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rowcall.core.frame_table import content_hashes, plain_table, plain_type

VALUES: list[tuple[pa.DataType, Any, pa.DataType, Any]] = [
    (pa.dictionary(pa.int32(), pa.large_string()), "a", pa.string(), "a"),
    (pa.large_string(), "a", pa.string(), "a"),
    (pa.uint8(), 255, pa.int16(), 255),
    (pa.uint32(), 2**32 - 1, pa.int64(), 2**32 - 1),
    (pa.uint64(), 2**64 - 1, pa.decimal128(20, 0), Decimal(2**64 - 1)),
    (pa.float16(), 1.5, pa.float32(), 1.5),
    (pa.timestamp("ns"), 1_001, pa.timestamp("us"), dt.datetime(1970, 1, 1, 0, 0, 0, 1)),
    (pa.timestamp("s", "UTC"), 1, pa.timestamp("us", "UTC"), dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)),
    (pa.date64(), dt.date(2026, 1, 31), pa.date32(), dt.date(2026, 1, 31)),
    (pa.time64("us"), dt.time(1, 2, 3), pa.string(), "01:02:03"),
    (pa.duration("us"), dt.timedelta(days=1), pa.string(), "1 day, 0:00:00"),
    (pa.time64("ns"), 3_723_000_001_999, pa.string(), "01:02:03.000001"),
    (pa.duration("ns"), 86_400_000_000_999, pa.string(), "1 day, 0:00:00"),
    (pa.time32("s"), dt.time(1, 2, 3), pa.string(), "01:02:03"),
    (pa.decimal256(40, 2), Decimal("1.50"), pa.decimal128(38, 2), Decimal("1.50")),
    (pa.binary(2), b"ab", pa.binary(), b"ab"),
    (pa.large_list(pa.uint8()), [1, None], pa.list_(pa.int16()), [1, None]),
    (pa.struct([("a", pa.timestamp("ns"))]), {"a": None}, pa.struct([("a", pa.timestamp("us"))]), {"a": None}),
    (pa.map_(pa.string(), pa.uint8()), [("k", 1)], pa.map_(pa.string(), pa.int16()), [("k", 1)]),
    (pa.null(), None, pa.string(), None),
    (pa.string(), "a", pa.string(), "a"),
    (pa.bool_(), True, pa.bool_(), True),
]


@pytest.mark.parametrize(("kind", "value", "plain", "expected"), VALUES, ids=lambda value: str(value)[:30])
def test_a_value_keeps_its_meaning(kind: pa.DataType, value: Any, plain: pa.DataType, expected: Any) -> None:
    try:
        array = pa.array([value, None], kind)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        pytest.skip(f"this Arrow makes no such values: {error}")
    made = plain_table(pa.table({"x": array}))
    assert made.schema.field("x").type == plain
    assert made.column("x").to_pylist() == [expected, None]


@pytest.mark.parametrize("kind", [kind for kind, *_ in VALUES], ids=str)
def test_a_plain_type_is_its_own_plain_type(kind: pa.DataType) -> None:
    assert plain_type(plain_type(kind)) == plain_type(kind)


@given(
    some.lists(some.text(some.characters(exclude_categories=("Cs",)), min_size=1), min_size=1, max_size=5, unique=True)
)
def test_any_names_get_through_parquet(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    table = plain_table(pa.table({name: pa.array([1], pa.uint8()) for name in names}))
    path = Path(tmp_path_factory.getbasetemp()) / "names.parquet"
    pq.write_table(table, path)
    assert pq.read_table(path).column_names == names


def test_what_does_not_fit_names_its_column() -> None:
    huge = pa.array([Decimal(10**39)], pa.decimal256(40, 0))
    with pytest.raises(ValueError, match=r"column 'x' cannot be read as decimal128\(38, 0\)"):
        plain_table(pa.table({"x": huge}))


ROWS = some.lists(some.tuples(some.integers(0, 3), some.sampled_from(["", "a", "b", None])), max_size=12)


@given(ROWS)
def test_rows_have_the_same_hash_where_they_are_the_same(rows: list[tuple[int, str | None]]) -> None:
    table = pa.table(
        {"n": pa.array([n for n, _ in rows], pa.int64()), "text": pa.array([text for _, text in rows], pa.string())}
    )
    hashes = content_hashes(table)
    assert len(set(zip(rows, hashes, strict=True))) == len(set(rows)) == len(set(hashes))


def test_a_hash_is_the_same_in_any_process() -> None:
    table = pa.table({"a": [1], "b": ["ü"], "c": [dt.date(2026, 1, 31)], "d": [Decimal("1.50")]})
    said = b'[1, "\\u00fc", "2026-01-31", "1.50"]'
    assert content_hashes(table) == [hashlib.sha256(said).hexdigest()]
