"""Limits of the whole run: their arithmetic, and when a run stops."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.limits import (
    ALIKE_ROWS,
    CALLS_PER_TASK,
    Budget,
    all_alike,
    auto_tasks,
    failure_limit,
    split,
    stop_reason,
)
from rowcall.core.records import ErrorKind, Progress

COUNTS = st.integers(1, 4096)


@settings(deadline=None)
@given(COUNTS, COUNTS, st.integers(0, 10**9))
def test_tasks_times_share_never_exceeds_the_concurrency(concurrency: int, tasks: int, rows: int) -> None:
    made = split(concurrency, tasks, rows)
    assert 1 <= made.tasks <= tasks
    assert made.share >= 1
    assert made.total <= concurrency
    assert concurrency - made.total < made.tasks, "no more is left over than one call less than the tasks"
    assert made.tasks <= max(rows, 1), "no task is without a row"


def test_the_share_is_what_fits_into_every_task() -> None:
    made = split(concurrency=100, tasks=3, rows=1000)
    assert (made.tasks, made.share, made.total) == (3, 33, 99)


@settings(deadline=None)
@given(COUNTS)
def test_auto_tasks_are_the_fewest_that_carry_the_concurrency(concurrency: int) -> None:
    tasks = auto_tasks(concurrency)
    assert tasks * CALLS_PER_TASK >= concurrency > (tasks - 1) * CALLS_PER_TASK


@pytest.mark.parametrize(
    ("max_failures", "rows", "limit"),
    [
        (None, 100, None),
        (0, 100, 0),
        (7, 3, 7),
        (0.05, 100, 5),
        (0.05, 10, 0),
        (0.0, 100, 0),
        (1.0, 100, 100),
        (1, 100, 1),
    ],
)
def test_a_failure_limit_is_a_number_or_a_share(max_failures: int | float | None, rows: int, limit: int | None) -> None:
    assert failure_limit(max_failures, rows) == limit


def test_a_price_is_per_million_tokens_and_exact() -> None:
    budget = Budget(input_price=Decimal("0.15"), output_price=Decimal("0.60"), currency="USD")
    assert budget.cost(1_000_000, 0) == Decimal("0.15")
    assert budget.cost(10, 20) == Decimal("0.0000135")


def test_cached_tokens_are_part_of_the_input_and_may_have_a_price_of_their_own() -> None:
    budget = Budget(input_price=Decimal(2), output_price=Decimal(8), currency="USD")
    assert budget.cost(1_000_000, 500_000, 600_000) == Decimal(6)
    cheaper = replace(budget, cached_price=Decimal("0.5"))
    assert cheaper.cost(1_000_000, 500_000, 600_000) == Decimal("5.1")
    assert replace(budget, cached_price=Decimal(0)).cost(1_000_000, 0, 1_000_000) == 0
    assert cheaper.cost(100, 0, 200) == cheaper.cost(100, 0, 100), (
        "an endpoint may not tell more of them than of the whole"
    )


class TestStopReason:
    def test_no_limits_never_stop(self) -> None:
        assert stop_reason(Progress(failed=10**9, input_tokens=10**12), Budget()) is None

    def test_failures_may_reach_the_limit_but_not_pass_it(self) -> None:
        budget = Budget(max_failures=2)
        assert stop_reason(Progress(failed=2), budget) is None
        assert stop_reason(Progress(failed=3), budget) == "3 rows failed, more than limits.max_failures allows (2)"

    def test_no_failure_allowed(self) -> None:
        assert stop_reason(Progress(failed=0), Budget(max_failures=0)) is None
        assert stop_reason(Progress(failed=1), Budget(max_failures=0)) is not None

    def test_tokens_are_both_kinds_together(self) -> None:
        budget = Budget(max_tokens=1000)
        assert stop_reason(Progress(input_tokens=600, output_tokens=399), budget) is None
        said = stop_reason(Progress(input_tokens=600, output_tokens=400), budget)
        assert said == "1,000 tokens used, limits.max_tokens is 1,000"

    def test_cached_tokens_spend_less_of_the_budget(self) -> None:
        budget = Budget(max_cost=Decimal(1), input_price=Decimal(1), cached_price=Decimal("0.1"), currency="USD")
        assert stop_reason(Progress(input_tokens=2_000_000, cached_tokens=1_500_000), budget) is None
        assert stop_reason(Progress(input_tokens=2_000_000), budget) is not None

    def test_cost(self) -> None:
        budget = Budget(max_cost=Decimal(2), input_price=Decimal(1), output_price=Decimal(10), currency="EUR")
        assert stop_reason(Progress(input_tokens=1_000_000, output_tokens=99_999), budget) is None
        said = stop_reason(Progress(input_tokens=1_000_000, output_tokens=100_000), budget)
        assert said == "2.00 EUR spent, limits.max_cost is 2 EUR"
        small = replace(budget, max_cost=Decimal("0.0010"))
        said = stop_reason(Progress(input_tokens=1600), small)
        assert said == "0.0016 EUR spent, limits.max_cost is 0.0010 EUR"


class TestAllAlike:
    def test_enough_failures_of_one_kind_and_nothing_else(self) -> None:
        assert all_alike(0, {ErrorKind.BAD_REQUEST: ALIKE_ROWS}) is ErrorKind.BAD_REQUEST
        assert all_alike(0, {ErrorKind.BAD_REQUEST: ALIKE_ROWS - 1}) is None

    def test_an_answer_or_another_kind_is_something_else(self) -> None:
        assert all_alike(1, {ErrorKind.BAD_REQUEST: 1000}) is None
        assert all_alike(0, {ErrorKind.BAD_REQUEST: 1000, ErrorKind.TIMEOUT: 1}) is None
        assert all_alike(0, {}) is None

    def test_rows_that_were_not_asked_say_nothing(self) -> None:
        assert all_alike(0, {ErrorKind.NULL_PROMPT: 1000}) is None
        assert all_alike(0, {ErrorKind.NULL_PROMPT: 1, ErrorKind.BAD_REQUEST: ALIKE_ROWS}) is ErrorKind.BAD_REQUEST
