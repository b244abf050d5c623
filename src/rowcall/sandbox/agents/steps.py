"""The steps an agent takes, timed as they happen; they become spans of its trace."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it was given, what it found, and when (Unix, ns)."""

    name: str
    given: object
    found: object
    started_ns: int
    ended_ns: int


def take_step(steps: list[Step], name: str, given: object, work: Callable[[], T]) -> T:
    """Do the work and note it as a step."""
    started = time.time_ns()
    found = work()
    steps.append(Step(name, given, found, started, time.time_ns()))
    return found
