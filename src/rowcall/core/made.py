"""What statements make, and how one sees that it is there."""

import re

_MAKES = re.compile(r"^CREATE (TABLE|VOLUME) IF NOT EXISTS ((?:`(?:[^`]|``)+`\.?)+)", re.MULTILINE)


def look_at_made(create: str) -> str:
    """A statement that works only where the table or volume is there that one of `sql/tables/` makes. Raises `ValueError` for other
    statements."""
    made = _MAKES.search(create)
    if made is None:
        raise ValueError(f"it makes no table and no volume: {create[:80]}")
    return f"DESCRIBE {made[1]} {made[2]}"


def look_at_schema(name: str) -> str:
    """The same for a schema; `name` is quoted."""
    return f"DESCRIBE SCHEMA {name}"
