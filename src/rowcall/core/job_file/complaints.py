"""Pydantic's complaints in plain words: one a place, what was given, what was expected and the likely fix."""

import json
import re
from collections.abc import Iterator
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rowcall.core.answer import AnswerSchemaError
from rowcall.core.job_file.schema import Shape, job_shape
from rowcall.core.job_file.tree import Path, Tree
from rowcall.core.job_file.unknown_keys import closest
from rowcall.core.job_file.variables import Filled

_SHOWN = 60
_SECRETS = ("api_key",)
_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_KEY_FIRST = re.compile(r"([a-z_]+(?:\.[a-z_]+)+) (.*)", re.DOTALL)


class Complaints:
    """What Pydantic found wrong with `tree.data`."""

    def __init__(self, tree: Tree, filled: Filled, error: ValidationError) -> None:
        self._tree = tree
        self._filled = filled
        self._found: dict[Path, list[ErrorDetails]] = {}
        for details in error.errors(include_url=False):
            # The tag of a union is a key like any other to the one who wrote it.
            tag = str(details.get("ctx", {}).get("discriminator", "")).strip("'")
            path = _path(details["loc"])
            path = (*path, tag) if details["type"] == "union_tag_invalid" else path
            self._found.setdefault(path, []).append(details)

    def take_as_text(self) -> bool:
        """Puts the text of a variable back where it was read as a number but a text is asked for."""
        mistaken = [
            path
            for path, errors in self._found.items()
            if errors[0]["type"] == "string_type" and self._tree.written(path) in self._filled.as_text
        ]
        for path in mistaken:
            _put(self._tree.data, path, self._filled.as_text.pop(self._tree.written(path)))
        return bool(mistaken)

    def tell(self) -> None:
        """Adds a problem for each place, the innermost only."""
        outer = {path[:length] for path in self._found for length in range(len(path))}
        for path, errors in self._found.items():
            if path not in outer and self._tree.written(path) not in self._tree.spoilt:
                self._tell(path, _clearest(errors))

    def _tell(self, path: Path, error: ErrorDetails) -> None:
        written, shape = self._tree.written(path), _shape(path)
        if error["type"] == "missing":
            hint = shape.description or f"Expected {shape.expected()}."
            self._tree.say(written, "is missing.", _sentence(hint))
        elif error["type"] in ("value_error", "assertion_error"):
            self._tell_own(path, error)
        else:
            expected = _expected(error, shape)
            self._tree.say(
                written,
                f"is {self._given(path)}; expected {expected}.",
                self._hint(path, shape),
                of_value=True,
            )

    def _tell_own(self, path: Path, error: ErrorDetails) -> None:
        """What a validator of the definition says."""
        own = error.get("ctx", {}).get("error")
        if isinstance(own, AnswerSchemaError):
            for inside, message in own.problems:
                place = (*path, *inside.split(".")) if inside else path
                self._tree.say(self._tree.written(place), _sentence(message), of_value=True)
            return
        text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        about = _KEY_FIRST.fullmatch(text)
        if about and self._tree.written(named := tuple(about[1].split("."))) in self._tree.places:
            path, text = named, about[2]
        of_value = text.startswith("expected ")
        text = f"is {self._given(path)}; {text}" if of_value else text
        self._tree.say(self._tree.written(path), _sentence(text), of_value=of_value)

    def _given(self, path: Path) -> str:
        if path[-1] in _SECRETS:
            return '"…" (hidden)'
        written = self._tree.written(path)
        value, template = _get(self._filled.data, written), self._filled.written.get(written)
        return shown(value) + (f" (from {shown(template)})" if template else "")

    def _hint(self, path: Path, shape: Shape) -> str:
        value, written = _get(self._tree.data, path), self._tree.written(path)
        if value is None:
            return "Indent what belongs under it." if shape.objects else ""
        if isinstance(value, str):
            guess = closest(value, shape.choices())
            return f"Did you mean `{guess}`?" if guess else ""
        source = " ".join(self._tree.source(written).split())
        quotable = len(source) <= _SHOWN and written not in self._filled.written and _like_a_text(value)
        if quotable and shape.takes_text(source):
            return f"Quote a text: {json.dumps(source, ensure_ascii=False)}."
        return ""


def shown(value: object) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "empty"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _like_a_text(value: object) -> bool:
    """Whether a value may be a text without its quotes: `{review}` reads as a mapping of a key to nothing."""
    if isinstance(value, dict):
        return all(item is None for item in cast("dict[str, object]", value).values())
    return True


def _path(loc: tuple[int | str, ...]) -> Path:
    """The place of an error without the names of union branches that Pydantic puts in."""
    path: list[str | int] = []
    shape, in_branch = job_shape(), False
    for part in loc:
        if not in_branch and shape.is_label(part):
            in_branch = True
        else:
            path.append(part)
            shape, in_branch = shape.at(part), False
    return tuple(path)


def _shape(path: Path) -> Shape:
    shape = job_shape()
    for part in path:
        shape = shape.at(part)
    return shape


def _clearest(errors: list[ErrorDetails]) -> ErrorDetails:
    """The error that says most, of those that the branches of a union have at one place."""
    own = (error for error in errors if error["type"] in ("value_error", "missing"))
    return next(own, errors[0])


def _expected(error: ErrorDetails, shape: Shape) -> str:
    if not shape.branches or error["msg"].startswith("expected "):
        return error["msg"].removeprefix("expected ")
    bounds = error.get("ctx", {})
    if "min_length" in bounds:
        return f"at least {bounds['min_length']} {'key' if shape.objects else 'item'}"
    if not shape.is_bounded and bounds.keys() & _BOUNDS.keys():
        return " and ".join(f"{word} {bounds[bound]:g}" for bound, word in _BOUNDS.items() if bound in bounds)
    return shape.expected()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _steps(data: object, path: Path) -> Iterator[object]:
    for part in path:
        try:
            data = cast("dict[str | int, object]", data)[part]
        except (KeyError, IndexError, TypeError):
            data = None
        yield data


def _get(data: object, path: Path) -> object:
    *_, value = (data, *_steps(data, path))
    return value


def _put(data: object, path: Path, value: object) -> None:
    cast("dict[str | int, object]", _get(data, path[:-1]))[path[-1]] = value
