"""From the type of the replies to the expressions that read them."""

from itertools import product

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.ai_query.reading import Reading, reading_of

NO_ERROR = "CAST(NULL AS STRING)"
RESPONSES = "struct<id:string,output:array<struct<type:string,content:array<struct<type:string,text:string>>>>>"
TYPES = {
    "string": "{}",
    "double": "CAST({} AS STRING)",
    "bigint": "CAST({} AS STRING)",
    "decimal(10,2)": "CAST({} AS STRING)",
    "array<float>": "to_json({})",
    "map<string,int>": "to_json({})",
    "struct<answer:struct<score:double>>": "to_json({})",
    "variant": "to_json({})",
    RESPONSES: "to_json({})",
}


@pytest.mark.parametrize(
    ("result", "error", "type_"), [*product(["result", "response"], ["errorMessage", "errorStatus", "error"], TYPES)]
)
def test_a_struct_of_a_result_and_an_error(result: str, error: str, type_: str) -> None:
    reading = reading_of(f"struct<{result}:{type_},{error}:string>")
    assert reading.answer == TYPES[type_].format(f"reply.`{result}`")
    assert reading.error == f"reply.`{error.lower()}`"
    assert reading.speech == ("responses" if type_ == RESPONSES else None)


@pytest.mark.parametrize("type_", TYPES)
def test_without_a_field_for_errors_the_whole_is_the_answer(type_: str) -> None:
    reading = reading_of(type_)
    assert (reading.answer, reading.error) == (TYPES[type_].format("reply"), NO_ERROR)


def test_the_order_of_the_fields_does_not_count() -> None:
    assert reading_of("struct<errorMessage:string,result:string>") == Reading("reply.`result`", "reply.`errormessage`")


def test_an_error_that_is_no_text_is_told_as_json() -> None:
    reading = reading_of("struct<response:string,errorStatus:struct<code:int,message:string>>")
    assert reading.error == "to_json(reply.`errorstatus`)"


@pytest.mark.parametrize(
    "type_",
    [
        "STRUCT<result: STRING, errorMessage: STRING>",
        "struct<`result`: string, `errorMessage`: string>",
        "  struct<RESULT:string,ERRORMESSAGE:string>  ",
    ],
)
def test_types_as_several_engines_write_them(type_: str) -> None:
    assert reading_of(type_) == Reading("reply.`result`", "reply.`errormessage`")


@pytest.mark.parametrize(
    "type_",
    [
        "struct<result:string,response:string,errormessage:string>",
        "struct<result:string,errormessage:string,errorstatus:string>",
        "struct<result:string,errormessage:string,usage:struct<total:int>>",
        "struct<result:string>",
        "struct<result:string,response:string>",
        "struct<errormessage:string,error:string>",
        "struct<result:string,mood:string>",
        "struct<score:double,label:string>",
        "struct<odd name>:int,result:string>",
        "struct<>",
    ],
)
def test_a_struct_of_no_known_shape_is_an_answer_and_no_error(type_: str) -> None:
    assert reading_of(type_) == Reading("to_json(reply)", NO_ERROR)


@pytest.mark.parametrize(
    ("type_", "speech"),
    [
        (RESPONSES, "responses"),
        ("struct<messages:array<struct<role:string,content:string>>>", "chat"),
        ("struct<choices:array<string>>", "chat"),
        ("struct<messages:array<string>,output:array<string>>", "responses"),
        ("struct<output:string>", None),
        ("struct<messages:string,choices:int>", None),
        ("array<struct<output:array<string>>>", None),
        ("string", None),
    ],
)
def test_the_fields_of_a_reply_tell_whose_reply_it_is(type_: str, speech: str | None) -> None:
    assert reading_of(type_).speech == speech
    assert reading_of(f"struct<response:{type_},errorstatus:string>").speech == speech


def assert_is_sql(reading: Reading) -> None:
    """Fails where the expressions are not two columns of a query."""
    (statement,) = sqlglot.parse(f"SELECT {reading.answer} AS answer, {reading.error} AS error", read="databricks")
    assert isinstance(statement, sqlglot.exp.Select)
    assert [each.alias for each in statement.expressions] == ["answer", "error"]
    assert {column.parts[0].name for column in statement.find_all(sqlglot.exp.Column)} <= {"reply"}


NAMES = st.sampled_from(["result", "response", "errorMessage", "error", "output", "`a``b`", "odd name", "x:y", "`"])
PLAIN = st.sampled_from(["string", "double", "decimal(10, 2)", "void", "timestamp_ntz", "interval day to second"])
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        inner.map(lambda type_: f"array<{type_}>")
        | st.lists(st.tuples(NAMES, inner), max_size=3).map(
            lambda fields: f"struct<{','.join(f'{name}:{type_}' for name, type_ in fields)}>"
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(TREES | st.text())
def test_any_type_is_read_and_by_valid_sql(type_: str) -> None:
    assert_is_sql(reading_of(type_))
