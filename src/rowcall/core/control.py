"""What a person tells a run while it goes on, kept as a note in its journal."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal, assert_never

from rowcall.core.limits import MOST_CONCURRENCY
from rowcall.core.loose import count, mapping, parse_json

CONTROL_NOTE = "control"

Command = Literal["pause", "resume", "stop"] | int
"""What can be told; a number is how many calls may be in flight over all tasks."""


@dataclass(frozen=True, slots=True)
class Control:
    """Whether calls may start, and how many may be in flight over all tasks (None: as planned)."""

    paused: bool = False
    concurrency: int | None = None

    def as_text(self) -> str:
        return json.dumps(asdict(self))


def read_control(said: str | None, before: Control) -> Control:
    """What is to be obeyed from now on. Total: what cannot be read, half replaced or not there, changes nothing."""
    note = mapping(parse_json(said or ""))
    if "paused" not in note:
        return before
    concurrency = count(note.get("concurrency")) or None
    return Control(note["paused"] is True, None if concurrency is None else min(concurrency, MOST_CONCURRENCY))


def changed(control: Control, command: Command) -> Control:
    """The control after a command. To stop is a note of its own (`core.progress`)."""
    match command:
        case "pause":
            return replace(control, paused=True)
        case "resume":
            return replace(control, paused=False)
        case "stop":
            return control
        case int():
            return replace(control, concurrency=command)
        case _:
            assert_never(command)


def refusal(command: Command, engine: str, tasks: int) -> str | None:
    """Why a run cannot do that; None where it can."""
    if not isinstance(command, int):
        return None
    if engine == "ai_query":
        return "it asks with ai_query: how many rows are asked at once is the platform's to decide"
    if command < tasks:
        return f"it has {tasks} tasks, and each needs one call: the least is {tasks}"
    if command > MOST_CONCURRENCY:
        return f"the most is {MOST_CONCURRENCY}"
    return None
