"""Renewing headers with the real SDK against a token server that is slow, refuses, or is gone."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from http_server import Answer

from rowcall.adapters import renewal
from rowcall.adapters.http import connect, failure_of
from rowcall.adapters.renewal import RenewedHeaders
from rowcall.adapters.workspace_login import WorkspaceLogin, workspace_config
from rowcall.core.errors import SetupError
from rowcall.core.records import ErrorKind, HttpFailure, HttpRequest

Serve = Callable[[Answer], str]


@dataclass
class TokenServer:
    """Gives out numbered tokens, as long as it is open; holds requests back from number `slow_from`, and refusals if they are
    `slow_refusals`, until `released`."""

    expires_in: int = 3600
    slow_from: int = 10_000
    refuses: bool = False
    slow_refusals: bool = False
    issued: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    host: str = ""

    def answer(self, _: str, path: str, __: bytes) -> tuple[int, bytes] | None:
        if path == "/.well-known/databricks-config":
            return 200, json.dumps({"oidc_endpoint": f"{self.host}/oidc", "workspace_id": "1"}).encode()
        if path.endswith("oauth-authorization-server"):
            places = dict.fromkeys(("token_endpoint", "authorization_endpoint"), f"{self.host}/oidc/v1/token")
            return 200, json.dumps(places).encode()
        if path != "/oidc/v1/token":
            return 401, b"{}"
        if self.refuses:
            if self.slow_refusals:
                self.held.set()
                self.released.wait(20)
            return None
        self.issued += 1
        if self.issued >= self.slow_from:
            self.held.set()
            self.released.wait(20)
        token = {"access_token": f"t{self.issued}", "token_type": "Bearer", "expires_in": self.expires_in}
        return 200, json.dumps(token).encode()


@pytest.fixture
def tokens(serve: Serve) -> TokenServer:
    made = TokenServer()
    made.host = serve(made.answer)
    return made


@pytest.fixture
def login(tokens: TokenServer, tmp_path: Path) -> WorkspaceLogin:
    file = tmp_path / "databrickscfg"
    file.write_text(f"[m]\nhost = {tokens.host}\nclient_id = id\nclient_secret = sesame\n")
    return WorkspaceLogin("m", str(file))


def renewed(login: WorkspaceLogin) -> RenewedHeaders:
    return RenewedHeaders(workspace_config(login))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def test_calls_go_on_with_the_old_token_while_the_new_one_is_fetched(tokens: TokenServer, login: WorkspaceLogin):
    tokens.expires_in = 10

    async def scenario() -> None:
        made = renewed(login)
        first = await made.headers()
        tokens.slow_from = tokens.issued + 1
        while not tokens.held.is_set():
            assert await made.headers() == first
            await asyncio.sleep(0.01)
        assert [await made.headers() for _ in range(10)] == [first] * 10
        tokens.released.set()
        while (second := await made.headers()) == first:
            await asyncio.sleep(0.01)
        assert second["Authorization"].startswith("Bearer t")

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_token_that_is_about_to_expire_starts_no_call(tokens: TokenServer, login: WorkspaceLogin):
    tokens.expires_in = 3600
    before = time.monotonic()
    issued = renewal._issue(workspace_config(login))
    after = time.monotonic()
    assert before + 3600 - renewal.MOST_MARGIN - 1 <= issued.until <= after + 3600 - renewal.MOST_MARGIN
    tokens.expires_in = 5
    workspace_config(login).init_auth()
    before = time.monotonic()
    short = renewal._issue(workspace_config(login))
    after = time.monotonic()
    assert before + 3 <= short.until <= after + 4


def test_a_login_that_fails_is_shared_too_and_the_next_call_tries_again(tokens: TokenServer, login: WorkspaceLogin):
    made = renewed(login)
    tokens.refuses = tokens.slow_refusals = True

    async def eight() -> list[object]:
        calls = asyncio.gather(*(made.headers() for _ in range(8)), return_exceptions=True)
        await until(tokens.held.is_set)
        tokens.released.set()
        return await calls

    failed = asyncio.run(eight())
    assert len({id(error) for error in failed}) == 1
    assert isinstance(failed[0], ConnectionError)
    assert failure_of(failed[0]).kind is ErrorKind.CONNECTION
    tokens.refuses = False
    assert len({str(headers) for headers in asyncio.run(eight())}) == 1


def test_a_secret_that_is_refused_says_so(tmp_path: Path, serve: Serve):
    tokens = TokenServer()

    def refuse(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if path == "/oidc/v1/token":
            return 401, b'{"error": "invalid_client", "error_description": "Client authentication failed"}'
        return tokens.answer(method, path, body)

    tokens.host = serve(refuse)
    file = tmp_path / "databrickscfg"
    file.write_text(f"[m]\nhost = {tokens.host}\nclient_id = id\nclient_secret = sesame\n")

    async def send() -> object:
        async with connect(WorkspaceLogin("m", str(file))) as client:
            return await client.send(HttpRequest(tokens.host, b"{}", {}, 5.0))

    got = asyncio.run(send())
    assert isinstance(got, HttpFailure)
    assert got.kind is ErrorKind.UNAUTHENTICATED
    assert "sesame" not in got.message


def test_a_token_server_that_says_nothing_holds_a_call_for_a_while_only(
    tokens: TokenServer, login: WorkspaceLogin, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(renewal, "LOGIN_SECONDS", 0.2)
    tokens.slow_from = 1
    made = renewed(login)
    with pytest.raises(ConnectionError, match="the login took longer than"):
        asyncio.run(made.headers())
    tokens.released.set()
    monkeypatch.undo()
    assert asyncio.run(made.headers()) == {"Authorization": "Bearer t1"}


def test_a_renewal_that_fails_ahead_of_time_leaves_the_old_token(tokens: TokenServer, login: WorkspaceLogin):
    tokens.expires_in = 10

    async def scenario() -> None:
        made = renewed(login)
        first = await made.headers()
        tokens.refuses = True
        failed: list[Exception] = []
        while not failed:
            try:
                assert await made.headers() == first
            except ConnectionError as error:
                failed.append(error)
            await asyncio.sleep(0.01)
        tokens.refuses = False
        assert await made.headers() != first

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_the_sdk_says_is_an_error_of_setup_unless_the_network_failed():
    assert isinstance(renewal._told(ValueError("invalid_client: no")), SetupError)
    lost = ValueError("oauth-m2m: no")
    lost.__cause__ = ConnectionError("no")
    assert isinstance(renewal._told(lost), ConnectionError)
