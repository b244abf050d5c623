"""The expression that renders a request: which columns it may name, and what it does with a NULL."""

from collections.abc import Mapping
from typing import Any

import pytest
import sqlglot

from rowcall.core.definition import Request
from rowcall.core.prompt import (
    PromptError,
    PromptProblemsError,
    neutral_request,
    render_request,
    struct_fields,
    value_type,
)
from rowcall.core.records import Column

COLUMNS = (
    Column("review_id", "bigint"),
    Column("review_text", "string"),
    Column("Score", "double"),
    Column("a.b", "string"),
    Column("odd`name", "string"),
    Column("tags", "array<string>"),
    Column("photo", "binary"),
    Column("address", "struct<city:string,geo:struct<lat:double,lon:double>,all parts:array<string>,raw:binary>"),
)


def rendered(template: str, **more: Any) -> str:
    return render_request(Request(input=template, **more), COLUMNS).json


def problems(request: Request) -> tuple[PromptError, ...]:
    with pytest.raises(PromptProblemsError) as caught:
        render_request(request, COLUMNS)
    return caught.value.problems


def columns_in(statement: str) -> set[str]:
    """The column references of an expression, as `table.column`."""
    parsed = sqlglot.parse_one(statement, read="databricks")
    return {f"{column.table}.{column.name}" for column in parsed.find_all(sqlglot.exp.Column)}


def test_a_field_is_a_column_of_the_alias() -> None:
    assert columns_in(rendered("{review_text} {`odd``name`}")) == {"p.review_text", "p.odd`name"}


def test_names_are_found_whatever_their_case_and_keep_the_tables() -> None:
    assert columns_in(rendered("{REVIEW_TEXT} {score}")) == {"p.review_text", "p.Score"}


def test_a_column_named_with_a_dot_comes_before_a_struct() -> None:
    columns = (Column("address", "struct<city:string>"), Column("address.city", "string"))
    assert columns_in(render_request(Request(input="{address.city}"), columns).json) == {"p.address.city"}


def test_a_struct_path_reaches_into_the_struct() -> None:
    assert "p.`address`.`geo`.`lat`" in rendered("{address.geo.lat}")
    assert "p.`address`.`city`" in rendered("{Address.city}")


def test_arrays_and_structs_become_json_text_and_the_rest_plain_text() -> None:
    assert "COALESCE(TO_JSON(p.`tags`), '')" in rendered("{tags}")
    assert "COALESCE(TO_JSON(p.`address`.`geo`), '')" in rendered("{address.geo}")
    assert "COALESCE(TO_JSON(p.`address`.`all parts`), '')" in rendered("{address.all parts}")
    assert "COALESCE(CAST(p.`Score` AS STRING), '')" in rendered("{Score}")


def test_a_request_without_fields_is_one_literal() -> None:
    request = render_request(Request(instructions="Say", input="hi"), COLUMNS)
    assert request.json == (
        """'{"messages": [{"role": "system", "content": "Say"}, {"role": "user", "content": "hi"}]}'"""
    )
    assert (request.skip, request.null_prompt) == (None, "")


def test_parameters_keep_the_type_of_a_lone_field_and_take_text_otherwise() -> None:
    alone = rendered("x", parameters={"top_k": "{Score}"})
    inside = rendered("x", parameters={"top_k": "{Score} "})
    assert "ARRAY(p.`Score`)" in alone
    assert "CAST(p.`Score` AS STRING)" in inside
    assert "CAST" not in alone


def test_a_lone_field_of_the_input_is_text() -> None:
    assert "CAST(p.`Score` AS STRING)" in rendered("{Score}")


def test_fields_are_found_at_any_depth_of_parameters() -> None:
    statement = rendered("x", custom_inputs={"a": [{"b": "{review_id}"}, 1, None, True]})
    assert columns_in(statement) == {"p.review_id"}


def test_keys_of_parameters_are_no_templates() -> None:
    assert '"{review_id}"' in rendered("x", parameters={"{review_id}": 1})


class TestUnknownColumns:
    def test_says_which_columns_there_are_and_the_likely_one(self) -> None:
        (problem,) = problems(Request(input="{review_txt}"))
        assert problem.message == "there is no column 'review_txt'"
        assert problem.hint.startswith("Did you mean {review_text}? There are: review_id, review_text, Score, a.b")

    def test_without_a_likely_one_shows_how_to_write_a_brace(self) -> None:
        (problem,) = problems(Request(input="{zzz}"))
        assert problem.hint.startswith("There are: review_id, ")
        assert problem.hint.endswith("For a plain brace write {{ or }}.")

    def test_all_at_once_each_at_its_place(self) -> None:
        request = Request.model_validate(
            {
                "instructions": "{x} {",
                "messages": [{"role": "user", "content": "{y}"}, {"role": "assistant", "content": "{review_id}{z}"}],
                "parameters": {"stop": ["a", "{w}"]},
                "custom_inputs": {"deep": {"er": "{v}"}},
            }
        )
        assert [(problem.key, problem.message) for problem in problems(request)] == [
            ("request.messages[0].content", "a single '{' in '{x} {'"),
            ("request.messages[1].content", "there is no column 'y'"),
            ("request.messages[2].content", "there is no column 'z'"),
            ("request.parameters.stop[1]", "there is no column 'w'"),
            ("request.custom_inputs.deep.er", "there is no column 'v'"),
        ]

    def test_a_quoted_name_is_no_path(self) -> None:
        (problem,) = problems(Request(input="{`address.city`}"))
        assert problem.message == "there is no column 'address.city'"

    @pytest.mark.parametrize(
        ("field", "message", "hint"),
        [
            (
                "address.citty",
                "'address' has no field 'citty'",
                "Did you mean city? There are: city, geo, all parts, raw.",
            ),
            ("address.geo.alt", "'address.geo' has no field 'alt'", "There are: lat, lon."),
            ("address.city.x", "'address.city' has no field 'x'", "It is string."),
        ],
    )
    def test_of_a_struct(self, field: str, message: str, hint: str) -> None:
        (problem,) = problems(Request(input=f"{{{field}}}"))
        assert problem.message == message
        assert problem.hint.endswith(hint)

    def test_a_path_into_what_is_no_struct(self) -> None:
        (problem,) = problems(Request(input="{tags.x}"))
        assert problem.message == "there is no column 'tags.x'"


@pytest.mark.parametrize("type_", ["struct<a`b:int,c:string>", "struct<a,b:int,c:string>", "struct<a:b:int,c:string>"])
def test_a_field_beside_oddly_named_ones_is_believed(type_: str) -> None:
    assert "p.`s`.`c`" in render_request(Request(input="{s.c}"), (Column("s", type_),)).json


@pytest.mark.parametrize("field", ["photo", "address.raw"])
@pytest.mark.parametrize("place", ["input", "parameters"])
def test_binary_is_refused(field: str, place: str) -> None:
    text = f"{{{field}}}"
    request = Request(input=text) if place == "input" else Request(input="x", parameters={"p": text})
    (problem,) = problems(request)
    assert problem.message == f"column {field!r} is BINARY"
    assert problem.hint == "Decode it in prompts.query first."


class TestNulls:
    def request(self, nulls: str, template: str = "{review_text} {Score}", **more: Any) -> Request:
        return Request.model_validate({"input": template, "nulls": nulls, **more})

    def test_empty_asks_unless_all_are_null(self) -> None:
        made = render_request(self.request("empty"), COLUMNS)
        assert made.json.startswith("CASE WHEN p.`review_text` IS NULL AND p.`Score` IS NULL THEN CAST(NULL AS STRING)")
        assert (made.skip, made.null_prompt) == (None, "all of review_text, Score are NULL")

    def test_error_asks_only_if_none_is_null(self) -> None:
        made = render_request(self.request("error"), COLUMNS)
        assert made.json.startswith("CASE WHEN p.`review_text` IS NULL OR p.`Score` IS NULL THEN CAST(NULL AS STRING)")
        assert (made.skip, made.null_prompt) == (None, "one of review_text, Score is NULL")

    def test_skip_leaves_the_row_out_if_any_is_null(self) -> None:
        made = render_request(self.request("skip"), COLUMNS)
        assert made.skip == "p.`review_text` IS NULL OR p.`Score` IS NULL"
        assert not made.json.startswith("CASE")
        assert made.null_prompt == ""

    @pytest.mark.parametrize("nulls", ["empty", "error"])
    def test_one_field_is_said_as_one(self, nulls: str) -> None:
        assert render_request(self.request(nulls, "{Score}{Score}"), COLUMNS).null_prompt == "Score is NULL"

    @pytest.mark.parametrize("nulls", ["empty", "error", "skip"])
    def test_parameters_do_not_count(self, nulls: str) -> None:
        made = render_request(self.request(nulls, "hello", parameters={"k": "{Score}", "t": "a {tags}"}), COLUMNS)
        assert (made.skip, made.null_prompt) == (None, "")
        assert not made.json.startswith("CASE")

    def test_the_fields_of_all_messages_count(self) -> None:
        made = render_request(self.request("error", instructions="For {address.city}."), COLUMNS)
        assert made.null_prompt == "one of address.city, review_text, Score is NULL"


class TestInputs:
    def made(self, **inputs: Any) -> str:
        return render_request(Request(inputs=inputs), COLUMNS).json

    def test_keep_the_type_of_a_lone_field_and_take_text_otherwise(self) -> None:
        assert "CAST" not in self.made(score="{Score}")
        assert "CAST(p.`Score` AS STRING)" in self.made(score="{Score} of 5")

    def test_are_all_there_is_beside_parameters(self) -> None:
        request = Request(inputs={"a": 1, "b": ["x", {"c": None}]}, parameters={"threshold": 0.5})
        assert render_request(request, COLUMNS).json == (
            """'{"inputs": {"a": 1, "b": ["x", {"c": null}]}, "parameters": {"threshold": 0.5}}'"""
        )

    def test_an_unknown_column_is_refused_where_it_stands(self) -> None:
        (problem,) = problems(Request(inputs={"a": {"b": ["{review_txt}"]}}))
        assert (problem.key, problem.message) == ("request.inputs.a.b[0]", "there is no column 'review_txt'")

    def test_binary_is_refused(self) -> None:
        (problem,) = problems(Request(inputs={"image": "{photo}"}))
        assert (problem.key, problem.message) == ("request.inputs.image", "column 'photo' is BINARY")

    @pytest.mark.parametrize("nulls", ["empty", "error", "skip"])
    def test_of_null_are_sent_as_null(self, nulls: str) -> None:
        """A model's own column may be NULL; only texts make a row one that cannot be asked."""
        request = Request.model_validate({"inputs": {"score": "{Score}", "text": "{review_text}"}, "nulls": nulls})
        made = render_request(request, COLUMNS)
        assert (made.skip, made.null_prompt) == (None, "")
        assert not made.json.startswith("CASE")


class TestFiles:
    def made(self, files: str, **more: Any) -> str | None:
        return render_request(Request(input="what is it?", files=files, **more), COLUMNS).files

    @pytest.mark.parametrize(
        ("files", "column"),
        [("{photo}", "p.`photo`"), ("{PHOTO}", "p.`photo`"), ("{address.raw}", "p.`address`.`raw`")],
    )
    def test_are_a_column_as_it_is(self, files: str, column: str) -> None:
        assert self.made(files) == column

    def test_are_no_part_of_the_request(self) -> None:
        made = render_request(Request(input="what is it?", files="{photo}", nulls="error"), COLUMNS)
        assert "photo" not in made.json
        assert (made.skip, made.null_prompt) == (None, "")

    def test_without_them_there_is_no_column(self) -> None:
        assert render_request(Request(input="hi"), COLUMNS).files is None

    @pytest.mark.parametrize("files", ["{photo}{photo}", "{photo} {address.raw}", "{{photo}}"])
    def test_are_one_column_in_braces(self, files: str) -> None:
        (problem,) = problems(Request(input="x", files=files))
        assert (problem.key, problem.message) == (
            "request.files",
            "expected one column in braces, such as {photo}",
        )

    def test_that_cannot_be_read_are_refused_where_they_stand(self) -> None:
        (problem,) = problems(Request(input="x", files="{a{b}"))
        assert problem.key == "request.files"

    def test_of_a_text_column_are_refused(self) -> None:
        (problem,) = problems(Request(input="x", files="{review_text}"))
        assert (problem.key, problem.message) == (
            "request.files",
            "column 'review_text' is string, not BINARY",
        )

    def test_of_an_unknown_column_are_one_problem(self) -> None:
        (problem,) = problems(Request(input="x", files="{foto}"))
        assert (problem.key, problem.message) == ("request.files", "there is no column 'foto'")
        assert problem.hint.startswith("Did you mean {photo}?")

    def test_are_told_with_all_other_problems(self) -> None:
        assert [problem.key for problem in problems(Request(input="{x}", files="{y}"))] == [
            "request.messages[0].content",
            "request.files",
        ]


class TestValueType:
    @pytest.mark.parametrize(
        ("value", "type_"),
        [
            ("{review_id}", "bigint"),
            ("{score}", "double"),
            ("{tags}", "array<string>"),
            ("{address.geo}", "struct<lat:double,lon:double>"),
            ("{address.geo.lat}", "double"),
            ("{`a.b`}", "string"),
            ("{review_id} ", "string"),
            ("{review_id}{review_id}", "string"),
            ("no field", "string"),
            ("{{review_id}}", "string"),
            ("", "string"),
        ],
    )
    def test_is_the_columns_for_a_lone_field_and_text_otherwise(self, value: str, type_: str) -> None:
        assert value_type(value, COLUMNS) == type_

    def test_of_an_unknown_column_is_refused(self) -> None:
        with pytest.raises(PromptError) as caught:
            value_type("{review_txt}", COLUMNS)
        assert caught.value.message == "there is no column 'review_txt'"

    def test_of_a_text_that_cannot_be_read_is_refused(self) -> None:
        with pytest.raises(PromptError) as caught:
            value_type("a { brace", COLUMNS)
        assert caught.value.message == "a single '{' in 'a { brace'"


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("struct<a:int,b:string>", {"a": "int", "b": "string"}),
        (
            "struct<a: int, b: struct<c: decimal(10, 2), d: array<int>>>",
            {"a": "int", "b": "struct<c: decimal(10, 2), d: array<int>>"},
        ),
        ("struct<`a``b`: int,B:date>", {"a`b": "int", "b": "date"}),
        ("struct<m:map<string,int>,n:varchar(10)>", {"m": "map<string,int>", "n": "varchar(10)"}),
        ("string", {}),
        ("array<struct<a:int>>", {}),
        ("struct<a,b:int,c:string>", None),
        ("struct<a:b:int>", None),
        ("struct<>", None),
    ],
)
def test_the_fields_of_a_struct(type_: str, fields: dict[str, str] | None) -> None:
    assert struct_fields(type_) == fields


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"input": "hi"}, {"messages": [{"role": "user", "content": "hi"}]}),
        (
            {
                "instructions": "be",
                "messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}],
            },
            {
                "messages": [
                    {"role": "system", "content": "be"},
                    {"role": "developer", "content": "a"},
                    {"role": "user", "content": "b"},
                ]
            },
        ),
        (
            {"input": "hi", "parameters": {"temperature": 0}, "custom_inputs": {}, "databricks_options": {"x": True}},
            {
                "messages": [{"role": "user", "content": "hi"}],
                "parameters": {"temperature": 0},
                "databricks_options": {"x": True},
            },
        ),
        (
            {"inputs": {"text": "{review_text}"}, "parameters": {"threshold": 0.5}},
            {"inputs": {"text": "{review_text}"}, "parameters": {"threshold": 0.5}},
        ),
    ],
)
def test_the_neutral_request(request_: Mapping[str, object], expected: Mapping[str, object]) -> None:
    assert neutral_request(Request.model_validate(request_)) == expected


def test_apache_spark_finds_nothing_to_substitute() -> None:
    columns = [Column("text", "string"), Column("${odd}", "string")]
    rendered = render_request(Request(input="pay ${{env:HOME}} for {text} and {`${odd}`}"), columns)
    assert "${env" not in rendered.json
    assert "\\u0024{env:HOME}" in rendered.json
    assert "p.`${odd}`" in rendered.json


HISTORY = (
    Column("id", "bigint"),
    Column("turns", "array<struct<role:string,content:string>>"),
    Column("said", "string"),
    Column("n", "int"),
)


def conversation(*turns: object) -> str:
    return render_request(Request.model_validate({"messages": turns}), HISTORY).json


def test_a_column_in_the_place_of_a_message_stands_for_all_it_holds() -> None:
    made = conversation({"role": "system", "content": "Be brief."}, "{turns}", {"role": "user", "content": "{said}"})
    assert columns_in(made) == {"p.turns", "p.said"}
    assert "CONCAT_WS(', '" in made


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ("{n}", "column 'n' is int"),
        ("{turnz}", "there is no column 'turnz'"),
        ("{turns} and more {said}", "expected one column in braces"),
    ],
)
def test_what_cannot_stand_for_messages(turn: str, said: str) -> None:
    request = Request.model_validate({"instructions": "x", "messages": [turn]})
    with pytest.raises(PromptProblemsError) as caught:
        render_request(request, HISTORY)
    (problem,) = caught.value.problems
    assert problem.key == "request.messages[1]"
    assert said in problem.message


def test_a_column_alone_may_stand_for_parameters_and_custom_inputs() -> None:
    request = Request.model_validate({"input": "{said}", "parameters": "{turns}", "custom_inputs": "{n}"})
    assert columns_in(render_request(request, HISTORY).json) == {"p.said", "p.turns", "p.n"}
