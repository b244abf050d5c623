"""Looking after a run in the background until it is done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

from rowcall.core.loose import one_line
from rowcall.core.outcome import read_reply, retryable
from rowcall.core.ports import EndpointClient
from rowcall.core.records import CallError, ErrorKind, HttpFailure, HttpReply, HttpRequest, Outcome, Reply
from rowcall.engines.recipe import Recipe
from rowcall.engines.stopping import Stopping

FIRST_LOOK, MOST_BETWEEN_LOOKS = 0.5, 10.0
"""Seconds between looks at a run in the background; each wait is half as long again as the one before."""
MOST_BAD_LOOKS = 5
"""In a row, until what the server says of a run is taken for its end."""
_NO_NAMES = (".", "..")

Read = Callable[[HttpReply | HttpFailure], Awaitable[Reply]]


async def follow(
    run: str, recipe: Recipe, client: EndpointClient, stopping: Stopping, read: Read
) -> tuple[Reply, HttpReply | HttpFailure] | None:
    """Look after a run until it is done. When the task stops, a run that can be found again is let go of; another, which would
    be paid for twice, is given one exchange's time."""
    until, wait, bad = time.monotonic() + recipe.run_timeout, FIRST_LOOK, 0
    url = f"{recipe.runs_url}/{quote(run, safe='')}"
    if run in _NO_NAMES:
        strange = HttpFailure(ErrorKind.BAD_REPLY, f"the server calls its run {run!r}, which is no id")
        return read_reply(strange, recipe.wire, 0), strange
    while time.monotonic() < until:
        if not stopping.over():
            await stopping.pause(min(wait, until - time.monotonic()))
        elif recipe.wire.shape == "durable":
            return None
        else:
            until = min(until, time.monotonic() + recipe.timeout)
            await asyncio.sleep(wait)
        got = await client.send(HttpRequest(url, None, dict(recipe.headers), recipe.timeout))
        reply = _of_run(run, await read(got))
        bad = bad + 1 if reply.error is not None and reply.error.kind is ErrorKind.BAD_REPLY else 0
        looks_on = reply.running is not None or _passing(reply, got) or 0 < bad < MOST_BAD_LOOKS
        if not looks_on:
            return _as_a_run(reply), got
        wait = min(wait * 1.5, MOST_BETWEEN_LOOKS)
    if stopping.over():
        return None
    message = f"the run {run} was not done within limits.run_timeout ({recipe.run_timeout:g} s)"
    given_up = HttpFailure(ErrorKind.AGENT_ERROR, message)
    return read_reply(given_up, recipe.wire, 0), given_up


def _passing(reply: Reply, got: HttpReply | HttpFailure) -> bool:
    """Whether a look at a run failed, which says nothing about the run."""
    whole = isinstance(got, HttpReply) and 200 <= got.status < 300
    return not whole and reply.error is not None and retryable(reply.error.kind)


def _as_a_run(reply: Reply) -> Reply:
    """What an error means of a run: one that the server does not know is lost, and may be begun anew; one that took its time and
    was cut off would do so again."""
    kinds = {ErrorKind.NOT_FOUND: ErrorKind.SERVER_ERROR, ErrorKind.TIMEOUT: ErrorKind.AGENT_ERROR}
    error = reply.error
    return reply if error is None else replace(reply, error=replace(error, kind=kinds.get(error.kind, error.kind)))


def _of_run(run: str, reply: Reply) -> Reply:
    """What is said of another run says nothing of this one."""
    if reply.response_id in (None, one_line(run)):
        return reply
    message = f"asked after the run {run}, the server told of {reply.response_id}"
    return Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, one_line(message)))
