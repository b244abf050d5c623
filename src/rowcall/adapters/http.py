"""`EndpointClient` over aiohttp: one session per task, no retries, and no limit of its own but on the size of a reply.

What comes back does not hold the key or token that was sent: servers quote it in their errors.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import aiohttp

from rowcall.adapters.auth import Credentials, Login, credentials
from rowcall.core.errors import SetupError
from rowcall.core.ports import EndpointClient
from rowcall.core.records import ErrorKind, HttpFailure, HttpReply, HttpRequest

UNAUTHORIZED = 401
MOST_REPLY_MB = 64
"""Counted after decompression. Model Serving lets 16 MB through; a few calls with much more fill the memory of a worker."""
SHORTEST_KEY = 8
"""A shorter key is not looked for in replies: it may be a word that an answer needs."""

_PLAIN = r"[A-Za-z0-9._~-]"


class ReplyTooLargeError(Exception):
    """The server goes on sending above the bound."""


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
        login: dict[str, str] = {}
        try:
            login = await self._login.headers()
            reply = await self._send(request, login)
            if reply.status == UNAUTHORIZED and (fresh := await self._login.refreshed(login)):
                login = fresh
                reply = await self._send(request, login)
            return without_key(reply, login)
        except Exception as error:
            return without_key(failure_of(error), login)

    async def _send(self, request: HttpRequest, login: dict[str, str]) -> HttpReply:
        content = {} if request.body is None else {"Content-Type": "application/json"}
        async with self._session.request(
            "GET" if request.body is None else "POST",
            request.url,
            data=request.body,
            headers={**content, **request.headers, **login},
            timeout=_timeout(request.timeout),
            allow_redirects=False,
        ) as reply:
            first_byte_ns = time.time_ns()
            body, arrivals = await _read(reply)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return HttpReply(reply.status, headers, body, first_byte_ns, arrivals)


@lru_cache(maxsize=16)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(30.0, seconds))


async def _read(reply: aiohttp.ClientResponse) -> tuple[bytes, list[tuple[int, int]]]:
    """The whole body, and of an event stream when its pieces came."""
    body, arrivals = bytearray(), list[tuple[int, int]]()
    async for piece in reply.content.iter_any():
        body += piece
        if len(body) > MOST_REPLY_MB * 1_000_000:
            raise ReplyTooLargeError
        arrivals.append((len(body), time.time_ns()))
    return bytes(body), arrivals if reply.content_type == "text/event-stream" else []


def without_key(got: HttpReply | HttpFailure, login: dict[str, str]) -> HttpReply | HttpFailure:
    """What came back, with `[redacted]` where it quotes the key of the login that was sent.

    That moves what follows, so of a stream that quotes it the arrivals are no longer told.
    """
    _, _, key = login.get("Authorization", "").partition(" ")
    if len(key) < SHORTEST_KEY:
        return got
    secret = _secret(key)
    if isinstance(got, HttpFailure):
        return replace(got, message=secret.hidden_in_text(got.message))
    headers = {name: secret.hidden_in_text(value) for name, value in got.headers.items()}
    body = secret.hidden_in(got.body)
    return replace(got, headers=headers, body=body, arrivals=got.arrivals if body == got.body else ())


@dataclass(frozen=True, slots=True)
class _Secret:
    """A key to look for: `stretch` is its longest part that is never escaped, and quick to find."""

    stretch: bytes
    pattern: re.Pattern[bytes]

    def hidden_in(self, body: bytes) -> bytes:
        return self.pattern.sub(b"[redacted]", body) if self.stretch in body else body

    def hidden_in_text(self, text: str) -> str:
        return self.hidden_in(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")


@lru_cache(maxsize=16)
def _secret(key: str) -> _Secret:
    stretch = max(re.findall(f"{_PLAIN}+", key), key=len, default="")
    return _Secret(stretch.encode(), re.compile("".join(map(_spelled, key)).encode()))


def _spelled(char: str) -> str:
    """A pattern for a character as it is, or as JSON may escape it; within JSON texts there are more backslashes before it."""
    if re.fullmatch(_PLAIN, char):
        return re.escape(char)
    return rf"\\{{0,9}}(?:{re.escape(char)}|(?i:u{ord(char):04x}))"


def failure_of(error: Exception) -> HttpFailure:
    """The one place where aiohttp's and the SDK's errors become kinds."""
    connected = True
    match error:
        case aiohttp.ClientConnectorCertificateError():
            said = f"the server's certificate is not to be trusted: {error.certificate_error}"
            kind, message = ErrorKind.UNTRUSTED, said
        case aiohttp.ClientSSLError():
            kind, message = ErrorKind.CONNECTION, f"TLS failed: {error}"
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            kind, message, connected = ErrorKind.CONNECTION, str(error) or type(error).__name__, False
        case asyncio.TimeoutError():
            kind, message = ErrorKind.TIMEOUT, "no whole reply in time"
        case ReplyTooLargeError():
            kind, message = ErrorKind.TOO_LARGE, f"the reply is larger than {MOST_REPLY_MB} MB"
        case aiohttp.InvalidURL():
            kind, message = ErrorKind.NOT_FOUND, f"not a URL: {error}"
        case aiohttp.ClientError() | OSError():
            kind, message = ErrorKind.CONNECTION, str(error) or type(error).__name__
        case SetupError():
            kind, message = ErrorKind.UNAUTHENTICATED, str(error)
        case _:
            kind, message = ErrorKind.UNAUTHENTICATED, f"the login failed: {error}"
    return HttpFailure(kind, message, connected)
