"""What aiohttp raises, as the kinds of failures that the rest of rowcall knows."""

import asyncio
import socket

import aiohttp
import pytest

from rowcall.adapters.http import ReplyTooLargeError, failure_of
from rowcall.core.errors import SetupError
from rowcall.core.records import ErrorKind


@pytest.mark.parametrize(
    ("error", "kind", "connected"),
    [
        (aiohttp.ConnectionTimeoutError("no connection in time"), ErrorKind.CONNECTION, False),
        (TimeoutError(), ErrorKind.TIMEOUT, True),
        (aiohttp.SocketTimeoutError("no byte in time"), ErrorKind.TIMEOUT, True),
        (aiohttp.ServerDisconnectedError(), ErrorKind.CONNECTION, True),
        (ConnectionResetError(104, "Connection reset by peer"), ErrorKind.CONNECTION, True),
        (aiohttp.ClientPayloadError("the body is incomplete"), ErrorKind.CONNECTION, True),
        (aiohttp.InvalidURL("http://"), ErrorKind.NOT_FOUND, True),
        (ReplyTooLargeError(), ErrorKind.TOO_LARGE, True),
        (SetupError("log in first"), ErrorKind.UNAUTHENTICATED, True),
    ],
)
def test_each_error_is_of_a_kind(error: Exception, kind: ErrorKind, connected: bool) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.connected) == (kind, connected)
    assert failure.message


@pytest.mark.parametrize("host", ["127.0.0.1", "rowcall.invalid"])
def test_a_server_that_is_not_there_was_not_reached(host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def ask() -> Exception:
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientError) as raised:
                    await session.post(f"http://{host}:{port}/")
            return raised.value

        failure = failure_of(asyncio.run(ask()))
    assert (failure.kind, failure.connected) == (ErrorKind.CONNECTION, False)
