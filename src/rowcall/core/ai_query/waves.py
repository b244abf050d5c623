"""How many rows the next statement asks.

A statement is all or nothing, and Databricks parallelises inside it: small ones are slow (FACTS 1.5), a large one that dies has
lost what it asked. So few rows are asked by one statement, many by one that measures and then by statements of about ten minutes.
"""

from dataclasses import dataclass

ONE_STATEMENT = 5_000
"""So many rows, or fewer, are asked by one statement."""
MEASURED = 1_000
"""The rows of the first statement where there are more."""
SECONDS = 600.0
"""How long a statement should take."""
GROWTH = 10
"""A statement asks at most so many times the rows of the one before: short ones say little about long ones."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A statement that ended: the rows it asked and the seconds it took."""

    rows: int
    seconds: float


def next_rows(left: int, last: Wave | None, fixed: int | None, seconds_left: float | None) -> int:
    """Rows of the next statement, at least one while rows are left. `fixed` is the job's own number; `seconds_left` until the
    run's deadline, None without one."""
    return min(left, max(1, _wanted(left, last, fixed, seconds_left)))


def _wanted(left: int, last: Wave | None, fixed: int | None, seconds_left: float | None) -> int:
    if fixed is not None:
        return fixed
    if last is None or last.rows == 0:
        return left if left <= ONE_STATEMENT and seconds_left is None else MEASURED
    rate = last.rows / max(last.seconds, 0.001)
    wanted = max(MEASURED, min(int(rate * SECONDS), last.rows * GROWTH))
    if seconds_left is not None:
        wanted = min(wanted, int(rate * seconds_left))
    # No crumb for a statement of its own.
    return left if seconds_left is None and left - wanted < wanted // 4 else wanted
