"""A bundle's variables in job definitions.

The Databricks CLI puts values in the place of references, in variables too, before it calls Python (CLI 1.13).

A definition is filled with the values that a bundle has for the target. What the bundle knows only later (a lookup by name,
another reference) stands in the definition as a name of its own, in whose place `with_references` puts `${var.name}` in the
Databricks job.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

# The name in hexadecimal digits: so its end cannot be mistaken, whatever underscores it has.
_LATER = re.compile(r"__bundle_variable_([0-9a-f]+)__")
_REFERENCE = re.compile(r"\$\{([^\W\d_][\w-]*(?:\.[^\W\d_][\w-]*|\[[0-9]+\])*)\}")
_NOWHERE = object()


def resolved(value: object, known: Mapping[str, object], within: tuple[str, ...] = ()) -> Any:
    """The same with values in the place of references, as far as they are `known`: `${var.name}` is what `var` has as `name`. A
    text that is nothing but a reference becomes the value itself."""
    if isinstance(value, Mapping):
        return {name: resolved(item, known, within) for name, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list):
        return [resolved(item, known, within) for item in cast("list[object]", value)]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        found = _looked_up(whole[1], known, within)
        return value if found is _NOWHERE else found
    return _REFERENCE.sub(lambda match: _text(_looked_up(match[1], known, within), match[0]), value)


def references(value: str) -> list[str]:
    """What a text refers to: `var.name`."""
    return _REFERENCE.findall(value)


def _looked_up(reference: str, known: Mapping[str, object], within: tuple[str, ...]) -> object:
    found: object = known
    for part in re.findall(r"[^.\[\]]+", reference):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(cast("list[object]", found)):
            found = cast("list[object]", found)[int(part)]
        elif isinstance(found, Mapping) and part in found:
            found = cast("Mapping[str, object]", found)[part]
        else:
            return _NOWHERE
    return _NOWHERE if reference in within else resolved(found, known, (*within, reference))


def _text(value: object, otherwise: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else otherwise


def values_for(names: Iterable[str], variables: Mapping[str, object]) -> dict[str, str]:
    """What the definition's variables `names` are filled with, as far as the bundle has them."""
    return {name: _value(name, variables[name]) for name in names if name in variables}


def _value(name: str, value: object) -> str:
    later = f"__bundle_variable_{name.encode().hex()}__"
    return later if isinstance(value, str) and "${" in value else _text(value, later)


def is_later(text: str) -> bool:
    """Whether a variable in it is filled in later."""
    return _LATER.search(text) is not None


def with_references(value: object) -> Any:
    """The same with `${var.name}` wherever a variable is filled in later."""
    if isinstance(value, Mapping):
        return {name: with_references(item) for name, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [with_references(item) for item in cast("list[object]", value)]
    return _LATER.sub(_reference, value) if isinstance(value, str) else value


def _reference(found: re.Match[str]) -> str:
    return f"${{var.{bytes.fromhex(found[1]).decode()}}}"
