"""What a dead run left in its journal, and how to tell that it is dead.

A journal holds a manifest: how to publish it and the row of its run. A run that went to its end removes its journal; one that
stopped or failed leaves the manifest, for answers that a task it lost sight of may still bring.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rowcall.core import report
from rowcall.core.errors import RunError, SqlError
from rowcall.core.ports import Journal, JournalStore, Reporter, SqlSession
from rowcall.core.report import RunRow
from rowcall.engines import responses
from rowcall.engines.worker import MANIFEST_NOTE as MANIFEST
from rowcall.publishing import Publisher, Publishing

ALIVE = "alive"
ALIVE_SECONDS = 60.0
FORGET_SECONDS = 3600.0


def begin(journal: Journal, how: Publishing, row: RunRow) -> None:
    """From here on the journal can be published by whoever finds it."""
    say_alive(journal)
    _write_manifest(journal, {"publishing": asdict(how), "row": asdict(row), "over": False})


def say_alive(journal: Journal) -> None:
    """To be repeated well within `ALIVE_SECONDS`."""
    journal.write_note(ALIVE, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}))


def end(publisher: Publisher, status: report.Status) -> None:
    """The run is over and all of its journal published."""
    journal = publisher.journal
    if status == "done":
        journal.remove()
        return
    responses.request_stop(journal, "the run is over")
    _give_up(journal, list(publisher.published), _read_manifest(journal) or {})


def recover(job: str, session: SqlSession, journals: JournalStore, reporter: Reporter) -> None:
    """Publish what earlier runs of a job left in their journals. Raises `RunError` if one of them still runs, or if what it
    left cannot be published."""
    for run_id in journals.runs(job):
        journal = journals.recipe(job, run_id)()
        manifest = _read_manifest(journal)
        if manifest is not None:
            _refuse_if_alive(run_id, journal)
            _recover_one(run_id, session, journal, manifest, reporter)


def _recover_one(
    run_id: str, session: SqlSession, journal: Journal, manifest: Mapping[str, Any], reporter: Reporter
) -> None:
    names = journal.segments()
    if not names and manifest["over"]:
        _forget_if_old(journal)
        return
    reporter.step(f"publishing what run {run_id} left behind")
    responses.request_stop(journal, "the run was given up")
    publisher = Publisher(session, journal, _publishing(manifest["publishing"]))
    try:
        publisher.create_tables()
        publisher.publish()
        if not manifest["over"]:
            message, now = "found dead by the next run", time.time_ns() // 1000
            row = report.ended(RunRow(**manifest["row"]), "interrupted", message, publisher.tally(), now)
            publisher.write_run(row)
        publisher.drop_pending()
    except SqlError as error:
        raise RunError(
            f"run {run_id} left {len(names)} files of answers that cannot be published: {error.reason}\n"
            f"  They are in {journal.place}. Put the table right, or delete them to lose them."
        ) from error
    _give_up(journal, names, manifest)


def _give_up(journal: Journal, published: list[str], manifest: Mapping[str, Any]) -> None:
    _write_manifest(journal, {**manifest, "over": True})
    journal.discard(published)
    journal.write_note(ALIVE, json.dumps({"host": "", "pid": 0, "at": 0.0}))


def _forget_if_old(journal: Journal) -> None:
    manifest = _read_manifest(journal)
    if manifest is not None and time.time() - manifest["written_at"] > FORGET_SECONDS:
        journal.remove()


def _write_manifest(journal: Journal, manifest: Mapping[str, Any]) -> None:
    journal.write_note(MANIFEST, json.dumps({**manifest, "written_at": time.time()}))


def _read_manifest(journal: Journal) -> dict[str, Any] | None:
    said = journal.notes(MANIFEST).get(MANIFEST)
    return None if said is None else json.loads(said)


def _publishing(said: Mapping[str, Any]) -> Publishing:
    fields: dict[str, Any] = {**said, **{name: tuple(said[name]) for name in ("schemas", "tables", "merges")}}
    return Publishing(**fields)


def _refuse_if_alive(run_id: str, journal: Journal) -> None:
    """A run is alive if it said so a moment ago, and if it was on this machine its process is there."""
    said = journal.notes(ALIVE).get(ALIVE)
    if said is None:
        return
    alive = json.loads(said)
    if time.time() - alive["at"] > ALIVE_SECONDS:
        return
    if alive["host"] == socket.gethostname() and (alive["pid"] == os.getpid() or not _process_exists(alive["pid"])):
        return
    raise RunError(
        f"run {run_id} of this job is going on (process {alive['pid']} on {alive['host']}); wait for it or stop it"
    )


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
