"""What people see, and what a server cannot make them see."""

import datetime as dt
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rowcall import api, console
from rowcall.adapters.packaged import sql_texts
from rowcall.api import Planned
from rowcall.cli_options import run_said, runs_said, where_said
from rowcall.console_compare import print_comparison, print_costs
from rowcall.core import report
from rowcall.core.comparison import Change, Comparison, Taken
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.estimate import estimate
from rowcall.core.listing import statements_of
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, Progress, RowCounts
from rowcall.core.report import RunRow, Tally
from support import make_job

HOSTILE = "[red]red[/red] \x1b[2J\x1b]0;title\x07 \x9b31m \r\x08 \u202egnorw\u2066 \ud800 [/] [link=http://x]x[/link]"


def plan(counts: RowCounts | None = None, **more: Any) -> RunPlan:
    job = {
        "job": "review_triage",
        "prompts": {"table": "main.sales.reviews", "key": "id"},
        "request": {"input": "{text}"},
        "endpoint": {"app": "triage", "price": {"input": 2, "output": 8}},
        "engine": {"concurrency": 64, "tasks": 2},
        "outputs": {"table": "main.sales.answers"},
        **more,
    }
    definition = JobDefinition.model_validate(job)
    columns = (Column("id", "bigint"), Column("text", "string"))
    endpoint = EndpointFacts("https://agent.test")
    facts = Facts(columns, None, endpoint, "Spark 4.0", executors=True, parallel=True)
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
    counts = counts or RowCounts(source=12_480, duplicates=310, answered=9_900, pending=2_270, input_chars=2_000_000)
    return make_plan(definition, bind(definition, facts, sql_texts(), options), facts, counts, options)


def planned(made: RunPlan, preview: list[dict[str, object]] | None = None) -> Planned:
    return Planned(made, preview or [], estimate(made, {}))


def run_row(total: Tally, status: report.Status = "done", message: str | None = None, **more: Any) -> RunRow:
    begun = report.started(plan(**more), 0, "1.0", {})
    return report.ended(begun, status, message, total, 182_000_000)


def terminal() -> Console:
    """A wide terminal that records what is written to it."""
    return Console(file=io.StringIO(), force_terminal=True, width=250, color_system=None)


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def assert_harmless(shown: str) -> None:
    """No control character but the line feed, no change of direction, nothing that UTF-8 cannot hold."""
    shown.encode()
    assert not [char for char in shown if char != "\n" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0)]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029")


class TestHeadline:
    def test_says_what_is_asked_how_and_how_much(self) -> None:
        assert console.headline(plan()) == (
            "review_triage · app triage · responses, 64 at once (2 tasks × 32) · "
            "12,480 rows: 310 duplicates, 9,900 answered, 2,270 to ask"
        )

    def test_leaves_out_what_there_is_none_of_and_knows_one(self) -> None:
        made = plan(RowCounts(source=2, duplicates=1, pending=1))
        assert console.headline(made).endswith("64 at once (1 task × 64) · 2 rows: 1 duplicate, 1 to ask")

    def test_an_empty_table(self) -> None:
        assert console.headline(plan(RowCounts())).endswith("0 rows: nothing to ask")


class TestProgressLine:
    def test_says_rate_and_time_left(self) -> None:
        progress = Progress(asked=480, ok=470, failed=10, in_flight=64, input_tokens=1000, output_tokens=500)
        said = console.progress_line(progress, plan(), 10.0)
        assert said == "ok 470  failed 10  in flight 64  48/s  37 s left  1,500 tokens"

    @pytest.mark.parametrize("seconds", [0.0, 5.0])
    def test_before_the_first_answer_nothing_is_guessed(self, seconds: float) -> None:
        said = console.progress_line(Progress(in_flight=3), plan(), seconds)
        assert said == "ok 0  failed 0  in flight 3  0/s"

    def test_of_a_paused_run_nobody_knows_how_long_it_takes(self) -> None:
        said = console.progress_line(Progress(asked=480, ok=480, paused=2), plan(), 10.0)
        assert said == "ok 480  failed 0  in flight 0  48/s  paused"

    def test_says_why_it_stops(self) -> None:
        said = console.progress_line(Progress(stop="x" * 100), plan(), 1.0)
        assert said.endswith(f"stopping: {'x' * 80}")


class TestSummary:
    def shown(self, row: RunRow) -> list[str]:
        on = terminal()
        console.print_summary(on, row, "rowcall run jobs/review_triage.yml")
        return written(on).splitlines()

    def test_of_a_run_with_failures(self) -> None:
        total = Tally(2270, 2259, 40, {"rate_limited": 2, "refused": 9}, 1_000_000, 200_000, 0.66)
        assert self.shown(run_row(total)) == [
            "✔ 2,270 asked · 2,259 ok · 9 refused · 2 rate_limited · 40 retries · 1,200,000 tokens · 3 m 02 s · 0.6600 USD",
            "  answers main.sales.answers   traces main.rowcall.traces   run 20261123-060000-ab12",
            "  next: rowcall failures 20261123-060000-ab12   ·   "
            "rowcall run jobs/review_triage.yml asks only the 11 that are left",
        ]

    def test_of_a_run_that_answered_everything(self) -> None:
        shown = self.shown(run_row(Tally(2270, 2270, 1)))
        assert shown[0] == "✔ 2,270 asked · 2,270 ok · 1 retry · 3 m 02 s"
        assert len(shown) == 2

    def test_of_a_run_that_stopped(self) -> None:
        shown = self.shown(run_row(Tally(2269, 2269), "stopped", "2 EUR spent"))
        assert shown[0].startswith("■ ")
        assert shown[1] == "  stopped: 2 EUR spent"
        assert shown[-1] == "  next: rowcall run jobs/review_triage.yml asks only the 1 that is left"

    def test_what_is_next_has_the_options_that_were_given(self) -> None:
        on, row = terminal(), run_row(Tally(2269, 2268, 0, {"timeout": 1}))
        where = where_said(Path("my home"), None, True, None)
        again = run_said(Path("a job.yml"), where, ["out=o 2"], "fast", only_new=True)
        console.print_summary(on, row, again, f" --table prod.rowcall.runs{where}")
        assert written(on).splitlines()[-1] == (
            "  next: rowcall failures 20261123-060000-ab12 --table prod.rowcall.runs --sandbox --home 'my home'   ·   "
            "rowcall run 'a job.yml' --var 'out=o 2' --endpoint fast --only-new --sandbox --home 'my home' "
            "asks only the 2 that are left"
        )

    @pytest.mark.parametrize(
        ("outputs", "option"),
        [
            ("main.x.y", ""),
            ("prod.x.y", " --table prod.rowcall.runs"),
            ("`my c`.x.y", " --table '`my c`.rowcall.runs'"),
        ],
    )
    def test_a_runs_table_that_is_not_the_usual_one_is_named(self, outputs: str, option: str) -> None:
        assert runs_said(api.load_job(make_job("a", outputs={"table": outputs}, runs={}))) == option

    def test_a_message_cannot_pass_for_a_summary(self) -> None:
        shown = self.shown(run_row(Tally(), "failed", "oops\n✔ 10 asked · 10 ok"))
        assert [line for line in shown if line.startswith(("✔", "✘"))] == ["✘ 0 asked · 0 ok · 3 m 02 s"]


class TestPlan:
    def shown(self, made: RunPlan, preview: list[dict[str, object]] | None = None, *, statements: bool = False) -> str:
        on = terminal()
        console.print_plan(on, planned(made, preview), statements=statements)
        return written(on)

    def test_says_every_decision_and_why(self) -> None:
        shown = " ".join(self.shown(plan()).split())
        for said in (
            "endpoint app triage at https://agent.test/responses",
            "in flight 2 × 32 = 64 of at most 64",
            "rows 12,480 source = 310 duplicate + 9,900 answered + 2,270 pending",
            "input tokens 333,333 500,000 1,000,000 4 characters a token",
            "output tokens 0 ? ? not known before answers are there",
            "cost 0.6667 USD ? ? the tokens above times endpoint.price",
            "answers main.sales.answers traces main.rowcall.traces runs main.rowcall.runs",
        ):
            assert said in shown

    def test_shows_every_statement_only_when_asked(self) -> None:
        assert "MERGE INTO" not in self.shown(plan())
        shown = self.shown(plan(), statements=True)
        for name, _ in statements_of(plan()):
            assert f"-- {name}\n" in shown
        assert shown.count("MERGE INTO") == 5

    def test_previews_requests_as_they_are_sent(self) -> None:
        request = '{"messages": [{"role": "user", "content": "How\\n  is [b]it[/b]?"}], "parameters": {"n": 1}}'
        rows: list[dict[str, object]] = [
            {"key": {"id": 7, "part": "a"}, "request": request},
            {"key": {"id": 8, "part": "b"}, "request": None},
        ]
        shown = self.shown(plan(), rows)
        assert '▸ 7, a\n  user: How is [b]it[/b]?\n  parameters: {"n": 1}' in shown
        assert "▸ 8, b\n  not asked: the prompt is NULL" in shown

    def test_as_json(self) -> None:
        said: dict[str, Any] = console.plan_json(planned(plan()))
        assert said["rows"] == {"source": 12_480, "duplicates": 310, "answered": 9_900, "pending": 2_270}
        assert (said["tasks"], said["calls_per_task"]) == (2, 32)
        assert said["estimate"]["input_tokens"]["interval"] == {
            "low": pytest.approx(333_333.3, abs=0.1),
            "expected": 500_000,
            "high": 1_000_000,
        }


class TestRows:
    def shown(self, rows: list[dict[str, object]], columns: list[str], title: str = "") -> str:
        on = terminal()
        console.print_rows(on, rows, columns, title)
        return written(on)

    def test_cells_read_as_people_write(self) -> None:
        when = dt.datetime(2026, 11, 23, 6, 0, 1, 999, tzinfo=dt.UTC)
        error = {"kind": "timeout", "status": None, "message": "too\nslow"}
        lines = self.shown(
            [{"id": 1, "error": error, "at": when, "tags": ["a", "b"], "day": when.date(), "none": None}],
            ["id", "error", "at", "tags", "day", "none"],
        )
        assert "kind timeout  message too slow" in lines
        assert "2026-11-23 06:00:01" in lines
        assert "a, b" in lines
        assert "2026-11-23  " in lines
        assert "None" not in lines

    def test_a_missing_column_is_empty(self) -> None:
        assert "x" in self.shown([{"a": "x"}], ["a", "b"])

    def test_a_long_text_is_cut(self) -> None:
        assert "…" in self.shown([{"a": "x " * 1000}], ["a"])


def test_a_run_is_shown_without_what_says_nothing() -> None:
    on = terminal()
    row = {
        "run_id": "r",
        "failed": 0,
        "statement_ids": [],
        "message": None,
        "cost": 1.2000003,
        "currency": "EUR",
    }
    console.print_run(on, row)
    assert [line.split() for line in written(on).split("\n") if line.strip()] == [
        ["run_id", "r"],
        ["failed", "0"],
        ["cost", "1.20", "EUR"],
    ]


class TestHostileText:
    def everything(self, text: str) -> str:
        """All that can carry somebody else's text, on one terminal."""
        on = terminal()
        made = replace(plan(), description=text, session=text)
        with console.LiveReporter(on) as live:
            live.plan(replace(made, job=text))
            live.step(text)
        console.print_plan(
            on,
            planned(
                made,
                [
                    {
                        "key": {"id": text},
                        "request": json.dumps({"messages": [{"role": text, "content": text}], text: text}),
                    }
                ],
            ),
            statements=True,
        )
        row = run_row(Tally(3, 1, 0, {text: 2}), "failed", text)
        console.print_summary(on, replace(row, outputs_table=text), text)
        console.print_rows(
            on, [{text: text, "error": {"message": text}, "list": [text]}], [text, "error", "list"], text
        )
        return written(on)

    def test_is_shown_as_plain_text(self) -> None:
        shown = self.everything(HOSTILE)
        assert_harmless(shown)
        assert shown.count("[red]red[/red]") >= 10
        assert "[link=http://x]x[/link]" in shown

    def test_on_the_progress_line(self) -> None:
        on = terminal()
        with console.LiveReporter(on) as live:
            live.plan(plan())
            live.progress(Progress(asked=1, failed=1, stop=HOSTILE))
        shown = written(on)
        assert "stopping: [red]red[/red] �[2J�]0;title� �31m ��" in shown
        assert not [code for code in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e", "\ud800") if code in shown]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.6, "1 m 00 s"),
        (182, "3 m 02 s"),
        (3599.6, "1 h 00 m"),
        (3900, "1 h 05 m"),
    ],
)
def test_a_duration_as_people_say_it(seconds: float, said: str) -> None:
    assert console.duration(seconds) == said


def test_away_from_a_terminal_progress_is_quiet() -> None:
    on = Console(file=io.StringIO(), width=250)
    with console.LiveReporter(on) as live:
        live.plan(plan())
        live.step("preparing the tables")
        live.progress(Progress(asked=1, ok=1))
    assert written(on).splitlines() == [console.headline(plan())]


class TestComparison:
    def shown(self, **changes: Any) -> str:
        a = Taken("run-a", 240, 238, 10_000, 0, 4_000, None, 0.5, "EUR", 1250.0, 900, 4000, lost=3)
        b = replace(a, name="topics:fast", cost=None, currency=None, lost=0)
        found = Comparison(
            a,
            b,
            common=240,
            answered=200,
            same=150,
            compared=True,
            fields={"topic": 180},
            changes=(Change("ok", "error", 2), Change("ok", None, 1)),
            examples=({"id": 7, "outcome_a": "ok", "outcome_b": "error", "answer_a": "yes", "answer_b": None},),
        )
        on = terminal()
        print_comparison(on, replace(found, **changes))
        return written(on)

    def test_says_what_each_took_and_how_far_they_agree(self) -> None:
        shown = " ".join(self.shown().split())
        for said in (
            "a run-a b topics:fast",
            "input tokens 10,000 10,000",
            "cost 0.5000 EUR",
            "latency, mean 1.2 s 1.2 s",
            "latency, median 900 ms 900 ms",
            "150 of 200 rows that both answered have the same answer: 75.0 %",
            "topic: 180, 90.0 %",
            "Of run run-a, 3 requests cannot be compared",
            "ok error 2 ok not there 1",
            "▸ 7 a ok yes b error",
        ):
            assert said in shown
        assert "cached" not in shown

    def test_says_why_nothing_agrees(self) -> None:
        assert "different types" in self.shown(compared=False)
        assert "no row that both answered" in self.shown(answered=0, same=0, fields={})

    def test_answers_and_keys_are_harmless(self) -> None:
        row = {"id": HOSTILE, "outcome_a": "ok", "outcome_b": "ok", "answer_a": HOSTILE, "answer_b": HOSTILE}
        assert_harmless(self.shown(examples=(row,)))


def test_costs_are_read_by_people() -> None:
    counts = {"runs": 2, "asked": 1500, "ok": 1400, "input_tokens": 9_000_000, "output_tokens": 5}
    money = {"cost": 1.5, "currency": "EUR", "cost_of_1000_ok": 1.07}
    row = {**counts, "cached_tokens": None, "reasoning_tokens": 0, **money, "job": "x", "endpoint": "app y"}
    on = terminal()
    times = {"first_run": dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "last_run": None}
    print_costs(on, [{**row, **times, "unfinished": ["r-1"]}])
    header, line, _, more = (" ".join(line.split()) for line in written(on).splitlines())
    assert more == "Not counted is what run r-1 took so far: it is counted with the end of the run, or by the next."
    assert header == "job endpoint runs asked ok tokens in cached out reasoning cost 1,000 ok first run last run"
    assert line == "x app y 2 1,500 1,400 9,000,000 5 0 1.50 EUR 1.07 EUR 2026-01-02 03:00:00 UTC"
