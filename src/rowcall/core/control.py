"""What a person tells a run while it goes on, kept as a note in its journal."""

import json
from dataclasses import asdict, dataclass

from rowcall.core.loose import count, mapping, parse_json

CONTROL_NOTE = "control"


@dataclass(frozen=True, slots=True)
class Control:
    """Whether calls may start, and how many may be in flight over all tasks (None: as planned)."""

    paused: bool = False
    concurrency: int | None = None

    def as_text(self) -> str:
        return json.dumps(asdict(self))


def read_control(said: str | None) -> Control:
    """Total: what cannot be read changes nothing."""
    note = mapping(parse_json(said or ""))
    return Control(note.get("paused") is True, count(note.get("concurrency")) or None)
