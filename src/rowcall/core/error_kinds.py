"""The kinds of failure that a server's own codes and statuses stand for.

The code tells first and the status second: a Databricks rate limit may come with status 400 (FACTS 2.3).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from rowcall.core.error_body import ServerError
from rowcall.core.records import ErrorKind

# Codes of Databricks, then of the model APIs it passes on and agent servers (OpenAI, Anthropic, llama.cpp, MLflow),
# in lower case.
_KIND_OF_CODE: Mapping[str, ErrorKind] = MappingProxyType(
    {
        "request_limit_exceeded": ErrorKind.RATE_LIMITED,
        "resource_exhausted": ErrorKind.RATE_LIMITED,
        "temporarily_unavailable": ErrorKind.UNAVAILABLE,
        "workspace_temporarily_unavailable": ErrorKind.UNAVAILABLE,
        "deadline_exceeded": ErrorKind.TIMEOUT,
        "internal_error": ErrorKind.SERVER_ERROR,
        "unauthenticated": ErrorKind.UNAUTHENTICATED,
        "permission_denied": ErrorKind.PERMISSION_DENIED,
        "resource_does_not_exist": ErrorKind.NOT_FOUND,
        "not_found": ErrorKind.NOT_FOUND,
        "endpoint_not_found": ErrorKind.NOT_FOUND,
        "bad_request": ErrorKind.BAD_REQUEST,
        "invalid_parameter_value": ErrorKind.BAD_REQUEST,
        "malformed_request": ErrorKind.BAD_REQUEST,
        "429": ErrorKind.RATE_LIMITED,
        "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
        "rate_limit_error": ErrorKind.RATE_LIMITED,
        "overloaded_error": ErrorKind.UNAVAILABLE,
        "timeout_error": ErrorKind.TIMEOUT,
        "task_timeout": ErrorKind.TIMEOUT,
        "invalid_api_key": ErrorKind.UNAUTHENTICATED,
        "authentication_error": ErrorKind.UNAUTHENTICATED,
        "permission_error": ErrorKind.PERMISSION_DENIED,
        # An account without money: waiting does not help, and no row can fare better.
        "insufficient_quota": ErrorKind.PERMISSION_DENIED,
        "model_not_found": ErrorKind.NOT_FOUND,
        "not_found_error": ErrorKind.NOT_FOUND,
        "context_length_exceeded": ErrorKind.BAD_REQUEST,
        "request_too_large": ErrorKind.TOO_LARGE,
    }
)

_KIND_OF_STATUS: Mapping[int, ErrorKind] = MappingProxyType(
    {
        401: ErrorKind.UNAUTHENTICATED,
        403: ErrorKind.PERMISSION_DENIED,
        404: ErrorKind.NOT_FOUND,
        408: ErrorKind.TIMEOUT,
        409: ErrorKind.UNAVAILABLE,
        413: ErrorKind.TOO_LARGE,
        422: ErrorKind.BAD_REQUEST,
        429: ErrorKind.RATE_LIMITED,
        500: ErrorKind.SERVER_ERROR,
        502: ErrorKind.UNAVAILABLE,
        503: ErrorKind.UNAVAILABLE,
        504: ErrorKind.TIMEOUT,
        529: ErrorKind.UNAVAILABLE,
    }
)

_THROTTLED = re.compile(r"\b(REQUEST_LIMIT_EXCEEDED|RESOURCE_EXHAUSTED)\b")
_LEADING_CODE = re.compile(r"([A-Z]+(?:_[A-Z]+)+|UNAUTHENTICATED)\b")


def kind_of(said: ServerError, status: int) -> tuple[ErrorKind, str | None]:
    """The kind of an error and the code that told it. A rate limit in it wins: waiting is what helps."""
    codes = (*said.codes, *_codes_in(said.message, status))
    known = [(kind, code) for code in codes if (kind := _KIND_OF_CODE.get(code.lower()))]
    limits = [(kind, code) for kind, code in known if kind is ErrorKind.RATE_LIMITED]
    fallback = (_kind_of_status(status), codes[0] if codes else None)
    return next(iter([*limits, *known]), fallback)


def known_kind(code: str) -> ErrorKind | None:
    """The kind that a server's own code stands for, if it is a known one."""
    return _KIND_OF_CODE.get(code.lower())


def _codes_in(message: str, status: int) -> list[str]:
    """Codes in a text. A 5xx that begins with one is an agent passing on what one of its tools was told."""
    leading = _LEADING_CODE.match(message) if status < 500 else None
    return _THROTTLED.findall(message) + ([leading[1]] if leading else [])


def _kind_of_status(status: int) -> ErrorKind:
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    if 400 <= status < 500:
        return ErrorKind.BAD_REQUEST
    return ErrorKind.SERVER_ERROR if 500 <= status < 600 else ErrorKind.BAD_REPLY
