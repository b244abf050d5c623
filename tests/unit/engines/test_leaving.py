"""An attempt at a part that is told to leave, from another thread: what it has is kept, and another may ask the rest."""

import json
import threading
import time

import pytest

from rowcall.core.records import ErrorKind
from rowcall.engines.seat import SEAT_NOTES
from rowcall.engines.stopping import Stopping
from rowcall.engines.worker import run_task
from rowcall.testing import FakeEndpoint, MemoryJournal, error_reply
from tasks import recipe, rows

MANY = [f"row {n}" for n in range(2000)]


def states(journal: MemoryJournal) -> list[str]:
    return [json.loads(note)["state"] for note in journal.notes(SEAT_NOTES).values()]


def leave_when(journal: MemoryJournal, endpoint: FakeEndpoint, stopping: Stopping, grace: float | None) -> None:
    """Once some calls were made."""

    def wait() -> None:
        while len(endpoint.requests) < 20:
            time.sleep(0.001)
        stopping.leave(grace)

    threading.Thread(target=wait, daemon=True).start()


def test_what_is_in_flight_is_kept_and_the_rest_is_left_to_another():
    endpoint, journal = FakeEndpoint(latency=0.02), MemoryJournal()
    stopping = Stopping(None)
    leave_when(journal, endpoint, stopping, None)
    (report,) = run_task(recipe(endpoint, journal), [rows(MANY)], 0, stopping)
    asked = json.loads(str(report.column("report")[0]))["asked"]
    assert 20 <= asked == len(journal.rows()) == len(endpoint.requests) < len(MANY)
    assert states(journal) == ["left"]

    again = FakeEndpoint()
    list(run_task(recipe(again, journal, share=64), [rows(MANY)], 0))
    assert len(again.requests) == len(MANY) - asked
    assert sorted(states(journal)) == ["done", "left"]


def test_no_longer_than_it_is_given():
    endpoint, journal = FakeEndpoint(lambda _: error_reply(429, headers={"retry-after": "600"})), MemoryJournal()
    endpoint.latency = 30
    stopping = Stopping(None)
    threading.Timer(0.3, lambda: stopping.leave(0.1)).start()
    (report,) = run_task(recipe(endpoint, journal, timeout=60.0), [rows(MANY)], 0, stopping)
    assert json.loads(str(report.column("report")[0]))["asked"] == 0
    assert states(journal) == ["left"]


def test_one_that_was_told_before_it_began_asks_nothing():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    stopping = Stopping(None)
    stopping.leave(None)
    list(run_task(recipe(endpoint, journal), [rows(MANY)], 0, stopping))
    assert endpoint.requests == []
    assert states(journal) == ["left"]


def test_to_be_told_after_the_end_changes_nothing():
    endpoint, journal, stopping = FakeEndpoint(), MemoryJournal(), Stopping(None)
    list(run_task(recipe(endpoint, journal), [rows(["a"])], 0, stopping))
    stopping.leave(None)
    assert states(journal) == ["done"]


def test_what_stops_the_run_is_not_left_to_another():
    endpoint, journal = FakeEndpoint(lambda _: error_reply(403, "PERMISSION_DENIED", "no")), MemoryJournal()
    (report,) = run_task(recipe(endpoint, journal), [rows(MANY)], 0)
    assert ErrorKind.PERMISSION_DENIED in json.loads(str(report.column("report")[0]))["stop"]
    assert states(journal) == ["done"]


@pytest.mark.parametrize("grace", [None, 0.0])
def test_one_that_waits_for_the_seat_leaves_at_once(grace: float | None):
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    claim = {"process": "another machine", "number": 1, "state": "seated", "beat": 1}
    journal.write_note(f"{SEAT_NOTES}0-other", json.dumps(claim))
    stopping = Stopping(None)
    threading.Timer(0.2, lambda: stopping.leave(grace)).start()
    list(run_task(recipe(endpoint, journal), [rows(MANY)], 0, stopping))
    assert endpoint.requests == []
    assert sorted(states(journal)) == ["left", "seated"]
