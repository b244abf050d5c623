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
        yield AiohttpClient(session, await asyncio.to_thread(credentials, login))


class AiohttpClient:
    """Sends a request once; a 401 is answered with one fresh token, if there is one."""

    def __init__(self, session: aiohttp.ClientSession, login: Credentials) -> None:
        self._session = session
        self._login = login

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure:
        try:
            headers = await self._login.headers()
            reply = await self._send(request, headers)
            if reply.status == UNAUTHORIZED and (fresh := await self._login.refreshed(headers)):
                reply = await self._send(request, fresh)
            return reply
        except Exception as error:
            return failure_of(error)

    async def _send(self, request: HttpRequest, login: dict[str, str]) -> HttpReply:
        content = {} if request.body is None else {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=request.timeout, sock_connect=min(30.0, request.timeout))
        async with self._session.request(
            "GET" if request.body is None else "POST",
            request.url,
            data=request.body,
            headers={**content, **request.headers, **login},
            timeout=timeout,
            allow_redirects=False,
        ) as reply:
            first_byte_ns = time.time_ns()
            body, arrivals = await _read(reply)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return HttpReply(reply.status, headers, body, first_byte_ns, arrivals)


async def _read(reply: aiohttp.ClientResponse) -> tuple[bytes, list[tuple[int, int]]]:
    """The whole body, and of an event stream when its pieces came."""
    if reply.content_type != "text/event-stream":
        return await reply.read(), []
    body, arrivals = bytearray(), list[tuple[int, int]]()
    async for piece in reply.content.iter_any():
        body += piece
        arrivals.append((len(body), time.time_ns()))
    return bytes(body), arrivals


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
