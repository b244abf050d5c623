"""A server of the Responses API that costs next to nothing, so that what is measured is the client.

    python endpoint.py '{"latency_ms": 200}'        prints its port

It answers `row 17` to a request that contains `row 17`. What befalls a call is a function of that text and of how often it was
asked, so every client sees the same: how long it takes, an error, a dropped connection. A GET of `/figures` tells what it saw,
`/forget` forgets it.
"""

import asyncio
import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import NormalDist
from typing import Any

_TEXT = re.compile(rb"row (\d+)(?: (x*))?")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STANDARD = NormalDist()
_ANSWER = json.dumps(
    {
        "id": "resp_@@row",
        "object": "response",
        "created_at": 1760000000,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "mock",
        "output": [
            {
                "type": "message",
                "id": "msg_@@row",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "row @@row"}],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": "@@tokens",
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": "@@tokens",
        },
        "user": None,
        "metadata": {},
    }
).encode()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`latency_ms` for every call, or `spread`: the 50th and the 99th percentile of a lognormal distribution, or `by_length`: a
    millisecond for each x after the number. `per_second` calls are served, the rest turned away with a 429, which says
    `retry_after` seconds, or nothing. `errors` and `drops` are shares of the calls."""

    latency_ms: float = 0.0
    spread: tuple[float, float] | None = None
    by_length: bool = False
    per_second: float | None = None
    retry_after: int | None = None
    errors: float = 0.0
    drops: float = 0.0

    def seconds(self, row: int, padding: int) -> float:
        if self.by_length:
            return padding / 1000
        return self.latency_ms / 1000 if self.spread is None else lognormal(*self.spread, row) / 1000


def lognormal(p50: float, p99: float, row: int) -> float:
    """The row's sample of the distribution with these percentiles."""
    return p50 * math.exp(_STANDARD.inv_cdf(chance(row, "latency")) * math.log(p99 / p50) / _STANDARD.inv_cdf(0.99))


def chance(row: int, of: str) -> float:
    """A number between 0 and 1, always the same for a row and a purpose."""
    digest = blake2b(f"{of} {row}".encode(), digest_size=7).digest()
    return (int.from_bytes(digest) + 0.5) / 2**56


@dataclass(slots=True)
class Seen:
    """What clients did. Times are of `time.time_ns`."""

    calls: int = 0
    answered: Counter[int] = field(default_factory=Counter[int])
    refused: int = 0
    failed: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    busy_seconds: float = 0.0
    changed: float = 0.0
    first_request_ns: int = 0
    last_reply_ns: int = 0
    order: list[int] = field(default_factory=list[int])

    def more(self, by: int) -> None:
        now = time.monotonic()
        self.busy_seconds += self.in_flight * (now - self.changed)
        self.in_flight, self.changed = self.in_flight + by, now
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "rows": len(self.answered),
            "repaid": self.answered.total() - len(self.answered),
            "refused": self.refused,
            "failed": self.failed,
            "max_in_flight": self.max_in_flight,
            "busy_seconds": self.busy_seconds,
            "first_request_ns": self.first_request_ns,
            "last_reply_ns": self.last_reply_ns,
            "order": self.order,
        }


class Server:
    """What all connections share."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour, self.seen = behaviour, Seen()
        self.asked: Counter[int] = Counter()
        self.allowance, self.at = behaviour.per_second or 0.0, time.monotonic()

    def allows(self) -> bool:
        """One more call now: a second's worth may be used at once."""
        rate = self.behaviour.per_second
        if rate is None:
            return True
        now = time.monotonic()
        self.allowance, self.at = min(rate, self.allowance + (now - self.at) * rate), now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True


class Connection(asyncio.Protocol):
    """HTTP/1.1, kept alive; one request at a time."""

    def __init__(self, server: Server) -> None:
        self._server, self._buffer = server, b""
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._server.seen.more(-1)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        needed = int(length[1]) if length else 0
        if not separator or len(rest) < needed:
            return
        self._buffer = rest[needed:]
        if head.startswith(b"GET /figures"):
            self._reply("200 OK", json.dumps(self._server.seen.as_json()).encode())
        elif head.startswith(b"GET /forget"):
            self._server.seen = Seen()
            self._reply("200 OK", b"{}")
        elif head.startswith(b"POST "):
            self._asked(rest[:needed])
        else:
            self._reply("404 Not Found", b"{}")

    def _asked(self, body: bytes) -> None:
        seen, behaviour, now = self._server.seen, self._server.behaviour, time.time_ns()
        seen.calls += 1
        seen.first_request_ns = seen.first_request_ns or now
        if not self._server.allows():
            seen.refused += 1
            again = "" if behaviour.retry_after is None else f"Retry-After: {behaviour.retry_after}\r\n"
            self._reply(
                "429 Too Many Requests", b'{"error":{"code":"rate_limit_exceeded","message":"Too many"}}', again
            )
            return
        match = _TEXT.search(body)
        row, padding = (int(match[1]), len(match[2] or b"")) if match else (0, 0)
        self._server.asked[row] += 1
        seen.order.append(row)
        seen.more(1)
        seconds = behaviour.seconds(row, padding)
        self._waiting = asyncio.get_running_loop().call_later(seconds, self._answer, row, len(body))

    def _answer(self, row: int, size: int) -> None:
        seen, behaviour = self._server.seen, self._server.behaviour
        self._waiting = None
        seen.more(-1)
        fate = chance(row, f"fate of call {self._server.asked[row]}")
        if fate < behaviour.drops:
            seen.failed += 1
            self._transport.abort()
        elif fate < behaviour.drops + behaviour.errors:
            seen.failed += 1
            self._reply("500 Internal Server Error", b'{"error":{"message":"Something broke"}}')
        else:
            seen.answered[row] += 1
            seen.last_reply_ns = time.time_ns()
            self._reply("200 OK", answer(row, size // 4))

    def _reply(self, status: str, body: bytes, headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self._transport.write(head.encode() + body)


def answer(row: int, input_tokens: int) -> bytes:
    """A response, with all that one has."""
    return _ANSWER.replace(b"@@row", b"%d" % row).replace(b'"@@tokens"', b"%d" % input_tokens)


async def serve(behaviour: Mapping[str, Any]) -> None:
    server = Server(Behaviour(**behaviour))
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
