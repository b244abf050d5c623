"""What a dead run left in its journal, and how to tell that it is dead.

A journal holds a manifest: how to publish it and the row of its run. A run that went to its end removes its journal; one that
stopped or failed leaves the manifest, for answers that a task it lost sight of may still bring.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, cast

from rowcall.core import report
from rowcall.core.errors import RunError, SqlError
from rowcall.core.ports import Journal, JournalStore, Reporter, SqlSession
from rowcall.core.progress import StopRequest
from rowcall.core.report import RunRow
from rowcall.engines import responses
from rowcall.engines.worker import MANIFEST_NOTE as MANIFEST
from rowcall.publishing import Publisher, Publishing

ALIVE = "alive"
ALIVE_SECONDS = 60.0
FORGET_SECONDS = 3600.0
_HERE: set[str] = set()
"""Runs alive in this process."""


def begin(journal: Journal, how: Publishing, row: RunRow) -> None:
    """From here on the journal can be published by whoever finds it. `announced` must be going on."""
    _write_manifest(journal, {"publishing": asdict(how), "row": asdict(row), "over": False})


@contextmanager
def announced(job: str, run_id: str, journals: JournalStore) -> Generator[None]:
    """Say that this run is alive, from before it looks at other runs until its end. Raises `RunError` if another run of the
    job is alive: of two that start at once at least one gives way."""
    journal = journals.recipe(job, run_id)()
    _HERE.add(run_id)
    over = threading.Event()
    pulse = threading.Thread(target=_pulse, args=(journal, over), daemon=True, name="rowcall-alive")
    try:
        _say_alive(journal)
        for other in journals.runs(job):
            if other != run_id:
                _refuse_if_alive(other, journals.recipe(job, other)())
        pulse.start()
        yield
    finally:
        over.set()
        if pulse.ident is not None:
            pulse.join()
        _HERE.discard(run_id)
        if not journal.notes(MANIFEST):
            journal.remove()


def seal(journal: Journal, row: RunRow) -> None:
    """All is published; `row` is how the run ended. Whoever finds the journal now leaves it at that."""
    _write_manifest(journal, {**(_read_manifest("", journal) or {}), "row": asdict(row), "over": True})


def forget(publisher: Publisher, status: report.Status) -> None:
    """The run is over, all of its journal published. A run that did not end by itself may still have a task that writes."""
    if status == "done":
        publisher.journal.remove()
    else:
        responses.request_stop(publisher.journal, StopRequest("the run is over"))
        publisher.journal.discard(list(publisher.published))


def recover(job: str, session: SqlSession, journals: JournalStore, reporter: Reporter) -> None:
    """Publish what earlier runs of a job left in their journals; none of them is alive. Raises `RunError` if what one left
    cannot be published."""
    for run_id in journals.runs(job):
        journal = journals.recipe(job, run_id)()
        manifest = _read_manifest(run_id, journal)
        if manifest is None:
            if journal.segments():
                raise _unpublishable(run_id, journal, "its manifest is missing")
            continue
        if manifest["over"] and not journal.segments():
            _forget_if_old(journal, manifest)
        else:
            reporter.step(f"publishing what run {run_id} left behind")
            _recover_one(run_id, session, journal, manifest)


def _recover_one(run_id: str, session: SqlSession, journal: Journal, manifest: Mapping[str, Any]) -> None:
    responses.request_stop(journal, StopRequest("the run was given up"))
    try:
        publisher = Publisher(session, journal, _publishing(manifest["publishing"]))
        row = RunRow(**manifest["row"])
        publisher.create_tables()
        publisher.collect_left()
        publisher.publish()
        if not manifest["over"]:
            now = time.time_ns() // 1000
            row = report.ended(row, "interrupted", "found dead by the next run", publisher.tally(), now)
        publisher.write_run(row)
        publisher.drop_working_tables()
    except SqlError as error:
        raise _unpublishable(run_id, journal, error.reason) from error
    except (KeyError, TypeError, ValueError) as error:
        raise _unpublishable(run_id, journal, f"its manifest is another version's or broken ({error})") from error
    seal(journal, row)
    journal.discard(list(publisher.published))


def _unpublishable(run_id: str, journal: Journal, reason: str) -> RunError:
    return RunError(
        f"run {run_id} left answers that cannot be published: {reason}\n"
        f"  They are in {journal.place}. Put right what is wrong, or delete that folder to give them up."
    )


def _forget_if_old(journal: Journal, manifest: Mapping[str, Any]) -> None:
    if time.time() - manifest["written_at"] > FORGET_SECONDS:
        journal.remove()


def _write_manifest(journal: Journal, manifest: Mapping[str, Any]) -> None:
    journal.write_note(MANIFEST, json.dumps({**manifest, "written_at": time.time()}))


def _read_manifest(run_id: str, journal: Journal) -> dict[str, Any] | None:
    """The manifest, or None for a folder that never was a journal."""
    said = journal.notes(MANIFEST).get(MANIFEST)
    if said is None:
        return None
    try:
        manifest = json.loads(said)
        return {**manifest, "over": bool(manifest["over"]), "written_at": float(manifest["written_at"])}
    except (ValueError, KeyError, TypeError) as error:
        raise _unpublishable(run_id, journal, "its manifest cannot be read") from error


def _manifest_if_readable(journal: Journal) -> dict[str, Any] | None:
    try:
        found: object = json.loads(journal.notes(MANIFEST)[MANIFEST])
    except (KeyError, ValueError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _publishing(said: Mapping[str, Any]) -> Publishing:
    fields: dict[str, Any] = {**said, **{name: tuple(said[name]) for name in ("schemas", "tables", "merges")}}
    return Publishing(**fields)


def _pulse(journal: Journal, over: threading.Event) -> None:
    """In a thread of its own: publishing a large table may take longer than a run may be silent."""
    while not over.wait(ALIVE_SECONDS / 6):
        with suppress(OSError):
            _say_alive(journal)


def _say_alive(journal: Journal) -> None:
    journal.write_note(ALIVE, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}))


def _refuse_if_alive(run_id: str, journal: Journal) -> None:
    """A run is alive if it said so a moment ago, and if it was on this machine its process is there."""
    said = journal.notes(ALIVE).get(ALIVE)
    manifest = _manifest_if_readable(journal)
    if said is None or (manifest is not None and manifest.get("over") is True):
        return
    try:
        alive = json.loads(said)
        silent = time.time() - float(alive["at"]) > ALIVE_SECONDS
    except (ValueError, KeyError, TypeError):
        return
    if silent:
        return
    if alive["host"] == socket.gethostname():
        own = alive["pid"] == os.getpid()
        if (own and run_id not in _HERE) or (not own and not _process_exists(alive["pid"])):
            return
    raise RunError(
        f"run {run_id} of this job is going on (process {alive['pid']} on {alive['host']}); wait for it or stop it"
    )


def _process_exists(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, asking with a signal would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
