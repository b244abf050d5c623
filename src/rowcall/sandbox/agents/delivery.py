"""Getting a reply onto the connection: whole, as a stream, half of it, or not at all.

Replies are written here and not left to aiohttp, so that a call is over when its last byte is handed to the
connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply to be sent. One frame is the body of a plain reply; `streamed` frames go out one by one."""

    status: int
    headers: Mapping[str, str]
    frames: Sequence[bytes]
    streamed: bool = False


async def send(request: web.Request, outgoing: Outgoing) -> web.StreamResponse:
    """Send it all. Raises ConnectionResetError where the client is gone."""
    if not outgoing.streamed:
        response = web.Response(status=outgoing.status, headers=outgoing.headers, body=outgoing.frames[0])
        await response.prepare(request)
        await response.write_eof()
        return response
    stream = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    await stream.prepare(request)
    for frame in outgoing.frames:
        await stream.write(frame)
    await stream.write_eof()
    return stream


async def send_half(request: web.Request, outgoing: Outgoing) -> web.StreamResponse:
    """Send the head and half of the body, then close the connection."""
    response = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    whole = b"".join(outgoing.frames)
    if not outgoing.streamed:
        response.content_length = len(whole)
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    return hang_up(request, response)


def hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection as it is."""
    response.force_close()
    if request.transport is not None:
        request.transport.close()
    return response
