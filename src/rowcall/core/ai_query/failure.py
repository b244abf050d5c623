"""What the text of an `ai_query` error means: the same kinds as for an HTTP failure.

The text of a row's error, or of a statement that failed, usually holds what the endpoint answered: a JSON body, a status, a code
(FACTS 1.3, 2.3). These are read as `core.outcome` reads an HTTP reply. Where there is none, words decide, by one table.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from rowcall.core.error_body import ServerError, page_text, read_error
from rowcall.core.error_kinds import kind_of, known_kind
from rowcall.core.loose import json_text, one_line
from rowcall.core.records import CallError, ErrorKind

_CLASS = re.compile(r"\[([A-Z][A-Z_]+(?:\.[A-Z_]+)*)\]")
_SQLSTATE = re.compile(r"\s*SQLSTATE:? ?[0-9A-Z]{5}\.?")
_STATUS = re.compile(
    r"(?i)\b(?:status(?:[ _-]?code)?|http(?:/[0-9.]+)?|error code)\W{0,3}(?:was |is |of )?([1-5]\d\d)\b|^\W*([45]\d\d)\b"
)
_CODE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bUNAUTHENTICATED\b")
_PAGE = re.compile(r"(?is)<!doctype html.*?</html>|<html\b.*?</html>")
_MOST_BODIES = 8

# The first that is found decides; each has a recorded example in tests/golden/ai_query_errors.yml.
WORDS: tuple[tuple[str, ErrorKind], ...] = (
    (r"too many requests|rate.?limit|quota exceeded|throttl", ErrorKind.RATE_LIMITED),
    (
        r"no longer available|has been retired|not authori[sz]ed|permission|forbidden|access denied",
        ErrorKind.PERMISSION_DENIED,
    ),
    (r"invalid (access )?token|not authenticated|credential", ErrorKind.UNAUTHENTICATED),
    (r"context.?(length|window)|prompt is too long|maximum.{0,20}tokens", ErrorKind.BAD_REQUEST),
    (r"payload.{0,20}(large|limit)|request.{0,20}too large", ErrorKind.TOO_LARGE),
    (r"timed? ?out|deadline exceeded", ErrorKind.TIMEOUT),
    (r"temporarily|unavailable|overloaded|scal(ed|ing) (to|from) zero|not ready", ErrorKind.UNAVAILABLE),
    (r"connection|connect|socket|unknown ?host|broken pipe|reset by peer", ErrorKind.CONNECTION),
    (r"does not exist|not found", ErrorKind.NOT_FOUND),
    (r"AI_FUNCTION_INVALID_HTTP_RESPONSE|HTTP_PARSE_(CAST|COLUMNS)_ERROR|RESULT_PARSE_ERROR", ErrorKind.BAD_REPLY),
    (r"MODEL_SCHEMA_PARSE_ERROR|AI_FUNCTION_COMPILATION_ERROR|invalid param|bad request", ErrorKind.BAD_REQUEST),
)


def failure(text: str) -> CallError:
    """The error that a text tells of. Total."""
    status = _status(text)
    said = _said(text, status)
    if status is None and not any(known_kind(code) for code in said.codes):
        kind = next((kind for words, kind in WORDS if re.search(words, text, re.IGNORECASE)), ErrorKind.SERVER_ERROR)
        return CallError(kind, said.message, None, next(iter(said.codes), None))
    kind, code = kind_of(said, status or 400)
    return CallError(kind, said.message, status, code)


def _said(text: str, status: int | None) -> ServerError:
    """What the body in the text says, with the codes around it; without a body the text is the message. Codes in what a
    server error says are those of an agent's tools."""
    around = _CODE.findall(_CLASS.sub("", text)) if status is None or status < 500 else ()
    codes = tuple(code for code in around if known_kind(code))
    for body in _bodies(text):
        said = read_error(body)
        if said.codes or said.message != one_line(json_text(body) or ""):
            return replace(said, codes=said.codes or codes)
    function, page = _CLASS.search(text), _PAGE.search(text)
    message = page_text(page[0]) if page else one_line(_SQLSTATE.sub("", text).strip())
    return ServerError(message or "it does not say why", codes or ((function[1],) if function else ()))


def _bodies(text: str) -> Iterator[dict[str, object]]:
    """The JSON objects that a text holds, outermost ones only."""
    decoder, place = json.JSONDecoder(), 0
    for _ in range(_MOST_BODIES):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if isinstance(found, dict):
            yield cast("dict[str, object]", found)


def _status(text: str) -> int | None:
    match = _STATUS.search(_CLASS.sub("", text))
    return int(match[1] or match[2]) if match else None
