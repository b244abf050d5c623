"""How bytes reach a client: in packets that split characters, and streams frame by frame."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from sandbox_user import SECONDS, Workspace

TEXT = "🥐é" * 20


async def chunks(workspace: Workspace, path: str, body: dict[str, Any]) -> list[bytes]:
    """The chunks of a reply, as the server wrote them."""
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    headers = {"Authorization": str(workspace.http.headers["Authorization"])}
    found, chunk = list[bytes](), b""
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.post(workspace.host + path, json=body) as reply,
    ):
        assert reply.status == 200
        async for data, ends in reply.content.iter_chunks():
            chunk += data
            if ends:
                found, chunk = [*found, chunk], b""
    return [one for one in found if one]


def question(**extra: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": TEXT}], **extra}


@pytest.mark.parametrize("path", ["/apps/echo/responses", "/serving-endpoints/echo/invocations"])
@pytest.mark.parametrize("stream", [False, True])
def test_replies_come_in_packets_of_the_size_that_was_asked(workspace: Workspace, path: str, stream: bool) -> None:
    workspace.behave("echo", packet_bytes=5)
    found = asyncio.run(chunks(workspace, path, question(stream=stream)))
    assert max(map(len, found)) == 5
    whole = b"".join(found).decode()
    if stream:
        assert "response.completed" in whole
    else:
        assert {len(chunk) for chunk in found[:-1]} == {5}
        assert json.loads(whole)["output"][0]["content"][0]["text"] == TEXT


def test_characters_are_split_over_packets(workspace: Workspace) -> None:
    workspace.behave("echo", packet_bytes=3)
    found = asyncio.run(chunks(workspace, "/serving-endpoints/echo/invocations", question(stream=True)))
    assert any(chunk.decode(errors="replace").endswith("\ufffd") for chunk in found)
    assert TEXT in b"".join(found).decode()


def test_half_a_character_is_said_again(workspace: Workspace) -> None:
    for where in ({"app": "echo"}, {"serving": "echo"}):
        for stream in (False, True):
            reply = workspace.ask("half \ud83e", **where, stream=stream)
            assert reply.status_code == 200
            assert "half \\ud83e" in reply.content.decode()


def test_frames_come_one_by_one(workspace: Workspace) -> None:
    workspace.behave("echo", frame_delay_ms=40)
    started = time.monotonic()
    found = asyncio.run(chunks(workspace, "/apps/echo/responses", question(stream=True)))
    assert time.monotonic() - started >= 0.04 * len(found)
    assert len(found) == b"".join(found).count(b"\n\n")


def test_a_plain_reply_knows_no_frames_to_wait_between(workspace: Workspace) -> None:
    workspace.behave("echo", frame_delay_ms=SECONDS * 2_000)
    assert workspace.ask("hi", app="echo").status_code == 200
