"""The statements of the `ai_query` engine against their golden files, and what must hold of every one of them.

`ROWCALL_UPDATE_GOLDEN=1 pytest tests/unit/core/ai_query/test_statements.py` writes the golden files anew; read what changed.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from rowcall.adapters.packaged import sql_texts
from rowcall.core.ai_query.form import Form, Wanted, forms
from rowcall.core.ai_query.probing import probe_forms
from rowcall.core.ai_query.reading import reading_of
from rowcall.core.ai_query.statements import probe
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.plan import Bound, Facts, RunOptions, bind
from rowcall.core.records import Column

UPDATE = os.environ.get("ROWCALL_UPDATE_GOLDEN") == "1"
HOSTILE = "Don't say \"\\n\" or C:\\temp\\, ${env:HOME}; $rows; '); DROP TABLE x; -- /* a */\nsecond `line` 日本"
COLUMNS = (
    Column("id", "bigint"),
    Column("text", "string"),
    Column("heat", "double"),
    Column("day", "date"),
    Column("price", "decimal(10,2)"),
    Column("tags", "array<string>"),
    Column("place", "struct<city:string,lat:double>"),
    Column("photo", "binary"),
)


@dataclass(frozen=True)
class Case:
    """A job beside the defaults below, the endpoint's task, and the types its replies may have."""

    job: Mapping[str, Any]
    task: str
    replies: tuple[str, ...]


CASES = {
    "prompt": Case(
        {"request": {"instructions": "Be brief.", "input": "{text}"}},
        "llm/v1/chat",
        ("string", "struct<result:string,errorMessage:string>", "struct<response:string,errorStatus:string>"),
    ),
    "json_schema": Case(
        {
            "request": {
                "instructions": HOSTILE.replace("{", "{{").replace("}", "}}"),
                "input": "{text}",
                "parameters": {
                    "temperature": 0,
                    "top_p": 0.9,
                    "max_output_tokens": 200,
                    "stop": ["it's", "\\", "*/ --"],
                    "parallel_tool_calls": False,
                },
            },
            "answer": {"schema": {"mood": ["good", "don't know", "C:\\bad ${x}"], "it's `odd`": "array<int>"}},
        },
        "llm/v1/chat",
        ("struct<result:string,errorMessage:string>",),
    ),
    "ddl": Case(
        {
            "request": {"input": "{text}"},
            "answer": {"schema": {"mood": ["good", "bad"], "score": "double"}},
            "engine": {"kind": "ai_query", "response_format": "ddl"},
        },
        "llm/v1/chat",
        (
            "struct<answer:struct<mood:string,score:double>>",
            "struct<result:struct<answer:struct<mood:string,score:double>>,errorMessage:string>",
        ),
    ),
    "responses_agent": Case(
        {
            "request": {
                "instructions": "Be brief.",
                "input": "{text}",
                "parameters": {"temperature": "{heat}", "reasoning": {"effort": "low"}, "top_p": 0.5},
                "custom_inputs": {
                    "number": "{id}",
                    "label": "no. {id}",
                    "day": "{day}",
                    "price": "{price}",
                    "tags": "{tags}",
                    "deep": {"fixed": [1, 2], "yes": True, "nothing": None, "share": 0.5, "it's": "{heat}"},
                },
            },
            "answer": {"schema": {"score": "double"}},
        },
        "agent/v1/responses",
        (
            "struct<output:array<struct<type:string,content:array<struct<type:string,text:string>>>>>",
            "struct<result:struct<id:string,output:array<struct<type:string>>>,errorMessage:string>",
        ),
    ),
    "chat_agent": Case(
        {
            "request": {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "{text}"},
                ],
                "parameters": {"max_output_tokens": 50, "temperature": 0.5},
            }
        },
        "agent/v2/chat",
        ("struct<response:struct<messages:array<struct<role:string,content:string>>>,error:string>",),
    ),
    "custom_model": Case(
        {
            "request": {
                "inputs": {"text": "{text}", "how hot": "{heat}", "tags": "{tags}", "place": {"city": "{place.city}"}},
                "parameters": {"threshold": 0.5},
            },
            "answer": {"schema": {"score": "double", "label": "string"}},
        },
        "",
        ("struct<score:double,label:string>", "struct<result:struct<score:double>,errorMessage:string>"),
    ),
    "files": Case(
        {"request": {"input": "What is on the picture of {text}?", "files": "{photo}"}},
        "llm/v1/chat",
        ("struct<result:string,errorMessage:string>",),
    ),
    "unknown_task": Case({"request": {"input": "{text}"}}, "", ("array<float>", "double", "struct<a:int,b:int,c:int>")),
}


def definition(case: Case) -> JobDefinition:
    return JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.bakehouse.reviews", "key": "id"},
            "endpoint": {"serving": "my-endpoint.v2"},
            "engine": "ai_query",
            "outputs": {"table": "main.`bake house`.triage"},
            **case.job,
        }
    )


def tried(case: Case) -> list[Form]:
    job = definition(case)
    answer = parse_answer_schema(job.answer.fields) if job.answer != "text" else None
    engine = job.engine
    assert engine.kind == "ai_query"
    return forms(Wanted(job.request, COLUMNS, answer, engine.request_form, engine.response_format), case.task)


def bound(case: Case) -> Bound:
    job = definition(case)
    files = job.request.files is not None
    probes = probe_forms(
        tried(case), "my-endpoint.v2", sql_texts(), lambda _: (Column("reply", case.replies[0]),), files=files
    )
    facts = Facts(
        columns=COLUMNS,
        outputs=None,
        endpoint=EndpointFacts("https://x.test", case.task),
        session="SQL warehouse",
        executors=False,
        parallel=True,
        knows_ai_query=True,
        probes=probes,
    )
    return bind(job, facts, sql_texts(), RunOptions("20261123-060000-ab12", "2026-11-23", "1.0"))


def calling(case: Case) -> Iterator[tuple[str, str]]:
    """The statements that call `ai_query`, each with its title."""
    files = definition(case).request.files is not None
    made = bound(case).ai_query
    assert made is not None
    for way in made.ways:
        name = way.form.name
        yield f"{name}, probe", probe(sql_texts(), "my-endpoint.v2", way.form, files=files)
        yield f"{name}, the first wave", way.ask.first(1000)
        yield f"{name}, a later wave, nothing settled", way.ask.next(2, 500, settled=False)
        yield f"{name}, a later wave", way.ask.next(13, 10_000, settled=True)


def reading(case: Case) -> Iterator[tuple[str, str]]:
    """The statements that read, each with its title."""
    made = bound(case).ai_query
    assert made is not None
    for type_ in case.replies:
        yield f"read replies of the type {type_}", made.read.sql(reading_of(type_), 2)
    yield "rows that are not asked", made.null_prompts


@pytest.mark.parametrize("name", CASES)
def test_statements_are_the_golden_ones(name: str, golden: Path) -> None:
    file = golden / "sql" / "ai_query" / f"{name}.sql"
    statements = [
        *calling(CASES[name]),
        *reading(CASES[name]),
        ("the rows to ask", bound(CASES[name]).statements.pending),
    ]
    text = "\n\n".join(f"-- name: {title}\n{statement};" for title, statement in statements) + "\n"
    if UPDATE:
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_every_golden_file_has_a_case(golden: Path) -> None:
    assert {file.stem for file in (golden / "sql" / "ai_query").glob("*.sql")} == set(CASES)


def parsed(statement: str) -> exp.Expression:
    (one,) = sqlglot.parse(statement, read="databricks")
    assert isinstance(one, exp.Expression)
    assert not list(one.find_all(exp.Command))
    return one


def calls_in(statement: str) -> list[exp.Anonymous]:
    return [call for call in parsed(statement).find_all(exp.Anonymous) if call.name.lower() == "ai_query"]


@pytest.mark.parametrize("name", CASES)
def test_every_statement_is_one_that_sqlglot_knows(name: str) -> None:
    kinds = {"probe": exp.Select, "the first wave": exp.Create, "a later wave": exp.Insert}
    for title, statement in calling(CASES[name]):
        assert isinstance(parsed(statement), kinds[title.split(", ")[1]])
    for _, statement in reading(CASES[name]):
        assert isinstance(parsed(statement), exp.Select)


@pytest.mark.parametrize("name", CASES)
def test_a_statement_that_asks_has_the_call_once(name: str) -> None:
    """The optimiser may evaluate a call that stands twice twice (FACTS 1.5)."""
    for _, statement in calling(CASES[name]):
        assert len(calls_in(statement)) == 1
        assert statement.count("ai_query(") == 1


@pytest.mark.parametrize("name", CASES)
def test_no_other_statement_has_the_call(name: str) -> None:
    made = bound(CASES[name]).statements
    values = [value for part in fields(made) if (value := getattr(made, part.name)) is not None]
    statements = [text for value in values for text in (value if isinstance(value, tuple) else (value,))]
    for statement in [*statements, *(text for _, text in reading(CASES[name]))]:
        assert not calls_in(statement)
        assert "ai_query(" not in statement.lower()


@pytest.mark.parametrize("name", CASES)
def test_the_endpoint_is_a_literal_and_failures_are_data(name: str) -> None:
    for _, statement in calling(CASES[name]):
        (call,) = calls_in(statement)
        endpoint, _, *named = call.expressions
        assert isinstance(endpoint, exp.Literal)
        assert (endpoint.is_string, endpoint.this) == (True, "my-endpoint.v2")
        assert all(isinstance(one, exp.Kwarg) for one in named)
        assert named[0].this.name == "failOnError"
        assert named[0].expression == exp.false()


@pytest.mark.parametrize("name", CASES)
def test_of_a_row_only_columns_are_in_a_call(name: str) -> None:
    for _, statement in calling(CASES[name]):
        (call,) = calls_in(statement)
        columns = {column.parts[0].name for column in call.find_all(exp.Column)}
        assert "r" in columns
        assert columns <= {"r", "files"}
        assert ("files" in columns) == (name == "files")


@pytest.mark.parametrize("name", CASES)
def test_a_wave_names_no_table_but_those_of_its_run(name: str) -> None:
    for title, statement in calling(CASES[name]):
        tables = {table.sql("databricks") for table in parsed(statement).find_all(exp.Table)}
        pending = "`main`.`bake house`.`triage__pending_20261123_060000_ab12` AS pending"
        replies = "`main`.`bake house`.`triage__replies_20261123_060000_ab12`"
        settled = "rowcall_staged_20261123_060000_ab12_settled AS settled"
        wanted = set() if title.endswith("probe") else {pending, replies}
        assert tables == wanted | ({settled} if title.endswith("a later wave") else set())


@pytest.mark.parametrize("name", CASES)
def test_a_wave_asks_as_many_rows_as_it_should_and_says_its_number(name: str) -> None:
    waves = {title.partition(", ")[2]: parsed(statement) for title, statement in calling(CASES[name])}
    for title, number, rows in (("the first wave", "1", "1000"), ("a later wave", "13", "10000")):
        limit = waves[title].find(exp.Limit)
        assert limit is not None
        assert limit.expression.name == rows
        assert f"{number} AS wave" in waves[title].sql("databricks")


@pytest.mark.parametrize("name", CASES)
def test_every_type_a_literal_names_is_one(name: str) -> None:
    for form in tried(CASES[name]):
        types = [form.parsed, *(value for key, value in form.arguments if key == "returnType")]
        for type_ in types:
            text = type_ if not type_.startswith("'") else spark_text(type_)
            built = exp.DataType.build(text, dialect="databricks")
            assert built.this == exp.DataType.Type.STRUCT


def test_hostile_instructions_are_one_literal_as_spark_reads_it() -> None:
    pending = bound(CASES["json_schema"]).statements.pending
    assert "${" not in pending
    (_,) = [token for token in sqlglot.tokenize(pending, read="databricks") if "second `line`" in token.text]
    start = pending.index('\'{"messages"')
    told = spark_text(literal_at(pending, start))
    assert json.loads(f'{told}""}}]}}')["messages"][0] == {"role": "system", "content": HOSTILE}


def test_hostile_instructions_and_rows_are_in_no_statement_that_asks() -> None:
    for _, statement in calling(CASES["json_schema"]):
        assert "second" not in statement
        assert "DROP" not in statement


def test_the_answer_schema_is_one_literal_of_json() -> None:
    (form,) = tried(CASES["json_schema"])
    told = json.loads(spark_text(dict(form.arguments)["responseFormat"]))
    job = definition(CASES["json_schema"])
    assert job.answer != "text"
    schema = parse_answer_schema(job.answer.fields)
    assert told == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema.json_schema, "strict": True},
    }
    assert "${" not in dict(form.arguments)["responseFormat"]


def test_a_dollar_in_a_constant_is_no_slot_of_the_file() -> None:
    request = {"input": "{text}", "parameters": {"stop": ["$rows", "$$"]}}
    case = Case({"request": request}, "llm/v1/chat", ("string",))
    for _, statement in calling(case):
        assert "'$rows'" in statement
        assert "'$$'" in statement


def literal_at(statement: str, start: int) -> str:
    """The literal that begins at a place of a statement."""
    end = start + 1
    while statement[end] != "'":
        end += 2 if statement[end] == "\\" else 1
    return statement[start : end + 1]


def spark_text(literal: str) -> str:
    """What Spark makes of a string literal: a backslash takes the next character, some of them with a meaning of their own, and
    stays before % and _; \\u takes four hexadecimal digits."""
    assert literal[0] == literal[-1] == "'"
    meanings = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
    text, rest = "", literal[1:-1]
    while rest:
        char, rest = rest[0], rest[1:]
        assert char != "'"
        if char == "\\" and rest[0] == "u":
            char, rest = chr(int(rest[1:5], 16)), rest[5:]
        elif char == "\\":
            assert not (rest[:3].isdigit() and len(rest[:3]) == 3), "an octal escape"
            char, rest = meanings.get(rest[0], rest[0]), rest[1:]
        text += char
    return text
