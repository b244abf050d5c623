"""What FastAPI answers where a request does not fit its types: 422, and a list of the problems, each with its place."""

import json
from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from rowcall.sandbox.agents.delivery import JSON, Outgoing
from rowcall.sandbox.agents.wire import parse_body

T = TypeVar("T")


class UnfitError(ValueError):
    """A request that does not fit."""

    def __init__(self, problems: Sequence[object]) -> None:
        self.body = json.dumps({"detail": problems}, default=str).encode()

    @property
    def reply(self) -> Outgoing:
        return Outgoing(422, JSON, self.body)


def fit_body(adapter: TypeAdapter[T], raw: bytes) -> T:
    """A JSON body as that type; raises `UnfitError`."""
    if not raw:
        raise UnfitError([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
    try:
        return _fit(adapter, parse_body(raw), "body")
    except UnfitError:
        raise
    except (ValueError, RecursionError) as wrong:
        place, said = (wrong.pos, wrong.msg) if isinstance(wrong, json.JSONDecodeError) else (0, str(wrong))
        problem = {"type": "json_invalid", "loc": ["body", place], "msg": "JSON decode error", "input": {}}
        raise UnfitError([{**problem, "ctx": {"error": said}}]) from wrong


def fit_text(adapter: TypeAdapter[T], value: str, *place: str) -> T:
    """A text from the path or the query as that type. Raises the 422."""
    try:
        return _fit(adapter, value, *place)
    except UnfitError as wrong:
        raise web.HTTPUnprocessableEntity(body=wrong.body, content_type="application/json") from wrong


def _fit(adapter: TypeAdapter[T], value: object, *place: str) -> T:
    try:
        return adapter.validate_python(value, from_attributes=True)
    except ValidationError as wrong:
        problems = wrong.errors(include_url=False)
        raise UnfitError([{**problem, "loc": [*place, *problem["loc"]]} for problem in problems]) from wrong
