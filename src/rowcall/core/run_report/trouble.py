"""What went wrong in a run, by kind of error or outcome: how many attempts ended so, how many rows were lost to it, an example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rowcall.core.records import ErrorKind, Outcome

_ABOUT: Mapping[str, str] = MappingProxyType(
    {
        Outcome.TRUNCATED: "the answer was cut off",
        Outcome.EMPTY: "the endpoint answered, but said nothing",
        Outcome.REFUSED: "the model declined, or a filter did",
        Outcome.INVALID: "the answer does not fit the schema",
        ErrorKind.RATE_LIMITED: "more was asked than the endpoint takes",
        ErrorKind.UNAVAILABLE: "the endpoint served nobody just then",
        ErrorKind.SERVER_ERROR: "the endpoint failed",
        ErrorKind.TIMEOUT: "no answer in time",
        ErrorKind.CONNECTION: "the connection failed or was cut",
        ErrorKind.UNTRUSTED: "the server's certificate is not trusted",
        ErrorKind.BAD_REPLY: "the reply could not be read",
        ErrorKind.UNAUTHENTICATED: "the login was refused",
        ErrorKind.PERMISSION_DENIED: "the login may not ask this",
        ErrorKind.NOT_FOUND: "there is no such endpoint",
        ErrorKind.BAD_REQUEST: "the endpoint refused the request",
        ErrorKind.TOO_LARGE: "the request or the reply is too large",
        ErrorKind.AGENT_ERROR: "the agent said that it failed",
        ErrorKind.NULL_PROMPT: "the prompt is NULL; not asked",
        ErrorKind.INTERNAL: "rowcall itself failed",
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """`lost` rows ended so, `attempts` did; `statuses` are those of HTTP, `about` says what it means."""

    name: str
    about: str
    lost: int
    attempts: int
    statuses: tuple[int, ...]
    example: str


def troubles(outcomes: Sequence[Mapping[str, Any]], exchanges: Sequence[Mapping[str, Any]]) -> list[Trouble]:
    """Read the rows of `report_outcomes.sql` and `report_exchanges.sql`; what most rows were lost to comes first."""
    lost, attempts, statuses, examples = _Counts(), _Counts(), dict[str, set[int]](), dict[str, str]()
    for row in outcomes:
        if row["outcome"] != Outcome.OK:
            lost.add(failure_name(row), row["calls"])
            examples.setdefault(failure_name(row), str(row["example"] or ""))
    for row in exchanges:
        if name := row["kind"]:
            attempts.add(name, row["attempts"])
            statuses.setdefault(name, set()).update({row["http_status"]} - {None})
            examples.setdefault(name, str(row["example"] or ""))
    names = sorted({*lost, *attempts}, key=lambda name: (-lost.get(name, 0), -attempts.get(name, 0), name))
    return [
        Trouble(
            name,
            _ABOUT.get(name, ""),
            lost.get(name, 0),
            attempts.get(name, 0),
            tuple(sorted(statuses.get(name, ()))),
            examples[name],
        )
        for name in names
    ]


def failure_name(row: Mapping[str, Any]) -> str:
    """As the runs table counts failures: by outcome, errors by kind."""
    return str(row["kind"] or row["outcome"]) if row["outcome"] == Outcome.ERROR else str(row["outcome"])


class _Counts(dict[str, int]):
    def add(self, name: str, more: int) -> None:
        self[name] = self.get(name, 0) + more
