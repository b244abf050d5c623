"""The seat of a part, with real notes in a folder, and real processes that are killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rowcall.adapters.journal import FolderJournal
from rowcall.core import seats
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal, JournalStore
from rowcall.core.seats import SILENT_SECONDS, State
from rowcall.engines import seat
from rowcall.engines.seat import SEAT_NOTES, attempt_name, seated
from rowcall.engines.stopping import Stopping
from support import wait_until

ATTEMPT = """
import asyncio, sys, time
from pathlib import Path
from rowcall.adapters.journal import FolderJournal
from rowcall.engines import seat
from rowcall.engines.stopping import Stopping

folder, name, beat, work = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
seat.BEAT_SECONDS = beat

async def attempt():
    async with seat.seated(FolderJournal(folder), 0, name, Stopping(None)) as free:
        print("asks" if free else "asks nothing", flush=True)
        if not free:
            return
        (folder / "asking").touch(exist_ok=False)  # fails where another is inside
        await asyncio.sleep(3600 if work == "for ever" else 0.02)
        (folder / "asking").unlink()
        if work == "fails":
            raise SystemExit("gives up")

asyncio.run(attempt())
"""


@pytest.fixture
def journal(tmp_path: Path) -> FolderJournal:
    return FolderJournal(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "BEAT_SECONDS", 0.02)


def states(journal: Journal) -> dict[str, State]:
    return {name: State(json.loads(note)["state"]) for name, note in journal.notes(SEAT_NOTES).items()}


def start(folder: Path, name: str, work: str = "a moment", beat: float = 0.05) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ATTEMPT, str(folder), name, str(beat), work]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def take(journal: Journal, name: str, stopping: Stopping | None = None) -> bool:
    async with asyncio.timeout(30), seated(journal, 0, name, stopping or Stopping(None)) as free:
        return free


def test_one_that_has_no_part_leaves_no_note(journal: FolderJournal):
    async def attempt() -> bool:
        async with seated(journal, None, attempt_name(None), Stopping(None)) as free:
            return free

    assert asyncio.run(attempt())
    assert journal.notes("") == {}


def test_attempts_at_a_part_have_names_of_their_own_that_tell_the_part():
    names = {attempt_name(3) for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("3-") for name in names)
    assert "-" not in attempt_name(None)


def test_a_part_whose_number_begins_alike_is_another(journal: FolderJournal):
    async def both() -> bool:
        async with seated(journal, 12, "12-a", Stopping(None)), seated(journal, 1, "1-a", Stopping(None)) as free:
            return free

    assert asyncio.run(both())


@pytest.mark.usefixtures("quick")
def test_a_twin_waits_until_the_first_is_done_and_asks_nothing(durable: JournalStore):
    open_journal = durable.recipe("job", "run")
    journal = open_journal()

    async def twins() -> bool:
        async with seated(open_journal(), 0, "0-first", Stopping(None)) as free:
            assert free
            twin = asyncio.create_task(take(open_journal(), "0-twin"))
            while "seat-0-twin" not in await asyncio.to_thread(states, journal):
                await asyncio.sleep(0.01)
            done, _ = await asyncio.wait({twin}, timeout=0.5)
            assert not done
        return await twin

    assert asyncio.run(twins()) is False
    assert states(journal) == {"seat-0-first": State.DONE, "seat-0-twin": State.LEFT}


@pytest.mark.usefixtures("quick")
def test_a_retry_takes_the_seat_of_one_that_failed(durable: JournalStore):
    open_journal = durable.recipe("job", "run")
    journal = open_journal()

    async def attempts() -> bool:
        with pytest.raises(RunError, match="the disk is full"):
            async with seated(open_journal(), 0, "0-first", Stopping(None)):
                raise RunError("the disk is full")
        return await take(open_journal(), "0-retry")

    assert asyncio.run(attempts())
    assert states(journal) == {"seat-0-first": State.LEFT, "seat-0-retry": State.DONE}


def test_a_retry_takes_the_seat_of_a_killed_process_without_waiting_for_its_silence(journal: FolderJournal):
    process = start(journal.folder, "0-killed", work="for ever")
    try:
        wait_until(lambda: State.SEATED in states(journal).values())
        process.kill()
        process.communicate(timeout=30)

        async def retry() -> bool:
            async with asyncio.timeout(SILENT_SECONDS / 2), seated(journal, 0, "0-retry", Stopping(None)) as free:
                return free

        assert asyncio.run(retry())
    finally:
        process.kill()


@pytest.mark.parametrize("work", ["a moment", "fails"])
def test_of_processes_that_start_at_once_one_asks_at_a_time(journal: FolderJournal, work: str):
    processes = [start(journal.folder, f"0-{number}", work) for number in range(6)]
    try:
        said = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not [errors for _, errors in said if "Traceback" in errors]
    asked = [out for out, _ in said if out == "asks\n"]
    assert len(asked) == (1 if work == "a moment" else 6)
    assert list(states(journal).values()).count(State.DONE) == (1 if work == "a moment" else 0)


@pytest.mark.usefixtures("quick")
def test_one_that_slept_gives_way_to_the_one_that_took_its_seat(
    journal: FolderJournal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seats, "SILENT_SECONDS", 1.0)
    process = start(journal.folder, "0-sleeper", work="for ever")
    try:
        wait_until(lambda: State.SEATED in states(journal).values())
        process.send_signal(signal.SIGSTOP)

        async def twin() -> bool:
            async with asyncio.timeout(30), seated(journal, 0, "0-twin", Stopping(None)) as free:
                process.send_signal(signal.SIGCONT)
                while states(journal)["seat-0-sleeper"] is not State.LEFT:
                    await asyncio.sleep(0.01)
                return free

        assert asyncio.run(twin())
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.usefixtures("quick")
def test_one_that_lost_its_seat_starts_no_more_calls_and_says_so_to_spark_not_to_the_run(journal: FolderJournal):
    stopping = Stopping(None)

    async def loses() -> None:
        async with asyncio.timeout(30), seated(journal, 0, "0-loses", stopping):
            taken = {"process": "", "number": 2, "state": State.SEATED, "beat": 1}
            journal.write_note("seat-0-other", json.dumps(taken))
            while not stopping.over():
                await asyncio.sleep(0.01)

    with pytest.raises(RunError, match="part 0 of the rows is asked by another attempt"):
        asyncio.run(loses())
    assert stopping.reason == ""
    assert states(journal)["seat-0-loses"] is State.LEFT


@pytest.mark.usefixtures("quick")
def test_a_twin_waits_no_longer_than_the_run_goes_on(journal: FolderJournal):
    async def twins() -> bool:
        async with seated(journal, 0, "0-first", Stopping(None)):
            return await take(journal, "0-twin", Stopping(time.time_ns() + 200_000_000))

    assert asyncio.run(twins()) is False


class Unreadable(FolderJournal):
    """A folder whose notes cannot be read at first, as on a network that is away."""

    def __init__(self, folder: Path, failures: int) -> None:
        super().__init__(folder)
        object.__setattr__(self, "failures", iter(range(failures)))

    def notes(self, prefix: str) -> dict[str, str]:
        for _ in self.failures:
            raise OSError("Transport endpoint is not connected")
        return super().notes(prefix)


@pytest.mark.usefixtures("quick")
def test_nobody_sits_down_without_a_look_at_the_others(tmp_path: Path):
    journal = Unreadable(tmp_path, failures=3)
    assert asyncio.run(take(journal, "0-a"))
    assert list(journal.failures) == []
