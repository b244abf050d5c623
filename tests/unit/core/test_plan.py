"""Plans: what does not fit is said where the user wrote it, and the arithmetic holds."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.login import LoginKind
from rowcall.core.plan import Bound, Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, RowCounts
from rowcall.core.shards import Cut

OPTIONS = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
FACTS = Facts(
    columns=(Column("Id", "bigint"), Column("text", "string"), Column("score", "double"), Column("answer", "string")),
    outputs=None,
    endpoint=EndpointFacts("https://agent.test"),
    session="Spark 4.0",
    executors=True,
    parallel=True,
)
OUTPUTS = (
    Column("Id", "bigint"),
    Column("answer", "string"),
    Column("outcome", "string"),
    Column("error", "struct<kind:string,status:int,code:string,message:string>"),
    Column(
        "usage",
        "struct<input_tokens:bigint,cached_tokens:bigint,output_tokens:bigint,reasoning_tokens:bigint,total_tokens:bigint>",
    ),
    Column("cost", "double"),
    Column("latency_ms", "bigint"),
    Column("attempts", "int"),
    Column("custom_outputs", "string"),
    Column("trace_id", "string"),
    Column("request_hash", "string"),
    Column("run_id", "string"),
    Column("answered_at", "timestamp"),
)


def job(**more: Any) -> JobDefinition:
    return JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": {"app": "agent"},
            "outputs": {"table": "main.sales.answers"},
            **more,
        }
    )


def key(*names: str) -> JobDefinition:
    return job(prompts={"table": "main.sales.reviews", "key": list(names)})


def bound(definition: JobDefinition, **facts: Any) -> Bound:
    return bind(definition, replace(FACTS, **facts), sql_texts(), OPTIONS)


def plan(definition: JobDefinition, counts: RowCounts | None = None, **facts: Any) -> RunPlan:
    there = replace(FACTS, **facts)
    made = bind(definition, there, sql_texts(), OPTIONS)
    return make_plan(definition, made, there, counts or RowCounts(source=100, pending=100), OPTIONS)


def cut(definition: JobDefinition, counts: RowCounts) -> RunPlan:
    """The plan of a run that is cut into three shards."""
    made = bind(definition, FACTS, sql_texts(), OPTIONS)
    return make_plan(definition, made, FACTS, counts, replace(OPTIONS, cut=Cut(3, "job run 1", "1.0")))


def problems(definition: JobDefinition, **facts: Any) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        bound(definition, **facts)
    return list(caught.value.problems)


class TestKeys:
    def test_have_the_name_and_type_of_the_table(self) -> None:
        assert bound(key("ID", "Text")).keys == (Column("Id", "bigint"), Column("text", "string"))

    def test_an_unknown_one(self) -> None:
        (problem,) = problems(key("txt"))
        assert (problem.key, problem.message) == ("prompts.key", "there is no column 'txt'")
        assert problem.hint == "Did you mean `text`? There are: Id, text, score, answer."

    @pytest.mark.parametrize(
        "type_",
        ["double", "float", "binary", "array<string>", "struct<a:int>", "map<string,string>", "variant", "void"],
    )
    def test_of_a_type_that_identifies_nothing(self, type_: str) -> None:
        (problem,) = problems(key("k"), columns=(*FACTS.columns, Column("k", type_)))
        assert problem.key == "prompts.key"
        assert problem.message.startswith(f"column 'k' is {type_}; a key is ")

    @pytest.mark.parametrize(
        "type_",
        [
            "string",
            "varchar(10)",
            "char(3)",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "date",
            "timestamp",
            "timestamp_ntz",
            "boolean",
            "decimal(38,0)",
        ],
    )
    def test_of_every_type_that_does(self, type_: str) -> None:
        assert bound(key("k"), columns=(*FACTS.columns, Column("k", type_))).keys == (Column("k", type_),)

    def test_that_clash_with_a_column_of_the_outputs(self) -> None:
        (problem,) = problems(key("ANSWER"))
        assert problem.message == "the outputs table has a column 'answer' of its own"
        assert "SELECT *, answer AS answer_key FROM" in problem.hint

    def test_all_problems_are_told_at_once(self) -> None:
        definition = job(
            prompts={"table": "t", "key": ["nope", "score", "answer"]},
            request={"input": "{gone}", "parameters": {"k": "{lost}"}},
        )
        assert [(problem.key, problem.message.split(" is double")[0]) for problem in problems(definition)] == [
            ("prompts.key", "there is no column 'nope'"),
            ("prompts.key", "column 'score'"),
            ("prompts.key", "the outputs table has a column 'answer' of its own"),
            ("request.input", "there is no column 'gone'"),
            ("request.parameters.k", "there is no column 'lost'"),
        ]


@pytest.mark.parametrize(
    ("request_", "places"),
    [
        ({"instructions": "{x}", "input": "{y}"}, ["request.instructions", "request.input"]),
        ({"input": "{y}"}, ["request.input"]),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "{x}"}]},
            ["request.messages[1].content"],
        ),
        (
            {
                "instructions": "{x}",
                "messages": [{"role": "user", "content": "{y}"}, {"role": "user", "content": "{z}"}],
            },
            ["request.instructions", "request.messages[0].content", "request.messages[1].content"],
        ),
    ],
)
def test_a_request_is_wrong_where_the_user_wrote_it(request_: dict[str, Any], places: list[str]) -> None:
    assert [problem.key for problem in problems(job(request=request_))] == places


class TestExistingOutputs:
    def problem(self, columns: tuple[Column, ...], **more: Any) -> Problem:
        (problem,) = problems(job(**more), outputs=columns)
        assert problem.key == "outputs.table"
        return problem

    def test_that_fit(self) -> None:
        assert "main`.`sales`.`answers` AS o" in bound(job(), outputs=OUTPUTS).statements.count

    def test_with_other_letters_in_its_names_fits(self) -> None:
        upper = tuple(Column(column.name.upper(), column.type) for column in OUTPUTS)
        assert bound(job(), outputs=upper).keys == (Column("Id", "bigint"),)

    def test_that_lack_columns(self) -> None:
        lacking = tuple(column for column in OUTPUTS if column.name not in ("Id", "cost", "run_id"))
        assert self.problem(lacking).message == "main.sales.answers exists but lacks id, cost, run_id"

    def test_of_another_job(self) -> None:
        extra = (*OUTPUTS, Column("part", "int"), Column("Day", "date"))
        assert self.problem(extra).message == "main.sales.answers has columns this job does not fill: part, day"

    def test_with_another_key_type(self) -> None:
        other = (Column("id", "string"), *OUTPUTS[1:])
        assert self.problem(other).message == ("column 'id' of main.sales.answers is string, this job writes bigint")

    def test_with_another_answer_type(self) -> None:
        structured = {"answer": {"schema": {"mood": "string", "n": "int"}}}
        assert self.problem(OUTPUTS, **structured).message == (
            "column 'answer' of main.sales.answers is string, this job writes struct<mood: string, n: int>"
        )

    def test_with_the_same_answer_type_as_spark_writes_it(self) -> None:
        structured = {
            "answer": {"schema": {"mood": ["good", "bad"], "odd name": "array<int>", "price": "decimal(10, 2)"}}
        }
        kept = Column("answer", "struct<mood:string,odd name:array<int>,price:decimal(10,2)>")
        outputs = (OUTPUTS[0], kept, *OUTPUTS[2:])
        assert bound(job(**structured), outputs=outputs).answer is not None

    def test_of_runs_that_an_earlier_version_made_are_told_how_to_grow(self) -> None:
        wanted = [Column(name, "string") for name in sql.column_names(sql_texts()["tables/runs"])]
        (problem,) = problems(job(), runs=tuple(one for one in wanted if one.name not in ("cost", "slot_seconds")))
        assert (problem.key, problem.message) == ("runs.table", "the table exists but lacks cost, slot_seconds")
        assert (
            "ALTER TABLE `main`.`rowcall`.`runs` ADD COLUMNS (cost DOUBLE, slot_seconds MAP<STRING, DOUBLE>)"
            in problem.hint
        )

    def test_of_runs_that_are_something_else(self) -> None:
        (problem,) = problems(job(), runs=(Column("x", "int"),))
        assert problem.hint == "Name another table."

    def test_are_not_looked_at_while_the_key_is_wrong(self) -> None:
        assert [problem.key for problem in problems(key("nope"), outputs=OUTPUTS[1:])] == ["prompts.key"]


class TestCountedRows:
    def problem(self, definition: JobDefinition, counts: RowCounts) -> Problem:
        with pytest.raises(DefinitionError) as caught:
            plan(definition, counts)
        (problem,) = caught.value.problems
        assert problem.key == "prompts.key"
        return problem

    def test_null_keys(self) -> None:
        problem = self.problem(key("id", "text"), RowCounts(source=5000, pending=1, null_keys=1234))
        assert problem.message == "id, text is NULL in 1,234 rows"
        assert "where: id IS NOT NULL" in problem.hint

    def test_clashing_keys(self) -> None:
        problem = self.problem(key("id"), RowCounts(source=10, pending=1, clashing_keys=3))
        assert problem.message == "id stands for different requests in 3 cases"

    def test_both(self) -> None:
        with pytest.raises(DefinitionError) as caught:
            plan(key("id"), RowCounts(source=10, pending=1, null_keys=1, clashing_keys=1))
        assert len(caught.value.problems) == 2

    def test_no_rows_at_all(self) -> None:
        made = plan(job(engine={"concurrency": 8}), RowCounts())
        assert (made.engine.split.tasks, made.engine.split.share) == (1, 8)


class TestEndpoint:
    @pytest.mark.parametrize(
        ("endpoint", "kind", "name", "model"),
        [
            ({"app": "agent"}, "app", "agent", "apps/agent"),
            ({"serving": "my.agent"}, "serving", "my.agent", "my.agent"),
            ({"url": "http://localhost:1/v1", "model": "m"}, "url", "http://localhost:1/v1", "m"),
            ({"url": "http://localhost:1/v1"}, "url", "http://localhost:1/v1", None),
        ],
    )
    def test_kinds(self, endpoint: dict[str, Any], kind: str, name: str, model: str | None) -> None:
        made = bound(job(endpoint={**endpoint, "stream": True})).endpoint
        path = "/serving-endpoints/responses" if kind == "serving" else "/responses"
        assert (made.kind, made.name, made.url) == (kind, name, f"https://agent.test{path}")
        assert (made.wire.model, made.wire.stream, made.wire.shape) == (model, True, "responses")
        assert str(made) == f"{kind} {name}"

    @pytest.mark.parametrize(
        ("endpoint", "task", "reason"),
        [
            ({"app": "agent"}, "", "agents on apps answer the Responses API"),
            ({"serving": "s"}, "agent/v1/responses", "its task is agent/v1/responses"),
            ({"serving": "s", "api": "responses"}, "agent/v1/responses", "as the job says"),
        ],
    )
    def test_the_reason_for_its_api(self, endpoint: dict[str, Any], task: str, reason: str) -> None:
        facts = EndpointFacts("https://x.test", task)
        assert bound(job(endpoint=endpoint), endpoint=facts).endpoint.api_reason == reason

    @pytest.mark.parametrize(
        ("task", "operation"), [("", "invoke_agent"), ("agent/v1/responses", "invoke_agent"), ("llm/v1/chat", "chat")]
    )
    def test_the_operation_of_its_spans(self, task: str, operation: str) -> None:
        facts = EndpointFacts("https://x.test", task)
        spans = plan(job(endpoint={"serving": "s"}, traces={"content": "none"}), endpoint=facts).spans
        assert (spans.operation, spans.address, spans.content, spans.endpoint) == (
            operation,
            "https://x.test",
            "none",
            "s",
        )


class TestEngine:
    @pytest.mark.parametrize(
        ("fan_out", "executors", "made", "reason"),
        [
            ("auto", True, "executors", "the session has executors"),
            ("auto", False, "driver", "Spark 4.0 has no executors"),
            ("driver", True, "driver", "as the job says"),
            ("driver", False, "driver", "as the job says"),
            ("executors", True, "executors", "as the job says"),
        ],
    )
    def test_fan_out(self, fan_out: str, executors: bool, made: str, reason: str) -> None:
        engine = plan(job(engine={"fan_out": fan_out, "concurrency": 300}), executors=executors).engine
        assert (engine.fan_out, engine.fan_out_reason) == (made, reason)
        assert made == "executors" or engine.split.tasks == 1

    @pytest.mark.parametrize(("rows", "concurrency", "parts"), [(100, 16, 3), (2, 16, 2), (100, 1, 1)])
    @pytest.mark.parametrize("fan_out", ["auto", "driver"])
    def test_a_run_that_is_cut_is_asked_by_shards(self, rows: int, concurrency: int, parts: int, fan_out: str) -> None:
        definition = job(engine={"fan_out": fan_out, "concurrency": concurrency, "tasks": 7})
        engine = cut(definition, RowCounts(source=rows, pending=rows)).engine
        assert (engine.kind, engine.fan_out, engine.split.tasks) == ("responses", "shards", parts)
        assert engine.split.total <= concurrency

    def test_a_run_that_is_cut_cannot_be_asked_by_executors_too(self) -> None:
        with pytest.raises(DefinitionError) as caught:
            cut(job(engine={"fan_out": "executors"}), RowCounts(source=9, pending=9))
        (problem,) = caught.value.problems
        assert (problem.key, problem.hint) == ("engine.fan_out", "Use auto or driver.")

    def test_fan_out_to_executors_that_are_not_there(self) -> None:
        with pytest.raises(DefinitionError) as caught:
            plan(job(engine={"fan_out": "executors"}), executors=False)
        (problem,) = caught.value.problems
        assert (problem.key, problem.message) == ("engine.fan_out", "Spark 4.0 has no executors")

    def test_a_notebooks_own_login_keeps_the_calls_on_the_driver(self) -> None:
        login = LoginKind("runtime", oauth=False, ambient=True)
        facts = EndpointFacts("https://x.test", login=login)
        engine = plan(job(endpoint={"serving": "s"}), endpoint=facts, executors=True).engine
        said = "the login is the notebook's or job's own, which executors do not have"
        assert (engine.fan_out, engine.fan_out_reason) == ("driver", said)
        with pytest.raises(DefinitionError, match=said):
            plan(job(endpoint={"serving": "s"}, engine={"fan_out": "executors"}), endpoint=facts, executors=True)

    @pytest.mark.parametrize(
        ("concurrency", "parallel", "tasks"),
        [(16, True, 1), (128, True, 1), (129, True, 2), (1000, True, 8), (1000, False, 1)],
    )
    def test_auto_tasks(self, concurrency: int, parallel: bool, tasks: int) -> None:
        engine = plan(job(engine={"concurrency": concurrency}), RowCounts(pending=10**6), parallel=parallel).engine
        assert engine.split.tasks == tasks

    @settings(deadline=None, max_examples=50)
    @given(
        concurrency=st.integers(1, 4096),
        tasks=st.integers(1, 5000) | st.just("auto"),
        pending=st.integers(0, 10**7),
        executors=st.booleans(),
        parallel=st.booleans(),
    )
    def test_never_more_in_flight_than_the_job_allows(
        self, concurrency: int, tasks: int | str, pending: int, executors: bool, parallel: bool
    ) -> None:
        definition = job(engine={"concurrency": concurrency, "tasks": tasks})
        counts = RowCounts(source=pending, pending=pending)
        engine = plan(definition, counts, executors=executors, parallel=parallel).engine
        assert engine.split.tasks * engine.split.share <= concurrency == engine.concurrency
        assert engine.split.tasks >= 1
        assert engine.split.share >= 1

    def test_times_and_sizes_are_the_jobs(self) -> None:
        engine = plan(job(engine={"flush_rows": 1, "flush_seconds": "2s", "publish_seconds": "1m"})).engine
        assert (engine.flush_rows, engine.flush_seconds, engine.publish_seconds) == (1, 2.0, 60.0)


class TestLimits:
    def test_of_a_call(self) -> None:
        calls = plan(job(limits={"timeout": "30s", "attempts": 3, "deadline": "2h"})).calls
        assert (calls.timeout, calls.retry.attempts, calls.deadline) == (30.0, 3, 7200.0)

    def test_a_share_of_failures_is_of_the_rows_to_ask(self) -> None:
        definition = job(limits={"max_failures": "5%"})
        assert plan(definition, RowCounts(source=1000, pending=200)).calls.budget.max_failures == 10

    def test_a_budget_in_money(self) -> None:
        definition = job(
            endpoint={"app": "agent", "price": {"input": "0.1", "output": "0.4", "currency": "EUR"}},
            limits={"max_cost": "20 EUR", "max_tokens": 1_000_000},
        )
        budget = plan(definition).calls.budget
        assert (budget.max_cost, budget.max_tokens, budget.currency) == (Decimal(20), 1_000_000, "EUR")
        assert budget.cost(1_000_000, 1_000_000) == Decimal("0.5")

    def test_without_any(self) -> None:
        calls = plan(job()).calls
        assert (calls.deadline, calls.budget.max_failures, calls.budget.max_cost, calls.budget.currency) == (
            None,
            None,
            None,
            "",
        )


class TestTables:
    def test_beside_the_outputs(self) -> None:
        tables = bound(job()).tables
        assert (tables.outputs, tables.traces, tables.runs, tables.pending) == (
            "`main`.`sales`.`answers`",
            "`main`.`rowcall`.`traces`",
            "`main`.`rowcall`.`runs`",
            "`main`.`sales`.`answers__pending_20261123_060000_ab12`",
        )

    def test_as_named(self) -> None:
        made = bound(job(traces={"table": "ops.t"}, runs={"table": "x.`y z`.`r.r`"}))
        assert (made.tables.traces, made.tables.runs) == ("`ops`.`t`", "`x`.`y z`.`r.r`")
        assert made.schemas == ("`main`.`sales`", "`ops`", "`x`.`y z`")

    def test_of_an_outputs_table_without_a_schema(self) -> None:
        made = bound(job(outputs={"table": "answers"}))
        assert (made.tables.outputs, made.tables.traces, made.schemas) == (
            "`answers`",
            "`rowcall`.`traces`",
            ("`rowcall`",),
        )


class TestWhatDecidesTheHash:
    def count(self, **more: Any) -> str:
        return bound(job(**more)).statements.pending

    def test_limits_engine_price_and_traces_do_not(self) -> None:
        other = self.count(
            limits={"attempts": 1},
            engine={"concurrency": 2},
            endpoint={"app": "agent", "price": {"input": 1, "output": 1}, "stream": True},
            traces={"content": "none"},
        )
        assert other == self.count()

    @pytest.mark.parametrize(
        "more",
        [
            {"endpoint": {"app": "other"}},
            {"endpoint": {"serving": "agent"}},
            {"endpoint": {"url": "http://agent"}},
            {"answer": {"schema": {"mood": "string"}}},
            {"request": {"input": "{text}."}},
            {"request": {"input": "{text}", "parameters": {"temperature": 0}}},
        ],
    )
    def test_endpoint_answer_and_request_do(self, more: dict[str, Any]) -> None:
        assert self.count(**more) != self.count()

    def test_the_models_of_one_url_are_told_apart(self) -> None:
        one, other = ({"url": "http://x", "model": model} for model in ("a", "b"))
        assert self.count(endpoint=one) != self.count(endpoint=other)


def test_the_definition_hash_stands_for_the_whole_definition() -> None:
    assert plan(job()).definition_hash == plan(job()).definition_hash
    assert plan(job()).definition_hash != plan(job(description="x")).definition_hash
