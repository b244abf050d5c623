"""Getting a reply onto the connection: whole, as a stream, in small packets, half of it, or not at all.

Replies are written here and not left to aiohttp, so that a call is over when its last byte is handed to the
connection.
"""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from rowcall.sandbox.agents.behaviour import Behaviour
from rowcall.sandbox.agents.faults import Fault

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply to be sent: a `body`, or the `frames` of a stream, which go out one by one as they come."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    frames: AsyncIterable[bytes] | None = None


async def each(frames: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Frames that are all there already."""
    for frame in frames:
        yield frame


def changed(outgoing: Outgoing, fault: Fault) -> Outgoing:
    """The reply with the body, the white space after it and the headers that a fault says. No stream is padded."""
    body = outgoing.body
    if fault.raw is not None:
        body = fault.raw.encode()
    elif fault.body is not None:
        body = json.dumps(fault.body).encode()
    return replace(outgoing, headers={**outgoing.headers, **fault.headers_now()}, body=body + b" " * fault.padding)


async def send(request: web.Request, outgoing: Outgoing, behaviour: Behaviour) -> web.StreamResponse:
    """Send it all, in the packets and with the pauses of the behaviour. Raises ConnectionResetError where the client is gone."""
    if outgoing.frames is None and behaviour.packet_bytes is None:
        response = web.Response(status=outgoing.status, headers=outgoing.headers, body=outgoing.body)
        await response.prepare(request)
        await response.write_eof()
        return response
    stream = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    await stream.prepare(request)
    async for data in outgoing.frames or each([outgoing.body]):
        if outgoing.frames is not None:
            await asyncio.sleep(behaviour.frame_delay)
        for packet in _packets(data, behaviour.packet_bytes):
            await stream.write(packet)
    await stream.write_eof()
    return stream


def _packets(data: bytes, size: int | None) -> list[bytes]:
    return [data] if size is None else [data[start : start + size] for start in range(0, len(data), size)]


async def send_half(request: web.Request, outgoing: Outgoing) -> web.StreamResponse:
    """Send the head and half of the body, then close the connection."""
    response, _ = await _begin(request, outgoing)
    return hang_up(request, response)


async def send_with_pause(request: web.Request, outgoing: Outgoing, seconds: float) -> web.StreamResponse:
    """Send the head and half of the body, and the rest after a pause."""
    response, rest = await _begin(request, outgoing)
    await asyncio.sleep(seconds)
    await response.write(rest)
    await response.write_eof()
    return response


async def _begin(request: web.Request, outgoing: Outgoing) -> tuple[web.StreamResponse, bytes]:
    """Send the head and half of the body; the rest is still to be sent."""
    response = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    whole = outgoing.body
    if outgoing.frames is None:
        response.content_length = len(whole)
    else:
        whole = b"".join([frame async for frame in outgoing.frames])
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    return response, whole[len(whole) // 2 :]


def hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection as it is."""
    response.force_close()
    if request.transport is not None:
        request.transport.close()
    return response
