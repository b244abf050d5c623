"""The HTTP client against a server that misbehaves in every way a network allows: always a value, never an exception."""

import asyncio
import pickle
import socket
import socketserver
import threading
from collections.abc import Iterator
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
    """Answers every request with `raw` bytes, or hangs up; `heard` is what it was sent."""

    raw: bytes = b""
    hang: bool = False
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
            self.wfile.write(made.raw)

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
