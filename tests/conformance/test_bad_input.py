"""Rows, columns and tables that are not as a job expects: each a clear error before anything is paid, or a row's outcome."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest

from rowcall import api
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, Problem, RunError
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Row
from rowcall.core.records import Progress
from rowcall.core.run_text import headline
from rowcall.testing import RecordingReporter
from support import Bench, make_job, texts

ENGINES: dict[str, dict[str, Any]] = {
    "responses": {"kind": "responses", "concurrency": 2, "flush_seconds": 0.05},
    "ai_query": {"kind": "ai_query", "rows_per_statement": 3},
}
MB = 1024 * 1024


@dataclass(slots=True)
class Place:
    """Where jobs run, the engine they name, and the prefix of their tables."""

    bench: Bench
    engine: dict[str, Any]
    name: str

    def job(self, name: str, **changes: Any) -> JobDefinition:
        made = {"endpoint": {"serving": "echo"}, "engine": self.engine, **changes}
        return make_job(f"{self.name}_{name}", **made)

    def fill(self, name: str, rows: Any) -> None:
        self.bench.fill(f"{self.name}_{name}", rows)

    def drop(self, job: JobDefinition) -> None:
        self.bench.session.drop_table(job.outputs.table)

    def answers(self, job: JobDefinition) -> dict[Any, str | None]:
        return {out["id"]: out["answer"] for out in self.bench.outputs(job)}

    def problem(self, job: JobDefinition) -> Problem:
        """The one thing that is wrong with a job; nothing was asked."""
        self.bench.reset()
        with pytest.raises(DefinitionError) as caught:
            self.bench.run(job)
        assert self.bench.figures()["calls"] == 0
        (problem,) = caught.value.problems
        return problem


@pytest.fixture(params=["lakehouse", "warehouse"])
def bench_of_both(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue("bench" if request.param == "lakehouse" else "warehouse_bench")


@pytest.fixture
def place(bench_of_both: Bench) -> Place:
    """Where what is wrong is found before an engine has its turn."""
    return Place(bench_of_both, ENGINES["responses"], f"bad_{'wh' if bench_of_both.volume else 'lake'}")


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, place: Place) -> Place:
    return Place(place.bench, ENGINES[request.param], f"{place.name}_{request.param}")


@dataclass(slots=True)
class Meanwhile(RecordingReporter):
    """Does something once, while a run asks."""

    act: Callable[[], object] = lambda: None
    acted: list[Progress] = field(default_factory=list[Progress])

    def progress(self, progress: Progress) -> None:
        if not self.acted and (progress.asked or progress.in_flight):
            self.acted.append(progress)
            self.act()


class TestKeys:
    def test_equal_rows_of_one_key_are_asked_once(self, engine: Place) -> None:
        job = engine.job("equal")
        engine.fill("equal", [*texts(3), *texts(3), *texts(1)])
        row = engine.bench.run(job)
        assert (row.source_rows, row.duplicate_rows, row.asked, row.ok) == (7, 4, 3, 3)
        assert engine.answers(job) == {n: f"row {n}" for n in range(3)}

    def test_keys_that_stand_for_different_requests_are_named(self, place: Place) -> None:
        place.fill("clash", [{"id": n, "text": text} for n in (9, 2, 5, 7, 1) for text in ("a", "b" if n > 1 else "a")])
        problem = place.problem(place.job("clash"))
        assert problem.message == "id stands for different requests in 4 cases, such as 2; 5; 7"
        assert "Name more columns in prompts.key" in problem.hint

    def test_a_clash_of_composite_keys_shows_all_their_columns(self, place: Place) -> None:
        rows = [{"shop": "Köln\x1b[2J", "day": n // 2, "text": f"row {n}"} for n in range(2)]
        place.fill("composite", rows)
        prompts = {"table": f"main.test.{place.name}_composite", "key": ["shop", "day"]}
        problem = place.problem(place.job("composite", prompts=prompts))
        assert problem.message == "shop, day stands for different requests in 1 case, such as Köln [2J, 0"

    def test_null_keys(self, place: Place) -> None:
        rows = [{"id": None if n == 3 else n, "odd name": n or None, "text": "x"} for n in range(5)]
        place.fill("null_key", rows)
        table = f"main.test.{place.name}_null_key"
        problem = place.problem(place.job("null_key"))
        assert (problem.key, problem.message) == ("prompts.key", "id is NULL in 1 row")
        both = place.problem(place.job("null_key", prompts={"table": table, "key": ["id", "odd name"]}))
        assert both.message == "id, odd name is NULL in 2 rows"
        where = "id IS NOT NULL AND `odd name` IS NOT NULL"
        assert both.hint == f"Leave them out: where: {where}."
        job = place.job("null_key", prompts={"table": table, "key": ["id", "odd name"], "where": where})
        assert place.bench.run(job).source_rows == 3

    def test_a_key_column_that_is_missing(self, place: Place) -> None:
        place.fill("wide", pa.table({"id": [1], "text": ["x"], **{f"column_{n}": [n] for n in range(300)}}))
        prompts = {"table": f"main.test.{place.name}_wide", "key": "colum_7"}
        problem = place.problem(place.job("wide", prompts=prompts))
        assert problem.message == "there is no column 'colum_7'"
        assert problem.hint.startswith("Did you mean `column_7`? There are: id, text, column_0, ")
        assert problem.hint.endswith("column_17 and 282 more.")

    def test_columns_that_identify_nothing(self, place: Place) -> None:
        columns = {
            "a_struct": (pa.array([{"a": 1}]), "struct<a:bigint>", "to_json(a_struct)"),
            "an_array": (pa.array([[1]]), "array<bigint>", "to_json(an_array)"),
            "a_map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map<string,bigint>", "to_json(a_map)"),
            "not a number": (pa.array([float("nan")]), "double", "CAST(`not a number` AS DECIMAL(38, 6))"),
            "a_float": (pa.array([1.5], pa.float32()), "float", "CAST(a_float AS DECIMAL(38, 6))"),
            "bytes": (pa.array([b"\x00x"]), "binary", "hex(bytes)"),
        }
        place.fill("no_key", pa.table({"text": ["x"], **{name: values for name, (values, _, _) in columns.items()}}))
        table = f"main.test.{place.name}_no_key"
        problem = place.problem(place.job("no_key", prompts={"table": table, "key": "a_struct"}))
        assert problem.hint == "Make one of it in prompts.query: SELECT *, to_json(a_struct) AS a_struct_key FROM …"
        with pytest.raises(DefinitionError) as caught:
            place.bench.run(place.job("no_key", prompts={"table": table, "key": list(columns)}))
        assert [problem.message for problem in caught.value.problems] == [
            f"column {name!r} is {type_}; a key is a text, whole number, decimal, date, timestamp or boolean"
            for name, (_, type_, _) in columns.items()
        ]
        made = [made for name, (_, _, made) in columns.items() if name != "not a number"]
        query = f"SELECT text, {', '.join(f'{one} AS key_{n}' for n, one in enumerate(made))} FROM {table}"
        job = place.job("no_key", prompts={"query": query, "key": [f"key_{n}" for n in range(len(made))]})
        assert [place.bench.run(job).asked for _ in range(2)] == [1, 0]

    def test_keys_and_columns_of_odd_names_and_texts(self, engine: Place) -> None:
        names = ("a.b", "c`d", "é名", "q'uote", 'dq"', "sp ace", "${y}", "a;b", "line--c", "/*")
        values = ("", " ", "null", "\u202e", "it's", "../../up", "a\nb", "0", "None", "😀")
        engine.fill("odd", pa.table({name: values[n:] + values[:n] for n, name in enumerate(names)}))
        said = "|".join(f"{{`{name.replace('`', '``')}`}}" for name in names)
        prompts = {"table": f"main.test.{engine.name}_odd", "key": list(names)}
        job = engine.job("odd", prompts=prompts, request={"input": said})
        engine.drop(job)
        assert [engine.bench.run(job).ok for _ in range(2)] == [len(values), 0]
        outputs = engine.bench.session.query(f"SELECT * FROM {job.outputs.table}")
        assert {out["a.b"] for out in outputs} == set(values)
        assert all(out["answer"] == "|".join(out[name] for name in names) for out in outputs)

    def test_three_hundred_columns_in_one_prompt(self, engine: Place) -> None:
        engine.fill("columns", pa.table({"id": [1], **{f"c{n}": [f"v{n}"] for n in range(300)}}))
        job = engine.job("columns", request={"input": " ".join(f"{{c{n}}}" for n in range(300))})
        assert engine.bench.run(job).ok == 1
        assert engine.answers(job) == {1: " ".join(f"v{n}" for n in range(300))}


NULLS: dict[str, tuple[str | None, dict[int, str | None]]] = {
    "empty": ("all of text, more are NULL", {1: "a x", 2: " y", 3: None}),
    "error": ("one of text, more is NULL", {1: "a x", 2: None, 3: None}),
    "skip": (None, {1: "a x"}),
}


@pytest.mark.parametrize("nulls", list(NULLS))
def test_null_prompts(engine: Place, nulls: str) -> None:
    said, answers = NULLS[nulls]
    engine.fill(f"null_{nulls}", pa.table({"id": [1, 2, 3], "text": ["a", None, None], "more": ["x", "y", None]}))
    job = engine.job(f"null_{nulls}", request={"input": "{text} {more}", "nulls": nulls})
    row = engine.bench.run(job)
    failed = {id_ for id_, answer in answers.items() if answer is None}
    assert (row.status, dict(row.failures)) == ("done", {"null_prompt": 1} if failed else {})
    assert engine.answers(job) == answers
    errors = {out["id"]: out["error"] for out in engine.bench.outputs(job) if out["error"]}
    told = {id_: (error["kind"], error["message"]) for id_, error in errors.items()}
    assert told == dict.fromkeys(failed, ("null_prompt", said))
    assert engine.bench.figures()["distinct_inputs"] == len(answers) - len(failed)


def test_an_empty_table_makes_an_empty_outputs_table(engine: Place) -> None:
    engine.fill("empty", pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}))
    job = engine.job("empty")
    row = engine.bench.run(job)
    assert (row.status, row.source_rows, row.asked) == ("done", 0, 0)
    assert engine.bench.outputs(job) == []
    assert engine.bench.session.columns(f"SELECT answer FROM {job.outputs.table}")[0].type == "string"


def test_a_view_is_a_prompt_table(engine: Place) -> None:
    engine.fill("base", texts(4))
    view = f"main.test.{engine.name}_seen"
    engine.bench.session.execute(
        f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM main.test.{engine.name}_base WHERE id > 1"
    )
    job = engine.job("seen")
    assert engine.bench.run(job).ok == 2
    assert engine.answers(job) == {2: "row 2", 3: "row 3"}


class TestTablesThatChange:
    """A run ends with the rows it began with; the next asks the difference."""

    def run(self, engine: Place, name: str, *statements: str) -> tuple[JobDefinition, list[Row]]:
        """Run a job, the statements in the middle of it; `{t}` is its prompt table."""
        job = engine.job(name)
        engine.fill(name, texts(8))
        engine.drop(job)
        engine.bench.behave(latency_ms=150)

        def act() -> None:
            for statement in statements:
                engine.bench.session.execute(statement.format(t=job.prompts.table))

        during = Meanwhile(act=act)
        row = engine.bench.run(job, reporter=during)
        engine.bench.behave()
        assert (row.status, row.message, row.ok) == ("done", None, 8)
        assert during.acted[0].asked < 8
        assert engine.answers(job) == {n: f"row {n}" for n in range(8)}
        return job, engine.bench.outputs(job)

    def test_rows_that_are_added_changed_and_deleted(self, engine: Place) -> None:
        job, before = self.run(
            engine,
            "moving",
            "INSERT INTO {t} VALUES (100, 'row 100')",
            "UPDATE {t} SET text = 'changed' WHERE id = 7",
            "DELETE FROM {t} WHERE id = 6",
        )
        assert engine.bench.run(job).asked == 2
        answers = {**{n: f"row {n}" for n in range(7)}, 7: "changed", 100: "row 100"}
        assert engine.answers(job) == answers
        assert [out for out in engine.bench.outputs(job) if out["id"] < 7] == before[:7]

    def test_a_row_without_a_key_that_comes_once_the_rows_are_counted_is_not_asked(self, engine: Place) -> None:
        job = engine.job("late_null")
        engine.fill("late_null", texts(4))

        class Planned(RecordingReporter):
            def plan(self, plan: RunPlan) -> None:
                engine.bench.session.execute(f"INSERT INTO {job.prompts.table} VALUES (NULL, 'nobody')")

        row = engine.bench.run(job, reporter=Planned())
        assert (row.status, row.asked, row.ok) == ("done", 4, 4)
        assert engine.answers(job) == {n: f"row {n}" for n in range(4)}

    def test_a_prompt_table_that_is_dropped(self, engine: Place) -> None:
        job, before = self.run(engine, "gone", "DROP TABLE {t}")
        engine.bench.session.drop_table(str(job.prompts.table))
        assert engine.problem(job).message == f"there is no table {job.prompts.table!r}, or it may not be read"
        assert engine.bench.outputs(job) == before

    def test_an_outputs_table_that_is_dropped_comes_back_with_the_answers_of_the_run(self, engine: Place) -> None:
        job = engine.job("lost")
        engine.fill("lost", texts(8))
        engine.bench.behave(latency_ms=150)
        with pytest.raises(RunError, match="are safe but could not be published"):
            engine.bench.run(job, reporter=Meanwhile(act=lambda: engine.drop(job)))
        engine.bench.reset()
        assert engine.bench.run(job).asked == engine.bench.figures()["calls"] == 0
        assert engine.answers(job) == {n: f"row {n}" for n in range(8)}


class TestTablesOfOthers:
    def test_an_outputs_table_of_another_kind(self, place: Place) -> None:
        job = place.job("foreign")
        place.fill("foreign", texts(1))
        place.bench.session.execute(f"CREATE TABLE {job.outputs.table} (id BIGINT, answer STRING) USING DELTA")
        problem = place.problem(job)
        assert problem.key == "outputs.table"
        assert problem.message.startswith(f"{job.outputs.table} exists but lacks outcome, error, ")
        assert problem.hint == "Write to another table, or rename this one."

    def test_outputs_of_another_key_or_another_answer(self, place: Place) -> None:
        job = place.job("schema")
        place.fill("schema", texts(2))
        assert place.bench.run(job).ok == 2
        before = place.bench.outputs(job)
        table = job.outputs.table
        structured = place.job("schema", answer={"schema": {"mood": "string"}})
        assert place.problem(structured).message == (
            f"column 'answer' of {table} is string, this job writes struct<mood: string>"
        )
        other_key = place.job("schema", prompts={"table": str(job.prompts.table), "key": "text"})
        assert place.problem(other_key).message == f"{table} exists but lacks text"
        place.fill("schema", [{"id": "1", "text": "row 1"}])
        assert place.problem(job).message == f"column 'id' of {table} is bigint, this job writes string"
        assert place.bench.outputs(job) == before

    def test_a_query_of_a_file_that_is_not_there(self, place: Place) -> None:
        query = "SELECT * FROM parquet.`/no/such/file.parquet`"
        for where in ({}, {"where": "id > 1"}):
            problem = place.problem(place.job("file", prompts={"query": query, "key": "id", **where}))
            assert problem.key == "prompts.query"
        assert (
            "no columns; is there a file"
            in place.problem(place.job("file", prompts={"query": query, "key": "id"})).message
        )

    @pytest.mark.parametrize("table", ["traces", "TRACES", "`runs`"])
    def test_outputs_where_traces_and_runs_are_by_default(self, place: Place, table: str) -> None:
        place.fill("default", texts(1))
        job = place.job("default", outputs={"table": f"main.rowcall.{table}"}, traces={}, runs={})
        problem = place.problem(job)
        assert problem.key == "outputs.table"
        assert problem.message.startswith(
            "outputs.table, traces.table and runs.table must be different tables, and are "
        )

    def test_prompts_and_outputs_in_one_table_are_refused(self, place: Place) -> None:
        with pytest.raises(ValueError, match=r"prompts\.table and outputs\.table are the same table"):
            place.job("own", outputs={"table": f"main.`test`.{place.name.upper()}_OWN"})
        with pytest.raises(ValueError, match="must be different tables"):
            place.job("own", traces={"table": f"main.test.{place.name}_own_out"})


class TestTwoJobsWithOneOutputsTable:
    def jobs(self, place: Place, name: str, second: dict[str, Any]) -> tuple[JobDefinition, JobDefinition]:
        """The second job is like the first but for some things."""
        place.fill(name, texts(4))
        first = place.job(name)
        changes = {"job": f"{first.job}_2", "prompts": {"table": first.prompts.table, "key": "id"}, **second}
        return first, place.job(name, **changes)

    def test_are_refused_once_they_ask_in_turn(self, place: Place) -> None:
        first, second = self.jobs(place, "in_turn", {"request": {"input": "otherwise: {text}"}})
        assert place.bench.run(first).asked == 4
        assert place.bench.run(second).asked == 4
        before = place.bench.outputs(first)
        problem = place.problem(first)
        assert problem.message == (
            f"job {second.job} has answered 4 of these rows in {first.outputs.table} since this job did: "
            "each would ask again what the other has asked"
        )
        assert "an outputs table of its own" in problem.hint
        assert place.bench.outputs(first) == before
        assert place.bench.run(second).asked == 0
        assert place.bench.run(first, only_new=True).asked == 0

    def test_a_run_says_what_it_replaces(self, place: Place) -> None:
        first, second = self.jobs(place, "takes", {"request": {"input": "otherwise: {text}"}})
        before = place.bench.run(first)
        assert before.asked == 4
        place.fill("takes", texts(5))
        assert place.bench.plan(second, only_new=True).plan.rows.takeover == ""
        reporter = RecordingReporter()
        assert place.bench.run(second, reporter=reporter, limit=2).asked == 2
        left = [out["run_id"] for out in place.bench.outputs(first)].count(before.run_id)
        assert place.bench.run(second, reporter=reporter).asked == 3
        said = "job {} has answered {} of these rows: this job asks otherwise, and replaces those answers"
        told = [headline(plan).splitlines()[1:] for plan in reporter.plans]
        assert told == [[f"  {said.format(first.job, count)}"] for count in (4, left)]
        place.fill("takes", texts(6))
        assert place.bench.plan(second).plan.rows.takeover == "", "there is nothing more to replace"

    def test_may_have_different_keys(self, place: Place) -> None:
        first, _ = self.jobs(place, "apart", {})
        table = str(first.prompts.table)
        halves = [{"prompts": {"table": table, "key": "id", "where": f"id % 2 = {n}"}} for n in range(2)]
        odd, even = (place.job("apart", job=f"{first.job}_{n}", **half) for n, half in enumerate(halves))
        for job in (odd, even):
            assert place.bench.run(job).asked == 2
        place.fill("apart", texts(8))
        for job in (odd, even):
            assert place.bench.run(job).asked == 2

    def test_may_be_one_that_has_another_name_now(self, place: Place) -> None:
        first, second = self.jobs(place, "renamed", {})
        assert place.bench.run(first).asked == 4
        place.fill("renamed", texts(6))
        assert place.bench.run(second).asked == 2
        place.fill("renamed", [{**row, "text": f"changed {row['id']}"} for row in texts(6)])
        assert place.bench.run(second).asked == 6


class Model(BaseHTTPRequestHandler):
    """A model server that takes requests of any size and answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"][-1]["content"]
        content = [{"type": "output_text", "text": prompt}]
        body = {"object": "response", "output": [{"type": "message", "role": "assistant", "content": content}]}
        said = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def model() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class TestLargePrompts:
    ROWS = [{"id": size, "text": "é" * (size * MB // 2)} for size in (5, 16)] + [{"id": 0, "text": "small"}]

    def test_are_asked_where_the_endpoint_takes_them(self, place: Place, model: str) -> None:
        place.fill("large", self.ROWS)
        job = place.job("large", endpoint={"url": model, "model": "m", "api": "responses"})
        assert place.bench.run(job).ok == 3
        answers = place.answers(job)
        assert all(answers[row["id"]] == row["text"] for row in self.ROWS)
        traces = place.bench.session.query(f"SELECT max(char_length(attributes)) AS longest FROM {job.traces.table}")
        assert 64_000 < traces[0]["longest"] < 200_000
        assert place.bench.run(job).asked == 0

    def test_are_too_large_where_it_does_not(self, engine: Place) -> None:
        engine.fill("too_large", self.ROWS)
        job = engine.job("too_large")
        row = engine.bench.run(job)
        assert (row.status, row.ok, dict(row.failures)) == ("done", 1, {"too_large": 2})
        errors = {out["id"]: out["error"] for out in engine.bench.outputs(job)}
        assert {id_: error and error["kind"] for id_, error in errors.items()} == {
            0: None,
            5: "too_large",
            16: "too_large",
        }
        assert all("4194304" in error["message"].replace(",", "") for error in errors.values() if error)


def test_a_plan_finds_what_a_run_would(place: Place) -> None:
    place.fill("planned", [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}])
    loaded = api.load_job(place.job("planned"))
    given = api.RunOptions("20261124-000000-abcd", "2026-11-24", "0")
    with pytest.raises(DefinitionError, match="id stands for different requests in 1 case, such as 1"):
        api.make_here(loaded, place.bench.surroundings(), given)
