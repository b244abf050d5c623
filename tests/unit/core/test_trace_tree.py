"""The tree of one row's story, whatever spans there are."""

import json
from typing import Any

from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply
from rowcall.core.spans import call_spans
from rowcall.core.trace_tree import Node, trace_tree
from span_cases import CONTEXT, START, call, raw_span, trace_of

MS = 1_000_000
LIMITED = CallError(ErrorKind.RATE_LIMITED, "slow down", 429)
TWICE = (
    Attempt(1, START + 3 * MS, START + 5 * MS, waited=0.003, waited_for="rate", status=429, error=LIMITED),
    Attempt(2, START + 25 * MS, START + 65 * MS, waited=0.02, waited_for="quota", status=200),
)


def tree(spans: list[dict[str, Any]], overflow: list[dict[str, Any]] | None = None) -> Node:
    made = trace_tree(spans, overflow or [])
    assert made is not None
    return made


def story(trace: object = None, attempts: tuple[Attempt, ...] = TWICE) -> Node:
    text = None if trace is None else json.dumps(trace)
    made = call(Reply(Outcome.OK, "fine", trace=text), attempts)
    return tree(call_spans(made, "request", CONTEXT))


def test_waits_and_attempts_follow_one_another() -> None:
    call_node = story()
    assert [(node.kind, node.name, node.offset_ms, node.duration_ms) for node in call_node.children] == [
        ("wait", "rate", 0.0, 3.0),
        ("attempt", "attempt 1", 3.0, 2.0),
        ("wait", "quota", 5.0, 20.0),
        ("attempt", "attempt 2", 25.0, 40.0),
    ]
    assert call_node.children[1].error == "slow down"
    assert call_node.error is None


def test_what_is_shorter_than_a_millisecond_is_no_wait() -> None:
    attempts = (Attempt(1, START, START + 5 * MS), Attempt(2, START + 5 * MS + 999_999, START + 9 * MS))
    assert [node.kind for node in story(attempts=attempts).children] == ["attempt", "attempt"]


def test_a_wait_without_a_reason_was_for_its_turn() -> None:
    (wait, _) = story(attempts=(Attempt(1, START + 9 * MS, START + 10 * MS),)).children
    assert (wait.kind, wait.name) == ("wait", "its turn")


def test_the_agents_spans_are_in_the_order_of_time_under_their_parents() -> None:
    late = raw_span("AAAAAAAAAAE=", "2LrGX9p18sw=", name="late", start_time_unix_nano=START + 60 * MS)
    early = raw_span("AAAAAAAAAAI=", "2LrGX9p18sw=", name="early", start_time_unix_nano=START + 30 * MS)
    agent = raw_span(start_time_unix_nano=START + 29 * MS, end_time_unix_nano=START + 64 * MS)
    (node,) = story(trace_of(late, agent, early)).children[-1].children
    assert (node.name, node.offset_ms, node.duration_ms) == ("agent", 29.0, 35.0)
    assert [(child.name, child.offset_ms) for child in node.children] == [("early", 30.0), ("late", 60.0)]


def test_events_have_their_times() -> None:
    event = {"name": "exception", "time_unix_nano": START + 31 * MS, "attributes": {"exception.type": "E"}}
    (node,) = story(trace_of(raw_span(events=[event]))).children[-1].children
    assert [(seen.name, seen.offset_ms, seen.attributes) for seen in node.events] == [
        ("exception", 31.0, {"exception.type": "E"})
    ]


def test_a_span_without_its_parent_hangs_under_the_call() -> None:
    spans = call_spans(call(), "request", CONTEXT)
    lost = {**spans[1], "span_id": "00000000000000aa", "parent_span_id": "00000000000000ff", "name": "lost"}
    lost["start_time_unix_nano"] += 1
    assert [node.name for node in tree([*spans, lost]).children] == ["attempt 1", "lost"]


def test_without_the_call_there_is_no_story() -> None:
    assert trace_tree([]) is None
    assert trace_tree(call_spans(call(), "request", CONTEXT)[1:]) is None


def test_texts_of_the_journal_replace_those_that_were_cut() -> None:
    spans = call_spans(call(), "cut…", CONTEXT)
    whole = [{"span_id": spans[0]["span_id"], "attribute": "rowcall.request", "text": "whole"}]
    assert tree(spans, whole).attributes["rowcall.request"] == "whole"
    assert tree(spans).attributes["rowcall.request"] == "cut…"


def test_a_long_line_of_spans_is_a_tree_that_can_be_written_as_json() -> None:
    spans = [raw_span(f"{n + 1:016x}", f"{n:016x}" if n else None) for n in range(500)]
    deep = json.dumps(story(trace_of(*spans)).as_json())
    assert deep.count('"kind": "agent"') == 500
