"""What is measured: how many rows, how the server behaves, and what the best possible client would need."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from endpoint import Behaviour, lognormal

SPREAD = (200.0, 3000.0)


@dataclass(frozen=True, slots=True)
class Workload:
    """`limit` calls in flight; None lets the client find out, which only rowcall can. The ideal is seconds from the first request
    to the last reply, computed from the rows in the order in which they were asked. So many of the rows are `answered` before."""

    name: str
    said: str
    rows: int
    behaviour: Mapping[str, Any]
    ideal: Callable[["Workload", Sequence[int]], float]
    limit: int | None = 64
    padding: Callable[[int], int] = field(default=lambda _: 0)
    recipes: tuple[str, ...] = ()
    answered: int = 0

    @property
    def server(self) -> Behaviour:
        return Behaviour(**self.behaviour)

    def text(self, row: int) -> str:
        return f"row {row} {'x' * self.padding(row)}".strip()


def perfect_window(workload: Workload, order: Sequence[int]) -> float:
    """The limit kept full until there is nothing left to start, and never exceeded; errors are asked again at once."""
    return makespan((workload.server.seconds(row, workload.padding(row)) for row in order), workload.limit or 1)


def makespan(seconds: Iterable[float], limit: int) -> float:
    """Seconds until the last of the calls ends, each started as soon as one of `limit` seats is free."""
    free = [0.0] * limit
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def mean_rate(workload: Workload, order: Sequence[int]) -> float:
    """Rows × mean ÷ limit: no client gets below it."""
    rows = set(order)
    return sum(workload.server.seconds(row, workload.padding(row)) for row in rows) / (workload.limit or 1)


def at_the_rate(workload: Workload, order: Sequence[int]) -> float:
    """A second's worth at once, the rest as fast as the server takes them."""
    rate = workload.server.per_second or 1
    return (len(set(order)) - rate) / rate + workload.server.seconds(0, 0)


PLAIN = ("bare_aiohttp", "async_openai", "map_in_pandas")
CLIENTS = ("async_openai", "map_in_pandas")
WORKLOADS = (
    Workload("A", "200 ms", 5_000, {"latency_ms": 200}, perfect_window, recipes=CLIENTS),
    Workload("B", "p50 200 ms, p99 3 s", 5_000, {"spread": SPREAD}, perfect_window),
    Workload(
        "B2",
        "p50 200 ms, p99 3 s, longer for longer prompts",
        5_000,
        {"by_length": True},
        mean_rate,
        padding=lambda row: round(lognormal(*SPREAD, row)),
    ),
    Workload("C", "5 ms", 20_000, {"latency_ms": 5}, perfect_window, recipes=PLAIN),
    Workload(
        "D200", "200 a second, 429", 4_000, {"latency_ms": 50, "per_second": 200}, at_the_rate, None, recipes=CLIENTS
    ),
    Workload(
        "D200r",
        "200 a second, 429 with Retry-After",
        4_000,
        {"latency_ms": 50, "per_second": 200, "retry_after": 1},
        at_the_rate,
        None,
    ),
    Workload("D40", "40 a second, 429", 1_200, {"latency_ms": 50, "per_second": 40}, at_the_rate, None),
    Workload(
        "D40r",
        "40 a second, 429 with Retry-After",
        1_200,
        {"latency_ms": 50, "per_second": 40, "retry_after": 1},
        at_the_rate,
        None,
        recipes=CLIENTS,
    ),
    Workload(
        "E",
        "2 % errors, 1 % drops",
        5_000,
        {"latency_ms": 200, "errors": 0.02, "drops": 0.01},
        perfect_window,
        recipes=CLIENTS[:1],
    ),
    Workload(
        "F", "1 ms, 990,000 of 1,000,000 answered", 1_000_000, {"latency_ms": 1}, perfect_window, answered=990_000
    ),
    Workload("G50", "1 ms, 50,000 rows", 50_000, {"latency_ms": 1}, perfect_window),
    Workload("G", "1 ms, 200,000 rows", 200_000, {"latency_ms": 1}, perfect_window),
)
