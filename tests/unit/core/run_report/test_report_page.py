"""What a report says, for every way a run may end."""

from dataclasses import replace
from typing import Any

import pytest

from rowcall.core.run_report.found import Found
from rowcall.core.run_report.latency import latencies
from rowcall.core.run_report.page import Page, make_page
from rowcall.core.run_report.timeline import Clock, timeline

STARTED = 1_795_528_221_000_000
SECOND = 1_000_000_000
FIRST, LAST = STARTED * 1000 + SECOND, STARTED * 1000 + 11 * SECOND


def run(**changes: Any) -> dict[str, Any]:
    """A row of the runs table: 10 requests of 12 rows, 8 ok."""
    row: dict[str, Any] = {
        "run_id": "20261124-135019-d37f",
        "job": "triage",
        "status": "done",
        "message": None,
        "engine": "responses",
        "endpoint": "app agent",
        "outputs_table": "main.demo.out",
        "traces_table": "main.rowcall.traces",
        "definition_hash": "abc",
        "concurrency": 4,
        "tasks": 1,
        "source_rows": 12,
        "duplicate_rows": 2,
        "answered_rows": 0,
        "pending_rows": 10,
        "asked": 10,
        "ok": 8,
        "failed": 2,
        "retries": 3,
        "failures": {"rate_limited": 1, "refused": 1},
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost": 0.5,
        "currency": "USD",
        "started_us": STARTED,
        "ended_us": STARTED + 12_500_000,
        "now_us": STARTED + 30_000_000,
        "rowcall_version": "0.1.0",
        "statement_ids": [],
        "context": {"git_commit": "abcdef"},
        "cached_tokens": 400,
        "reasoning_tokens": 50,
        "slot_seconds": {"asking": 30.0, "backing_off": 10.0, "client_cpu": 2.0},
        "bound_by": "the endpoint's answers, 75 % of slot time",
    }
    return {**row, **changes}


UNDER_WAY = {"status": "running", "ended_us": None, "asked": 0, "ok": 0, "failed": 0, "failures": {}, "cost": None}
NOTHING = {
    "pending_rows": 0,
    "asked": 0,
    "ok": 0,
    "failed": 0,
    "failures": {},
    "input_tokens": 0,
    "output_tokens": 0,
    "cost": None,
}


def found() -> Found:
    def ended(outcome: str, kind: str | None, calls: int, example: str = "") -> dict[str, Any]:
        return {
            "outcome": outcome,
            "kind": kind,
            "calls": calls,
            "first_started": FIRST,
            "last_ended": LAST,
            "example": example,
        }

    def attempts(kind: str | None, status: int, count: int) -> dict[str, Any]:
        return {"kind": kind, "http_status": status, "attempts": count, "seconds": count * 2.0, "example": "slow down"}

    clock = Clock(STARTED * 1000, SECOND, 12)
    return Found(
        outcomes=[
            ended("ok", None, 8),
            ended("error", "rate_limited", 1, "gave up"),
            ended("refused", None, 1, "not that"),
        ],
        exchanges=[attempts(None, 200, 9), attempts("rate_limited", 429, 4)],
        timeline=timeline([{"bucket": 5, "ok": 8, "not_ok": 2, "more": 0, "more_seconds": 0.5}], clock),
        latencies=latencies([{"step": 450, "calls": 10, "fastest": SECOND, "slowest": SECOND}]),
    )


def tile(page: Page, name: str) -> tuple[str, str]:
    return next((tile.value, tile.note) for tile in page.tiles if tile.name == name)


def test_a_run_that_went_to_its_end() -> None:
    page = make_page(run(), found())
    assert page.sentence == "8 of 10 requests were answered by app agent in 12 s; 2 failed: 1 rate limited, 1 refused."
    assert page.when == "24 November 2026, 13:50:21 to 13:50:33 UTC"
    assert tile(page, "asked") == ("10", "of 12 rows: 2 duplicates")
    assert tile(page, "ok") == ("8", "80 % of those asked")
    assert tile(page, "failed") == ("2", "1 rate limited, 1 refused")
    assert tile(page, "answers a second") == ("1.0", "while asking, which took 10 s")
    assert tile(page, "calls in flight") == ("2.6", "of 4, on average while asking")
    assert tile(page, "tokens") == ("1,200", "1,000 in, 200 out")
    assert tile(page, "cost") == ("0.5000 USD", "0.0500 USD a request")
    assert page.bound_by == "the endpoint's answers, 75 % of slot time"
    assert (page.missing, page.message) == ("", "")


def test_a_limit_that_was_raised_meanwhile_is_not_that_of_the_plan() -> None:
    page = make_page({**run(), "concurrency": 2}, found())
    assert tile(page, "calls in flight") == ("2.6", "of 2 as planned, raised meanwhile, on average while asking")


def test_what_went_wrong_is_told_by_kind_with_an_example() -> None:
    page = make_page(run(), found())
    told = [(each.name, each.lost, each.attempts, each.statuses, each.example) for each in page.troubles]
    assert told == [("rate_limited", 1, 4, (429,), "gave up"), ("refused", 1, 0, (), "not that")]
    assert page.attempts.startswith("4 of 13 attempts failed (31 %); 3 were made because")
    assert [(share.name, share.amount) for share in page.endings] == [
        ("ok", "8"),
        ("rate limited", "1"),
        ("refused", "1"),
    ]


def test_the_time_of_slots_is_told_in_states() -> None:
    page = make_page(run(), found())
    assert [(share.name, share.percent, share.amount) for share in page.states] == [
        ("asking", 75.0, "30 s"),
        ("backing off", 25.0, "10 s"),
    ]
    assert all(share.about for share in page.states)


def test_tokens_say_what_was_cached_and_what_was_reasoning() -> None:
    assert make_page(run(), found()).tokens == [
        ("input", "1,000", "100"),
        ("of them from the endpoint's cache", "400", "40"),
        ("output", "200", "20"),
        ("of them for reasoning", "50", "5"),
        ("cost", "0.5000 USD", "0.0500 USD"),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"failures": {}, "ok": 10, "failed": 0}, "All 10 requests were answered by app agent in 12 s."),
        ({"failures": {}, "ok": 1, "asked": 1, "failed": 0}, "1 request was answered by app agent in 12 s."),
        (
            {"status": "stopped", "message": "limits.deadline"},
            "The run was stopped after 12 s; 8 of 10 requests had an answer by then; 2 failed: 1 rate limited, 1 refused.",
        ),
        (
            {"status": "failed", "ok": 0, "asked": 0, "failed": 0, "failures": {}},
            "The run failed after 12 s; 0 of 10 requests had an answer by then.",
        ),
        (
            {"status": "interrupted", "failures": {}, "ok": 10},
            "The run was interrupted after 12 s; 10 of 10 requests had an answer by then.",
        ),
        ({**NOTHING, "answered_rows": 12}, "There was nothing to ask: all 12 rows had their answer already."),
        ({**NOTHING, "source_rows": 0}, "There was nothing to ask: the prompt table has no rows that the job wants."),
    ],
)
def test_every_end_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert make_page(run(**changes), Found((), ())).sentence == sentence


def test_a_run_under_way_is_counted_from_its_traces() -> None:
    page = make_page(run(**UNDER_WAY), found())
    assert page.sentence == "The run goes on: 8 of 10 requests have a published answer."
    assert tile(page, "asked") == ("10", "of 10, as far as published; rowcall ctl tells the rest")
    assert tile(page, "wall time") == ("30 s", "so far")
    assert tile(page, "cost") == ("–", "told when the run is over")
    assert page.when == "begun 24 November 2026, 13:50:21 UTC"


def test_a_run_that_has_just_begun_says_so() -> None:
    page = make_page(run(**UNDER_WAY), Found((), ()))
    assert page.missing == "No answer has been published yet."
    assert (page.timeline, page.latencies, page.percentiles) == (None, None, ())
    assert tile(page, "answers a second") == ("–", "no calls")
    assert tile(page, "wall time") == ("30 s", "so far")


@pytest.mark.parametrize("traces", [None, Found((), ())])
def test_without_its_traces_a_run_is_told_from_the_runs_table(traces: Found | None) -> None:
    page = make_page(run(), traces)
    assert "main.rowcall.traces" in page.missing
    assert tile(page, "ok") == ("8", "80 % of those asked")
    assert (page.timeline, page.latencies, page.slowest, page.troubles) == (None, None, (), ())
    assert page.plan


def test_statements_of_ai_query_take_the_place_of_latencies() -> None:
    wave = {"wave": 1, "statement_id": None, "asked": 10, "failed": 2, "started": FIRST, "ended": FIRST + 5 * SECOND}
    asked = Found(found().outcomes, found().exchanges, waves=[wave])
    page = make_page(
        run(engine="ai_query", concurrency=None, tasks=None, input_tokens=0, output_tokens=0, cost=None), asked
    )
    assert [(each.asked, each.failed, each.took, each.a_second) for each in page.waves] == [("10", "2", "5.0 s", "2.0")]
    assert tile(page, "statements")[0] == "1"
    assert tile(page, "tokens") == ("–", "ai_query tells none")
    assert (page.latencies, page.slowest, page.tokens, page.attempts) == (None, (), [], "")


def test_a_run_of_an_earlier_version_lacks_its_newer_columns() -> None:
    older = dict.fromkeys(("slot_seconds", "bound_by", "cached_tokens", "reasoning_tokens", "context", "statement_ids"))
    page = make_page(run(**older), found())
    assert (page.states, page.bound_by) == ([], "")
    assert page.tokens[1] == ("of them from the endpoint's cache", "–", "")


@pytest.mark.parametrize(
    ("changes", "tokens", "cost"),
    [
        ({"ok": 0}, "the endpoint told none", "the endpoint told no tokens"),
        ({"currency": None}, "the endpoint told none", "the job names no price"),
        ({"asked": 0, "ok": 0, "failures": {}}, "nothing was asked to the end", "nothing was asked to the end"),
        ({"status": "running", "ended_us": None}, "told when the run is over", "told when the run is over"),
    ],
)
def test_why_there_are_no_tokens_and_no_cost(changes: dict[str, Any], tokens: str, cost: str) -> None:
    page = make_page(run(**{"input_tokens": None, "output_tokens": None, "cost": None, **changes}), Found((), ()))
    assert (tile(page, "tokens"), tile(page, "cost")) == (("–", tokens), ("–", cost))


def test_one_more_attempt_was_made() -> None:
    answered, turned_away = found().exchanges
    page = make_page(run(), replace(found(), exchanges=[{**answered, "attempts": 7}, turned_away]))
    assert "; 1 was made because" in page.attempts


def test_rows_add_up_where_a_limit_left_some() -> None:
    limited = run(source_rows=200, duplicate_rows=0, pending_rows=100, context=[("rows_left_for_later", "100")])
    page = make_page(limited, found())
    assert tile(page, "asked") == ("10", "of 200 rows: 100 left for later")
    facts = dict(page.plan)
    said = "200 in the prompt table, 0 with the request of another, 0 answered before, 100 requests to ask"
    assert facts["rows"] == f"{said}, 100 left for a later run"
    assert "rows left for later" not in facts


def test_a_run_that_is_no_more_and_has_no_end() -> None:
    page = make_page(run(**UNDER_WAY, input_tokens=0, output_tokens=0), found(), cut_off=True)
    said = "The run was cut off: 8 of 10 requests have a published answer. The next run of the job publishes what else it left."
    assert (page.status, page.sentence) == ("cut off", said)
    assert tile(page, "asked") == ("10", "of 10, as far as published")
    assert tile(page, "wall time") == ("11 s", "up to the last published answer")
    assert (tile(page, "tokens"), tile(page, "cost")) == (("–", "told by the next run"), ("–", "told by the next run"))


def test_an_interrupted_run_lasted_up_to_its_last_sign_of_life() -> None:
    assert tile(make_page(run(status="interrupted"), found()), "wall time") == ("12 s", "up to its last sign of life")


def test_a_run_over_midnight_says_both_days() -> None:
    assert make_page(run(ended_us=STARTED + 40_000_000_000), found()).when.endswith(
        "13:50:21 to 25 November, 00:57:01 UTC"
    )
