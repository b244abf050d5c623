"""How far a run is, as its tasks note it in the journal, and how it is told to stop."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from rowcall.core.loose import mapping, parse_json, text
from rowcall.core.records import Progress

PROGRESS_NOTES = "progress-"
"""One note a task."""
STOP_NOTE = "stop"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Start no more calls. Those in flight are waited for, no longer than `grace` seconds where that is given."""

    reason: str
    grace: float | None = None

    def as_text(self) -> str:
        return json.dumps(asdict(self))


def read_stop(said: str | None) -> StopRequest | None:
    """The request in a stop note; None where there is none, or none that can be read."""
    note = mapping(parse_json(said or ""))
    reason, grace = text(note.get("reason")), note.get("grace")
    return StopRequest(reason, float(grace) if isinstance(grace, int | float) else None) if reason else None


def progress_note(progress: Progress) -> str:
    return json.dumps(asdict(progress))


def read_progress(said: str) -> Progress:
    """What a task said. Total: what cannot be read says nothing."""
    try:
        return Progress(**json.loads(said))
    except (ValueError, TypeError):
        return Progress()


def total(notes: Mapping[str, str]) -> Progress:
    """What the tasks said last, added up, and why they are to stop if they are."""
    found = Progress()
    for name, note in notes.items():
        if name.startswith(PROGRESS_NOTES):
            found += read_progress(note)
    return found


def over(progress: Progress) -> Progress:
    """What is left to say of a task that is no more: what it did counts, what it was doing does not."""
    return replace(progress, in_flight=0, waking=0, room=0, paused=0, held=0)
