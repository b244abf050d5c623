"""What travels to the tasks of the `responses` engine, and the rows they are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rowcall.core.endpoints import Wire
from rowcall.core.errors import RunError
from rowcall.core.limits import Budget
from rowcall.core.ports import Connect, OpenJournal
from rowcall.core.rates import Rates
from rowcall.core.retry import RetryPolicy
from rowcall.core.spans import SpanContext


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a task needs, picklable and without secrets. Times are in seconds, `deadline_ns` is Unix time.

    `share` is the most calls that one of the run's `tasks` may have in flight, `rates` what it may use in a minute.
    """

    connect: Connect
    open_journal: OpenJournal
    url: str
    runs_url: str
    headers: tuple[tuple[str, str], ...]
    wire: Wire
    share: int
    timeout: float
    run_timeout: float
    retry: RetryPolicy
    corrections: int
    most_bytes: int | None
    deadline_ns: int | None
    flush_rows: int
    flush_seconds: float
    budget: Budget
    spans: SpanContext
    null_prompt: str
    tasks: int = 1
    adaptive: bool = False
    rates: Rates = Rates()  # noqa: RUF009 (frozen)
    outage: float = 300.0


_WITH_THE_PROCESS = {"connect", "open_journal"}
"""What each process has of its own: how it logs in, and how it reaches the journal."""


def as_json(recipe: Recipe) -> Mapping[str, Any]:
    """The recipe as values that JSON has, for processes that are not started from here."""
    return TypeAdapter(Recipe).dump_python(recipe, mode="json", exclude=_WITH_THE_PROCESS)


def read_recipe(said: Mapping[str, Any], connect: Connect, open_journal: OpenJournal) -> Recipe:
    """Raises `RunError` for what is no recipe of this version."""
    try:
        return TypeAdapter(Recipe).validate_python({**said, "connect": connect, "open_journal": open_journal})
    except ValidationError as error:
        raise RunError(f"what the coordinator says cannot be read: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True, slots=True)
class Row:
    """A row to ask. `request` is JSON text, None where it is not to be asked; `keys` is a slice of one row of the keys column."""

    request_hash: str
    request: str | None
    keys: Any
