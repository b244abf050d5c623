"""Values out of JSON that somebody else wrote: nothing here raises, whatever the other side sent."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

_BOM = "\ufeff"
_BELIEVABLE = 2**40
_DEEPEST = 100
"""Levels that are kept of JSON that is too deep to be read."""
_LONGEST_DEEP = 8_000_000
_JSON_PARTS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|[^"\[\]{}]++', re.DOTALL)
_SECRETS = re.compile(
    r"""(?ix) (?<=bearer) [\s:="']+ [^\s"',;]+      # an Authorization header
      | \b (?: dapi | dose | dkea ) [0-9a-z-]{8,}    # Databricks tokens and secrets
      | \b eyJ [\w-]{8,} (?: \. [\w-]+ ){1,2}        # a JWT
      | \b sk- [\w-]{8,}                             # keys of OpenAI and its kin
    """
)


def parse_json(data: bytes | str) -> object:
    """The JSON value, None where it is not JSON. Broken UTF-8 becomes U+FFFD; NaN and infinities null, and so does what lies deeper
    than can be read."""
    text = data.decode("utf-8", "replace").removeprefix(_BOM) if isinstance(data, bytes) else data
    try:
        return _decoded(text)
    except RecursionError:
        return _decoded(_shallow(text)) if len(text) <= _LONGEST_DEEP else None


def _decoded(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except ValueError:
        return None


def _shallow(text: str) -> str:
    """JSON text with null in the place of what lies too deep."""
    kept: list[str] = []
    depth = 0
    for found in _JSON_PARTS.finditer(text):
        part = found[0]
        depth += part in ("[", "{")
        if depth <= _DEEPEST:
            kept.append(part)
        elif depth == _DEEPEST + 1 and part in ("[", "{"):
            kept.append("null")
        depth -= part in ("]", "}")
    return "".join(kept)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite)


def mapping(value: object) -> Mapping[str, object]:
    """The value if it is a JSON object, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """The value if it is a JSON array, else an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def text(value: object) -> str | None:
    """The value if it is a text, made fit for UTF-8."""
    return whole_characters(value) if isinstance(value, str) else None


def whole_characters(value: str) -> str:
    """Lone surrogates become U+FFFD: an answer cut inside an emoji holds one, and no table can store it."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def count(value: object) -> int | None:
    """The value if it is a number of things that can be believed: of so many the sum over all rows is still a BIGINT."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _BELIEVABLE:
        return value
    return None


def told_count(value: object) -> int | None:
    """A count as servers tell it: 10, and 10.0 or "10" too."""
    if isinstance(value, float) and value.is_integer():
        return count(int(value))
    if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value):
        return count(int(value))
    return count(value)


def json_text(value: object) -> str | None:
    """Compact JSON text of a parsed value; None for nothing (null, `{}`, `[]`)."""
    if value is None or (not value and isinstance(value, dict | list)):
        return None
    try:
        return whole_characters(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        return None


def one_line(value: str, limit: int = 500) -> str:
    """A message fit for a table and a terminal: single spaces, no secrets, at most `limit` characters."""
    if not value:
        return value
    start = value[: 40 * limit]
    printable = start if start.isprintable() else "".join(char if char.isprintable() else " " for char in start)
    line = " ".join(_SECRETS.sub(" [redacted]", printable).split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"
