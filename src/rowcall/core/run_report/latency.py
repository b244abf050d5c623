"""How long calls took: percentiles and a histogram, computed from counts on a logarithmic scale.

The counts are those of `sql/statements/report_latencies.sql`: 50 steps to a power of ten, each with its fastest and slowest
call, so a percentile is off by less than a step, 5 %, and in practice by far less.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STEPS = 50
"""Steps to a power of ten, as the statement counts them."""
MOST_BARS = 40
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Bin:
    """So many calls that took from `fastest` to `slowest` seconds; `step` is where that is on the scale of nanoseconds."""

    step: int
    calls: int
    fastest: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Bar:
    """So many calls that took between `low` and `high` seconds."""

    low: float
    high: float
    calls: int


@dataclass(frozen=True, slots=True)
class Latencies:
    """Bins in ascending order."""

    bins: tuple[Bin, ...]

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.bins)

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the calls was through; 0 where there were none."""
        rank = share * (self.calls - 1)
        before = 0
        for each in self.bins:
            if rank <= before + each.calls - 1:
                place = (rank - before) / (each.calls - 1) if each.calls > 1 else 1.0
                return each.fastest + (each.slowest - each.fastest) * max(place, 0.0)
            before += each.calls
        return self.bins[-1].slowest if self.bins else 0.0

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The histogram: the narrowest bars of one width on the logarithmic scale that are not too many, the empty ones between
        included."""
        if not self.bins:
            return ()
        first, last = self.bins[0].step, self.bins[-1].step
        wide = next(
            wide for wide in (1, 2, 5, 10, 25, STEPS, last - first + 1) if (last - first) // wide < MOST_BARS - 1
        )
        counts: dict[int, int] = {}
        for each in self.bins:
            counts[each.step // wide] = counts.get(each.step // wide, 0) + each.calls
        return tuple(
            Bar(_edge(at * wide), _edge((at + 1) * wide), counts.get(at, 0))
            for at in range(first // wide, last // wide + 1)
        )


def latencies(rows: Sequence[Mapping[str, Any]]) -> Latencies:
    """Read the rows of the statement."""
    bins = (
        Bin(int(row["step"]), int(row["calls"]), row["fastest"] / _SECOND, row["slowest"] / _SECOND) for row in rows
    )
    return Latencies(tuple(sorted(bins, key=lambda each: each.step)))


def ticks(low: float, high: float) -> list[float]:
    """Round seconds to mark between two times: some digits of each power of ten, as many as fit on an axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in (range(1, 10), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        marks = [mark for power in powers for digit in digits if low <= (mark := digit * 10.0**power) <= high]
        if len(marks) <= 7:
            return marks
    return marks[:: math.ceil(len(marks) / 7)]


def _edge(step: int) -> float:
    """Where a step begins, in seconds."""
    return 10 ** (step / STEPS) / _SECOND
