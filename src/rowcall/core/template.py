"""Texts with `{column}` placeholders: read, not yet rendered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

_TOKEN = re.compile(r"\{\{|\}\}|\{`((?:[^`]|``)+)`\}|\{([^{}`]+)\}|[{}]")


class TemplateError(ValueError):
    """A brace that neither opens a placeholder nor is doubled."""


@dataclass(frozen=True, slots=True)
class Field:
    """A placeholder. `quoted` means the name stood in backticks, so its dots are part of it."""

    name: str
    quoted: bool = False


Part = str | Field


def varies(value: object) -> bool:
    """Whether a value of a job holds a placeholder. A brace that is no template is for whoever renders it to complain of."""
    match value:
        case str():
            try:
                return any(isinstance(part, Field) for part in parse_template(value))
            except TemplateError:
                return True
        case Mapping():
            return any(map(varies, cast("Mapping[str, object]", value).values()))
        case list() | tuple():
            return any(map(varies, cast("Sequence[object]", value)))
        case _:
            return False


def constant(value: object) -> object:
    """A value without placeholders as it is rendered: its doubled braces are plain ones."""
    match value:
        case str():
            return "".join(part for part in parse_template(value) if isinstance(part, str))
        case Mapping():
            return {name: constant(each) for name, each in cast("Mapping[str, object]", value).items()}
        case list() | tuple():
            return [constant(each) for each in cast("Sequence[object]", value)]
        case _:
            return value


def parse_template(text: str) -> list[Part]:
    """Split a text into plain pieces and fields; neighbouring plain pieces are one."""
    parts: list[Part] = []
    plain, end = "", 0
    for token in _TOKEN.finditer(text):
        plain += text[end : token.start()]
        end = token.end()
        if token[0] in ("{{", "}}"):
            plain += token[0][0]
            continue
        parts += [plain] if plain else []
        plain = ""
        parts.append(_field(token, text))
    plain += text[end:]
    return [*parts, plain] if plain or not parts else parts


def _field(token: re.Match[str], text: str) -> Field:
    if token[1] is not None:
        return Field(token[1].replace("``", "`"), quoted=True)
    if token[2] is not None and token[2].strip():
        return Field(token[2].strip())
    around = text[max(0, token.start() - 15) : token.end() + 15]
    raise TemplateError(f"a single {token[0][0]!r} in {around!r}")
