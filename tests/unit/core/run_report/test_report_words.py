"""Numbers as a report says them."""

import pytest

from rowcall.core.run_report import words


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (12_480, "12,480"), (9_999_999, "9,999,999"), (12_480_000, "12.5 M"), (3e11, "300.0 G")],
)
def test_counts(number: float, said: str) -> None:
    assert words.count(number) == said


@pytest.mark.parametrize(
    ("a_second", "said"), [(0, "0"), (0.0042, "0.0042"), (0.42, "0.42"), (4.21, "4.2"), (42.4, "42"), (4200, "4,200")]
)
def test_rates(a_second: float, said: str) -> None:
    assert words.rate(a_second) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "–"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "99.9 %"),
        (1486, 1500, "99.1 %"),
        (1, 3, "33 %"),
        (8, 1500, "0.5 %"),
    ],
)
def test_all_and_none_are_only_said_of_all_and_none(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0042, "4.2 ms"),
        (0.42, "420 ms"),
        (0.9996, "1.0 s"),
        (4.21, "4.2 s"),
        (42.4, "42 s"),
        (65, "1 m 05 s"),
        (7200, "120 m 00 s"),
    ],
)
def test_times(seconds: float, said: str) -> None:
    assert words.time_taken(seconds) == said
