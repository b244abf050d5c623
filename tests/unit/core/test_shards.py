"""The arithmetic of shards, and what a coordinator and its shards say to one another."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.limits import MOST_SHARDS
from rowcall.core.rates import Rates
from rowcall.core.seats import Claim, State
from rowcall.core.shards import (
    FetchPart,
    Opening,
    Shard,
    read_opening,
    read_shard,
    shards_of,
    share_of,
    standing,
)

COUNTS = st.integers(1, MOST_SHARDS)
RATES = st.builds(Rates, *[st.none() | st.floats(1, 1e9)] * 3)
OPENING = Opening("job run 1", 8, 3, "hash", "0.1.0", "`main`.`demo`.`out__pending_1`", "fast", {"share": 2})


@given(st.integers(1, 4096), RATES, COUNTS)
def test_what_all_shards_have_is_never_more_than_the_run_has(concurrency: int, rates: Rates, shards: int):
    share = share_of(concurrency, rates, shards)
    assert 1 <= share.shards <= shards
    assert share.concurrency >= 1
    assert share.shards * share.concurrency <= concurrency
    for whole, part in zip(rates.each(), share.rates.each(), strict=True):
        assert (whole is None) == (part is None)
        if whole is not None and part is not None:
            assert share.shards * part == pytest.approx(whole)


def test_with_fewer_calls_than_shards_some_have_nothing_to_do():
    share = share_of(3, Rates(), 8)
    assert (share.shards, share.concurrency) == (3, 1)


@given(COUNTS)
def test_the_shards_of_a_run_are_read_as_they_are_written(count: int):
    shards = shards_of(count)
    assert [read_shard(str(shard)) for shard in shards] == shards
    assert [shard.part for shard in shards] == list(range(count))


@pytest.mark.parametrize("said", ["", "3", "0/8", "9/8", "1/101", "-1/8", "1/8/2", "a/b", "1.0/8", "01/8", "١/8"])
def test_what_is_no_shard_is_told(said: str):
    with pytest.raises(ValueError, match="expected a shard such as 3/8"):
        read_shard(said)


def test_what_a_coordinator_says_is_read_as_it_was_said():
    assert read_opening(OPENING.as_text()) == OPENING
    closed = replace(OPENING, closed=True, recipe={})
    assert read_opening(closed.as_text()) == closed


@pytest.mark.parametrize("said", [None, "", "{", "[]", "{}", OPENING.as_text()[:-20]])
def test_a_note_that_is_not_there_or_half_replaced_says_nothing(said: str | None):
    assert read_opening(said) is None


@pytest.mark.parametrize(
    "change", [{"parts": 0}, {"shards": "many"}, {"pending": None}, {"job_run": 3}, {"parts": True}, {"parts": -1}]
)
def test_a_note_that_lacks_something_says_nothing(change: dict[str, object]):
    assert read_opening(json.dumps({**json.loads(OPENING.as_text()), **change})) is None


def test_a_shard_joins_the_runs_of_its_own_job_run_and_endpoint():
    assert OPENING.is_for("job run 1", "fast")
    assert not OPENING.is_for("job run 2", "fast")
    assert not OPENING.is_for("job run 1", "careful")


@pytest.mark.parametrize(
    ("shard", "definition", "version", "why"),
    [
        (Shard(8, 8), "hash", "0.1.0", None),
        (Shard(1, 8), "other", "0.1.0", "another version of the job"),
        (Shard(1, 4), "hash", "0.1.0", "8 shards, not 4"),
        (Shard(1, 8), "hash", "0.2.0", "rowcall 0.1.0, and this is 0.2.0"),
    ],
)
def test_a_shard_that_does_not_fit_is_told_why(shard: Shard, definition: str, version: str, why: str | None):
    said = OPENING.misfit(shard, definition, version)
    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


def test_parts_are_done_taken_or_left():
    claims = [
        Claim("seat-0-a", state=State.DONE),
        Claim("seat-1-b", state=State.LEFT),
        Claim("seat-2-c", state=State.SEATED),
        Claim("seat-2-d", state=State.WAITING),
        Claim("seat-11-e", state=State.DONE),
    ]
    found = standing(claims, 4)
    assert (found.done, found.taken, found.left) == ({0}, {2}, {1, 3})
    assert not found.over


@pytest.mark.parametrize(("waits", "over"), [(State.LEFT, True), (State.WAITING, False)])
def test_a_run_is_over_once_all_is_asked_and_nobody_waits_for_a_seat(waits: State, over: bool):
    claims = [Claim("seat-0-a", state=State.DONE), Claim("seat-0-b", state=waits)]
    assert standing(claims, 1).over is over


def test_a_part_is_read_by_a_statement_that_names_it():
    text = "SELECT * FROM $pending WHERE h % $parts = $part\n"
    assert FetchPart(text, "`a`.`b`").sql(2, 3) == "SELECT * FROM `a`.`b` WHERE h % 3 = 2"
