"""`rowcall.ask`: frames of every kind, asked over Spark Connect and on a SQL warehouse; the rows come back beside their answers."""

import datetime as dt
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pyspark.errors import AnalysisException

import rowcall
from rowcall.adapters.journal import FolderJournals
from rowcall.core.errors import DefinitionError, RunError
from rowcall.core.sql import OUTPUT_COLUMNS
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.wiring import Options
from support import Bench, control

Ask = Callable[..., Any]


@pytest.fixture
def options(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
    """The sandbox as the workspace that is configured."""
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", bench.sandbox.config_file)
    return Options(home=tmp_path, profile=bench.sandbox.profile)


@pytest.fixture
def on_spark(options: Options, house: Lakehouse) -> Ask:
    """`ask` over Spark Connect. Its server was started without the login that is configured now, so the driver makes the calls."""

    def ask(data: Any, prompt: Any, endpoint: Any = "app:echo", **how: Any) -> Any:
        engine = {"fan_out": "driver"}
        return rowcall.ask(data, prompt, endpoint, spark=house.spark, options=options, engine=engine, **how)

    return ask


@pytest.fixture
def on_warehouse(options: Options, warehouse: object) -> Ask:
    """`ask` on a SQL warehouse, which sees files of volumes only."""
    in_sql = Options(home=options.home, profile=options.profile, warehouse="sandbox")

    def ask(data: Any, prompt: Any, **how: Any) -> Any:
        return rowcall.ask(data, prompt, "app:echo", options=in_sql, **how)

    return ask


@pytest.fixture(params=["on_spark", "on_warehouse"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.getfixturevalue(request.param)


def calls(bench: Bench) -> int:
    return bench.figures()["calls"]


# What comes back


def test_a_pandas_frame_comes_back_with_answers_and_the_same_cell_asks_nothing(ask: Ask, bench: Bench) -> None:
    frame = pd.DataFrame(
        {
            "text": ["one", "two", "one", None, 'it\'s "four"\n\\ ${four} ü 💥'],
            "n": [1, 2, 3, 4, 5],
            "other": [object()] * 5,
        },
        index=[7, 7, 3, 1, 0],
    )
    first = ask(frame, "Say {text}")
    assert list(first.columns) == [*frame.columns, *OUTPUT_COLUMNS]
    pd.testing.assert_frame_equal(first[list(frame.columns)], frame)
    said = ["Say one", "Say two", "Say one", None, 'Say it\'s "four"\n\\ ${four} ü 💥']
    assert list(first.answer) == said
    assert list(first.outcome) == ["ok", "ok", "ok", "error", "ok"]
    assert first.error.iloc[3]["kind"] == "null_prompt"
    assert calls(bench) == 3

    again = ask(frame.iloc[::-1], "Say {text}")
    assert list(again.answer) == said[::-1]
    assert calls(bench) == 3

    more = pd.concat([frame, pd.DataFrame({"text": ["five"], "n": [6], "other": [None]})])
    assert list(ask(more, "Say {text}").answer) == [*said, "Say five"]
    assert calls(bench) == 4, "a new row is asked, the others have their answers"

    ask(frame, "Say {text}!")
    assert calls(bench) == 7, "another prompt is another question"


def test_an_arrow_table_comes_back_as_one(ask: Ask) -> None:
    table = pa.table({"id": [2, 1], "text": pa.array(["a", "b"]).dictionary_encode()})
    found = ask(table, "{text}", key="id", outputs="main.test.asked_arrow")
    assert isinstance(found, pa.Table)
    assert found.select(["id", "text"]).equals(table)
    assert found.column("answer").to_pylist() == ["a", "b"]


def test_a_list_of_mappings_comes_back_as_one(ask: Ask) -> None:
    rows = [{"text": "a"}, {"text": "b", "more": {"deep": [1, 2]}}, {"more": {"deep": []}}]
    found = ask(rows, "{text} {more.deep}")
    assert [row["answer"] for row in found] == ["a ", "b [1,2]", " []"]
    assert [{name: row[name] for name in given} for row, given in zip(found, rows, strict=True)] == rows


def test_structured_answers_are_structs(on_spark: Ask) -> None:
    frame = pd.DataFrame({"text": ["The bread is lovely.", "The cake is awful."]})
    found = on_spark(frame, "{text}", "app:text-insight", answer={"sentiment": ["positive", "neutral", "negative"]})
    assert list(found.answer) == [{"sentiment": "positive"}, {"sentiment": "negative"}]


def test_a_frame_of_spark_is_asked_as_it_was_once(on_spark: Ask, bench: Bench, house: Lakehouse) -> None:
    frame = house.spark.range(20).selectExpr("id", "uuid() AS text")
    found = on_spark(frame, "Say {text}", key="id", outputs="main.test.asked_spark")
    assert type(found).__module__.startswith("pyspark.sql")
    assert found.columns == ["id", "text", *OUTPUT_COLUMNS]
    first, second = found.orderBy("id").collect(), found.orderBy("id").collect()
    assert first == second
    assert [row["id"] for row in first] == list(range(20))
    assert all(row["answer"] == f"Say {row['text']}" for row in first)
    assert calls(bench) == 20

    fixed = house.spark.range(20).selectExpr("id", "'same' AS text")
    on_spark(fixed, "Say {text}", key="id", outputs="main.test.asked_spark")
    on_spark(fixed, "Say {text}", key="id", outputs="main.test.asked_spark")
    assert calls(bench) == 21, "alike rows are asked once, and the same cell asks nothing"


def test_a_table_comes_back_as_a_frame_of_its_session(ask: Ask, bench: Bench, request: pytest.FixtureRequest) -> None:
    on = request.getfixturevalue("warehouse_bench" if "on_warehouse" in request.fixturenames else "bench")
    on.fill("asked_table", [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])
    found = ask("main.test.asked_table", "Say {text}", key="id", outputs="main.test.asked_table_answers")
    rows = found if isinstance(found, pd.DataFrame) else found.toPandas()
    assert dict(zip(rows.id, rows.answer, strict=True)) == {1: "Say a", 2: "Say b"}


def test_a_later_call_changes_nothing_of_what_an_earlier_one_gave_back(on_spark: Ask, house: Lakehouse) -> None:
    frames = [house.spark.range(3).selectExpr("id", f"'{text}' AS text") for text in ("first", "second")]
    first, second = (on_spark(frame, "Say {text}", key="id", outputs="main.test.asked_twice") for frame in frames)
    assert {row["text"] for row in first.collect()} == {"first"}
    assert {row["text"] for row in second.collect()} == {"second"}


def test_rows_that_nobody_reads_any_more_are_dropped(on_spark: Ask, house: Lakehouse) -> None:
    frame = house.spark.range(1).selectExpr("id", "'a' AS text")
    on_spark(frame, "Say {text}", key="id", outputs="main.test.asked_old")
    for name in ("asked_old__rowcall_rows_20200101_ab", "asked_old__rowcall_rows_mine"):
        house.spark.sql(f"CREATE TABLE main.test.{name} USING DELTA AS SELECT 1 AS one")
    on_spark(frame, "Say {text}", key="id", outputs="main.test.asked_old")
    names = [row["tableName"] for row in house.spark.sql("SHOW TABLES IN main.test").collect()]
    kept = [name for name in names if name.startswith("asked_old__rowcall_rows_")]
    assert len(kept) == 3, "those of the two calls, and one that is somebody's own"
    assert "asked_old__rowcall_rows_mine" in kept


class NotListing:
    """A session whose user may not see what else is in a schema."""

    def __init__(self, spark: Any) -> None:
        self._spark = spark

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spark, name)

    def sql(self, statement: str, **how: Any) -> Any:
        if statement.startswith("SHOW TABLES"):
            raise AnalysisException("[INSUFFICIENT_PERMISSIONS] User does not have USE SCHEMA")
        return self._spark.sql(statement, **how)


def test_who_may_not_list_the_tables_of_a_schema_is_answered_all_the_same(options: Options, house: Lakehouse) -> None:
    frame = house.spark.range(1).selectExpr("id", "'a' AS text")
    how: dict[str, Any] = {"key": "id", "outputs": "main.test.asked_unseen", "engine": {"fan_out": "driver"}}
    found = rowcall.ask(frame, "Say {text}", "app:echo", spark=NotListing(house.spark), options=options, **how)
    assert [row["answer"] for row in found.collect()] == ["Say a"]


def test_two_endpoints_answer_side_by_side_into_one_table(on_spark: Ask, bench: Bench) -> None:
    frame = pd.DataFrame({"id": [1, 2], "text": ["a", "b"]})
    for name in ("fast", "careful"):
        endpoint = {"app": "echo", "label": name}
        found = on_spark(
            frame, f"{name} {{text}}", endpoint, key="id", outputs="main.test.asked_both", prefix=f"{name}_"
        )
        assert list(found[f"{name}_answer"]) == [f"{name} a", f"{name} b"]
    (counted,) = bench.session.query("SELECT count(*) AS n FROM main.test.asked_both")
    assert counted["n"] == 4


def test_answers_may_be_asked_about(on_spark: Ask) -> None:
    first = on_spark(pd.DataFrame({"text": ["a"]}), "Say {text}")
    with pytest.raises(DefinitionError, match=r"has columns answer, outcome, .* already\. .* prefix=\"new_\""):
        on_spark(first, "Repeat {answer}")
    second = on_spark(first, "Repeat {answer}", prefix="second_")
    assert list(second.second_answer) == ["Repeat Say a"]
    assert list(second.answer) == ["Say a"]


# Rows of every kind


TYPED = {
    "text": pd.Series(["a", None, "c"]),
    "whole": pd.Series([1, None, 3], dtype="Int64"),
    "number": pd.Series([1.5, float("nan"), -0.25]),
    "money": pd.Series([Decimal("1.50"), None, Decimal("-0.25")]),
    "day": pd.Series([dt.date(2026, 1, 31), None, dt.date(1, 1, 1)]),
    "at": pd.to_datetime(pd.Series(["2026-01-31T12:00:00.123456789", None, "1999-12-31T00:00:00.0"])),
    "zoned": pd.to_datetime(pd.Series(["2026-01-31T12:00:00Z", None, "1999-12-31T00:00:00Z"])),
    "lasted": pd.to_timedelta(pd.Series(["1 day", None, "1 s"])),
    "time": pd.Series([dt.time(1, 2, 3), None, dt.time(0)]),
    "month": pd.Series(pd.PeriodIndex(["2026-01", None, "1999-12"], freq="M")),
    "kind": pd.Series(["x", None, "y"], dtype="category"),
    "flag": pd.Series([True, None, False], dtype="boolean"),
    "small": pd.Series([1, None, 255], dtype="UInt8"),
    "huge": pd.Series([1, None, 2**64 - 1], dtype="UInt64"),
    "list": pd.Series([["a", "b"], None, []]),
    "struct": pd.Series([{"a": 1, "b": "x"}, None, {"a": 2}]),
    "nothing": pd.Series([None, None, None]),
}
SPOKEN = {
    "text": ("a", "c"),
    "whole": ("1", "3"),
    "number": ("1.5", "-0.25"),
    "money": ("1.50", "-0.25"),
    "day": ("2026-01-31", "0001-01-01"),
    "at": ("2026-01-31 12:00:00.123456", "1999-12-31 00:00:00"),
    "lasted": ("1 day, 0:00:00", "0:00:01"),
    "time": ("01:02:03", "00:00:00"),
    "month": ("2026-01", "1999-12"),
    "kind": ("x", "y"),
    "flag": ("true", "false"),
    "small": ("1", "255"),
    "huge": ("1", "18446744073709551615"),
    "list": ('["a","b"]', "[]"),
}


def test_values_of_every_kind_are_asked_as_texts(ask: Ask) -> None:
    frame = pd.DataFrame(TYPED)
    found = ask(frame, "|".join(f"{{{name}}}" for name in SPOKEN))
    assert found.answer[0] == "|".join(said for said, _ in SPOKEN.values())
    assert found.answer[2] == "|".join(said for _, said in SPOKEN.values())
    assert found.error[1]["kind"] == "null_prompt"


def test_columns_that_are_not_asked_about_may_be_anything(on_spark: Ask) -> None:
    frame = pd.DataFrame(TYPED).assign(odd=[object(), 1, "x"])
    found = on_spark(frame, "{struct.a} {zoned}")
    pd.testing.assert_frame_equal(found[list(frame.columns)], frame)
    assert [answer and answer[:2] for answer in found.answer] == ["1 ", None, "2 "]
    with pytest.raises(DefinitionError, match=r"data: column 'odd' cannot be read: .* Make its values all of one kind"):
        on_spark(frame, "{odd}")


@pytest.mark.parametrize(
    ("names", "on"),
    [
        (["whole"], "on_spark"),
        (["day"], "on_spark"),
        (["at"], "on_spark"),
        (["flag"], "on_spark"),
        (["text", "small"], "on_spark"),
        (["money"], "on_warehouse"),
        (["zoned", "kind"], "on_warehouse"),
    ],
    ids=str,
)
def test_keys_of_every_kind_find_their_rows(request: pytest.FixtureRequest, names: list[str], on: str) -> None:
    ask = request.getfixturevalue(on)
    frame = pd.DataFrame(TYPED).dropna(subset=names).assign(said=["first", "last"])
    found = ask(frame, "{said}", key=names, outputs=f"main.test.asked_by_{'_'.join(names)}")
    assert list(found.answer) == ["first", "last"]


def test_a_frame_without_rows_comes_back_without_rows(ask: Ask, bench: Bench) -> None:
    found = ask(pd.DataFrame({"text": pd.Series([], dtype="object")}), "{text}")
    assert list(found.columns) == ["text", *OUTPUT_COLUMNS]
    assert len(found) == 0
    assert calls(bench) == 0


NAMES = some.text(some.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)
TEXTS = some.text(some.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=30)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    name=NAMES,
    rows=some.lists(some.tuples(TEXTS, some.sampled_from(["x", "y"])), min_size=1, max_size=6),
)
def test_any_column_with_any_text_is_asked_as_it_is(on_spark: Ask, name: str, rows: list[tuple[str, str]]) -> None:
    other = "other" if name.lower() != "other" else "more"
    frame = pd.DataFrame(rows, columns=[name, other])
    placeholder = "{`" + name.replace("`", "``") + "`}"
    found = on_spark(frame, f"|{placeholder}|{{{other}}}", name="any_column", outputs="main.test.asked_any")
    assert list(found.answer) == [f"|{text}|{letter}" for text, letter in rows]


# What goes wrong


def test_rows_that_fail_say_why(on_spark: Ask, bench: Bench) -> None:
    bench.behave(faults=[{"match": "bad", "status": 400}])
    found = on_spark(pd.DataFrame({"text": ["good", "bad"]}), "A {text} row")
    assert list(found.outcome) == ["ok", "error"]
    assert found.error[1]["kind"] == "bad_request"
    bench.behave()
    assert list(on_spark(pd.DataFrame({"text": ["good", "bad"]}), "A {text} row").answer) == ["A good row", "A bad row"]


def test_an_answer_to_an_earlier_question_is_none_to_this_one(on_spark: Ask, bench: Bench) -> None:
    def asked(text: str, **how: Any) -> tuple[object, object]:
        found = on_spark(
            pd.DataFrame({"id": [1], "text": [text]}), "{text}", key="id", outputs="main.test.asked_twice", **how
        )
        return found.outcome[0], found.answer[0]

    assert asked("first") == ("ok", "first")
    bench.behave(faults=[{"match": "second", "status": 400}])
    assert asked("second") == (None, None), "the outputs keep the first answer, which is to another text"
    assert asked("second", only_new=True) == ("ok", "first"), "which is what was asked for"


def test_a_run_that_stops_is_an_error_and_the_same_call_goes_on(ask: Ask, bench: Bench) -> None:
    frame = pd.DataFrame({"text": [f"stopping {n}" for n in range(30)]})
    bench.behave(faults=[{"match": "stopping 1", "status": 400}])
    with pytest.raises(
        RunError, match=r"stopped.*\n.* answers are kept in main\.rowcall\.stopping; the same call"
    ) as told:
        ask(frame, "{text}", name="stopping", concurrency=2, limits={"max_failures": 3})
    assert "asked_" not in str(told.value)
    bench.behave()
    assert list(ask(frame, "{text}", name="stopping").answer) == list(frame.text)
    assert bench.figures()["answered"] == 30, "what was answered is not asked again"


def test_nothing_of_the_rows_stays_but_the_answers(on_spark: Ask, options: Options) -> None:
    journals = FolderJournals(options.home / "journal")
    killed, waiting = (journals.recipe("tidy.rows", name)() for name in ("rowcall_rows_killed", "rowcall_rows_waiting"))
    for other in (killed, waiting):
        other.write_note("rows", "")
        other.write_record("rows", pa.table({"text": ["a secret"]}))
    (note,) = Path(killed.place).glob("notes/rows")
    os.utime(note, (0, 0))
    on_spark(pd.DataFrame({"text": ["a secret"]}), "{text}", name="tidy")
    assert journals.runs("tidy.rows") == ["rowcall_rows_waiting"], (
        "another call, which waits for this one, needs its rows"
    )


def test_an_empty_list_has_nothing_to_ask(on_spark: Ask, bench: Bench) -> None:
    assert on_spark([], "{text}") == []
    assert calls(bench) == 0


@pytest.mark.parametrize(
    ("data", "how", "said"),
    [
        (
            {"id": [1, 1], "text": ["a", "b"]},
            {"key": "id"},
            r"rowcall\.ask: key: id stands for different requests in 1 case, such as 1\.",
        ),
        ({"id": pd.array([1, None], "Int64"), "text": ["a", "b"]}, {"key": "id"}, r"rowcall\.ask: key: .*NULL"),
        (
            {"id": [1.5], "text": ["a"]},
            {"key": "id"},
            r"rowcall\.ask: key: column 'id' is double; .* Change it in the data first",
        ),
        ({"id": [1], "text": [b"a"]}, {}, r"rowcall\.ask: prompt: column 'text' is BINARY"),
    ],
)
def test_what_the_rows_do_not_allow_is_told_before_anything_is_asked(
    on_spark: Ask, bench: Bench, data: Any, how: Any, said: str
) -> None:
    with pytest.raises(DefinitionError, match=said):
        on_spark(pd.DataFrame(data), "{text}", **how)
    assert calls(bench) == 0


def test_where_no_table_may_be_made_another_can_be_named(on_warehouse: Ask, bench: Bench) -> None:
    create = "CREATE TABLE IF NOT EXISTS `main`.`rowcall`.`mine`"
    refused = {"match": create, "error": "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: CREATE TABLE"}
    control(bench.sandbox, "PUT", "warehouse", {"faults": [refused]})
    said = r"INSUFFICIENT_PERMISSIONS(.|\n)*\n  Answers are kept in main\.rowcall\.mine\. .* name a table of yours: outputs="
    try:
        with pytest.raises(RunError, match=said):
            on_warehouse([{"text": "a"}], "{text}", name="mine")
    finally:
        control(bench.sandbox, "PUT", "warehouse", {"faults": []})
    assert calls(bench) == 0


# Looking back


def test_the_run_of_an_ask_is_the_last_of_its_job(on_spark: Ask, options: Options, house: Lakehouse) -> None:
    on_spark(pd.DataFrame({"text": ["a", "b"]}), "{text}", name="looked_at")
    run = rowcall.last_run("looked_at", options=options, spark=house.spark)
    assert (run.status, run.ok, run.outputs.count()) == ("done", 2, 2)
    assert run.seconds >= 0
    report = run.report()
    assert "looked_at" in report.html
    assert report.save(options.home / "page.html").read_text() == report.html
    assert "<iframe sandbox srcdoc=" in report._repr_html_()
    with pytest.raises(RunError, match=r"main\.rowcall\.runs has no run of job nobody"):
        rowcall.last_run("nobody", options=options, spark=house.spark)
