"""What lookups of an agent say of its state: ready as a rule, or for a while what a test wants to hear."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from rowcall.core.loose import count, mapping

_STATES: Mapping[str, tuple[str, ...]] = {
    "ready": ("READY", "NOT_READY"),
    "config_update": ("NOT_UPDATING", "IN_PROGRESS", "UPDATE_FAILED", "UPDATE_CANCELED"),
    "compute": ("ACTIVE", "STARTING", "UPDATING", "STOPPING", "STOPPED", "DELETING", "ERROR"),
    "app": ("RUNNING", "DEPLOYING", "UNAVAILABLE", "CRASHED"),
}


@dataclass(frozen=True, slots=True)
class LookupState:
    """The states of a serving endpoint (`ready`, `config_update`) and of an app (`compute`, `app`), as the platform names them."""

    ready: str = "READY"
    config_update: str = "NOT_UPDATING"
    compute: str = "ACTIVE"
    app: str = "RUNNING"


@dataclass(slots=True)
class Lookups:
    """The lookups of one agent: how many there were, and what they say: `state` for `left` more, then that it is ready.

    Without `left` the state stays.
    """

    state: LookupState = field(default_factory=LookupState)
    left: int | None = None
    count: int = 0

    def shown(self) -> LookupState:
        """What a lookup would say now."""
        return LookupState() if self.left == 0 else self.state

    def answer(self) -> LookupState:
        """What this lookup says; counts it."""
        shown = self.shown()
        self.count += 1
        if self.left:
            self.left -= 1
        return shown

    def say(self, state: LookupState, left: int | None) -> None:
        self.state, self.left = state, left


def read_lookup_state(body: object) -> tuple[LookupState, int | None]:
    """Read what a test sent, the state and for how many lookups; raises ValueError with what is wrong."""
    if not isinstance(body, dict):
        raise ValueError("lookup: expected an object")
    given = mapping(cast("object", body))
    known = [*_STATES, "lookups"]
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"lookup: unknown {', '.join(unknown)}; known are {', '.join(known)}")
    for key, states in _STATES.items():
        if given.get(key, states[0]) not in states:
            raise ValueError(f"lookup.{key}: expected one of {', '.join(states)}")
    if "lookups" in given and count(given["lookups"]) is None:
        raise ValueError("lookup.lookups: expected a whole number from 0")
    return LookupState(**{key: str(given[key]) for key in _STATES if key in given}), count(given.get("lookups"))
