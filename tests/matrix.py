"""What came of each fault, as rows of the tables that a session of these tests ends with."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class MatrixRow:
    """What came of one fault: rows, how they ended, calls at the server; answers that are lost, answers paid for again."""

    matrix: Literal["fault", "kill"]
    fault: str
    rows: int
    ok: int
    error: int
    calls: int
    lost: int
    repaid: int


def as_table(rows: Sequence[MatrixRow]) -> Iterator[str]:
    """Columns as wide as what is in them: the fault to the left, the numbers to the right."""
    names = tuple(field.name for field in fields(MatrixRow))
    cells = [tuple(map(str, line[1:])) for line in (names, *map(astuple, rows))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for fault, *numbers in cells:
        right = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        yield "  ".join((fault.ljust(widths[0]), *right))
