"""Which ways to write a request are tried, what each can carry, and constants written as SQL."""

import json
from typing import Any

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from rowcall.core.ai_query.form import Form, FormError, Wanted, forms
from rowcall.core.ai_query.sql_value import literal_text, quoted, sql_value
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import Request
from rowcall.core.endpoints.chat import build as chat_body
from rowcall.core.records import Column

COLUMNS = (
    Column("id", "bigint"),
    Column("text", "string"),
    Column("heat", "double"),
    Column("place", "struct<city:string,geo:struct<lat:double>>"),
    Column("photo", "binary"),
)
SCHEMA = parse_answer_schema({"score": "double"})
ASK: dict[str, Any] = {"input": "{text}"}


def wanted(request: dict[str, Any], **more: Any) -> Wanted:
    return Wanted(Request.model_validate(request), COLUMNS, **{"answer": None, **more})


def names(request: dict[str, Any], task: str, **more: Any) -> list[str]:
    return [form.name for form in forms(wanted(request, **more), task)]


def only(request: dict[str, Any], task: str, **more: Any) -> Form:
    (form,) = forms(wanted(request, **more), task)
    return form


def refusal(request: dict[str, Any], task: str = "llm/v1/chat", **more: Any) -> FormError:
    with pytest.raises(FormError) as caught:
        forms(wanted(request, **more), task)
    return caught.value


@pytest.mark.parametrize(
    ("task", "tried"),
    [
        ("llm/v1/chat", ["prompt"]),
        ("llm/v1/completions", ["prompt"]),
        ("llm/v1/embeddings", ["prompt"]),
        ("agent/v1/responses", ["responses", "prompt"]),
        ("agent/v1/chat", ["chat", "prompt"]),
        ("agent/v2/chat", ["chat", "prompt"]),
        ("", ["prompt", "responses", "chat"]),
        ("custom", ["prompt", "responses", "chat"]),
    ],
)
def test_the_task_says_which_forms_are_tried_and_in_which_order(task: str, tried: list[str]) -> None:
    assert names(ASK, task) == tried


@pytest.mark.parametrize("task", ["", "llm/v1/chat", "agent/v1/responses"])
def test_inputs_are_columns_whatever_the_task(task: str) -> None:
    assert names({"inputs": {"text": "{text}"}}, task) == ["columns"]


@pytest.mark.parametrize("form", ["prompt", "responses", "chat"])
def test_a_job_may_say_the_form(form: str) -> None:
    assert names(ASK, "llm/v1/chat", form=form) == [form]


def test_a_form_that_does_not_fit_what_is_asked_is_refused() -> None:
    assert str(refusal(ASK, form="columns")) == "request: the form columns takes inputs"
    assert str(refusal({"inputs": {"x": 1}}, form="prompt")) == "request: the form prompt takes input or messages"


def test_databricks_options_are_refused() -> None:
    refused = refusal({**ASK, "databricks_options": {"return_trace": True}})
    assert (refused.key, refused.message) == ("request.databricks_options", "ai_query passes no databricks_options on")


CONVERSATION = [
    {"role": "user", "content": "{text}"},
    {"role": "assistant", "content": "Which?"},
    {"role": "user", "content": "All."},
]


class TestPrompt:
    def test_a_lone_message_is_the_prompt(self) -> None:
        assert only(ASK, "llm/v1/chat").request == "r.messages[0].content"

    def test_instructions_come_first_with_an_empty_line_between(self) -> None:
        form = only({**ASK, "instructions": "Be brief."}, "llm/v1/chat")
        assert form.request == "concat_ws('\\n\\n', r.messages[0].content, r.messages[1].content)"

    def test_system_and_developer_messages_are_instructions(self) -> None:
        messages = [{"role": role, "content": "x"} for role in ("system", "developer", "user")]
        form = only({"messages": messages}, "llm/v1/chat")
        assert form.request.count(".content") == 3

    @pytest.mark.parametrize(
        "messages", [CONVERSATION, CONVERSATION[1:2], [CONVERSATION[0], {"role": "system", "content": "x"}]]
    )
    def test_a_conversation_is_no_prompt(self, messages: list[dict[str, str]]) -> None:
        assert refusal({"messages": messages}).key == "request.messages"

    def test_where_a_prompt_cannot_carry_a_request_the_other_forms_are_left(self) -> None:
        assert names({"messages": CONVERSATION}, "agent/v1/responses") == ["responses"]
        assert names({"messages": CONVERSATION}, "") == ["responses", "chat"]
        assert names({**ASK, "custom_inputs": {"x": "{id}"}}, "agent/v2/chat") == ["chat"]
        assert names({**ASK, "parameters": {"top_k": "{id}"}}, "") == ["responses", "chat"]

    def test_where_no_form_can_the_likeliest_says_why(self) -> None:
        refused = refusal({**ASK, "custom_inputs": {"x": 1}}, "llm/v1/chat")
        assert (refused.key, refused.message) == ("request.custom_inputs", "a prompt carries no custom_inputs")
        refused = refusal({**ASK, "parameters": {"top_k": "{id}"}}, "llm/v1/chat")
        assert (refused.key, refused.message) == (
            "request.parameters",
            "ai_query takes the same parameters for all rows",
        )

    def test_files_go_with_a_prompt_only(self) -> None:
        assert names({**ASK, "files": "{photo}"}, "") == ["prompt"]
        assert refusal({**ASK, "files": "{photo}"}, "", form="chat").key == "request.files"

    def test_parameters_have_the_names_and_types_of_chats(self) -> None:
        form = only({**ASK, "parameters": {"max_output_tokens": 5, "temperature": 0.0, "stop": ["a"]}}, "llm/v1/chat")
        assert form.arguments == (
            (
                "modelParameters",
                "named_struct('max_tokens', 5, 'temperature', CAST(0.0 AS DOUBLE), 'stop', array('a'))",
            ),
        )

    def test_braces_that_are_no_placeholder_do_not_make_parameters_vary(self) -> None:
        form = only({**ASK, "parameters": {"stop": ["{{", "}}"]}}, "llm/v1/chat")
        assert form.arguments == (("modelParameters", "named_struct('stop', array('{', '}'))"),)

    def test_parameters_replace_neither_the_model_nor_the_messages(self) -> None:
        parameters = {"model": "other", "messages": [], "stream": True, "top_p": 1}
        form = only({**ASK, "parameters": parameters}, "llm/v1/chat")
        assert form.arguments == (("modelParameters", "named_struct('top_p', CAST(1.0 AS DOUBLE))"),)

    def test_an_answer_schema_is_told_to_models_but_not_to_agents(self) -> None:
        assert [name for name, _ in only(ASK, "llm/v1/chat", answer=SCHEMA).arguments] == ["responseFormat"]
        assert only(ASK, "agent/v2/chat", answer=SCHEMA, form="prompt").arguments == ()

    def test_a_response_format_in_ddl_has_exactly_one_field_at_the_top(self) -> None:
        form = only(ASK, "llm/v1/chat", answer=SCHEMA, response_format="ddl")
        assert form.arguments == (("responseFormat", "'STRUCT<answer: STRUCT<score: DOUBLE>>'"),)
        assert form.unwrap == "answer"
        assert only(ASK, "llm/v1/chat", answer=SCHEMA).unwrap is None
        assert only(ASK, "agent/v2/chat", answer=SCHEMA, form="prompt", response_format="ddl").unwrap is None


class TestBodies:
    def struct(self, form: Form) -> exp.Struct:
        parsed = sqlglot.parse_one(form.request, read="databricks")
        assert isinstance(parsed, exp.Struct)
        return parsed

    def fields(self, form: Form) -> dict[str, str]:
        """The fields of the STRUCT, in order, with their SQL; fails where one is there twice."""
        made = [(each.this.name, each.expression.sql("databricks")) for each in self.struct(form).expressions]
        assert len(dict(made)) == len(made)
        return dict(made)

    @pytest.mark.parametrize(("form", "messages"), [("responses", "input"), ("chat", "messages")])
    def test_the_messages_come_from_the_row(self, form: str, messages: str) -> None:
        assert self.fields(only({"messages": CONVERSATION}, "", form=form)) == {messages: "r.messages"}

    def test_parameters_that_vary_come_from_the_row_and_others_do_not(self) -> None:
        request = {**ASK, "parameters": {"top_k": "{id}", "top_p": 0.5, "user": "{id} x", "text": {"verbosity": "low"}}}
        form = only(request, "", form="responses")
        assert self.fields(form) == {
            "input": "r.messages",
            "top_k": "r.parameters.`top_k`",
            "top_p": "CAST(0.5 AS DOUBLE)",
            "user": "r.parameters.`user`",
            "text": "STRUCT('low' AS verbosity)",
        }
        assert "parameters: STRUCT<`top_k`: bigint, `user`: string>" in form.parsed

    def test_custom_inputs_come_from_the_row_with_their_types(self) -> None:
        form = only({**ASK, "custom_inputs": {"a": "{id}", "b": [True], "c": {"d": None}}}, "", form="chat")
        assert self.fields(form) == {"messages": "r.messages", "custom_inputs": "r.custom_inputs"}
        assert "custom_inputs: STRUCT<`a`: bigint, `b`: ARRAY<boolean>, `c`: STRUCT<`d`: string>>" in form.parsed

    @pytest.mark.parametrize("name", ["custom_inputs", "inputs"])
    def test_a_struct_column_keeps_the_names_of_its_fields(self, name: str) -> None:
        """`from_json` tells upper from lower case: a field by another name is read as NULL."""
        request = {"inputs": {"where": "{place}"}} if name == "inputs" else {**ASK, name: {"where": "{place}"}}
        form = only(request, "", form="columns" if name == "inputs" else "responses")
        built = exp.DataType.build(form.parsed, dialect="databricks")
        assert {"where", "city", "geo", "lat"} <= {each.name for each in built.find_all(exp.ColumnDef)}

    @pytest.mark.parametrize("form", ["responses", "chat"])
    @pytest.mark.parametrize("name", ["custom_inputs", "parameters"])
    def test_a_list_of_several_types_is_refused_where_it_stands(self, form: str, name: str) -> None:
        refused = refusal({**ASK, name: {"deep": {"mixed": ["{id}", "{text}"]}}}, "", form=form)
        assert refused.key == f"request.{name}.deep.mixed"
        assert refused.message == "a list in SQL has items of one type, not of bigint and string"

    def test_whole_numbers_and_fractions_in_one_list_are_refused_as_well(self) -> None:
        assert refusal({**ASK, "custom_inputs": {"n": [1, 2.5]}}, "", form="chat").message.endswith("bigint and double")

    def test_an_unknown_column_is_refused_where_it_stands(self) -> None:
        refused = refusal({**ASK, "custom_inputs": {"a": {"b": "{txt}"}}}, "", form="responses")
        assert (refused.key, refused.message) == ("request.custom_inputs.a.b", "there is no column 'txt'")
        assert refused.hint.startswith("Did you mean {text}?")

    def test_an_answer_schema_is_in_the_body_as_over_http(self) -> None:
        form = only(ASK, "agent/v2/chat", answer=SCHEMA, form="chat")
        body = chat_body({"messages": []}, None, SCHEMA)["response_format"]
        assert self.fields(form)["response_format"] == sqlglot.parse_one(sql_value(body), read="databricks").sql(
            "databricks"
        )

    def test_the_schema_goes_beside_what_else_the_job_says_about_texts(self) -> None:
        form = only({**ASK, "parameters": {"text": {"verbosity": "low"}}}, "", answer=SCHEMA, form="responses")
        assert self.fields(form)["text"].startswith("STRUCT('low' AS verbosity, STRUCT('json_schema' AS type")

    def test_a_placeholder_beside_the_schema_is_refused(self) -> None:
        request = {**ASK, "parameters": {"text": {"verbosity": "{text}"}}}
        refused = refusal(request, "", answer=SCHEMA, form="responses")
        assert (refused.key, refused.message) == (
            "request.parameters.text",
            "beside an answer schema it is the same for all rows",
        )

    def test_a_lone_brace_is_refused_where_it_stands(self) -> None:
        refused = refusal({**ASK, "custom_inputs": {"a": "x {"}}, "", form="chat")
        assert (refused.key, refused.message) == ("request.custom_inputs.a", "a single '{' in 'x {'")

    @pytest.mark.parametrize(
        ("items", "type_"),
        [([1, "{id}"], "bigint"), (["a", "{text}"], "string"), (["a", None], "string"), ([0.5, "{heat}"], "double")],
    )
    def test_constants_and_columns_of_one_type_can_stand_in_one_list(self, items: list[object], type_: str) -> None:
        form = only({**ASK, "custom_inputs": {"items": items}}, "", form="chat")
        assert f"`items`: array<{type_}>" in form.parsed.replace("ARRAY", "array").replace(type_.upper(), type_)

    def test_the_schema_replaces_a_response_format_of_the_job_as_over_http(self) -> None:
        request = {**ASK, "parameters": {"response_format": {"type": "text"}}}
        form = only(request, "agent/v2/chat", answer=SCHEMA, form="chat")
        assert "json_schema" in self.fields(form)["response_format"]

    @pytest.mark.parametrize(("form", "own"), [("responses", "input"), ("chat", "messages")])
    def test_parameters_replace_neither_the_model_nor_the_messages(self, form: str, own: str) -> None:
        parameters = {own: "mine", "model": "other", "stream": True, "top_p": 1}
        assert self.fields(only({**ASK, "parameters": parameters}, "", form=form)) == {own: "r.messages", "top_p": "1"}

    @pytest.mark.parametrize("form", ["responses", "chat"])
    def test_the_type_that_is_asked_for_is_one(self, form: str) -> None:
        (argument,) = only(ASK, "", form=form).arguments
        assert argument[0] == "returnType"
        built = exp.DataType.build(argument[1][1:-1], dialect="databricks")
        assert {each.name for each in built.expressions} >= {"usage", "custom_outputs", "id", "model"}


class TestColumns:
    def test_have_the_names_and_types_of_the_inputs(self) -> None:
        form = only({"inputs": {"text": "{text}", "how hot": "{heat}", "n": 1, "label": "no. {id}"}}, "")
        assert form.parsed == (
            "STRUCT<inputs: STRUCT<`text`: string, `how hot`: double, `n`: bigint, `label`: string>>"
        )
        assert form.request == (
            "named_struct('text', r.inputs.`text`, 'how hot', r.inputs.`how hot`, 'n', r.inputs.`n`, "
            "'label', r.inputs.`label`)"
        )

    def test_of_an_odd_name_stay_one_field(self) -> None:
        form = only({"inputs": {"it's `odd`\\": "{text}"}}, "")
        parsed = sqlglot.parse_one(form.request, read="databricks")
        (field,) = parsed.expressions
        assert field.this.name == "it's `odd`\\"
        assert form.parsed == "STRUCT<inputs: STRUCT<`it's ``odd``\\`: string>>"

    def test_the_answer_says_what_the_model_returns(self) -> None:
        form = only({"inputs": {"text": "{text}"}}, "", answer=SCHEMA)
        assert form.arguments == (("returnType", "'STRUCT<score: DOUBLE>'"),)
        assert only({"inputs": {"text": "{text}"}}, "").arguments == ()

    def test_custom_inputs_beside_inputs_are_refused_as_a_prompt_refuses_them(self) -> None:
        assert refusal({"inputs": {"text": "{text}"}, "custom_inputs": {"x": 1}}, "").key == "request.custom_inputs"


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("\\'\"\n`$*/-{}\0", max_size=12)
CONSTANTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, min_size=1, max_size=3),
    max_leaves=8,
)


def value_of(node: exp.Expression) -> object:
    """The constant that an expression stands for."""
    match node:
        case exp.Literal(is_string=True):
            return node.this
        case exp.Literal():
            return float(node.this) if {"e", "."} & set(node.this.lower()) else int(node.this)
        case exp.Array():
            return [value_of(each) for each in node.expressions]
        case exp.Struct():
            return {each.this.name: value_of(each.expression) for each in node.expressions}
        case _:
            return scalar_of(node)


def scalar_of(node: exp.Expression) -> object:
    match node:
        case exp.Neg():
            inner = value_of(node.this)
            assert isinstance(inner, int | float)
            return -inner
        case exp.Boolean():
            return node.this
        case exp.Null():
            return None
        case exp.Cast():
            return value_of(node.this)
        case _:
            raise AssertionError(f"{node!r} is no constant")


@settings(deadline=None)
@given(CONSTANTS)
def test_a_constant_is_read_back_as_it_was(value: object) -> None:
    (statement,) = sqlglot.parse(f"SELECT {sql_value(value)}", read="databricks")
    assert isinstance(statement, exp.Select)
    (made,) = statement.expressions
    assert value_of(made) == value
    assert not any(node.comments for node in statement.walk())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (3, "3"),
        (-3, "-3"),
        (0.5, "CAST(0.5 AS DOUBLE)"),
        (1e-07, "CAST(1e-07 AS DOUBLE)"),
        (None, "CAST(NULL AS STRING)"),
        ([], "array()"),
        (["it's"], "array('it\\'s')"),
        ({"a": {"b": 1}}, "named_struct('a', named_struct('b', 1))"),
    ],
)
def test_constants_in_sql(value: object, written: str) -> None:
    assert sql_value(value) == written


def test_apache_spark_finds_nothing_to_substitute_in_a_constant() -> None:
    assert literal_text("${env:HOME}") == "'\\u0024{env:HOME}'"


def test_a_backtick_in_a_name_is_doubled() -> None:
    assert quoted("a`b") == "`a``b`"


def test_a_schema_in_a_literal_is_json_whatever_its_choices() -> None:
    schema = parse_answer_schema({"mood": ['say "no"', "C:\\x", "it's"]})
    form = only(ASK, "llm/v1/chat", answer=schema)
    parsed = sqlglot.parse_one(dict(form.arguments)["responseFormat"], read="databricks")
    told = json.loads(parsed.name)["json_schema"]["schema"]["properties"]["mood"]["enum"]
    assert told == ['say "no"', "C:\\x", "it's"]
