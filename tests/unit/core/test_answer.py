"""Structured answers: schemas as declared, and answers held against them."""

import contextlib
import json
import pickle
import string

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.answer import AnswerSchema, AnswerSchemaError, fit, parse_answer_schema


def schema(**fields: object) -> AnswerSchema:
    return parse_answer_schema(fields)


def problems(fields: dict[object, object]) -> dict[str, str]:
    with pytest.raises(AnswerSchemaError) as caught:
        parse_answer_schema(fields)
    return dict(caught.value.problems)


SIMPLE = ("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double")


def test_the_ddl_of_every_type() -> None:
    declared = {
        **{name: name for name in ("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double")},
        "price": "decimal(10, 2)",
        "plain": "decimal",
        "day": "DATE",
        "moment": "timestamp",
        "tags": "array<string>",
        "counts": "map<string,bigint>",
        "place": {"city": "string", "at": "struct<lat: double, lon: double>"},
        "mood": ["good", "bad"],
        "alias": "integer",
    }
    assert parse_answer_schema(declared).ddl == (
        "STRUCT<`string`: STRING, `boolean`: BOOLEAN, `tinyint`: TINYINT, `smallint`: SMALLINT, `int`: INT, "
        "`bigint`: BIGINT, `float`: FLOAT, `double`: DOUBLE, price: DECIMAL(10,2), plain: DECIMAL(10,0), "
        "day: DATE, moment: TIMESTAMP, tags: ARRAY<STRING>, counts: MAP<STRING, BIGINT>, "
        "place: STRUCT<city: STRING, at: STRUCT<lat: DOUBLE, lon: DOUBLE>>, mood: STRING, alias: INT>"
    )


def test_names_are_quoted_where_needed() -> None:
    declared = {"a b": "int", "x`y": "int", "1st": "int", "größe": "int", "select": "int", "plain_1": "int"}
    assert parse_answer_schema(declared).ddl == (
        "STRUCT<`a b`: INT, `x``y`: INT, `1st`: INT, `größe`: INT, `select`: INT, plain_1: INT>"
    )


def test_the_json_schema() -> None:
    declared = schema(
        mood=["good", "bad"],
        score="double",
        n="int",
        day="date",
        at="timestamp",
        price="decimal(6,2)",
        ok="boolean",
        tags="array<struct<name: string>>",
    )
    assert declared.json_schema == {
        "type": "object",
        "properties": {
            "mood": {"type": "string", "enum": ["good", "bad"]},
            "score": {"type": "number"},
            "n": {"type": "integer"},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "price": {"type": "number"},
            "ok": {"type": "boolean"},
            "tags": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["mood", "score", "n", "day", "at", "price", "ok", "tags"],
        "additionalProperties": False,
    }
    assert declared.strict


def test_a_map_is_open_wherever_it_is() -> None:
    nested = schema(a={"b": "array<map<string, double>>"})
    assert not nested.strict
    items = nested.json_schema["properties"]["a"]["properties"]["b"]["items"]
    assert items == {"type": "object", "additionalProperties": {"type": "number"}}


def test_a_schema_travels_to_executors() -> None:
    declared = schema(a=["x"], b="map<string,array<decimal(3,1)>>", c={"d": "date"})
    assert pickle.loads(pickle.dumps(declared)) == declared


@pytest.mark.parametrize(
    ("type_text", "message"),
    [
        ("strng", "unknown type strng; did you mean string?"),
        ("array<strng>", "unknown type strng; did you mean string?"),
        ("number", "unknown type number; did you mean double?"),
        ("struct<a: text>", "unknown type text; did you mean string?"),
        ("decimal(39,2)", "decimal(39,2) is out of range: decimal(1,0) to decimal(38,38)"),
        ("decimal(2,3)", "decimal(2,3) is out of range: decimal(1,0) to decimal(38,38)"),
        ("decimal(1,1,1)", "decimal(1,1,1) is out of range: decimal(1,0) to decimal(38,38)"),
        ("array", "array is not complete, as in decimal(10,2), array<string>, struct<a: int>"),
        ("map<string>", "map<string> is not complete, as in decimal(10,2), array<string>, struct<a: int>"),
        ("map<int, int>", "the keys of a map are strings, as in map<string, int>"),
        ("struct<int>", "the fields of a struct are names with types, as in struct<a: int>"),
        ("struct<a: int comment 'x'>", "the fields of a struct are names with types, as in struct<a: int>"),
        (
            "struct<a: int, A: int>",
            "a struct names a field twice; SQL does not tell upper from lower case there",
        ),
        ("", "cannot be read as a SQL type: ''"),
        ("int string", "cannot be read as a SQL type: 'int string'; int is what is clear in it"),
        (
            "struct<a: int",
            "cannot be read as a SQL type: 'struct<a: int'; struct<a: int> is what is clear in it",
        ),
    ],
)
def test_types_that_are_none(type_text: str, message: str) -> None:
    assert problems({"f": type_text}) == {"f": message}


def test_a_precision_that_a_type_has_not_is_told() -> None:
    """Versions of the parser differ in what they make of it."""
    assert "timestamp(3)" in problems({"f": "timestamp(3)"})["f"]


@pytest.mark.parametrize("type_text", ["string not null", "string; drop table x", "int --x", "varchar(3)", "variant"])
def test_nothing_of_a_type_is_quietly_dropped(type_text: str) -> None:
    assert problems({"f": type_text})["f"].startswith("unknown type ")


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        {
            "a": [],
            "b": [True],
            "c": ["x", "x"],
            "d": {},
            "e": 3,
            "f": {"g": {"h": "strin"}},
            "F": "int",
            True: "int",
        }
    )
    assert found == {
        "a": "expected at least one choice",
        "b": "a choice is a text, not True; in YAML put yes, no and numbers in quotes",
        "c": "a choice is there twice",
        "d": "expected at least one field",
        "e": "expected a type such as string, a mapping or a list of choices, not 3",
        "f.g.h": "unknown type strin; did you mean string?",
        "F": "is there twice; SQL does not tell upper from lower case in names",
        "True": "the name of a field is a text, not True; in YAML put yes, no and numbers in quotes",
    }


def test_an_empty_schema_is_a_problem() -> None:
    assert problems({}) == {"": "expected at least one field"}


@pytest.mark.parametrize(
    ("declared", "given", "fitted"),
    [
        ("string", '"é \\ud83d\\ude00"', '"é 😀"'),
        ("string", '"cut \\ud83d"', '"cut �"'),
        ("boolean", "true", "true"),
        ("int", "2147483647", "2147483647"),
        ("int", "3.0", "3"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("double", "3", "3.0"),
        ("double", "0.1", "0.1"),
        (
            "decimal(38,18)",
            "12345678901234567890.123456789012345678",
            "12345678901234567890.123456789012345678",
        ),
        ("decimal(4,2)", "2.345", "2.35"),
        ("decimal(4,2)", "7", "7.00"),
        ("date", '"2026-01-31"', '"2026-01-31"'),
        ("timestamp", '"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00+00:00"'),
        ("timestamp", '"2026-01-31 12:00"', '"2026-01-31T12:00:00"'),
        (["good", "bad"], '"bad"', '"bad"'),
        ("array<int>", "[1, 2.0]", "[1,2]"),
        ("array<int>", "[]", "[]"),
        ("map<string,boolean>", '{"a": true}', '{"a":true}'),
        ("map<string,int>", '{"b": 1, "a": 2}', '{"a":2,"b":1}'),
        ({"a": "int"}, '{"b": 1, "a": 2}', '{"a":2}'),
    ],
)
def test_values_that_fit(declared: object, given: str, fitted: str) -> None:
    assert fit(f'{{"f": {given}}}', schema(f=declared)) == (f'{{"f":{fitted}}}', "")


@pytest.mark.parametrize(
    ("declared", "given", "complaint"),
    [
        ("string", "1", "$.f: expected string, got 1"),
        ("string", "null", "$.f: expected string, got null"),
        ("boolean", '"true"', '$.f: expected boolean, got "true"'),
        ("int", "true", "$.f: expected int, got true"),
        ("int", "2147483648", "$.f: expected int, got 2147483648"),
        ("int", "1.5", "$.f: expected int, got 1.5"),
        ("int", "1e999999", "$.f: expected int, got 1E+999999"),
        ("tinyint", "-129", "$.f: expected tinyint, got -129"),
        ("double", '"1"', '$.f: expected double, got "1"'),
        ("double", "1e400", "$.f: expected double, got 1E+400"),
        ("float", "1e39", "$.f: expected float, got 1" + "0" * 39),
        ("int", '"' + "x" * 50 + '"', '$.f: expected int, got "' + "x" * 38 + "…"),
        ("decimal(4,2)", "100", "$.f: expected decimal(4,2), got 100"),
        ("decimal(4,2)", "99.995", "$.f: expected decimal(4,2), got 99.995"),
        ("date", '"31.01.2026"', '$.f: expected date, got "31.01.2026"'),
        ("date", '"2026-02-30"', '$.f: expected date, got "2026-02-30"'),
        ("timestamp", '"noon"', '$.f: expected timestamp, got "noon"'),
        (["good", "bad"], '"Good"', '$.f: expected one of good, bad, got "Good"'),
        (["good", "bad"], "{}", "$.f: expected one of good, bad, got an object"),
        ("array<int>", "{}", "$.f: expected an array, got an object"),
        ("array<int>", '[1, "x", [2]]', '$.f[1]: expected int, got "x"; $.f[2]: expected int, got an array'),
        ("map<string,int>", '{"a": null}', "$.f.a: expected int, got null"),
        ({"a": "int", "b": "int"}, "{}", "$.f.a: is missing; $.f.b: is missing"),
        ({"a": "int"}, "[]", "$.f: expected an object, got an array"),
    ],
)
def test_values_that_do_not_fit(declared: object, given: str, complaint: str) -> None:
    assert fit(f'{{"f": {given}}}', schema(f=declared)) == (None, complaint)


def test_many_complaints_are_counted() -> None:
    _, complaint = fit('{"f": [0,0,0,0,0,0,0]}', schema(f="array<string>"))
    assert complaint.count("expected string") == 5
    assert complaint.endswith("; and 2 more")


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1}',
        '  {"n": 1}\n',
        '```json\n{"n": 1}\n```',
        '```\n{"n": 1}```',
        'Here it is:\n```json\n{"n": 1}\n```\n',
        'Here it is: {"n": 1}',
        '{"n": 0, "n": 1}',
    ],
)
def test_where_an_object_may_stand(text: str) -> None:
    assert fit(text, schema(n="int")) == ('{"n":1}', "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        '{"n": 1} I hope this helps.',
        '{"n": 1} {"n": 2}',
        '{"n": NaN}',
        '{"n": 1',
        "{" * 100_000,
        "```json\n```",
    ],
)
def test_where_there_is_no_whole_object(text: str) -> None:
    assert fit(text, schema(n="int")) == (None, "$: the answer does not end with a whole JSON object")


def test_an_answer_that_is_no_object() -> None:
    assert fit("[1]", schema(n="int")) == (None, "$: expected an object, got an array")


TYPES = st.deferred(lambda: LEAVES | NESTED)
LEAVES = st.sampled_from(
    [
        "string",
        "boolean",
        "tinyint",
        "int",
        "bigint",
        "float",
        "double",
        "date",
        "timestamp",
        "decimal(38,10)",
        "decimal",
    ]
)
NESTED = (
    TYPES.map(lambda inner: f"array<{inner}>")
    | TYPES.map(lambda inner: f"map<string, {inner}>")
    | TYPES.map(lambda inner: f"struct<a: {inner}, `b c`: int>")
)
NAMES = st.text(string.printable + "äß`", min_size=1, max_size=8).filter(str.strip)
FIELDS = st.recursive(
    TYPES | st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=6,
)
DECLARED = st.dictionaries(NAMES, FIELDS, min_size=1, max_size=4)


def has_twins(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return len({key.lower() for key in value}) < len(value) or any(map(has_twins, value.values()))


@given(DECLARED.filter(lambda declared: not has_twins(declared)))
def test_the_ddl_is_sql_with_the_declared_names(declared: dict[str, object]) -> None:
    ddl = parse_answer_schema(declared).ddl
    parsed = sqlglot.exp.DataType.build(ddl, dialect="databricks")
    assert [field.name for field in parsed.expressions] == list(declared)
    again = parse_answer_schema({"f": ddl})
    assert again.ddl == f"STRUCT<f: {ddl}>"


@given(st.text() | st.text("<>(),: `'intmapraysgce1", max_size=20))
def test_any_text_is_a_type_or_a_problem(text: str) -> None:
    with contextlib.suppress(AnswerSchemaError):
        assert schema(f=text).ddl.startswith("STRUCT<f: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcf") | st.text(), inner, max_size=4),
    max_leaves=15,
)
WIDE = schema(
    a="array<double>",
    b={"a": "int", "b": "map<string,decimal(5,2)>"},
    c=["x", "y"],
    f="struct<a: timestamp, b: date>",
)


@given(
    JSON.map(json.dumps) | st.text() | st.text('{}[]",:0123456789.eE-abcf`'),
    st.sampled_from(["", "So: ", "```json\n"]),
)
def test_fit_takes_anything(text: str, before: str) -> None:
    fitted, complaint = fit(before + text, WIDE)
    assert (fitted is None) == bool(complaint)


@given(
    st.fixed_dictionaries(
        {
            "a": st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)),
            "b": st.fixed_dictionaries(
                {
                    "a": st.integers(-(2**31), 2**31 - 1),
                    "b": st.dictionaries(st.text(), st.decimals(-999, 999, places=2).map(float)),
                }
            ),
            "c": st.sampled_from(["x", "y"]),
            "f": st.fixed_dictionaries({"a": st.datetimes().map(str), "b": st.dates().map(str)}),
        }
    )
)
def test_what_fits_fits_again_unchanged(value: object) -> None:
    fitted, complaint = fit(json.dumps(value), WIDE)
    assert complaint == ""
    assert fitted is not None
    fitted.encode()
    assert fit(fitted, WIDE) == (fitted, "")
    assert set(json.loads(fitted)) == {"a", "b", "c", "f"}
