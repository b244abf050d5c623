"""The result of a check."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`wrong` is the job definition's fault. What is `unknown` may be fine: nobody could say."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and what to do: a statement, a command, or words."""

    state: State
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    found: Found

    def as_json(self) -> dict[str, str]:
        found = self.found
        return {"check": self.name, "state": found.state.value, "found": found.what, "remedy": found.remedy}


def ok(what: str, remedy: str = "") -> Found:
    return Found(State.OK, what, remedy)


def missing(what: str, remedy: str = "") -> Found:
    return Found(State.MISSING, what, remedy)


def unknown(what: str, remedy: str = "") -> Found:
    return Found(State.UNKNOWN, what, remedy)


def blocked(done: Iterable[Check], needs: Sequence[str]) -> Found | None:
    """Why a check that needs others cannot be made; None where it can. An unknown one blocks nothing."""
    passable = (State.OK, State.UNKNOWN)
    failed = [check.name for check in done if check.name in needs and check.found.state not in passable]
    return Found(State.NOT_CHECKED, f"because of {', '.join(failed)}") if failed else None


def worst(checks: Iterable[Check]) -> State:
    """`wrong` before `missing`, else `ok`: what is unknown is no failure."""
    states = {check.found.state for check in checks}
    return next((state for state in (State.WRONG, State.MISSING) if state in states), State.OK)
