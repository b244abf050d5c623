"""Statements against their golden files, and names that try to get out of their quotes.

`ROWCALL_UPDATE_GOLDEN=1 pytest tests/unit/core/test_sql.py` writes the golden files anew; read what changed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Template
from typing import Any

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.definition import JobDefinition, Prompts
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.plan import Facts, RunOptions, bind
from rowcall.core.records import Column
from rowcall.core.report import SUMMARY_COLUMNS
from rowcall.core.segments import schema

UPDATE = os.environ.get("ROWCALL_UPDATE_GOLDEN") == "1"


@dataclass(frozen=True)
class Case:
    """A job beside the defaults below, and what there is when it runs."""

    job: Mapping[str, Any]
    columns: tuple[Column, ...]
    outputs: tuple[Column, ...] | None = None
    query: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


REVIEWS = (Column("review_id", "bigint"), Column("franchise", "string"), Column("review", "string"))
TEXT_OUTPUTS = (
    Column("review_id", "bigint"),
    Column("answer", "string"),
    *(Column(name, "string") for name in sql.OUTPUT_COLUMNS[1:]),
)
CASES = {
    "table_where": Case(
        {
            "description": "Sentiment of every customer's review",
            "prompts": {
                "table": "main.bakehouse.reviews",
                "key": "review_id",
                "where": "review IS NOT NULL -- the rest has nothing to say",
            },
            "request": {
                "instructions": "You triage reviews. Don't guess.",
                "input": "Review of {franchise}: {review}",
                "parameters": {"temperature": 0, "max_output_tokens": 200},
            },
        },
        REVIEWS,
    ),
    "query": Case(
        {
            "prompts": {"query": "...", "key": "review_id"},
            "request": {"input": "{review}", "nulls": "skip"},
            "endpoint": {"serving": "my-agent"},
        },
        REVIEWS,
        query="SELECT review_id, franchise, review FROM main.bakehouse.reviews\nWHERE stars < 3 -- the sad ones;\n;\n",
    ),
    "file": Case(
        {
            "prompts": {"file": "sql/prompts/reviews.sql", "key": "review_id", "where": "franchise = 'Köln'"},
            "request": {
                "messages": [
                    {"role": "system", "content": "Answer as JSON: {{}}"},
                    {"role": "user", "content": "{review}"},
                ],
                "nulls": "error",
            },
            "endpoint": {"url": "http://localhost:8080/v1", "model": "tiny"},
        },
        REVIEWS,
        query="-- Reviews with their franchise.\nSELECT r.*, f.name AS franchise\nFROM reviews r JOIN franchises f USING (id)",
    ),
    "odd_keys": Case(
        {
            "prompts": {"table": "`odd catalog`.`sche.ma`.`tab``le`", "key": ["order id", "Tag`s", "It's", "day.of"]},
            "request": {
                "input": "{address.geo.lat} {`day.of`} {tags}",
                "custom_inputs": {"order": "{order id}", "label": "no. {order id}"},
            },
            "outputs": {"table": "`odd catalog`.`sche.ma`.`answers; DROP TABLE x`"},
        },
        (
            Column("order id", "decimal(20,0)"),
            Column("Tag`s", "varchar(20)"),
            Column("It's", "timestamp_ntz"),
            Column("day.of", "date"),
            Column("tags", "array<string>"),
            Column("address", "struct<city:string,geo:struct<lat:double,lon:double>>"),
        ),
    ),
    "structured": Case(
        {
            "request": {"input": "{review}"},
            "answer": {"schema": {"mood": ["good", "bad"], "it's odd": "array<int>", "place": {"city": "string"}}},
        },
        REVIEWS,
    ),
    "only_new": Case(
        {"request": {"input": "{review}"}},
        REVIEWS,
        outputs=TEXT_OUTPUTS,
        options={"only_new": True, "preview_rows": 10},
    ),
    "again": Case({"request": {"input": "{review}"}}, REVIEWS, outputs=TEXT_OUTPUTS),
    "labelled": Case(
        {
            "request": {"input": "{review}"},
            "endpoint": {"app": "a", "label": "fast", "price": {"input": 2, "output": 8, "cached_input": 0.5}},
        },
        REVIEWS,
        outputs=(TEXT_OUTPUTS[0], Column("endpoint", "string"), *TEXT_OUTPUTS[1:]),
        options={"limit": 50},
    ),
    "own_tables": Case(
        {
            "request": {"input": "Say hello"},
            "traces": {"table": "ops.`agent traces`", "keep": "90d"},
            "runs": {"table": "main.ops.runs", "keep": "365d"},
        },
        REVIEWS,
    ),
}


def bound_statements(case: Case) -> dict[str, str]:
    """Every statement of a job, by name, in the order in which they are first sent."""
    definition = JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.bakehouse.reviews", "key": "review_id"},
            "endpoint": {"app": "review-triage"},
            "outputs": {"table": "main.bakehouse.review_triage"},
            **case.job,
        }
    )
    facts = Facts(
        columns=case.columns,
        outputs=case.outputs,
        endpoint=EndpointFacts("https://triage.test"),
        session="Spark 4.0",
        executors=True,
        parallel=True,
        query=case.query,
    )
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0", **case.options)
    bound = bind(definition, facts, sql_texts(), options)
    made, kept = bound.statements, bound.retention
    named: dict[str, str] = {}
    for part in fields(made):
        value = getattr(made, part.name)
        if value is None:
            continue
        tables = zip(("outputs", "traces", "runs"), value, strict=True) if isinstance(value, tuple) else ()
        named |= {f"create {table}": statement for table, statement in tables} or {part.name: value}
    if kept is not None and kept.runs is not None:
        named |= {"old spans": kept.spans.count, "delete spans": kept.spans.delete, "named long texts": kept.named}
        named |= {"old runs": kept.runs.count, "delete runs": kept.runs.delete}
    return named


@pytest.mark.parametrize("name", CASES)
def test_statements_are_the_golden_ones(name: str, golden: Path) -> None:
    file = golden / "sql" / f"{name}.sql"
    text = "\n\n".join(f"-- name: {title}\n{statement};" for title, statement in bound_statements(CASES[name]).items())
    if UPDATE:
        file.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == file.read_text(encoding="utf-8")


def test_there_is_no_golden_file_too_many(golden: Path) -> None:
    assert {file.stem for file in (golden / "sql").glob("*.sql")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_statement_is_one_that_sqlglot_knows(name: str) -> None:
    for statement in bound_statements(CASES[name]).values():
        (parsed,) = sqlglot.parse(statement, read="databricks")
        assert isinstance(parsed, exp.Query | exp.Create | exp.Merge | exp.Delete)
        assert not list(parsed.find_all(exp.Command))


@pytest.mark.parametrize("statement", ["insert_outputs", "better_outputs", "update_outputs"])
@pytest.mark.parametrize("name", CASES)
def test_a_statement_names_no_table_but_those_of_its_job(name: str, statement: str) -> None:
    statements = bound_statements(CASES[name])
    merged = sqlglot.parse_one(statements[statement], read="databricks")
    created = sqlglot.parse_one(statements["create outputs"], read="databricks")
    target = created.find(exp.Table)
    assert target is not None
    assert {table.sql("databricks") for table in merged.find_all(exp.Table)} == {
        f"{target.sql('databricks')} AS t",
        "rowcall_staged_20261123_060000_ab12",
    }


@pytest.mark.parametrize("name", sorted(sql_texts()))
def test_every_file_says_what_it_does_or_is_one_line(name: str) -> None:
    text = sql_texts()[name]
    assert Template(text).is_valid()
    assert text.startswith("-- ") or len(text.strip().splitlines()) <= 4


def test_spans_are_looked_for_from_the_day_before() -> None:
    """A session west of UTC gives the first spans of a run the day before its start; they must be found again."""
    assert "t.date >= DATE '2026-11-22'" in bound_statements(CASES["again"])["merge_traces"]


class TestSource:
    def source(self, prompts: Mapping[str, object], query: str | None = None) -> exp.Expression:
        text = sql.source(sql_texts(), Prompts.model_validate({"key": "id", **prompts}), query)
        (parsed,) = sqlglot.parse(text, read="databricks")
        assert isinstance(parsed, exp.Select)
        return parsed

    def test_a_comment_in_a_condition_ends_with_it(self) -> None:
        parsed = self.source({"table": "a.b", "where": "x > 1 -- and more"})
        assert parsed.args["where"].this.expression.unnest().sql("databricks", comments=False) == "x > 1"

    def test_an_or_in_a_condition_stays_inside(self) -> None:
        parsed = self.source({"table": "a.b", "where": "x OR y"})
        assert isinstance(parsed.args["where"].this, exp.And)
        assert isinstance(parsed.args["where"].this.expression, exp.Paren)

    @pytest.mark.parametrize(
        "query", ["SELECT 1 AS id", "SELECT 1 AS id;", "\nSELECT 1 AS id -- why\n", "SELECT 1 AS id ; \n"]
    )
    def test_a_query_may_end_as_people_end_it(self, query: str) -> None:
        assert self.source({"query": query}, query).find(exp.Subquery) is not None

    def test_a_dollar_is_no_slot(self) -> None:
        assert "'$limit ${x}'" in sql.source(sql_texts(), Prompts(query="q", key=("id",)), "SELECT '$limit ${x}' AS id")


HOSTILE = (
    *("a`b", "`", "``", "a.b", ".", 'a"b', "a'b", "a;b", "x; DROP TABLE y; --", "/* x", "*/", "--", "a\nb", " a "),
    *("$x", "${x}", "select", "a\\", "\\`", "\u2028", "日本", "a/b", "f(1)", "1", "-"),
)
PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(HOSTILE)
NAMES = st.lists(PARTS, min_size=1, max_size=3)


def written(parts: list[str]) -> str:
    """A table name as a user has to write it."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def read_back(quoted: str) -> list[str]:
    """The names a statement reads in a quoted table; fails where it is not exactly one table."""
    (statement,) = sqlglot.parse(f"SELECT * FROM {quoted}", read="databricks")
    assert isinstance(statement, exp.Select)
    (table,) = statement.find_all(exp.Table)
    assert not [node for node in statement.walk() if isinstance(node, exp.Func | exp.TableAlias | exp.Placeholder)]
    assert not any(node.comments for node in statement.walk())
    return [part.name for part in table.parts]


class TestQuoting:
    @settings(deadline=None)
    @given(NAMES)
    def test_a_table_is_one_table_whatever_its_name(self, parts: list[str]) -> None:
        assert read_back(sql.quote_table(written(parts))) == parts
        assert sql.quote_table(sql.quote_table(written(parts))) == sql.quote_table(written(parts))

    @settings(deadline=None)
    @given(NAMES)
    def test_a_bare_name_reads_as_the_same_table(self, parts: list[str]) -> None:
        quoted = sql.quote_table(written(parts))
        assert sql.quote_table(sql.bare_name(quoted)) == quoted

    @settings(deadline=None)
    @given(NAMES)
    def test_the_tables_beside(self, parts: list[str]) -> None:
        name = written(parts)
        beside = sql.table_beside(name, schema="rowcall", table="traces")
        assert read_back(beside) == [*parts[:-2], "rowcall", "traces"]
        assert read_back(sql.table_beside(name, suffix="__p")) == [*parts[:-1], f"{parts[-1]}__p"]

    @settings(deadline=None)
    @given(NAMES)
    def test_schema_catalog_and_volume(self, parts: list[str]) -> None:
        name = written(parts)
        schema = sql.schema_of(name)
        assert (read_back(schema) if schema else []) == parts[:-1]
        assert sql.catalog_of(name) == (parts[0] if len(parts) == 3 else None)
        volume = sql.volume_beside(name)
        assert volume == ((parts[0], parts[1], "rowcall") if len(parts) == 3 else None)

    @settings(deadline=None)
    @given(PARTS)
    def test_an_identifier_is_one_column(self, name: str) -> None:
        (statement,) = sqlglot.parse(f"SELECT {sql.identifier(name)} FROM t", read="databricks")
        assert isinstance(statement, exp.Select)
        (column,) = statement.expressions
        assert isinstance(column, exp.Column)
        assert [part.name for part in column.parts] == [name]

    @settings(deadline=None)
    @given(st.text() | PARTS | st.text("\\'\"\n\0%_"))
    def test_a_literal_is_one_text(self, text: str) -> None:
        (statement,) = sqlglot.parse(f"SELECT {sql.literal(text)}", read="databricks")
        assert isinstance(statement, exp.Select)
        (literal,) = statement.expressions
        assert isinstance(literal, exp.Literal)
        assert (literal.is_string, literal.this) == (True, text)

    @settings(deadline=None)
    @given(st.text("\\'%_0abnrtuxZN\"\n", max_size=12))
    def test_a_literal_as_spark_reads_it(self, text: str) -> None:
        assert spark_text(sql.literal(text)) == text

    def test_a_volume(self) -> None:
        statement = sql.create_volume(sql_texts(), ("my cat", "s`x", "rowcall"))
        assert "CREATE VOLUME IF NOT EXISTS `my cat`.`s``x`.`rowcall`\n" in statement

    @pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a.b.c.d", "``", "a`b", "`a", "a b; c`"])
    def test_what_is_no_table_name(self, name: str) -> None:
        with pytest.raises(ValueError, match="is not a table name"):
            sql.quote_table(name)

    @pytest.mark.parametrize(
        ("name", "quoted"),
        [
            ("reviews", "`reviews`"),
            ("main.sales.reviews", "`main`.`sales`.`reviews`"),
            (" main.sales.reviews ", "`main`.`sales`.`reviews`"),
            ("main.default.order", "`main`.`default`.`order`"),
            ("main.`my sales`.2026_reviews", "`main`.`my sales`.`2026_reviews`"),
            ("my-catalog.größe.t", "`my-catalog`.`größe`.`t`"),
        ],
    )
    def test_names_as_people_write_them(self, name: str, quoted: str) -> None:
        assert sql.quote_table(name) == quoted

    @pytest.mark.parametrize("name", ["reviews", "main.sales.reviews", "main.sales.`my reviews`", "`a.b`.c", "`a``b`"])
    def test_a_bare_name_has_backticks_only_where_needed(self, name: str) -> None:
        assert sql.bare_name(sql.quote_table(name)) == name


def spark_text(literal: str) -> str:
    """What Spark makes of a string literal: a backslash takes the next character, some of them with a meaning of their own,
    and stays before % and _. Octal and \\u escapes are not written by anyone here, so meeting one is a failure."""
    assert literal[0] == literal[-1] == "'"
    meanings = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
    text, rest = "", literal[1:-1]
    while rest:
        char, rest = rest[0], rest[1:]
        assert char != "'"
        if char == "\\":
            assert rest[0] not in "uU", "an escape of a code point"
            assert not rest[:3].isdigit() or len(rest[:3]) < 3, "an octal escape"
            char, rest = meanings.get(rest[0], rest[0]), rest[1:]
        text += char
    return text


def test_the_summary_of_a_run_looks_at_the_columns_of_its_segments_that_are_put_together() -> None:
    (parsed,) = sqlglot.parse(bound_statements(CASES["again"])["summary"], read="databricks")
    assert parsed is not None
    named = {column.table or column.name for column in parsed.find_all(exp.Column)}
    assert named - {"pick"} == set(SUMMARY_COLUMNS)
    assert set(SUMMARY_COLUMNS) < set(schema().names)
