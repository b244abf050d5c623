"""Names of tables, as users write them."""

import re
from collections.abc import Sequence

from rowcall.core.errors import RowcallError

_PART = r"(?:[\w-]+|`(?:[^`]|``)+`)"
_TABLE = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")
LONGEST_PART = 255
"""Characters of a name in Unity Catalog."""
_SHOWN = 20


class TableNameError(RowcallError, ValueError):
    """A text that names no table."""


def is_table_name(name: str) -> bool:
    return _TABLE.fullmatch(name.strip()) is not None and max(map(len, _parts(name))) <= LONGEST_PART


def table_parts(name: str) -> tuple[str, ...]:
    """The one to three parts of `table`, `schema.table` or ``catalog.schema.`odd name` ``, without their backticks."""
    if not is_table_name(name):
        raise TableNameError(f"{name!r} is not a table name such as main.sales.reviews; put odd names in backticks")
    return _parts(name)


def some(names: Sequence[str]) -> str:
    """Names for a message: all of them, or the first of very many."""
    rest = len(names) - _SHOWN
    return ", ".join(names) if rest <= 1 else f"{', '.join(names[:_SHOWN])} and {rest} more"


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part[1:-1].replace("``", "`") if part[0] == "`" else part for part in re.findall(_PART, name))
