"""Texts with `{column}` placeholders: read, not yet rendered."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\{\{|\}\}|\{`((?:[^`]|``)+)`\}|\{([^{}`]+)\}|[{}]")


class TemplateError(ValueError):
    """A brace that neither opens a placeholder nor is doubled."""


@dataclass(frozen=True, slots=True)
class Field:
    """A placeholder. `quoted` means the name stood in backticks, so its dots are part of it."""

    name: str
    quoted: bool = False


Part = str | Field


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
