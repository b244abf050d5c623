"""Function calls found in SQL text, by tokens: what stands in literals, comments and backticks is no call.

Nothing is parsed further than that, so a statement can be rewritten where its calls stand and is left alone elsewhere.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlglot import tokenize
from sqlglot.errors import SqlglotError

_OPENING = ("L_PAREN", "L_BRACKET", "L_BRACE")
_CLOSING = ("R_PAREN", "R_BRACKET", "R_BRACE")
_TEXTS = ("STRING", "RAW_STRING")
_QUERIES = ("SELECT", "WITH", "VALUES", "FROM", "(")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class StatementError(ValueError):
    """A statement that is refused, in Databricks' form: `[CLASS] What is wrong. SQLSTATE: 12345`."""

    def __init__(self, error_class: str, message: str, sqlstate: str) -> None:
        super().__init__(f"[{error_class}] {message.removesuffix('.')}. SQLSTATE: {sqlstate}")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument. `name` is in lower case, None for a positional one; `literal` is the value if it is one text literal,
    `function` the function's name in lower case if it is one call and no more."""

    name: str | None
    text: str
    literal: str | None = None
    function: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call at `start` up to, not including, `end`."""

    name: str
    start: int
    end: int
    arguments: tuple[Argument, ...]


def find_calls(sql: str, names: Collection[str]) -> list[FunctionCall]:
    """The calls of these functions that are not inside another of them, in order; none in a text that is no SQL."""
    tokens = _tokens(sql)
    return list(_calls(sql, tokens, names))


def replace_calls(sql: str, names: Collection[str], replacement: Callable[[FunctionCall], str]) -> str:
    """The text with every call that `find_calls` finds replaced."""
    parts: list[str] = []
    place = 0
    for call in find_calls(sql, names):
        parts += [sql[place : call.start], replacement(call)]
        place = call.end
    return "".join([*parts, sql[place:]])


def described_query(sql: str) -> str | None:
    """The query in a DESCRIBE [QUERY] statement, None for any other statement."""
    tokens = _tokens(sql)
    while tokens and tokens[-1].kind == "SEMICOLON":
        tokens.pop()
    words = [sql[token.start : token.end + 1].upper() for token in tokens[:3]]
    if len(words) < 3 or words[0] not in ("DESCRIBE", "DESC"):
        return None
    first = 2 if words[1] == "QUERY" else 1
    return sql[tokens[first].start : tokens[-1].end + 1] if words[first] in _QUERIES else None


def name_markers(sql: str, prefix: str) -> str:
    """The text with its `?` markers as `:<prefix>0`, `:<prefix>1` and so on: those may stand more than once."""
    parts: list[str] = []
    place = 0
    for number, token in enumerate(token for token in _tokens(sql) if token.kind == "PLACEHOLDER"):
        parts += [sql[place : token.start], f":{prefix}{number}"]
        place = token.end + 1
    return "".join([*parts, sql[place:]])


def _tokens(sql: str) -> list[_Token]:
    try:
        found = tokenize(sql, read="databricks")
    except SqlglotError:
        return []  # the engine says better what is wrong with it
    return [_Token(token.token_type.name, token.text, token.start, token.end) for token in found]


def _calls(sql: str, tokens: Sequence[_Token], names: Collection[str]) -> Iterator[FunctionCall]:
    place = 0
    while place < len(tokens):
        last = _end(tokens, place + 1) if _is_named(tokens, place, names) else None
        if last is None:
            place += 1
            continue
        arguments = tuple(_argument(sql, part) for part in _parts(tokens[place + 2 : last]))
        yield FunctionCall(tokens[place].text.lower(), tokens[place].start, tokens[last].end + 1, arguments)
        place = last + 1


def _is_named(tokens: Sequence[_Token], place: int, names: Collection[str]) -> bool:
    after_dot = place > 0 and tokens[place - 1].kind == "DOT"
    plain = tokens[place].kind not in (*_TEXTS, "IDENTIFIER")
    return plain and not after_dot and tokens[place].text.lower() in names


def _end(tokens: Sequence[_Token], start: int) -> int | None:
    """Where the parenthesis that opens at `start` closes; None if none opens there, or it does not close."""
    if start >= len(tokens) or tokens[start].kind != "L_PAREN":
        return None
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place].kind in _OPENING) - (tokens[place].kind in _CLOSING)
        if depth == 0:
            return place
    return None


def _parts(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """The tokens between the commas of a list of arguments."""
    depth, start = 0, 0
    for place, token in enumerate(tokens):
        depth += (token.kind in _OPENING) - (token.kind in _CLOSING)
        if depth == 0 and token.kind == "COMMA":
            yield tokens[start:place]
            start = place + 1
    if tokens:
        yield tokens[start:]


def _argument(sql: str, tokens: Sequence[_Token]) -> Argument:
    named = len(tokens) > 1 and tokens[1].kind == "FARROW"
    value = tokens[2:] if named else tokens
    name = tokens[0].text.lower() if named else None
    if not value:
        raise StatementError("PARSE_SYNTAX_ERROR", "Syntax error: an argument is empty.", "42601")
    literal = value[0].text if len(value) == 1 and value[0].kind in _TEXTS else None
    function = value[0].text.lower() if _end(value, 1) == len(value) - 1 else None
    return Argument(name, sql[value[0].start : value[-1].end + 1], literal, function)
