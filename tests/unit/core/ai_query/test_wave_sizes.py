"""How many rows the next statement asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.ai_query.waves import GROWTH, MEASURED, ONE_STATEMENT, SECONDS, Wave, next_rows

MANY = 10**7


@pytest.mark.parametrize("left", [1, 2, MEASURED, MEASURED + 1, ONE_STATEMENT])
def test_few_rows_are_asked_by_one_statement(left: int) -> None:
    assert next_rows(left, None, None, None) == left


@pytest.mark.parametrize("left", [ONE_STATEMENT + 1, 10**5, MANY])
def test_of_many_rows_some_are_measured_first(left: int) -> None:
    assert next_rows(left, None, None, None) == MEASURED


def test_with_a_deadline_few_rows_are_measured_as_well() -> None:
    assert next_rows(ONE_STATEMENT, None, None, 3600.0) == MEASURED
    assert next_rows(10, None, None, 3600.0) == 10


def test_a_statement_is_sized_to_ten_minutes() -> None:
    assert SECONDS == 600
    assert next_rows(MANY, Wave(30_000, 300.0), None, None) == 60_000
    assert next_rows(MANY, Wave(60_000, 1200.0), None, None) == 30_000


def test_it_grows_no_faster_than_tenfold() -> None:
    assert next_rows(MANY, Wave(1000, 1.0), None, None) == GROWTH * 1000
    assert next_rows(MANY, Wave(1000, 0.0), None, None) == GROWTH * 1000


def test_a_slow_endpoint_is_still_asked_as_many_rows_as_were_measured() -> None:
    assert next_rows(MANY, Wave(1000, 6000.0), None, None) == MEASURED


def test_a_wave_that_asked_nothing_says_nothing() -> None:
    assert next_rows(MANY, Wave(0, 10.0), None, None) == MEASURED
    assert next_rows(100, Wave(0, 10.0), None, None) == 100


def test_a_crumb_is_asked_with_what_comes_before_it() -> None:
    wave = Wave(10_000, 100.0)
    assert next_rows(60_000 + 14_999, wave, None, None) == 74_999
    assert next_rows(60_000 + 15_000, wave, None, None) == 60_000


def test_before_a_deadline_only_what_fits_is_asked() -> None:
    wave = Wave(10_000, 100.0)
    assert next_rows(MANY, wave, None, 60.0) == 6_000
    assert next_rows(6_500, wave, None, 60.0) == 6_000
    assert next_rows(MANY, wave, None, 36_000.0) == 60_000


@pytest.mark.parametrize("seconds", [0.0, -5.0, 0.001])
def test_at_a_deadline_one_row_is_asked_and_not_none(seconds: float) -> None:
    assert next_rows(MANY, Wave(10, 100.0), None, seconds) == 1


@pytest.mark.parametrize("last", [None, Wave(10, 1.0)])
def test_a_number_of_the_jobs_own_is_kept(last: Wave | None) -> None:
    assert next_rows(MANY, last, 250, None) == 250
    assert next_rows(100, last, 250, 5.0) == 100


WAVES = st.none() | st.builds(Wave, st.integers(0, 10**9), st.floats(0, 10**6))


@given(
    left=st.integers(1, 10**10),
    last=WAVES,
    fixed=st.none() | st.integers(1, 10**9),
    seconds=st.none() | st.floats(-(10**6), 10**6),
)
def test_never_none_and_never_more_than_are_left(
    left: int, last: Wave | None, fixed: int | None, seconds: float | None
) -> None:
    assert 1 <= next_rows(left, last, fixed, seconds) <= left
