"""The fields of what a test sends, read one by one; each raises ValueError with where it is and what was expected."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

from rowcall.core.loose import mapping, sequence


def read_object(value: object, keys: set[str], where: str) -> Mapping[str, object]:
    """An object that has no other keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object")
    given = mapping(cast("object", value))
    if unknown := sorted(given.keys() - keys):
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(keys))}")
    return given


def read_list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list")
    return sequence(cast("object", value))


def read_number(given: Mapping[str, object], key: str, where: str) -> float:
    """A number from 0 up, 0 where there is none."""
    value = given.get(key, 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{where}.{key}: expected a number from 0 up")
    return value


def read_count(given: Mapping[str, object], key: str, where: str, least: int, most: int = 10**9) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{where}.{key}: expected a whole number from {least} to {most}")
    return value
