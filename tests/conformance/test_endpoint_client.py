"""The HTTP client against a server that misbehaves in every way a network allows: always a value, never an exception."""

import asyncio
import json
import pickle
import socket
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
from databricks.sdk.core import Config

from rowcall.adapters.auth import KeyLogin, Login, NoLogin, WorkspaceLogin
from rowcall.adapters.http import connect
from rowcall.core.errors import SetupError
from rowcall.core.records import ErrorKind, HttpFailure, HttpReply, HttpRequest
from rowcall.sandbox.process import SandboxProcess


@dataclass
class Server:
    """Answers every request with `raw` bytes, or hangs up, or refuses and quotes the login; `heard` is what it was sent."""

    raw: bytes = b""
    hang: bool = False
    quotes: bool = False
    heard: list[bytes] = field(default_factory=list[bytes])
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.rfile.readline()
            length = next(
                int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")
            )
            made.heard.append(head + self.rfile.read(length))
            if made.hang:
                made.released.wait(10)
            login = next((line for line in head.splitlines() if line.lower().startswith(b"authorization")), b"")
            with suppress(ConnectionError):
                self.wfile.write(reply("401 Unauthorized", login) if made.quotes else made.raw)

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Threads(("127.0.0.1", 0), Handler) as running:
        made.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.released.set()
        running.shutdown()
        thread.join()


def send(
    url: str, login: Login | None = None, *, timeout: float = 5.0, headers: dict[str, str] | None = None
) -> HttpReply | HttpFailure:
    async def once() -> HttpReply | HttpFailure:
        async with connect(login or NoLogin()) as client:
            return await client.send(HttpRequest(url, b'{"input": []}', headers or {}, timeout))

    return asyncio.run(once())


def reply(status: str, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status.encode(), b"Content-Length: " + str(len(body)).encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_reply_comes_back_as_it_is(server: Server):
    server.raw = reply("429 Too Many Requests", b'{"x": 1}', b"Retry-After: 7", b"X-Request-ID: r-1")
    got = send(f"http://127.0.0.1:{server.port}/responses", headers={"traceparent": "00-a-b-01"})
    assert isinstance(got, HttpReply)
    assert (got.status, got.body, got.headers["retry-after"], got.headers["x-request-id"]) == (
        429,
        b'{"x": 1}',
        "7",
        "r-1",
    )
    (heard,) = server.heard
    assert heard.startswith(b"POST /responses HTTP/1.1")
    assert b"traceparent: 00-a-b-01" in heard
    assert heard.endswith(b'{"input": []}')


def test_a_redirect_is_not_followed(server: Server):
    server.raw = reply("302 Found", b"", b"Location: http://127.0.0.1:9/login")
    got = send(f"http://127.0.0.1:{server.port}/responses")
    assert isinstance(got, HttpReply)
    assert (got.status, got.headers["location"]) == (302, "http://127.0.0.1:9/login")
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="hangs up before a reply"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="hangs up in the body"),
        pytest.param(b"garbage\r\n\r\n", id="speaks no HTTP"),
        pytest.param(reply("200 OK", b"not gzip", b"Content-Encoding: gzip"), id="lies about its encoding"),
    ],
)
def test_a_broken_exchange_is_a_failed_connection(server: Server, raw: bytes):
    server.raw = raw
    got = send(f"http://127.0.0.1:{server.port}/responses")
    assert isinstance(got, HttpFailure)
    assert got.kind is ErrorKind.CONNECTION


def gzip_of_spaces(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(megabytes)) + packer.flush()


GZIP = b"Content-Encoding: gzip"


def test_a_reply_may_have_64_megabytes(server: Server):
    server.raw = reply("200 OK", gzip_of_spaces(64), GZIP)
    got = send(f"http://127.0.0.1:{server.port}/responses", timeout=60)
    assert isinstance(got, HttpReply)
    assert len(got.body) == 64_000_000


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: reply("200 OK", b" " * 64_000_001), id="as it is"),
        pytest.param(lambda: reply("500 Oh", b" " * 64_000_001), id="an error"),
        pytest.param(lambda: reply("200 OK", b" " * 64_000_001, b"Content-Type: text/event-stream"), id="a stream"),
        pytest.param(lambda: reply("200 OK", gzip_of_spaces(65), GZIP), id="compressed"),
        pytest.param(lambda: reply("200 OK", gzip_of_spaces(600), GZIP), id="a bomb"),
    ],
)
def test_a_larger_reply_is_given_up(server: Server, make: Callable[[], bytes]):
    server.raw = make()
    got = send(f"http://127.0.0.1:{server.port}/responses", timeout=60)
    assert got == HttpFailure(ErrorKind.TOO_LARGE, "the reply is larger than 64 MB")
    assert len(server.heard) == 1


def test_a_server_that_says_nothing_is_a_timeout(server: Server):
    server.hang = True
    got = send(f"http://127.0.0.1:{server.port}/responses", timeout=0.2)
    assert got == HttpFailure(ErrorKind.TIMEOUT, "no whole reply in time")


def test_nobody_there_is_a_failed_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    got = send(f"http://127.0.0.1:{port}/responses")
    assert isinstance(got, HttpFailure)
    assert got.kind is ErrorKind.CONNECTION


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/responses", "https://127.0.0.1:{port}/responses"])
def test_unknown_hosts_and_failed_tls_are_failed_connections(server: Server, url: str):
    server.raw = b"this is no TLS\r\n"
    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=_answer_plainly, args=(plain,), daemon=True).start()
        got = send(url.format(port=plain.getsockname()[1]))
    assert isinstance(got, HttpFailure)
    assert got.kind is ErrorKind.CONNECTION


def _answer_plainly(plain: socket.socket) -> None:
    try:
        accepted, _ = plain.accept()
    except OSError:
        return
    accepted.sendall(b"this is no TLS\r\n")
    accepted.close()


def test_a_key_is_read_from_the_environment_where_the_call_is_made(server: Server, monkeypatch: pytest.MonkeyPatch):
    server.raw = reply("200 OK", b"{}")
    monkeypatch.setenv("MY_KEY", "sesame")
    send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
    assert b"Authorization: Bearer sesame" in server.heard[0]


KEY = "abc123SECRETkey999"
ODD_KEY = 'k/9+"\\é=7Q'
"""A key with characters that JSON may escape."""


@pytest.mark.parametrize(
    ("key", "quoted", "seen"),
    [
        (KEY, f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: [redacted]."),
        (KEY, f'{{"a": "{KEY}{KEY}", "b": "Bearer {KEY}"}}', '{"a": "[redacted][redacted]", "b": "Bearer [redacted]"}'),
        (
            KEY,
            "Incorrect API key provided: abc1**************y999",
            "Incorrect API key provided: abc1**************y999",
        ),
        ("sesame", '{"answer": "open sesame"}', '{"answer": "open sesame"}'),
        (ODD_KEY, ODD_KEY, "[redacted]"),
        (ODD_KEY, json.dumps([ODD_KEY]), '["[redacted]"]'),
        (ODD_KEY, json.dumps([ODD_KEY], ensure_ascii=False), '["[redacted]"]'),
        (ODD_KEY, json.dumps({"error": json.dumps([ODD_KEY])}), json.dumps({"error": json.dumps(["[redacted]"])})),
        (ODD_KEY, r'"k\/9\u002B\u0022\u005C\u00E9=7Q"', '"[redacted]"'),
    ],
)
def test_the_key_that_was_sent_does_not_come_back(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str, quoted: str, seen: str
):
    server.raw = reply("400 Bad Request", quoted.encode(), b"X-Error: " + quoted.encode())
    monkeypatch.setenv("MY_KEY", key)
    got = send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
    assert isinstance(got, HttpReply)
    assert (got.body.decode(), got.headers["x-error"]) == (seen, seen)


def test_the_key_is_not_in_what_is_said_of_a_broken_reply(server: Server, monkeypatch: pytest.MonkeyPatch):
    server.raw = f"Incorrect API key provided: {KEY}\r\n\r\n".encode()
    monkeypatch.setenv("MY_KEY", KEY)
    got = send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
    assert isinstance(got, HttpFailure)
    assert "Incorrect API key provided: [redacted]" in got.message
    assert KEY not in got.message


def test_a_renewed_token_does_not_come_back_either(server: Server, sandbox: SandboxProcess):
    server.quotes = True
    got = send(f"http://127.0.0.1:{server.port}/responses", WorkspaceLogin(sandbox.profile, sandbox.config_file))
    assert isinstance(got, HttpReply)
    assert (got.status, got.body) == (401, b"Authorization: Bearer [redacted]")


def test_of_a_stream_that_quotes_the_key_it_is_not_told_what_came_when(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", KEY)
    for text, told in (("hello", True), (KEY, False)):
        server.raw = reply("200 OK", f"data: {text}\n\n".encode(), b"Content-Type: text/event-stream")
        got = send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
        assert isinstance(got, HttpReply)
        assert bool(got.arrivals) is told
        assert KEY.encode() not in got.body


@pytest.mark.parametrize("value", [" sesame\n", "\tsesame\r\n"])
def test_white_space_around_a_key_is_not_sent(server: Server, monkeypatch: pytest.MonkeyPatch, value: str):
    server.raw = reply("200 OK", b"{}")
    monkeypatch.setenv("MY_KEY", value)
    send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
    assert b"Authorization: Bearer sesame\r\n" in server.heard[0]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (" \n", "which is not set where the calls are made, or empty"),
        ("a\nb", "which is not one line of printable text"),
        ("a\x1bb", "which is not one line of printable text"),
        ("a\udcffb", "which is not one line of printable text"),
    ],
)
def test_a_key_that_no_header_can_hold_names_its_variable(monkeypatch: pytest.MonkeyPatch, value: str, says: str):
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(SetupError) as caught:
        send("http://127.0.0.1:9/responses", KeyLogin("MY_KEY"))
    assert str(caught.value) == f"endpoint.api_key names the environment variable MY_KEY, {says}"


def test_a_missing_key_says_which_variable(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(SetupError, match="MY_KEY, which is not set"):
        send(f"http://127.0.0.1:{server.port}/responses", KeyLogin("MY_KEY"))
    assert server.heard == []


def test_a_workspace_login_gets_a_token_and_only_one(sandbox: SandboxProcess):
    login = WorkspaceLogin(sandbox.profile, sandbox.config_file)
    got = send(f"{sandbox.host}/apps/echo/responses", login)
    assert isinstance(got, HttpReply)
    assert got.status == 200


def test_a_refused_token_is_renewed_once_and_then_believed(server: Server, sandbox: SandboxProcess):
    server.raw = reply("401 Unauthorized", b'{"error_code": 401, "message": "Invalid Token"}')
    got = send(f"http://127.0.0.1:{server.port}/responses", WorkspaceLogin(sandbox.profile, sandbox.config_file))
    assert isinstance(got, HttpReply)
    assert got.status == 401
    assert len(server.heard) <= 2


def test_a_recipe_for_a_client_can_travel_and_holds_no_secret(sandbox: SandboxProcess):
    secret = Config(profile=sandbox.profile, config_file=sandbox.config_file).client_secret
    recipe = pickle.dumps(partial(connect, WorkspaceLogin(sandbox.profile, sandbox.config_file)))
    assert secret
    assert secret.encode() not in recipe
    assert pickle.loads(recipe).func is connect
