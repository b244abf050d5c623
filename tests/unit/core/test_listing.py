"""Every statement of a run in the order in which it is sent, for both engines."""

from typing import Any

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core.ai_query.form import Wanted, forms
from rowcall.core.ai_query.probing import Probed, Probes
from rowcall.core.ai_query.reading import reading_of
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.engine_plan import TRIAL_ROWS, AiQueryPlan
from rowcall.core.listing import count_pending, statements_of, type_of_replies
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, RowCounts

OPTIONS = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
COLUMNS = (Column("id", "bigint"), Column("text", "string"))
STRUCT = "struct<result:string,errormessage:string>"
PENDING = "`main`.`sales`.`answers__pending_20261123_060000_ab12`"
REPLIES = "`main`.`sales`.`answers__replies_20261123_060000_ab12`"
BEFORE = ["count the rows", "preview", "schema", "schema", "table", "table", "table", "the row of the run"]
AFTER = [
    "publish answers",
    "publish traces",
    "are there better ones than before",
    "if so, publish them",
    "summary",
    "the row of the run, again",
    "tidy up",
]


def plan(engine: dict[str, Any] | str, task: str, *returns: str | None, pending: int = 100) -> RunPlan:
    """A plan over so many rows; `returns` are the types that the first forms were found to have."""
    definition = JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": {"serving": "my-endpoint"},
            "engine": engine,
            "outputs": {"table": "main.sales.answers"},
        }
    )
    made = forms(Wanted(definition.request, COLUMNS, None), task)
    facts = Facts(
        columns=COLUMNS,
        outputs=None,
        endpoint=EndpointFacts("https://x.test", task),
        session="SQL warehouse",
        executors=False,
        parallel=True,
        knows_ai_query=True,
        probes=Probes(tuple(Probed(form, type_) for form, type_ in zip(made, returns, strict=False))),
    )
    bound = bind(definition, facts, sql_texts(), OPTIONS)
    return make_plan(definition, bound, facts, RowCounts(source=pending, pending=pending), OPTIONS)


def titles(made: RunPlan) -> list[str]:
    return [title for title, _ in statements_of(made)]


def asking(made: RunPlan) -> list[tuple[str, str]]:
    """The statements between the rows to ask and the publishing."""
    listed = list(statements_of(made))
    names = [title for title, _ in listed]
    return listed[names.index("the rows to ask") + 1 : names.index("publish answers")]


def ai_query(made: RunPlan) -> AiQueryPlan:
    assert made.engine.kind == "ai_query"
    return made.engine


def test_responses_fetches_what_it_asks() -> None:
    made = plan("responses", "llm/v1/chat")
    assert titles(made) == [*BEFORE, "the rows to ask", "read them", *AFTER]
    assert asking(made) == [("read them", made.bound.statements.fetch)]


def test_the_statements_around_the_asking_are_those_that_are_sent() -> None:
    made = plan("ai_query", "llm/v1/chat", STRUCT)
    statements = made.bound.statements
    listed = [statement for _, statement in statements_of(made)]
    schemas = ["CREATE SCHEMA IF NOT EXISTS `main`.`rowcall`", "CREATE SCHEMA IF NOT EXISTS `main`.`sales`"]
    assert listed[:9] == [
        statements.count,
        statements.preview,
        *schemas,
        *statements.create_tables,
        statements.merge_run,
        statements.pending,
    ]
    assert listed[-8:] == [
        statements.insert_outputs,
        statements.merge_traces,
        statements.better_outputs,
        statements.update_outputs,
        statements.summary,
        statements.merge_run,
        f"DROP TABLE IF EXISTS {PENDING}",
        f"DROP TABLE IF EXISTS {REPLIES}",
    ]


def test_few_rows_are_asked_by_one_statement_with_ai_query() -> None:
    made = plan("ai_query", "llm/v1/chat", STRUCT)
    engine = ai_query(made)
    assert titles(made)[-2:] == ["tidy up", "tidy up"]
    assert asking(made) == [
        ("count them", f"SELECT count(*) AS n FROM {PENDING}"),
        ("rows that are not asked", engine.null_prompts),
        ("ask", engine.ways[0].ask.first(100)),
        ("the type of the replies", f"SELECT reply FROM {REPLIES}"),
        ("read the replies", engine.read.sql(reading_of(STRUCT), 1)),
    ]


@pytest.mark.parametrize(
    ("engine", "pending", "first", "later"),
    [
        ("ai_query", 5000, 5000, None),
        ("ai_query", 5500, 1000, 1000),
        ("ai_query", 10**6, 1000, 1000),
        ({"kind": "ai_query", "rows_per_statement": 40}, 100, 40, 40),
        ({"kind": "ai_query", "rows_per_statement": 80}, 100, 80, 20),
        ({"kind": "ai_query", "rows_per_statement": 200}, 100, 100, None),
    ],
)
def test_waves_are_shown_by_the_first_two(
    engine: str | dict[str, Any], pending: int, first: int, later: int | None
) -> None:
    made = plan(engine, "llm/v1/chat", STRUCT, pending=pending)
    ask = ai_query(made).ways[0].ask
    shown = [statement for title, statement in asking(made) if title.startswith("ask")]
    assert shown == [ask.first(first), *([ask.next(2, later, settled=True)] if later else [])]


def test_ways_are_shown_in_turn_and_each_tries_a_few_rows_first() -> None:
    made = plan("ai_query", "agent/v1/responses", None, STRUCT)
    first, second = ai_query(made).ways
    assert [statement for _, statement in asking(made)[2:6]] == [
        first.ask.first(TRIAL_ROWS),
        first.ask.next(2, 97, settled=True),
        second.ask.first(TRIAL_ROWS),
        second.ask.next(2, 97, settled=True),
    ]
    assert [title for title, _ in asking(made)][2:6] == [
        "ask",
        "ask on, until none is left",
        "if that is refused: ask",
        "ask on, until none is left",
    ]


def test_a_type_that_is_not_known_is_shown_as_the_first_that_is() -> None:
    made = plan("ai_query", "agent/v1/responses", None, STRUCT)
    assert asking(made)[-1][1] == ai_query(made).read.sql(reading_of(STRUCT), 1)
    made = plan("ai_query", "llm/v1/chat", None)
    assert asking(made)[-1][1] == ai_query(made).read.sql(reading_of("string"), 1)


def test_one_way_of_an_unknown_type_tries_no_more_rows_than_there_are() -> None:
    made = plan("ai_query", "llm/v1/chat", None, pending=2)
    assert asking(made)[2] == ("ask", ai_query(made).ways[0].ask.first(2))
    assert len(asking(made)) == 5


@pytest.mark.parametrize("engine", ["responses", "ai_query"])
def test_where_nothing_is_pending_nothing_is_asked(engine: str) -> None:
    made = plan(engine, "llm/v1/chat", STRUCT, pending=0)
    assert [title for title in titles(made) if title not in (*BEFORE, *AFTER)] == []
    assert not any("ai_query" in statement for title, statement in statements_of(made) if title != "table")


def test_no_statement_is_shown_that_calls_ai_query_twice() -> None:
    made = plan("ai_query", "agent/v1/responses", STRUCT, STRUCT)
    assert {statement.count("ai_query(") for title, statement in statements_of(made)} == {0, 1}


def test_names_of_the_runs_own_tables_are_used_as_they_are() -> None:
    made = plan("ai_query", "llm/v1/chat", STRUCT).bound.tables
    assert count_pending(made.pending) == f"SELECT count(*) AS n FROM {PENDING}"
    assert type_of_replies(made.replies) == f"SELECT reply FROM {REPLIES}"
