"""Percentiles and a histogram out of counts."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.run_report.latency import MOST_BARS, STEPS, Latencies, latencies, ticks

durations = st.lists(st.integers(1, 10**13), min_size=1, max_size=200)


def counted(nanoseconds: list[int]) -> list[dict[str, Any]]:
    """What the statement counts."""
    steps: dict[int, list[int]] = {}
    for each in nanoseconds:
        steps.setdefault(math.floor(math.log10(each) * STEPS), []).append(each)
    return [{"step": at, "calls": len(own), "fastest": min(own), "slowest": max(own)} for at, own in steps.items()]


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_within_a_step_of_the_calls_around_its_rank(nanoseconds: list[int], share: float) -> None:
    ordered = sorted(nanoseconds)
    rank = share * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)] / 1e9, ordered[math.ceil(rank)] / 1e9
    step = 10 ** (1 / STEPS)
    assert low / step * (1 - 1e-9) <= latencies(counted(nanoseconds)).percentile(share) <= high * step * (1 + 1e-9)


@given(durations)
def test_the_slowest_and_the_fastest_are_exact(nanoseconds: list[int]) -> None:
    found = latencies(counted(nanoseconds))
    assert found.percentile(1.0) == max(nanoseconds) / 1e9
    assert found.percentile(0.0) == min(nanoseconds) / 1e9


def test_a_median_between_two_calls_is_one_of_them() -> None:
    assert latencies(counted([1_000_000, 2_000_000_000])).percentile(0.5) in (0.001, 2.0)


@given(durations)
def test_bars_hold_every_call_and_leave_no_gap(nanoseconds: list[int]) -> None:
    bars = latencies(counted(nanoseconds)).bars
    assert 1 <= len(bars) <= MOST_BARS
    assert sum(bar.calls for bar in bars) == len(nanoseconds)
    assert [bar.high for bar in bars[:-1]] == [bar.low for bar in bars[1:]]
    assert bars[0].calls
    assert bars[-1].calls
    assert bars[0].low * 1e9 <= min(nanoseconds) * (1 + 1e-9)
    assert bars[-1].high * 1e9 >= max(nanoseconds) * (1 - 1e-9)


def test_no_calls_have_no_bars() -> None:
    assert Latencies(()).bars == ()
    assert Latencies(()).percentile(0.5) == 0.0


def test_ticks_are_round_and_within() -> None:
    assert ticks(0.001, 4.7) == pytest.approx([0.001, 0.01, 0.1, 1.0])
    assert ticks(0.15, 0.95) == pytest.approx([0.2, 0.3, 0.5, 0.7])
    assert ticks(0.5, 1.1) == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


@given(st.floats(1e-9, 1e4), st.floats(1.0, 1e13))
def test_ticks_are_never_too_many(low: float, ratio: float) -> None:
    marks = ticks(low, low * ratio)
    assert len(marks) <= 7
    assert all(low <= mark <= low * ratio for mark in marks)
