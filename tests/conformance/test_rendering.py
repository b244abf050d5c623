"""The renderer in SQL against one written here in Python: whatever is in a table, a template or a name, the request is right."""

import datetime as dt
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.definition import Request
from rowcall.core.ports import SqlSession
from rowcall.core.prompt import render_request
from rowcall.core.records import Column

pytestmark = pytest.mark.apache_spark

FINGERPRINT = "0123456789abcdef"
HOSTILE = (
    *("", " ", "'", '"', "\\", "\\'", "\\n", "\\u0041", "\\%", "\\_", "%s", "a'b\"c`d", "''", "'''"),
    *(
        "line\nbreak\r\n\ttab",
        "\x00",
        "a\x00b",
        "\x01\x1f\x7f\x85",
        "😀👩‍👩‍👧",
        "\U0010ffff",
        "e\u0301 é",
        "\ufeffbom",
        "\uffff",
    ),
    *(
        "'; DROP TABLE x; --",
        "/* comment */ -- more",
        "${x}",
        "$x",
        "$$",
        "{x}",
        "{{x}}",
        "{",
        "}",
        ":name ?",
        "</script>",
    ),
    *(
        "שלום \u202eabc\u202c مرحبا",
        "\u2028\u2029\u200b",
        "NULL",
        "null",
        "[1, 2]",
        '{"a": 1}',
        "NaN",
        " trailing ",
        "x" * 5000,
    ),
)
TEXTS = (
    st.sampled_from(HOSTILE) | st.text(max_size=30) | st.lists(st.sampled_from(HOSTILE[:40]), max_size=4).map("".join)
)
ENGINE = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
)
"""An example here is a statement over many rows."""


@dataclass(frozen=True, slots=True)
class Rendered:
    key: Mapping[str, object]
    text: str | None
    request_hash: str

    @property
    def request(self) -> Any:
        assert self.text is not None
        return json.loads(self.text)

    @property
    def said(self) -> str:
        """The text of the last message."""
        return self.request["messages"][-1]["content"]


class Renderer:
    """Renders requests on the engine: rows go in as a file, as the prompt rows of a job are read."""

    def __init__(self, session: SqlSession, folder: Path) -> None:
        self.session = session
        self.folder = folder
        self._names = (f"rendering_{folder.name}_{count}" for count in itertools.count())

    def __call__(
        self,
        request: Request,
        rows: pa.Table,
        keys: Sequence[str] = ("k",),
        *,
        fingerprint: str = FINGERPRINT,
    ) -> list[Rendered]:
        """The rows in the order in which they came, found again by the key column `k`."""
        name = re.sub(r"\W", "_", next(self._names))
        pq.write_table(rows, self.folder / f"{name}.parquet")
        self.session.view_of_files(name, [str(self.folder / f"{name}.parquet")])
        source = f"SELECT * FROM {sql.quote_table(name)}"
        columns = {column.name: column for column in self.session.columns(source)}
        made = render_request(request, tuple(columns.values()))
        statement = sql.rendered(sql_texts(), source, [columns[key] for key in keys], made, fingerprint)
        found = [Rendered(row["key"], row["request"], row["request_hash"]) for row in self.session.query(statement)]
        return sorted(found, key=lambda row: row.key["k"]) if "k" in keys else found


@pytest.fixture
def render(session: SqlSession, tmp_path: Path) -> Renderer:
    return Renderer(session, tmp_path)


def table(**columns: pa.Array | Sequence[object]) -> pa.Table:
    """A table with a key `k` that counts the rows."""
    size = len(next(iter(columns.values())))
    arrays = {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    return pa.table({"k": pa.array(range(size), pa.int64()), **arrays})


def strings(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def quoted(name: str) -> str:
    return "{`" + name.replace("`", "``") + "`}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a template: a plain text, or the column it stands for."""

    text: str
    column: bool = False

    @property
    def template(self) -> str:
        return quoted(self.text) if self.column else doubled(self.text)


def expected_text(pieces: Sequence[Piece], row: Mapping[str, str | None]) -> str:
    """What a template over text columns says of a row: a NULL says nothing."""
    return "".join((row[piece.text] or "") if piece.column else piece.text for piece in pieces)


def asked(pieces: Sequence[Piece], row: Mapping[str, str | None], nulls: str) -> bool:
    """Whether a row is asked: under `error` and `skip` only if no placeholder is NULL, under `empty` unless all are."""
    values = [row[piece.text] for piece in pieces if piece.column]
    some_missing, all_missing = any(value is None for value in values), all(value is None for value in values)
    return not (values and (all_missing if nulls == "empty" else some_missing))


@ENGINE
@given(st.lists(TEXTS, min_size=30, max_size=60), TEXTS, TEXTS)
def test_any_text_of_a_row_and_of_a_template_is_sent_as_it_is(
    render: Renderer, texts: list[str], before: str, after: str
) -> None:
    rows = render(
        Request(instructions=doubled(before), input=f"{doubled(before)}{{text}}{doubled(after)}"),
        table(text=strings(texts)),
    )
    assert [row.request for row in rows] == [
        {"messages": [{"role": "system", "content": before}, {"role": "user", "content": f"{before}{text}{after}"}]}
        for text in texts
    ]


def test_every_hostile_text_beside_every_other(render: Renderer) -> None:
    everything = "".join(HOSTILE)
    rows = render(Request(input=doubled(everything) + "{text}" + doubled(everything)), table(text=strings(HOSTILE)))
    assert [row.said for row in rows] == [everything + text + everything for text in HOSTILE]


def test_a_text_of_a_megabyte(render: Renderer) -> None:
    text = "'\"\\\n😀{x}" * 130_000
    (row,) = render(Request(input="{text}"), table(text=strings([text])))
    assert len(text.encode()) > 1_000_000
    assert row.said == text


def test_a_template_of_a_hundred_kilobytes(render: Renderer) -> None:
    text = 'It\'s \\ a "long" one;\n' * 5_000
    (row,) = render(Request(input=text + "{text}"), table(text=strings(["x"])))
    assert row.said == text + "x"


PIECES = st.lists(
    st.sampled_from(("a", "b", "c")).map(lambda name: Piece(name, column=True)) | TEXTS.map(Piece),
    min_size=1,
    max_size=6,
)
VALUES = st.none() | st.sampled_from(("", "x", "'\\"))


@ENGINE
@given(
    PIECES,
    st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=12, max_size=30),
    st.sampled_from(("empty", "error", "skip")),
)
def test_nulls(
    render: Renderer, pieces: list[Piece], values: list[tuple[str | None, str | None, str | None]], nulls: str
) -> None:
    given_rows = [dict(zip("abc", row, strict=True)) for row in values]
    request = Request.model_validate({"input": "".join(piece.template for piece in pieces), "nulls": nulls})
    columns = {name: strings([row[name] for row in given_rows]) for name in "abc"}
    found = {row.key["k"]: row for row in render(request, table(**columns))}
    for number, row in enumerate(given_rows):
        if asked(pieces, row, nulls):
            assert found[number].said == expected_text(pieces, row)
        elif nulls == "skip":
            assert number not in found
        else:
            assert found[number].text is None


# Letters whose case folds in more than one way are left out: to SQL two such names may be one.
NAME_CHARACTERS = "aZ0 .`'\"\\${}:;,-/日é😀\n"
ODD_NAMES = st.text(NAME_CHARACTERS, min_size=1, max_size=8).filter(str.strip)


@ENGINE
@given(st.lists(ODD_NAMES, min_size=3, max_size=6, unique_by=str.lower))
def test_any_column_can_be_named(render: Renderer, names: list[str]) -> None:
    rows = table(
        **{f"{name}": strings([f"value {number}"]) for number, name in enumerate(names) if name.lower() != "k"}
    )
    request = Request(input="|".join(map(quoted, names)), parameters={name: quoted(name) for name in names})
    (row,) = render(request, rows, ("k", names[0]))
    values = [f"value {number}" for number in range(len(names))]
    assert row.said == "|".join(values)
    assert row.request["parameters"] == dict(zip(names, values, strict=True))
    assert row.key == {"k": 0, names[0]: "value 0"}


def test_upper_and_lower_case_are_one_name(render: Renderer) -> None:
    (row,) = render(Request(input="{TEXT} {text} {`Text`}"), table(Text=strings(["x"])))
    assert row.said == "x x x"


def test_a_column_with_a_dot_comes_before_a_field_of_a_struct(render: Renderer) -> None:
    rows = table(**{"a": pa.array([{"b": "field", "c": "other"}]), "a.b": strings(["column"])})
    (row,) = render(Request(input="{a.b} {a.c}"), rows)
    assert row.said == "column other"


def test_fields_of_structs(render: Renderer) -> None:
    value = {"City": "Köln", "geo": {"lat": 1.5, "odd name": ["x"]}, "select": None}
    kind = pa.struct(
        [
            ("City", pa.string()),
            ("geo", pa.struct([("lat", pa.float64()), ("odd name", pa.list_(pa.string()))])),
            ("select", pa.string()),
        ]
    )
    request = Request(
        input="{at.city}|{at.geo.lat}|{at.geo.odd name}|{at.select}",
        parameters={"at": "{at.geo}", "lat": "{at.geo.lat}"},
    )
    (row,) = render(request, table(at=pa.array([value], kind)))
    assert row.said == 'Köln|1.5|["x"]|'
    assert row.request["parameters"] == {"at": {"lat": 1.5, "odd name": ["x"]}, "lat": 1.5}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of column: its values, what a lone placeholder in parameters makes of one, and how its text is read back."""

    type_: pa.DataType
    values: st.SearchStrategy[Any]
    as_json: Callable[[Any], object] = lambda value: value
    read: Callable[[str], object] = str


def days(start: int, end: int) -> st.SearchStrategy[dt.date]:
    return st.dates(dt.date(start, 1, 1), dt.date(end, 1, 1))


INT64 = st.integers(-(2**63), 2**63 - 1)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
KINDS = {
    "tinyint": Kind(pa.int8(), st.integers(-128, 127), read=int),
    "int": Kind(pa.int32(), st.integers(-(2**31), 2**31 - 1), read=int),
    "bigint": Kind(pa.int64(), INT64, read=int),
    "double": Kind(pa.float64(), DOUBLES, read=float),
    "boolean": Kind(pa.bool_(), st.booleans(), read=lambda text: {"true": True, "false": False}[text]),
    "date": Kind(pa.date32(), days(1900, 2200), dt.date.isoformat, dt.date.fromisoformat),
    "decimal": Kind(
        pa.decimal128(18, 4), st.decimals(-(10**13), 10**13, places=4).map(lambda number: number + 0), float, Decimal
    ),
    "string": Kind(pa.string(), TEXTS),
    "array": Kind(pa.list_(pa.string()), st.lists(TEXTS, max_size=3), read=json.loads),
    "map": Kind(
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(TEXTS, INT64, max_size=3).map(lambda entries: list(entries.items())),
        dict,
        lambda text: list(json.loads(text).items()),
    ),
    "struct": Kind(
        pa.struct([("odd 'name", pa.string()), ("n", pa.int64()), ("list", pa.list_(pa.float64()))]),
        st.fixed_dictionaries({"odd 'name": TEXTS, "n": INT64, "list": st.lists(DOUBLES, max_size=3)}),
        read=json.loads,
    ),
}


@settings(ENGINE, max_examples=25)
@given(st.lists(st.fixed_dictionaries({name: kind.values for name, kind in KINDS.items()}), min_size=5, max_size=10))
def test_values_keep_their_type_in_parameters_and_are_text_elsewhere(
    render: Renderer, values: list[dict[str, Any]]
) -> None:
    columns = {name: pa.array([row[name] for row in values], kind.type_) for name, kind in KINDS.items()}
    request = Request(
        input="x",
        parameters={name: f"{{{name}}}" for name in KINDS},
        custom_inputs={"inside": [{name: f"<{{{name}}}>" for name in KINDS}], "fixed": [1, 2.5, True, None, "{{}}"]},
    )
    rows = render(request, table(**columns))
    for row, value in zip(rows, values, strict=True):
        assert row.request["parameters"] == {name: kind.as_json(value[name]) for name, kind in KINDS.items()}
        (inside,) = row.request["custom_inputs"]["inside"]
        said = {name: kind.read(inside[name][1:-1]) for name, kind in KINDS.items()}
        assert said == value
        assert row.request["custom_inputs"]["fixed"] == [1, 2.5, True, None, "{}"]


def test_whole_numbers_stay_whole_numbers(render: Renderer) -> None:
    (row,) = render(Request(input="x", parameters={"n": "{n}", "d": "{d}"}), table(n=[7], d=[7.0]))
    parameters = row.request["parameters"]
    assert (type(parameters["n"]), type(parameters["d"])) == (int, float)


@pytest.mark.parametrize("number", ["-0.0001", "0.0001", "0.0000", "-12345678901234.5678"])
def test_decimals_keep_their_sign_and_digits(render: Renderer, number: str) -> None:
    column = pa.array([Decimal(number)], pa.decimal128(18, 4))
    (row,) = render(Request(input="{n}", parameters={"n": "{n}"}), table(n=column))
    assert row.said == number
    assert f'"n": {number}}}' in str(row.text)


def test_a_null_in_parameters_is_null_alone_and_nothing_inside_a_text(render: Renderer) -> None:
    rows = {name: pa.array([None], kind.type_) for name, kind in KINDS.items()}
    request = Request(
        input="x",
        parameters={name: f"{{{name}}}" for name in KINDS},
        custom_inputs={name: f"<{{{name}}}>" for name in KINDS},
    )
    (row,) = render(request, table(**rows))
    assert row.request["parameters"] == dict.fromkeys(KINDS)
    assert row.request["custom_inputs"] == dict.fromkeys(KINDS, "<>")


def test_keys_of_every_permitted_type(render: Renderer) -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678)
    columns: dict[str, pa.Array] = {
        "tiny": pa.array([-128], pa.int8()),
        "small": pa.array([-(2**15)], pa.int16()),
        "int": pa.array([2**31 - 1], pa.int32()),
        "big": pa.array([2**63 - 1], pa.int64()),
        "text": strings(["'; DROP TABLE x; --\x00\\"]),
        "flag": pa.array([False]),
        "day": pa.array([dt.date(2026, 1, 2)]),
        "local": pa.array([moment], pa.timestamp("us")),
        "dec": pa.array([Decimal("12345678901234567890.12")], pa.decimal128(38, 2)),
        "at": pa.array([moment.replace(tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC")),
    }
    (row,) = render(Request(input="x"), table(**columns), tuple(columns))
    found = dict(row.key)
    assert isinstance(found.pop("at"), dt.datetime)
    assert found == {name: column[0].as_py() for name, column in columns.items() if name != "at"}


class TestHash:
    def hashes(self, render: Renderer, request: Request, **more: Any) -> list[str]:
        rows = render(request, table(text=strings(["x", "y", "x", None])), **more)
        return [row.request_hash for row in rows]

    @ENGINE
    @given(st.lists(TEXTS, min_size=20, max_size=40), TEXTS)
    def test_is_that_of_fingerprint_and_request(self, render: Renderer, texts: list[str], fingerprint: str) -> None:
        rows = render(Request(input="{text}"), table(text=strings([*texts, None])), fingerprint=fingerprint)
        assert [row.request_hash for row in rows] == [
            hashlib.sha256((fingerprint + (row.text or "")).encode()).hexdigest() for row in rows
        ]
        assert rows[-1].text is None

    def test_is_the_same_for_the_same_request_only(self, render: Renderer) -> None:
        first, second, third, null = self.hashes(render, Request(input="{text}"))
        assert first == third
        assert len({first, second, null}) == 3
        assert self.hashes(render, Request(input="{text}")) == [first, second, third, null]

    @pytest.mark.parametrize(
        ("request_", "fingerprint"),
        [
            (Request(input="{text}"), "fedcba9876543210"),
            (Request(input="{text} "), FINGERPRINT),
            (Request(instructions="Be brief.", input="{text}"), FINGERPRINT),
            (Request(input="{text}", parameters={"temperature": 0}), FINGERPRINT),
            (Request(input="{text}", parameters={"temperature": "0"}), FINGERPRINT),
            (Request(input="{text}", custom_inputs={"of": "{text}"}), FINGERPRINT),
            (Request(input="{text}", databricks_options={"return_trace": True}), FINGERPRINT),
        ],
    )
    def test_differs_with_all_that_decides_the_answer(
        self, render: Renderer, request_: Request, fingerprint: str
    ) -> None:
        plain = self.hashes(render, Request(input="{text}"))
        other = self.hashes(render, request_, fingerprint=fingerprint)
        assert not set(plain[:3]) & set(other[:3])


def test_the_preview_shows_the_requests_in_the_order_of_the_keys(session: SqlSession, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": pa.array([3, 1, 2], pa.int64()), "text": strings(["c", "a'\\", None])}), tmp_path / "x.parquet"
    )
    session.view_of_files("rendering_preview", [str(tmp_path / "x.parquet")])
    columns = (Column("id", "bigint"), Column("text", "string"))
    made = render_request(Request(input="{text}"), columns)
    rendered = sql.rendered(sql_texts(), "SELECT * FROM rendering_preview", columns[:1], made, FINGERPRINT)
    rows = session.query(sql.preview(sql_texts(), rendered, columns[:1], 2))
    assert [row["key"] for row in rows] == [{"id": 1}, {"id": 2}]
    assert [row["request"] for row in rows] == ['{"messages": [{"role": "user", "content": "a\'\\\\"}]}', None]
