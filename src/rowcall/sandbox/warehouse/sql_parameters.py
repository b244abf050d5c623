"""Parameters of a statement, put where their markers stand: `:name` and `?`, as the SQL connector sends them (FACTS 5.2).

Each becomes a literal, cast to its declared type. Markers are found by tokens, so what looks like one inside a literal, a
comment or a path into a variant (`column:field`) is left alone. Sail takes parameters in queries only, not in commands.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from rowcall.sandbox.warehouse.sql_errors import SqlFailedError

_TYPE = re.compile(r"[A-Z_]+(?:\(\d+(?:, ?\d+)?\))?")
_BEFORE_PATH = ("VAR", "IDENTIFIER", "R_PAREN", "R_BRACKET")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value as text with its SQL type. An ARRAY's elements are its arguments, a MAP's are key, value, key, value."""

    type: str
    value: str | None = None
    arguments: Sequence["Parameter"] = ()
    name: str | None = None


def bound(statement: str, parameters: Sequence[Parameter]) -> str:
    """The statement with its markers replaced. Raises `SqlFailedError` for a marker without a value and for an odd type."""
    if not parameters:
        return statement
    named = {name: sql_of(parameter) for parameter in parameters if (name := parameter.name) is not None}
    positional = [sql_of(parameter) for parameter in parameters if parameter.name is None]
    parts: list[str] = []
    place = 0
    for start, end, text in _values(statement, named, positional):
        parts += [statement[place:start], text]
        place = end
    return "".join([*parts, statement[place:]])


def sql_of(parameter: Parameter) -> str:
    """The parameter as a SQL expression. Raises `SqlFailedError`."""
    if parameter.type in ("ARRAY", "MAP"):
        return _collection(parameter)
    if parameter.type == "VOID" or parameter.value is None:
        return "NULL"
    if not _TYPE.fullmatch(parameter.type):
        raise SqlFailedError("INVALID_PARAMETER_VALUE", "22023", f"{parameter.type} is not the type of a parameter.")
    if parameter.type == "STRING":
        return _literal(parameter.value)
    if parameter.type == "INT" and parameter.value.isdecimal():
        return parameter.value  # LIMIT takes a plain number only
    return f"CAST({_literal(_plain(parameter))} AS {parameter.type})"


def _collection(parameter: Parameter) -> str:
    made = ", ".join(sql_of(argument) for argument in parameter.arguments)
    if made:
        return f"{parameter.type.lower()}({made})"
    return (
        f"CAST({parameter.type.lower()}() AS {'ARRAY<STRING>' if parameter.type == 'ARRAY' else 'MAP<STRING, STRING>'})"
    )


def _plain(parameter: Parameter) -> str:
    """The value's text; a DECIMAL's without an exponent."""
    text = parameter.value or ""
    if parameter.type.startswith("DECIMAL"):
        try:
            return format(Decimal(text), "f")
        except InvalidOperation:
            return text
    return text


def _literal(text: str) -> str:
    from rowcall.core.sql import literal

    return literal(text)


def _values(statement: str, named: Mapping[str, str], positional: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Where markers stand, from where up to where, with what comes there."""
    from sqlglot import tokenize
    from sqlglot.errors import SqlglotError

    try:
        tokens = tokenize(statement, read="databricks")
    except SqlglotError:
        return  # the engine says better what is wrong with it
    waiting = iter(positional)
    for place, token in enumerate(tokens):
        kind, after = token.token_type.name, tokens[place + 1] if place + 1 < len(tokens) else None
        if kind == "PLACEHOLDER" and positional:
            text = next(waiting, None)
            if text is None:
                raise SqlFailedError("UNBOUND_SQL_PARAMETER", "42P02", f"Found the unbound parameter: _{token.start}.")
            yield token.start, token.end + 1, text
        elif kind == "COLON" and after is not None and after.start == token.end + 1 and after.text in named:
            before = tokens[place - 1] if place else None
            path = before is not None and before.end + 1 == token.start and before.token_type.name in _BEFORE_PATH
            if not path:
                yield token.start, after.end + 1, named[after.text]
