"""A bundle's variables in job definitions.

A definition is filled with the values that a bundle has for the target. What the bundle knows only later (a lookup by name,
another reference) stands in the definition as a name of its own, in whose place `with_references` puts `${var.name}` in the
Databricks job.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

# The name in hexadecimal digits: so its end cannot be mistaken, whatever underscores it has.
_LATER = re.compile(r"__bundle_variable_([0-9a-f]+)__")


def values_for(names: Iterable[str], variables: Mapping[str, object]) -> dict[str, str]:
    """What the definition's variables `names` are filled with, as far as the bundle has them."""
    return {name: _value(name, variables[name]) for name in names if name in variables}


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    known = isinstance(value, str) and "${" not in value
    return value if known and isinstance(value, str) else f"__bundle_variable_{name.encode().hex()}__"


def with_references(value: object) -> Any:
    """The same with `${var.name}` wherever a variable is filled in later."""
    if isinstance(value, Mapping):
        return {name: with_references(item) for name, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [with_references(item) for item in cast("list[object]", value)]
    return _LATER.sub(_reference, value) if isinstance(value, str) else value


def _reference(found: re.Match[str]) -> str:
    return f"${{var.{bytes.fromhex(found[1]).decode()}}}"
