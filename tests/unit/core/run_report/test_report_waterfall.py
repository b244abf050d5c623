"""Where the time of a slow row went."""

import json
from typing import Any

from rowcall.core.run_report.waterfall import MOST_STRIPS, key_text, question_of, slow_rows

MS = 1_000_000
ZERO = 1_795_387_458_000 * MS


def span(
    own: str, parent: str | None, name: str, start: float, end: float, failed: str = "", **said: object
) -> dict[str, Any]:
    """A row of the statement; times in milliseconds."""
    return {
        "trace_id": "a" * 32,
        "span_id": own,
        "parent_span_id": parent,
        "name": name,
        "start_time_unix_nano": ZERO + int(start * MS),
        "end_time_unix_nano": ZERO + int(end * MS),
        "attributes": json.dumps(said) if said else None,
        "events": None,
        "status": {"message": failed, "code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK"},
    }


def story() -> list[dict[str, Any]]:
    root = {
        "rowcall.outcome": "ok",
        "rowcall.answer": "fine",
        "rowcall.request": '{"messages": [{"content": "How is it?"}]}',
    }
    turned_away = {"http.response.status_code": 429, "error.type": "rate_limited"}
    waited = {"http.response.status_code": 200, "rowcall.waited_for": "quota"}
    return [
        span("c", None, "invoke_agent x", 0, 1000, **root),
        span("1", "c", "attempt 1", 0, 100, "slow down", **turned_away),
        span("2", "c", "attempt 2", 600, 1000, **waited),
        span("t", "2", "look_up", 700, 900),
    ]


def test_a_call_is_told_by_attempts_waits_and_the_agents_spans() -> None:
    (row,) = slow_rows(story(), [{"trace_id": "a" * 32, "key": '{"id": 7}'}])
    told = [(strip.kind, strip.depth, strip.left, strip.width, strip.failed) for strip in row.strips]
    assert told == [
        ("call", 0, 0, 100, False),
        ("attempt", 1, 0, 10, True),
        ("wait", 1, 10, 50, False),
        ("attempt", 1, 60, 40, False),
        ("agent", 2, 70, 20, False),
    ]
    assert [strip.note for strip in row.strips] == [
        "",
        "HTTP 429 · rate_limited",
        "the endpoint's rate limit is waited out",
        "HTTP 200",
        "",
    ]
    assert (row.key, row.seconds, row.outcome, row.question, row.answer, row.error) == (
        "7",
        1.0,
        "ok",
        "How is it?",
        "fine",
        "",
    )
    assert row.hidden == 0


def test_bars_stay_inside_the_call_whatever_the_clock_of_the_agent_says() -> None:
    (row,) = slow_rows([*story(), span("x", "2", "skewed", -5000, 90_000), span("y", "2", "later", 8000, 9000)], [])
    assert all(0 <= strip.left <= 100 and 0 <= strip.width <= 100 - strip.left for strip in row.strips)
    assert row.key == "a" * 32


def test_a_call_of_no_time_has_bars() -> None:
    (row,) = slow_rows([span("c", None, "ask", 5, 5)], [])
    assert [(strip.left, strip.width) for strip in row.strips] == [(0, 0)]
    assert row.outcome == ""


def test_many_spans_are_cut_and_counted() -> None:
    (row,) = slow_rows([*story(), *(span(f"s{n}", "2", f"step {n}", 700 + n, 701 + n) for n in range(100))], [])
    assert len(row.strips) == MOST_STRIPS
    assert row.hidden == 105 - MOST_STRIPS


def test_spans_without_their_call_are_left_out() -> None:
    assert slow_rows(story()[1:], []) == []


def test_many_rows_may_want_one_answer() -> None:
    (row,) = slow_rows(story(), [{"trace_id": "a" * 32, "key": json.dumps({"id": n})} for n in range(5)])
    assert row.key == "0 · 1 · 2 · and 2 more"


def test_keys_in_words() -> None:
    assert key_text('{"id": 7, "lang": "en"}') == "id 7, lang en"
    assert key_text('{"id": "x\\ny"}') == "x y"
    assert key_text("no json") == "no json"
    assert len(key_text(json.dumps({"id": "x" * 5000}))) == 120


def test_the_question_is_the_last_message_or_the_request_as_it_is() -> None:
    assert question_of('{"messages": [{"content": "a"}, {"content": "b"}]}') == "b"
    assert question_of('{"messages": [{"content": ["parts"]}]}') == '{"messages": [{"content": ["parts"]}]}'
    assert question_of('{"messages": []}') == '{"messages": []}'
    assert question_of('{"inputs": {"x": 1}}') == '{"inputs": {"x": 1}}'
    assert question_of("cut off {") == "cut off {"


def test_texts_of_a_megabyte_are_shortened() -> None:
    root = {"rowcall.answer": "y" * 1_000_000, "rowcall.request": "x" * 1_000_000}
    (row,) = slow_rows([span("c", None, "ask", 0, 5, "z" * 1_000_000, **root)], [])
    assert max(map(len, (row.question, row.answer, row.error))) == 400
