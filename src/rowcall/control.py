"""Telling a run that goes on what to do, through the notes in its journal, and hearing from it how far it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from rowcall.core.control import CONTROL_NOTE, Command, Control, changed, read_control, refusal
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal, Row
from rowcall.core.progress import PROGRESS_NOTES, STOP_NOTE, StopRequest, read_stop, total
from rowcall.core.records import Progress
from rowcall.engines.responses import request_stop
from rowcall.lock import is_alive, is_dead

STOPPED = StopRequest("stopped by rowcall ctl")


@dataclass(frozen=True, slots=True)
class RunState:
    """A run that goes on: what it was told, and how far its tasks say that they are. `stop` is why it stops, if it does."""

    run_id: str
    job: str
    engine: str
    tasks: int
    pending_rows: int
    control: Control
    stop: str
    progress: Progress

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "stop": self.stop or None}


def journal_place(row: Row) -> str:
    """Where the journal of a run that goes on is, by its row in the runs table. Raises `RunError` for one that is over."""
    context = cast("Mapping[str, str]", row["context"] or {})
    place = context.get("journal")
    if row["status"] != "running" or place is None:
        raise RunError(f"run {row['run_id']} of {row['job']} is over: {row['status']}")
    return place


def lives(row: Row, journal: Journal) -> bool | None:
    """Whether a run that has no end yet goes on; None where that cannot be told from here."""
    run_id = str(row["run_id"])
    if is_alive(run_id, journal):
        return True
    return False if is_dead(run_id, journal) else None


def tell(row: Row, journal: Journal, command: Command) -> None:
    """Leave a command in the journal. Raises `RunError` where the run is dead or cannot do that."""
    _check_alive(row, journal)
    why = refusal(command, str(row["engine"]), _tasks(row))
    if why is not None:
        raise RunError(f"run {row['run_id']} cannot have {command} calls in flight: {why}")
    if command == "stop":
        request_stop(journal, STOPPED)
    else:
        journal.write_note(CONTROL_NOTE, changed(_control(journal), command).as_text())


def look(row: Row, journal: Journal) -> RunState:
    """What a run that goes on was told, and how far it is. Raises `RunError` where it is dead."""
    _check_alive(row, journal)
    stop = read_stop(journal.notes(STOP_NOTE).get(STOP_NOTE))
    progress = total(journal.notes(PROGRESS_NOTES))
    return RunState(
        run_id=str(row["run_id"]),
        job=str(row["job"]),
        engine=str(row["engine"]),
        tasks=_tasks(row),
        pending_rows=int(str(row["pending_rows"])),
        control=_control(journal),
        stop=progress.stop if stop is None else stop.reason,
        progress=progress,
    )


def _check_alive(row: Row, journal: Journal) -> None:
    run_id, job = str(row["run_id"]), str(row["job"])
    if not is_alive(run_id, journal):
        raise RunError(
            f"run {run_id} of {job} does not go on: it ended just now, or was cut off, or its journal {journal.place} is not to be "
            f"seen from here. The next run of {job} publishes what it may have left."
        )


def _control(journal: Journal) -> Control:
    return read_control(journal.notes(CONTROL_NOTE).get(CONTROL_NOTE), Control())


def _tasks(row: Row) -> int:
    return int(str(row["tasks"] or 1))
