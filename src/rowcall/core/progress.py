"""How far a run is, as its tasks note it in the journal, and how it is told to stop."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import cast

from rowcall.core.loose import count, mapping, parse_json, text
from rowcall.core.records import Progress
from rowcall.core.slots import CLIENT_CPU, SlotState

PROGRESS_NOTES = "progress-"
"""One note a task."""
STOP_NOTE = "stop"
LONGEST_GRACE = 3600


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
    fit = isinstance(grace, int | float) and not isinstance(grace, bool) and 0 <= grace <= LONGEST_GRACE
    return StopRequest(reason, float(cast("float", grace)) if fit else None) if reason else None


def progress_note(progress: Progress) -> str:
    seconds = {state: round(spent, 3) for state, spent in progress.seconds.items()}
    return json.dumps({**asdict(progress), "seconds": seconds})


def read_progress(said: str) -> Progress:
    """What a task said. Total: what cannot be read says nothing."""
    note = mapping(parse_json(said))
    counts = {each.name: count(note.get(each.name)) or 0 for each in fields(Progress) if each.type is int}
    return Progress(**counts, seconds=_seconds(note.get("seconds")), stop=text(note.get("stop")) or "")


def _seconds(said: object) -> dict[str, float]:
    times = {state: mapping(said).get(state) for state in (*SlotState, CLIENT_CPU)}
    return {
        str(state): float(time)
        for state, time in times.items()
        if isinstance(time, int | float) and 0 < time < math.inf
    }


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
