"""Limits of the whole run: how they are split over tasks, and when a run has to stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from rowcall.core.records import ErrorKind, Progress

CALLS_PER_TASK = 128
"""How many calls one task keeps in flight before `tasks: auto` adds another."""
MOST_CONCURRENCY = 4096
MOST_SHARDS = 100
"""As many tasks as a Databricks for_each_task runs at once."""
REFUSALS = 5
"""Once an endpoint has answered, so many refusals in a row are the endpoint's and not a row's."""
ALIKE_ROWS = 20
"""After this many failures of one kind and nothing else, more of the same is not worth paying for."""


@dataclass(frozen=True, slots=True)
class Split:
    """`tasks` × `share` never exceeds the run's concurrency."""

    tasks: int
    share: int

    @property
    def total(self) -> int:
        return self.tasks * self.share


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use, None means no limit; and what it pays, per million tokens. A cached token costs what others of the input
    do where it has no price of its own."""

    max_failures: int | None = None
    max_tokens: int | None = None
    max_cost: Decimal | None = None
    input_price: Decimal = Decimal(0)
    output_price: Decimal = Decimal(0)
    cached_price: Decimal | None = None
    currency: str = ""

    @property
    def limited(self) -> bool:
        """Whether there is anything that may not be exceeded."""
        return any(most is not None for most in (self.max_failures, self.max_tokens, self.max_cost))

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Cached tokens are part of the input, reasoning is part of the output."""
        cached_price = self.input_price if self.cached_price is None else self.cached_price
        cached = min(cached_tokens, input_tokens)
        paid = self.input_price * (input_tokens - cached) + cached_price * cached + self.output_price * output_tokens
        return paid / 1_000_000


def split(concurrency: int, tasks: int, rows: int) -> Split:
    """Share a run's concurrency over at most `tasks` tasks, none of them without calls to make."""
    tasks = max(1, min(tasks, concurrency, rows))
    return Split(tasks, concurrency // tasks)


def auto_tasks(concurrency: int) -> int:
    """The fewest tasks that carry the concurrency: a window over all rows wastes less than many small ones."""
    return -(-concurrency // CALLS_PER_TASK)


def failure_limit(max_failures: int | float | None, rows: int) -> int | None:
    """How many failed rows the run may have: a number as it is, a share of the rows to ask."""
    if max_failures is None or isinstance(max_failures, int):
        return max_failures
    return int(max_failures * rows)


def stop_reason(progress: Progress, budget: Budget) -> str | None:
    """Why the run must stop, in words for a person; None while it may go on."""
    if budget.max_failures is not None and progress.failed > budget.max_failures:
        return f"{progress.failed} rows failed, more than limits.max_failures allows ({budget.max_failures})"
    tokens = progress.input_tokens + progress.output_tokens
    if budget.max_tokens is not None and tokens >= budget.max_tokens:
        return f"{tokens:,} tokens used, limits.max_tokens is {budget.max_tokens:,}"
    spent = budget.cost(progress.input_tokens, progress.output_tokens, progress.cached_tokens)
    if budget.max_cost is not None and spent >= budget.max_cost:
        places = max(2, -int(budget.max_cost.as_tuple().exponent))
        return f"{spent:.{places}f} {budget.currency} spent, limits.max_cost is {budget.max_cost} {budget.currency}"
    return None


def all_alike(ok: int, errors: Mapping[ErrorKind, int]) -> ErrorKind | None:
    """The kind of failure every asked row so far ended with, once there are enough of them to believe it."""
    asked = {kind: count for kind, count in errors.items() if kind is not ErrorKind.NULL_PROMPT and count}
    if ok or len(asked) != 1:
        return None
    kind, count = next(iter(asked.items()))
    return kind if count >= ALIKE_ROWS else None
