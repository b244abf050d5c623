"""`${name}` in a definition: from the command line, else from the definition's own `variables` section.

A text that is nothing but `${name}` takes the value's own type; `$${` is a literal `${`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import cast

from rowcall.core.job_file.tree import Path, Tree, read_scalar

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[^{}\n]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECTION = "variables"


@dataclass(slots=True)
class Filled:
    """What was filled in: the text as written, and, where a value took another type, the value as a text."""

    data: object = None
    written: dict[Path, str] = field(default_factory=dict[Path, str])
    as_text: dict[Path, str] = field(default_factory=dict[Path, str])


def fill_variables(tree: Tree, given: Mapping[str, str]) -> Filled:
    """Fills `tree.data` outside its `variables`; adds a problem for each undefined or unused variable."""
    root = cast("dict[str, object]", tree.data)
    own = root.get(_SECTION)
    filling = _Filling(tree, given, cast("dict[str, object]", own) if isinstance(own, dict) else {})
    tree.data = {name: value if name == _SECTION else filling.value(value, (name,)) for name, value in root.items()}
    filling.filled.data = tree.data
    filling.check_section()
    if not _names_a_file(root):
        filling.check_used()
    return filling.filled


def variables_of(data: object) -> set[str]:
    """The names of the variables that a definition has a default for, or refers to."""
    own = cast("dict[str, object]", data).get(_SECTION) if isinstance(data, dict) else None
    return {*(cast("dict[str, object]", own) if isinstance(own, dict) else ()), *_referred_to(data)}


def _referred_to(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from (match["name"] for match in _REFERENCE.finditer(value) if match["name"])
    elif isinstance(value, dict | list):
        mapping_or_list = cast("dict[str, object] | list[object]", value)
        for item in mapping_or_list.values() if isinstance(mapping_or_list, dict) else mapping_or_list:
            yield from _referred_to(item)


def fill_text(text: str, variables: Mapping[str, str]) -> str:
    """Fills a text that is not part of a definition; what is no variable stays as it is."""
    return _REFERENCE.sub(lambda found: "${" if found[0] == "$${" else variables.get(found["name"], found[0]), text)


def _names_a_file(root: Mapping[str, object]) -> bool:
    """Whether the query is in a file, where variables may be used that are used nowhere else."""
    prompts = root.get("prompts")
    return isinstance(prompts, dict) and "file" in prompts


class _Filling:
    def __init__(self, tree: Tree, given: Mapping[str, str], own: Mapping[str, object]) -> None:
        self.filled = Filled()
        self._tree = tree
        self._given = given
        self._own = own
        self._used: set[str] = set()

    def value(self, value: object, path: Path) -> object:
        if isinstance(value, dict):
            mapping = cast("dict[str, object]", value)
            return {name: self.value(item, (*path, name)) for name, item in mapping.items()}
        if isinstance(value, list):
            items = cast("list[object]", value)
            return [self.value(item, (*path, index)) for index, item in enumerate(items)]
        return self._text(value, path) if isinstance(value, str) and "${" in value else value

    def _text(self, text: str, path: Path) -> object:
        self.filled.written[path] = text
        match = _REFERENCE.fullmatch(text)
        if match and match["name"] is not None:
            value, as_text = self._look_up(match, path)
            if not isinstance(value, str):
                self.filled.as_text[path] = as_text
            return value
        return _REFERENCE.sub(lambda match: self._look_up(match, path)[1], text)

    def _look_up(self, match: re.Match[str], path: Path) -> tuple[object, str]:
        """The value and its text; the reference itself where there is none."""
        whole, name = match[0], match["name"]
        if whole == "$${":
            return "${", "${"
        if name is None or not _NAME.fullmatch(name):
            what = f'"{whole}" is not a variable' if name is not None else "a ${ is not closed"
            hint = "A variable is written ${name}, with letters, digits and _; for a literal ${ write $${."
            self._tree.say(path, f"{what}.", hint, of_value=True)
            return whole, whole
        self._used.add(name)
        if name in self._given:
            return read_scalar(self._given[name]), self._given[name]
        if name not in self._own:
            self._undefined(name, path)
            return whole, whole
        value = self._own[name]
        if not _usable(value):
            self._tree.spoilt.add(path)
            return whole, whole
        return value, value if isinstance(value, str) else self._tree.source((_SECTION, name))

    def _undefined(self, name: str, path: Path) -> None:
        known = sorted({*self._given, *self._own})
        close = get_close_matches(name, known, n=1)
        guess = f"Did you mean ${{{close[0]}}}? " if close else ""
        there = f"Defined: {', '.join(known)}. " if known else ""
        literal = "" if close else f"; for a literal ${{{name}}} write $${{{name}}}"
        hint = f"{guess}{there}Give it with --var {name}=value{literal}."
        self._tree.say(path, f'there is no variable "{name}".', hint, of_value=True)

    def check_section(self) -> None:
        for name, value in self._own.items():
            if isinstance(value, str) and not _usable(value):
                hint = "Write the value out."
                self._tree.say((_SECTION, name), "a variable cannot refer to another one.", hint, of_value=True)

    def check_used(self) -> None:
        for name in self._own:
            if name not in self._used:
                bad = not _NAME.fullmatch(name)
                hint = "A name is letters, digits and _." if bad else self._guess(name, set(self._own))
                self._tree.say((_SECTION, name), "is never used.", hint)
        for name in self._given:
            if name not in self._used and name not in self._own:
                self._tree.say((f"--var {name}",), "is never used.", self._guess(name, set(self._given)))

    def _guess(self, name: str, besides: set[str]) -> str:
        others = sorted((self._used | set(self._own)) - besides)
        close = get_close_matches(name, others, n=1)
        if close:
            return f"Did you mean `{close[0]}`?"
        return f"Write ${{{name}}} where it belongs, or leave it out."


def _usable(value: object) -> bool:
    """A value of the section that can be filled in: a scalar that refers to no other variable."""
    if isinstance(value, str):
        return all(match[0] == "$${" for match in _REFERENCE.finditer(value))
    return not isinstance(value, (dict, list))
