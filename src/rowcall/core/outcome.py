"""What one HTTP exchange means: the answer, or the kind of failure and what a failure of that kind asks for.

The kinds themselves are told apart in `core.error_kinds`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from rowcall.core.answer import AnswerSchema, fit
from rowcall.core.endpoints import Wire, read_body
from rowcall.core.error_body import ServerError, page_text, read_error
from rowcall.core.error_kinds import kind_of
from rowcall.core.loose import one_line, parse_json
from rowcall.core.records import CallError, ErrorKind, HttpFailure, HttpReply, Outcome, Reply

# kind: (worth asking again, no other row can fare better)
_TREATMENT: Mapping[ErrorKind, tuple[bool, bool]] = MappingProxyType(
    {
        ErrorKind.RATE_LIMITED: (True, False),
        ErrorKind.UNAVAILABLE: (True, False),
        ErrorKind.SERVER_ERROR: (True, False),
        ErrorKind.TIMEOUT: (True, False),
        ErrorKind.CONNECTION: (True, False),
        ErrorKind.UNTRUSTED: (False, True),
        ErrorKind.BAD_REPLY: (True, False),
        ErrorKind.UNAUTHENTICATED: (False, True),
        ErrorKind.PERMISSION_DENIED: (False, True),
        ErrorKind.NOT_FOUND: (False, True),
        ErrorKind.BAD_REQUEST: (False, False),
        ErrorKind.TOO_LARGE: (False, False),
        ErrorKind.AGENT_ERROR: (False, False),
        ErrorKind.NULL_PROMPT: (False, False),
        ErrorKind.INTERNAL: (False, False),
    }
)

_SECONDS = re.compile(r"\s*([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*")
_DAY = 86_400.0
_REQUEST_IDS = (
    "x-request-id",
    "x-databricks-request-id",
    "databricks-request-id",
    "apim-request-id",
    "request-id",
)

never_retry = frozenset(kind for kind, (again, _) in _TREATMENT.items() if not again)


def retryable(kind: ErrorKind) -> bool:
    """Whether asking the same again may be answered."""
    return _TREATMENT[kind][0]


def stops_run(kind: ErrorKind) -> bool:
    """Whether every other row would fail alike."""
    return _TREATMENT[kind][1]


def read_reply(reply: HttpReply | HttpFailure, wire: Wire, now_ns: int) -> Reply:
    """What came back from one exchange. Total. Dates in `Retry-After` are measured against `now_ns`."""
    if isinstance(reply, HttpFailure):
        return Reply(Outcome.ERROR, error=CallError(reply.kind, one_line(reply.message)))
    if not 200 <= reply.status < 300:
        return _failure(reply, now_ns)
    read = read_body(reply.body, reply.headers.get("content-type", ""), wire)
    if wire.answer is not None:
        read = fitted(read, wire.answer)
    return replace(read, error=replace(read.error, status=reply.status)) if read.error else read


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id under which the server logged the exchange."""
    said = (headers[name] for name in _REQUEST_IDS if name in headers)
    return next((found for value in said if (found := one_line(value, 200))), None)


def fitted(read: Reply, schema: AnswerSchema) -> Reply:
    """The answer as the schema wants it, or an invalid one with its text as it came. What is not ok stays as it is."""
    if read.outcome is not Outcome.OK:
        return read
    answer, complaint = fit(read.text or "", schema)
    if answer is not None:
        return replace(read, text=answer)
    return replace(read, outcome=Outcome.INVALID, error=CallError(ErrorKind.BAD_REPLY, one_line(complaint)))


def _failure(reply: HttpReply, now_ns: int) -> Reply:
    parsed = parse_json(reply.body)
    said = ServerError(page_text(reply.body.decode("utf-8", "replace"))) if parsed is None else read_error(parsed)
    if 300 <= reply.status < 400:
        return _redirected(reply)
    kind, code = kind_of(said, reply.status)
    message = said.message or f"HTTP {reply.status} with an empty body"
    return Reply(
        Outcome.ERROR,
        error=CallError(kind, message, reply.status, code),
        retry_after=_retry_after(reply.headers, said.retry_after, now_ns),
    )


def _redirected(reply: HttpReply) -> Reply:
    """A redirect is no reply; to a login page (Apps: `/oidc/…`) it says that the token was not accepted."""
    target = one_line(reply.headers.get("location", "").partition("?")[0]) or "nowhere"
    kind = ErrorKind.UNAUTHENTICATED if re.search(r"/(oidc|login)\b", target) else ErrorKind.BAD_REPLY
    return Reply(Outcome.ERROR, error=CallError(kind, f"redirected to {target}", reply.status))


def _retry_after(headers: Mapping[str, str], in_body: object, now_ns: int) -> float | None:
    """Seconds to wait as the headers say, else the body; None where they do not. At most a day."""
    millis = _seconds(headers.get("retry-after-ms"))
    header = headers.get("retry-after")
    given = (
        millis / 1000 if millis is not None else None,
        _seconds(header),
        _until(header, now_ns),
        _seconds(in_body),
    )
    wait = next((seconds for seconds in given if seconds is not None), None)
    return None if wait is None else min(_DAY, max(0.0, wait))


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _SECONDS.fullmatch(str(value))
    return float(match[1]) if match else None


def _until(date: str | None, now_ns: int) -> float | None:
    """Seconds until an HTTP date; a date without a zone is UTC."""
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (zoned - datetime.fromtimestamp(0, UTC)).total_seconds() - now_ns / 1e9
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
