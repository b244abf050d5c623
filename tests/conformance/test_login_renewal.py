"""Tokens that are revoked or expire, with the real SDK against a sandbox of its own: calls do not notice, and logins are few."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rowcall.adapters.auth import credentials
from rowcall.adapters.http import connect
from rowcall.adapters.workspace import DatabricksWorkspace
from rowcall.adapters.workspace_login import WorkspaceLogin, workspace_api, workspace_config
from rowcall.core.records import HttpFailure, HttpReply, HttpRequest
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import control

AT_ONCE = 64
TTL = 2


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox whose tokens may be revoked: nobody else has one."""
    with start_sandbox(tmp_path_factory.mktemp("renewal")) as started:
        yield started


def login_of(workspace: SandboxProcess, kind: str = "") -> WorkspaceLogin:
    return WorkspaceLogin(workspace.profile + kind, workspace.config_file)


def question(workspace: SandboxProcess, path: str = "/serving-endpoints/echo/invocations") -> HttpRequest:
    return HttpRequest(workspace.host + path, b'{"input": [{"role": "user", "content": "hi"}]}', {}, 20.0)


async def ask(workspace: SandboxProcess, login: WorkspaceLogin, count: int) -> list[HttpReply | HttpFailure]:
    async with connect(login) as client:
        return await asyncio.gather(*(client.send(question(workspace)) for _ in range(count)))


def statuses(replies: list[HttpReply | HttpFailure]) -> list[int | str]:
    return [reply.status if isinstance(reply, HttpReply) else reply.message for reply in replies]


def test_calls_that_were_refused_at_once_share_one_new_token(workspace: SandboxProcess):
    asyncio.run(ask(workspace, login_of(workspace), 1))
    control(workspace, "DELETE", "tokens")
    assert statuses(asyncio.run(ask(workspace, login_of(workspace), AT_ONCE))) == [200] * AT_ONCE
    tokens = control(workspace, "GET", "tokens")
    assert tokens["issued"] == 1
    assert 1 <= tokens["refused"] <= AT_ONCE


def test_event_loops_of_one_process_share_one_new_token(workspace: SandboxProcess):
    asyncio.run(ask(workspace, login_of(workspace), 1))
    control(workspace, "DELETE", "tokens")
    with ThreadPoolExecutor(4) as tasks:
        running = [tasks.submit(asyncio.run, ask(workspace, login_of(workspace), AT_ONCE // 4)) for _ in range(4)]
        assert [statuses(one.result()) for one in running] == [[200] * (AT_ONCE // 4)] * 4
    assert control(workspace, "GET", "tokens")["issued"] == 1


def test_tasks_that_start_at_once_log_in_once(workspace: SandboxProcess):
    login = login_of(workspace, "-oidc")
    control(workspace, "DELETE", "tokens")
    with ThreadPoolExecutor(8) as tasks:
        assert len(set(tasks.map(id, tasks.map(credentials, [login] * 8)))) == 1
    asyncio.run(ask(workspace, login, AT_ONCE))
    assert control(workspace, "GET", "tokens") == {"issued": 1, "refused": 0}


def test_whoever_shares_the_configuration_has_the_new_token_too(workspace: SandboxProcess):
    login = login_of(workspace)
    asyncio.run(ask(workspace, login, 1))
    control(workspace, "DELETE", "tokens")
    asyncio.run(ask(workspace, login, 1))
    assert workspace_api(login).do("GET", "/api/2.0/preview/scim/v2/Me")["active"]
    assert control(workspace, "GET", "tokens") == {"issued": 1, "refused": 1}


def test_a_lookup_does_not_notice_a_revoked_token(workspace: SandboxProcess):
    looked = DatabricksWorkspace(login_of(workspace))
    looked.app("echo")
    control(workspace, "DELETE", "tokens")
    found = looked.app("echo")
    assert found is not None
    assert found["name"] == "echo"
    assert control(workspace, "GET", "tokens") == {"issued": 1, "refused": 1}


def test_a_personal_access_token_is_refused_once_and_for_good(workspace: SandboxProcess):
    control(workspace, "DELETE", "tokens")

    async def twice() -> list[HttpReply | HttpFailure]:
        async with connect(login_of(workspace, "-pat")) as client:
            return [await client.send(question(workspace, "/apps/echo/responses")) for _ in range(2)]

    assert statuses(asyncio.run(twice())) == [401, 401]
    assert control(workspace, "GET", "tokens") == {"issued": 0, "refused": 2}


@pytest.mark.parametrize("kind", ["", "-oidc"])
def test_calls_go_on_over_the_ends_of_tokens(workspace: SandboxProcess, kind: str):
    login = login_of(workspace, kind)
    control(workspace, "DELETE", "tokens")
    control(workspace, "PUT", "tokens", {"ttl": TTL})

    async def for_three_lives() -> list[HttpReply | HttpFailure]:
        replies: list[HttpReply | HttpFailure] = []
        async with connect(login) as client:
            until = time.monotonic() + 3 * TTL
            while time.monotonic() < until:
                replies += await asyncio.gather(*(client.send(question(workspace)) for _ in range(8)))
        return replies

    try:
        assert set(statuses(asyncio.run(for_three_lives()))) == {200}
    finally:
        control(workspace, "PUT", "tokens", {"ttl": 3600})
        workspace_config(login).init_auth()
    assert control(workspace, "GET", "tokens")["issued"] >= 3
