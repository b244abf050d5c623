"""A run over time, from counts a bucket."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.run_report.timeline import MOST_BUCKETS, Clock, clock_of, timeline

SECOND = 1_000_000_000
ORIGIN = 1_795_387_458 * SECOND
spans = st.tuples(st.integers(0, 40 * SECOND), st.integers(0, 20 * SECOND)).map(lambda pair: (pair[0], sum(pair)))


def counted(attempts: list[tuple[int, int]], clock: Clock) -> list[dict[str, Any]]:
    """What the statement counts of attempts, one row a bucket."""
    more: Counter[int] = Counter()
    seconds: Counter[int] = Counter()
    for at, sign in [(start, 1) for start, _ in attempts] + [(end, -1) for _, end in attempts]:
        bucket, into = divmod(at, clock.width_ns)
        more[bucket] += sign
        seconds[bucket] += sign * (clock.width_ns - into)
    return [{"bucket": at, "ok": 0, "not_ok": 0, "more": more[at], "more_seconds": seconds[at] / 1e9} for at in more]


@given(st.lists(spans, min_size=1, max_size=20))
def test_in_flight_is_the_mean_of_what_overlaps_a_bucket(attempts: list[tuple[int, int]]) -> None:
    clock = clock_of(0, max(end for _, end in attempts))
    drawn = timeline(counted(attempts, clock), clock)
    for at, in_flight in enumerate(drawn.in_flight):
        low, high = at * clock.width_ns, (at + 1) * clock.width_ns
        overlap = sum(max(0, min(end, high) - max(start, low)) for start, end in attempts)
        assert in_flight == pytest.approx(overlap / clock.width_ns, abs=1e-6)


def test_answers_are_told_by_the_second() -> None:
    clock = Clock(ORIGIN, 2 * SECOND, 3)
    rows = [
        {"bucket": 0, "ok": 8, "not_ok": 0, "more": 0, "more_seconds": 0.0},
        {"bucket": 2, "ok": 1, "not_ok": 3, "more": 0, "more_seconds": 0.0},
    ]
    drawn = timeline(rows, clock)
    assert drawn.ok == (4.0, 0.0, 0.5)
    assert drawn.not_ok == (0.0, 0.0, 1.5)


def test_what_lies_outside_of_the_clock_counts_to_its_ends() -> None:
    rows = [{"bucket": at, "ok": 1, "not_ok": 0, "more": 0, "more_seconds": 0.0} for at in (-3, 7)]
    assert timeline(rows, Clock(ORIGIN, SECOND, 2)).ok == (1.0, 1.0)


@pytest.mark.parametrize(
    ("seconds", "width"), [(0.0, 0.01), (0.4, 0.01), (5, 0.1), (27, 0.5), (59, 1), (60, 2), (3600, 120), (86_400, 1800)]
)
def test_buckets_have_a_width_that_people_read(seconds: float, width: float) -> None:
    assert clock_of(ORIGIN, ORIGIN + int(seconds * SECOND)).width == width


@given(st.integers(0, 400 * 86_400 * SECOND))
def test_there_are_never_too_many_buckets_and_the_end_is_in_the_last(span: int) -> None:
    clock = clock_of(ORIGIN, ORIGIN + span)
    assert 1 <= clock.buckets <= MOST_BUCKETS
    assert span // clock.width_ns == clock.buckets - 1


def test_an_end_before_the_beginning_is_one_bucket() -> None:
    assert clock_of(ORIGIN, ORIGIN - 5 * SECOND).buckets == 1
