"""The agent that passes questions on to an OpenAI-compatible server: real models behind the sandbox.

ROWCALL_UPSTREAM_KEY is sent as its bearer token, ROWCALL_UPSTREAM_MODEL takes the place of the model's name.
"""

import os
from collections.abc import Awaitable, Callable

import aiohttp

from rowcall.sandbox.agents.wire import PassedOn, Question

# What only Databricks knows; other servers refuse fields that they do not know.
_DATABRICKS_ONLY = ("databricks_options", "custom_inputs", "context", "client_request_id", "usage_context")
_TIMEOUT = aiohttp.ClientTimeout(total=297)


def forward_to(url: str) -> Callable[[Question], Awaitable[PassedOn]]:
    """An agent function that asks `url`/responses and hands on the status and the body, whatever they are."""
    address = f"{url.rstrip('/')}/responses"

    async def forward(question: Question) -> PassedOn:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=_headers()) as session,
                session.post(address, json=_body(question)) as reply,
            ):
                kind = reply.headers.get("Content-Type", "application/json")
                return PassedOn(reply.status, await reply.read(), {"Content-Type": kind, **_retry_after(reply)})
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise ConnectionError(f"upstream {address}: {type(failure).__name__}: {failure}") from failure

    return forward


def _headers() -> dict[str, str]:
    key = os.environ.get("ROWCALL_UPSTREAM_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _body(question: Question) -> dict[str, object]:
    body = {key: value for key, value in question.body.items() if key not in _DATABRICKS_ONLY}
    if model := os.environ.get("ROWCALL_UPSTREAM_MODEL"):
        body["model"] = model
    return body


def _retry_after(reply: aiohttp.ClientResponse) -> dict[str, str]:
    wait = reply.headers.get("Retry-After")
    return {} if wait is None else {"Retry-After": wait}
