"""The SQL function `ai_query`: asks a serving endpoint once per row, many rows at once.

It runs inside the lakehouse's process, on batches of rows; `LakehouseSql` makes one function for every call in a statement. There
are no retries, and no limit is shared by the batches that Sail works on at the same time.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rowcall.core.answer_type import Type
from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.databricks_sql.ai_bodies import (
    Request,
    RowError,
    answer,
    body,
    check_type,
    invalid_response,
    request_failed,
)
from rowcall.sandbox.databricks_sql.ai_call import AiCall
from rowcall.sandbox.databricks_sql.interrupts import Interruptible
from rowcall.sandbox.databricks_sql.serving import Serving
from rowcall.sandbox.databricks_sql.sql_calls import StatementError
from rowcall.sandbox.databricks_sql.sql_values import arrow_array

if TYPE_CHECKING:
    import aiohttp
    import pyarrow as pa

    Texts = pa.Array[Any]

AT_ONCE = 64
_TIMEOUT = 297.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Batches:
    """A call with all it needs to be made for a batch of rows."""

    call: AiCall
    serving: Serving
    statement: Interruptible

    @property
    def type(self) -> Type:
        return self.call.returns(self.serving.shape)

    @property
    def url(self) -> str:
        return f"{self.serving.host.rstrip('/')}/serving-endpoints/{quote(self.call.endpoint, safe='')}/invocations"


def arrow_function(batches: Batches) -> Callable[..., Any]:
    """The function that Spark is given: requests as JSON texts `{"request": …}`, their types, files in base64."""
    import pyarrow as pa

    def ai_query(requests: "Texts", types: "Texts", files: "Texts") -> "Texts":
        return ask_batch(batches, requests, types, files)

    # Spark tells by these what kind of function it is, and they must be there when it runs.
    ai_query.__annotations__ = dict.fromkeys(ai_query.__annotations__, pa.Array)
    return ai_query


def ask_batch(batches: Batches, requests: "Texts", types: "Texts", files: "Texts") -> "Texts":
    """The results for a batch of rows. Raises `RowError` for the first row that fails, if the call says so."""
    rows = list(_rows(requests, types, files))
    for type_ in {row.type for row in rows if row is not None}:
        check_type(batches.call, type_)
    results = asyncio.run(_ask_all(batches, rows))
    return arrow_array(results, batches.type)


def _rows(requests: "Texts", types: "Texts", files: "Texts") -> Iterator[Request | None]:
    """The rows' requests, None where one is NULL."""
    columns = zip(requests.to_pylist(), types.to_pylist(), files.to_pylist(), strict=True)
    for request, type_, file in columns:
        value = mapping(parse_json(request or "")).get("request")
        image = None if file is None else base64.b64decode(file)
        yield None if value is None else Request(value, str(type_), image)


async def _ask_all(batches: Batches, rows: Sequence[Request | None]) -> list[object]:
    import aiohttp

    results: list[object] = [None] * len(rows)
    waiting = iter([(place, row) for place, row in enumerate(rows) if row is not None])
    headers = {"Authorization": f"Bearer {batches.serving.token}", "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)

    async def work(session: aiohttp.ClientSession) -> None:
        for place, row in waiting:
            results[place] = await _result(batches, session, row)

    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        asking = asyncio.gather(*(work(session) for _ in range(min(AT_ONCE, len(rows)))))
        watching = asyncio.create_task(_interruption(batches.statement))
        await asyncio.wait([asking, watching], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            raise StatementError("OPERATION_CANCELED", "Operation has been canceled.", "HY008")
        watching.cancel()
        await asking
    return results


async def _interruption(statement: Interruptible) -> None:
    while not statement.interrupted():
        await asyncio.sleep(_LOOK_SECONDS)


async def _result(batches: Batches, session: "aiohttp.ClientSession", row: Request) -> object:
    call, shape = batches.call, batches.serving.shape
    try:
        value, error = await _answer(batches, session, row), None
    except RowError as failure:
        if call.fail_on_error:
            raise
        value, error = None, str(failure)
    return value if call.fail_on_error or shape.bare else {shape.result: value, shape.error: error}


async def _answer(batches: Batches, session: "aiohttp.ClientSession", row: Request) -> object:
    """The answer to one row, as Arrow takes it. Raises `RowError`."""
    import aiohttp

    data = json.dumps(body(batches.call, row), ensure_ascii=False).encode()
    try:
        async with session.post(batches.url, data=data) as reply:
            raw, status = await reply.read(), reply.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise request_failed(f"{type(error).__name__}: {error}") from error
    text = raw.decode("utf-8", "replace")
    if status >= 400:
        raise request_failed(f"request failed with status {status}: {text}")
    parsed = parse_json(text)
    if parsed is None:
        raise invalid_response(f"not JSON: {text[:2000]}")
    return answer(batches.call, row, parsed)
