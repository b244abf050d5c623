"""What an error body says, whichever of the known shapes it has (FACTS 2.3).

platform          {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "…"}
model APIs        {"error": {"message": "…", "type": "rate_limit_exceeded", "code": 429, "retry_after": 15}}
FastAPI (apps)    {"detail": "…"} or {"detail": [{"loc": ["body", "input"], "msg": "Field required"}]}
external models   {"external_model_provider": "…", "external_model_error": {…any of these…}}
an agent's stream {"error": "…"}
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rowcall.core.loose import json_text, mapping, one_line, sequence, text

_WRAPPERS = ("error", "external_model_error", "detail")
_MESSAGES = ("message", "msg", "error_description")
_CODES = ("error_code", "code", "type")
_MOST_LEVELS = 8
_UNSEEN = re.compile(r"(?is)<(script|style|head)\b.*?</\1>")
_TAG = re.compile(r"<[^<>]{0,500}>")


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the server said. `codes` are all its codes, outermost first; `retry_after` is as it came."""

    message: str
    codes: tuple[str, ...] = ()
    retry_after: object = None


def read_error(value: object) -> ServerError:
    """Read a parsed error body, or the `error` in one. Total."""
    levels = _levels(value)
    codes = tuple(one_line(code, 100) for level in levels for code in _codes(level))
    messages = (message for level in levels if (message := _message(level)).strip())
    waits = (wait for level in levels if (wait := mapping(level).get("retry_after")) is not None)
    fallback = json_text(value) or ""
    return ServerError(one_line(next(messages, fallback)), codes, next(waits, None))


def page_text(body: str) -> str:
    """The words of a body that is no JSON: an HTML page without its tags, or the text as it is."""
    start = body[:10_000]
    if "<html" in start.lower() or "<!doctype" in start.lower():
        start = _TAG.sub(" ", _UNSEEN.sub(" ", start))
    return one_line(start)


def _levels(value: object) -> Sequence[object]:
    """The error and those wrapped in it, outermost first."""
    levels = [value]
    for level in levels:
        inner = mapping(level)
        levels += [inner[key] for key in _WRAPPERS if inner.get(key)]
        if len(levels) > _MOST_LEVELS:
            break
    return levels


def _codes(level: object) -> Iterator[str]:
    """Words first: a number there repeats the status."""
    found = [mapping(level).get(key) for key in _CODES]
    yield from (code for code in found if isinstance(code, str) and code.strip())
    yield from (str(code) for code in found if isinstance(code, int) and not isinstance(code, bool))


def _message(level: object) -> str:
    if isinstance(level, list):
        return "; ".join(complaint for item in sequence(level)[:20] if (complaint := _complaint(item)))
    return _said(level)


def _said(level: object) -> str:
    if isinstance(level, str):
        return level
    return next((found for key in _MESSAGES if (found := text(mapping(level).get(key)))), "")


def _complaint(item: object) -> str:
    """One of pydantic's complaints, as FastAPI lists them: `body.input: Field required`."""
    where = ".".join(str(step) for step in sequence(mapping(item).get("loc")) if isinstance(step, str | int))
    what = _said(item)
    return f"{where}: {what}" if where and what else what
