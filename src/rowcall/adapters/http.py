"""`EndpointClient` over aiohttp: one session per task, no retries and no limits of its own."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from rowcall.adapters.auth import Credentials, Login, credentials
from rowcall.core.errors import SetupError
from rowcall.core.ports import EndpointClient
from rowcall.core.records import ErrorKind, HttpFailure, HttpReply, HttpRequest

UNAUTHORIZED = 401


@asynccontextmanager
async def connect(login: Login) -> AsyncGenerator[EndpointClient]:
    """A client that logs in as `login` says. The worker owns the limit, so the pool has none."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as session:
        yield AiohttpClient(session, credentials(login))


class AiohttpClient:
    """Sends a request once; a 401 is answered with one fresh token, if there is one."""

    def __init__(self, session: aiohttp.ClientSession, login: Credentials) -> None:
        self._session = session
        self._login = login

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure:
        try:
            reply = await self._post(request)
            if reply.status == UNAUTHORIZED and await self._login.refresh():
                reply = await self._post(request)
            return reply
        except Exception as error:
            return failure_of(error)

    async def _post(self, request: HttpRequest) -> HttpReply:
        headers = {"Content-Type": "application/json", **request.headers, **await self._login.headers()}
        timeout = aiohttp.ClientTimeout(total=request.timeout, sock_connect=min(30.0, request.timeout))
        async with self._session.post(
            request.url, data=request.body, headers=headers, timeout=timeout, allow_redirects=False
        ) as reply:
            first_byte_ns = time.time_ns()
            body = await reply.read()
            return HttpReply(
                reply.status,
                {name.lower(): value for name, value in reply.headers.items()},
                body,
                first_byte_ns,
            )


def failure_of(error: Exception) -> HttpFailure:
    """The one place where aiohttp's and the SDK's errors become kinds."""
    match error:
        case asyncio.TimeoutError():
            return HttpFailure(ErrorKind.TIMEOUT, "no whole reply in time")
        case aiohttp.InvalidURL():
            return HttpFailure(ErrorKind.NOT_FOUND, f"not a URL: {error}")
        case aiohttp.ClientSSLError():
            return HttpFailure(ErrorKind.CONNECTION, f"TLS failed: {error}")
        case aiohttp.ClientError() | OSError():
            return HttpFailure(ErrorKind.CONNECTION, str(error) or type(error).__name__)
        case SetupError():
            return HttpFailure(ErrorKind.UNAUTHENTICATED, str(error))
        case _:
            return HttpFailure(ErrorKind.UNAUTHENTICATED, f"the login failed: {error}")
