"""Whether Spark's tasks reach the endpoint, found out before anything is paid.

Databricks documents that UDFs on serverless compute cannot access the internet.
"""

import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rowcall.core.errors import RunError, reason_of
from rowcall.core.loose import one_line
from rowcall.core.ports import Batches, SqlSession

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


def out_of_reach(session: SqlSession, url: str) -> str | None:
    """Why a task of the session cannot call what is at `url`, or None where it can. Connects, and sends nothing."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443))
    try:
        rows = session.fan_out("SELECT 1 AS row", 1, partial(_try, address))
    except RunError as error:
        return f"Spark's tasks do not run here: {one_line(reason_of(error), 200)}"
    said = next((str(row["report"]) for row in rows), "the task said nothing")
    return f"Spark's tasks do not reach {address[0]}: {said}" if said else None


def _try(address: tuple[str, int], batches: Batches, part: int | None) -> Iterator["pa.RecordBatch"]:  # noqa: ARG001
    """Inside a task: one report, empty where there is a way."""
    import pyarrow as pa

    for _ in batches:
        yield pa.RecordBatch.from_pydict({"report": [_why_not(address)]})


def _why_not(address: tuple[str, int]) -> str:
    try:
        with socket.create_connection(address, SECONDS):
            return ""
    except OSError as error:
        return str(error) or type(error).__name__
