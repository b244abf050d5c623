"""What a dead run left in its journal. That it is dead, `lock` has made sure of.

A journal holds a manifest: how to publish it and the row of its run. A run that went to its end removes its journal; one that
stopped or failed leaves the manifest, for answers that a task it lost sight of may still bring.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rowcall.core import report, seats
from rowcall.core.errors import RunError, SqlError
from rowcall.core.ports import Journal, JournalStore, Reporter, SqlSession
from rowcall.core.progress import StopRequest
from rowcall.core.report import RunRow
from rowcall.core.vacuum import Told
from rowcall.engines import responses
from rowcall.engines.processes import is_gone
from rowcall.engines.seat import SEAT_NOTES
from rowcall.engines.worker import MANIFEST_NOTE as MANIFEST
from rowcall.lock import ALIVE_NOTE, is_dead
from rowcall.publishing import Publisher, Publishing

FORGET_SECONDS = 3600.0


def begin(journal: Journal, how: Publishing, row: RunRow) -> None:
    """From here on the journal can be published by whoever finds it. The lock must be held."""
    _write_manifest(journal, {"publishing": asdict(how), "row": asdict(row), "over": False, "told": False})


def seal(journal: Journal, row: RunRow) -> None:
    """All is published; `row` is how the run ended. Whoever finds the journal now leaves it at that, and tells it."""
    _amend_manifest(journal, row=asdict(row), over=True)


def forget(publisher: Publisher, status: report.Status) -> None:
    """The run is over, all of its journal published and its row told. One that did not end by itself may still have a task that
    writes, and so may one that lost sight of a task."""
    if status == "done" and not seats.unaccounted(publisher.journal.notes(SEAT_NOTES), is_gone):
        publisher.journal.remove()
    else:
        responses.request_stop(publisher.journal, StopRequest("the run is over"))
        _amend_manifest(publisher.journal, told=True)
        publisher.journal.discard(list(publisher.published))


def told(run_id: str, journal: Journal) -> tuple[Told, float]:
    """What a journal says of its run, and when it was written, in seconds; writes nothing."""
    try:
        manifest = _read_manifest(run_id, journal)
    except RunError:
        return "unreadable", 0.0
    if manifest is None:
        return "nothing", journal.noted_at(ALIVE_NOTE) or 0.0
    return "over" if manifest["told"] else "open", manifest["written_at"]


def recover(job: str, session: SqlSession, journals: JournalStore, reporter: Reporter) -> None:
    """Publish what earlier runs of a job left in their journals; none of them is alive. Raises `RunError` if what one left
    cannot be published."""
    for run_id in journals.runs(job):
        journal = journals.recipe(job, run_id)()
        manifest = _read_manifest(run_id, journal)
        if manifest is None:
            if journal.segments():
                raise _unpublishable(run_id, journal, "its manifest is missing")
            if is_dead(run_id, journal) or _is_remains(journal):
                journal.remove()
            continue
        if manifest["told"] and not journal.segments():
            _forget_if_old(journal, manifest)
        else:
            reporter.step(f"publishing what run {run_id} left behind")
            _recover_one(run_id, session, journal, manifest, reporter)


def _recover_one(
    run_id: str, session: SqlSession, journal: Journal, manifest: Mapping[str, Any], reporter: Reporter
) -> None:
    responses.request_stop(journal, StopRequest("the run was given up"))
    try:
        publisher = Publisher(session, journal, _publishing(manifest["publishing"]), reporter.step)
        row = RunRow(**manifest["row"])
        publisher.create_tables()
        publisher.collect_left()
        publisher.publish()
        if not manifest["over"]:
            total, spoken = publisher.tally(), journal.noted_at(ALIVE_NOTE)
            lived = report.last_sign(row, total, spoken, time.time_ns() // 1000)
            row = report.ended(row, "interrupted", "found dead by the next run", total, lived)
        publisher.write_run(row)
        publisher.drop_working_tables()
    except SqlError as error:
        raise _unpublishable(run_id, journal, error.reason) from error
    except (KeyError, TypeError, ValueError) as error:
        raise _unpublishable(run_id, journal, f"its manifest is another version's or broken ({error})") from error
    seal(journal, row)
    publisher.export()
    forget(publisher, row.status)


def _is_remains(journal: Journal) -> bool:
    """Whether it is what somebody has noted who came when the journal was gone. A run says first of all that it is alive."""
    notes = journal.notes("")
    return bool(notes) and ALIVE_NOTE not in notes


def _unpublishable(run_id: str, journal: Journal, reason: str) -> RunError:
    return RunError(
        f"run {run_id} left answers that cannot be published: {reason}\n"
        f"  They are in {journal.place}. Put right what is wrong, or delete that folder to give them up."
    )


def _forget_if_old(journal: Journal, manifest: Mapping[str, Any]) -> None:
    if time.time() - manifest["written_at"] > FORGET_SECONDS:
        journal.remove()


def _amend_manifest(journal: Journal, **changes: object) -> None:
    _write_manifest(journal, {**(_read_manifest("", journal) or {}), **changes})


def _write_manifest(journal: Journal, manifest: Mapping[str, Any]) -> None:
    journal.write_note(MANIFEST, json.dumps({**manifest, "written_at": time.time()}))


def _read_manifest(run_id: str, journal: Journal) -> dict[str, Any] | None:
    """The manifest, or None for a folder that never was a journal."""
    said = journal.notes(MANIFEST).get(MANIFEST)
    if said is None:
        return None
    try:
        manifest = json.loads(said)
        over = bool(manifest["over"])
        told = bool(manifest.get("told", over))  # earlier versions did not tell the two apart
        return {**manifest, "over": over, "told": told, "written_at": float(manifest["written_at"])}
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _unpublishable(run_id, journal, "its manifest cannot be read") from error


def _publishing(said: Mapping[str, Any]) -> Publishing:
    fields: dict[str, Any] = {**said, **{name: tuple(said[name]) for name in ("schemas", "tables", "merges")}}
    return Publishing(**fields)
