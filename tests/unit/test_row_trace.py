"""Finding the row that a key stands for, and how its story looks in a terminal."""

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from rowcall.console_trace import print_story
from rowcall.core.errors import RunError
from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply, Usage
from rowcall.core.spans import call_spans
from rowcall.core.trace_tree import trace_tree
from rowcall.row_trace import RowStory, key_values
from span_cases import CONTEXT, START, TRACE_ID, call, raw_span, trace_of

MS = 1_000_000


@pytest.mark.parametrize(
    ("key", "names", "values"),
    [
        ("topic:assert", ["id"], {"id": "topic:assert"}),
        ("id=7", ["id"], {"id": "7"}),
        ("a=1,b=2", ["id"], {"id": "a=1,b=2"}),
        ("a=1,b=2", ["a", "b"], {"a": "1", "b": "2"}),
        ("b=2,a=1,9", ["a", "b"], {"a": "1,9", "b": "2"}),
        ("a=,b=x=y", ["a", "b"], {"a": "", "b": "x=y"}),
        ("my key=1,b=2", ["my key", "b"], {"my key": "1", "b": "2"}),
        ("a=1, b=2", ["a", "b"], {"a": "1", "b": "2"}),
        ('{"a": 1, "b": "2,a=3"}', ["a", "b"], {"a": "1", "b": "2,a=3"}),
        ('{"a": 1}', ["id"], {"id": '{"a": 1}'}),
        ('{"id": 7}', ["id"], {"id": "7"}),
        ('id={"id": 7}', ["id"], {"id": '{"id": 7}'}),
    ],
)
def test_a_key_has_a_value_for_each_column(key: str, names: list[str], values: dict[str, str]) -> None:
    assert key_values(key, names) == values


@pytest.mark.parametrize("key", ["1", "a=1", "a=1,c=2", "x,a=1,b=2", "a=1,b=2,a=3", '{"a": 1}', ""])
def test_a_key_that_lacks_a_column_is_told_how_it_is_written(key: str) -> None:
    with pytest.raises(RunError, match="write a=…,b=…"):
        key_values(key, ["a", "b"])


def shown(
    reply: Reply, attempts: tuple[Attempt, ...], output: dict[str, Any] | None = None, *, full: bool = False
) -> str:
    tree = trace_tree(call_spans(call(reply, attempts), "the request", CONTEXT))
    out = io.StringIO()
    print_story(Console(file=out, width=200), RowStory(TRACE_ID, output, tree, "USD"), full=full)
    return out.getvalue()


LIMITED = CallError(ErrorKind.RATE_LIMITED, "slow down", 429)
ATTEMPTS = (
    Attempt(1, START, START + 12 * MS, status=429, error=LIMITED, retry_after=1.0),
    Attempt(
        2, START + 1022 * MS, START + 2022 * MS, waited=1.01, waited_for="backing_off", status=200, request_id="q-1"
    ),
)


def test_a_story_is_a_tree_with_times() -> None:
    event = {"name": "exception", "time_unix_nano": START + 1100 * MS, "attributes": {"exception.type": "LookupError"}}
    agent = raw_span(start_time_unix_nano=START + 1050 * MS, end_time_unix_nano=START + 1950 * MS, events=[event])
    reply = Reply(Outcome.OK, "the answer", usage=Usage(10, None, 5, None, 15), trace=json.dumps(trace_of(agent)))
    lines = shown(reply, ATTEMPTS, {"id": 7, "answer": "the answer", "cost": 0.25}).splitlines()
    assert [line.strip(" │├└─") for line in lines] == [
        "id 7",
        f"trace {TRACE_ID}",
        "invoke_agent review-triage · 5.0 ms · ok · 10 tokens in · 5 out · 0.2500 USD",
        "attempt 1 · at 0.0 ms · 12 ms · HTTP 429 · Retry-After 1.0 s   rate_limited: slow down",
        "waited 1.01 s: backing off",
        "attempt 2 · at 1.02 s · 1.00 s · HTTP 200 · request q-1",
        "agent · at 1.05 s · 900 ms · AGENT",
        "exception · at 1.10 s · LookupError",
    ]
    assert lines[6].index("agent") > lines[5].index("attempt")


def test_full_shows_what_the_spans_carry() -> None:
    assert "the request" not in shown(Reply(Outcome.OK, "the answer"), ATTEMPTS)
    told = shown(Reply(Outcome.OK, "the answer"), ATTEMPTS, full=True)
    assert "rowcall.request: the request" in told
    assert "rowcall.answer: the answer" in told


@pytest.mark.parametrize("terminal", [False, True])
def test_full_shows_long_texts_whole(terminal: bool) -> None:
    words = " ".join(f"word{n}" for n in range(2_000))
    tree = trace_tree(call_spans(call(Reply(Outcome.OK, words), ATTEMPTS), "the request", CONTEXT))
    out = io.StringIO()
    console = Console(file=out, width=80, soft_wrap=True, force_terminal=terminal, color_system=None)
    print_story(console, RowStory(TRACE_ID, None, tree, "USD"), full=True)
    told = out.getvalue()
    assert all(len(line) <= 80 for line in told.splitlines()) is terminal
    assert re.findall(r"word\d+", told) == words.split()


def test_nothing_in_a_span_forges_the_terminal() -> None:
    error = CallError(ErrorKind.BAD_REQUEST, "[red]no[/red] \x1b[2J\u202eabc", 400)
    told = shown(Reply(Outcome.ERROR, error=error), (Attempt(1, START, START + MS, status=400, error=error),))
    assert "[red]no[/red]" in told
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_a_row_that_was_not_sent_has_no_tree() -> None:
    out = io.StringIO()
    print_story(
        Console(file=out, width=200), RowStory(TRACE_ID, {"id": 7, "answer": None, "cost": None}, None), full=False
    )
    assert out.getvalue().splitlines() == [
        "id 7",
        f"trace {TRACE_ID}",
        "There are no spans of it: the row was not sent, or its trace is gone.",
    ]
