"""Quotas of a minute: what is used in any minute, whatever comes."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.rates import Bucket, Pause, Quotas, Rates


def most_in_a_minute(uses: list[tuple[float, float]]) -> float:
    """The most that was used in any window of 60 s; (when, how much), in order."""
    most, start, within = 0.0, 0, 0.0
    for end, amount in uses:
        within += amount
        while uses[start][0] <= end - 60:
            within -= uses[start][1]
            start += 1
        most = max(most, within)
        del amount
    return most


@given(st.floats(6, 6000), st.lists(st.floats(0.1, 500), min_size=1, max_size=200), st.floats(0, 30))
def test_in_any_minute_at_most_the_limit_and_one_burst_is_used(
    per_minute: float, amounts: list[float], idle: float
) -> None:
    bucket, now, uses = Bucket(per_minute, 0.0), idle, list[tuple[float, float]]()
    for amount in amounts:
        now += bucket.wait(amount, now) + 1e-9
        bucket.use(amount, now)
        uses.append((now, amount))
    burst = max(per_minute / 60, *amounts)
    assert most_in_a_minute(uses) <= per_minute + burst + 1e-3


def test_the_limit_is_used_up_and_not_only_kept() -> None:
    bucket, now = Bucket(600, 0.0), 0.0
    for _ in range(1000):
        now += bucket.wait(1, now)
        bucket.use(1, now)
    assert now == pytest.approx((1000 - 10) / 10, rel=0.01)


@given(st.integers(1, 64), st.floats(1, 1e6))
def test_the_shares_of_all_tasks_are_the_whole(tasks: int, most: float) -> None:
    share = Rates(most, None, most).share(tasks)
    assert share.requests is not None
    assert share.requests * tasks == pytest.approx(most)
    assert share.input_tokens is None


def test_a_request_that_limits_its_output_reserves_all_of_it() -> None:
    quotas = Quotas(Rates(), 0.0)
    assert quotas.expected(400, {"max_output_tokens": 5000}).output_tokens == 5000
    assert quotas.expected(400, {"temperature": 1}).output_tokens == 0
    assert quotas.expected(400, {}).input_tokens == 100


def test_a_reservation_is_settled_by_what_was_used() -> None:
    quotas = Quotas(Rates(output_tokens=60_000), 0.0)
    reserved = quotas.expected(4, {"max_output_tokens": 10_000})
    quotas.reserve(reserved, 0.0)
    assert quotas.wait(reserved, 0.0) == pytest.approx(10.0)
    quotas.settle(reserved, 4, (1, 100), 0.0)
    assert quotas.wait(reserved, 0.0) == pytest.approx(0.1)


def test_until_it_is_known_how_long_answers_are_one_call_finds_out() -> None:
    quotas = Quotas(Rates(output_tokens=6_000), 0.0)
    first = quotas.expected(4, {})
    assert first.output_tokens == 6_000
    assert quotas.wait(first, 0.0) == 0
    quotas.reserve(first, 0.0)
    assert quotas.wait(first, 0.0) == pytest.approx(60.0, rel=0.02)
    quotas.settle(first, 4, (1, 50), 1.0)
    assert quotas.expected(4, {}).output_tokens == 50
    assert quotas.wait(quotas.expected(4, {}), 1.0) == 0


def test_what_was_used_beyond_the_estimate_is_waited_for() -> None:
    quotas = Quotas(Rates(output_tokens=6_000), 0.0)
    reserved = quotas.expected(4, {"max_output_tokens": 10})
    quotas.reserve(reserved, 0.0)
    quotas.settle(reserved, 4, (1, 6_000), 0.0)
    assert quotas.wait(reserved, 0.0) == pytest.approx(60.0, rel=0.05)


def test_who_was_turned_away_used_no_tokens_but_was_a_request() -> None:
    quotas = Quotas(Rates(requests=60, input_tokens=60), 0.0)
    reserved = quotas.expected(40, {})
    quotas.reserve(reserved, 0.0)
    assert quotas.wait(reserved, 0.0) == pytest.approx(10.0)
    quotas.give_back(reserved, 0.0)
    assert quotas.wait(reserved, 0.0) == pytest.approx(1.0)


def test_estimates_learn_from_what_was_used() -> None:
    quotas, chance = Quotas(Rates(), 0.0), random.Random(1)
    quotas.settle(quotas.expected(1000, {}), 1000, (250, 100), 0.0)
    seen = [quotas.expected(1000, {}).output_tokens]
    for _ in range(200):
        reserved = quotas.expected(1000, {})
        quotas.settle(reserved, 1000, (500, chance.randint(900, 1100)), 0.0)
        seen.append(reserved.output_tokens)
    assert quotas.expected(1000, {}).output_tokens == pytest.approx(1000, rel=0.1)
    assert quotas.expected(1000, {}).input_tokens == pytest.approx(500, rel=0.01)
    assert all(after >= before for before, after in pairwise(seen[:10]))


class TestPause:
    def test_where_calls_in_a_row_are_told_to_wait_all_wait_for_the_longest(self) -> None:
        pause = Pause()
        pause.told(10, 0.0)
        pause.told(20, 0.0)
        assert pause.wait(0.0) == 0
        pause.told(15, 0.0)
        pause.told(30, 1.0)
        pause.told(5, 2.0)
        assert pause.wait(1.0) == 30
        assert pause.wait(31.0) == 0

    def test_one_among_answers_waits_alone(self) -> None:
        pause = Pause()
        for _ in range(50):
            pause.told(10, 0.0)
            pause.told(10, 0.0)
            pause.answered()
        assert pause.wait(0.0) == 0
