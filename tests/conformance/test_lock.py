"""One run of a job at a time, over both stores of journals: who holds the lock, who gives way, and who is dead."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from rowcall.adapters.journal import FolderJournals
from rowcall.core.errors import RunError
from rowcall.core.ports import JournalStore
from rowcall.engines.processes import this_process
from rowcall.engines.worker import MANIFEST_NOTE
from rowcall.lock import ALIVE_NOTE, ALIVE_SECONDS, Claim, held, is_alive
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import RecordingReporter
from support import wait_until

JOB = "job"
ELSEWHERE = "another-machine 7 1"
HOLDER = """
import sys, time
from pathlib import Path
from rowcall.adapters.journal import FolderJournals
from rowcall.lock import held
from rowcall.testing import RecordingReporter
with held("job", "held", FolderJournals(Path(sys.argv[1])), RecordingReporter()):
    print("holds", flush=True)
    time.sleep(100)
"""


def say(store: JournalStore, run_id: str, state: str, process: str = ELSEWHERE) -> None:
    claim = Claim(run_id, state, "another", 7, process)
    store.recipe(JOB, run_id)().write_note(ALIVE_NOTE, json.dumps(asdict(claim)))


def take(store: JournalStore, run_id: str = "20260102-mine", *, wait: bool = False) -> None:
    """Take the lock and give it up again."""
    with held(JOB, run_id, store, RecordingReporter(), wait=wait):
        pass


@pytest.fixture
def age(durable: JournalStore, sandbox: SandboxProcess) -> Callable[[str, float], None]:
    """Makes a run's last word so many seconds old by the clock of the store."""

    def made_older(run_id: str, seconds: float) -> None:
        place = durable.recipe(JOB, run_id)().place
        volumes = Path(sandbox.config_file).parent / "volumes"
        folder = Path(place) if isinstance(durable, FolderJournals) else volumes / place.removeprefix("/Volumes/")
        when = time.time() - seconds
        os.utime(folder / "notes" / ALIVE_NOTE, (when, when))

    return made_older


def test_a_run_that_holds_the_lock_is_named_to_the_second(durable: JournalStore):
    with held(JOB, "first", durable, RecordingReporter()):
        assert is_alive("first", durable.recipe(JOB, "first")())
        with pytest.raises(RunError, match=rf"run first .* going on \(process {os.getpid()} .*--wait.*ctl first stop"):
            take(durable, "second")
        assert durable.runs(JOB) == ["first"]
    take(durable, "second")


def test_jobs_have_locks_of_their_own(durable: JournalStore):
    with held("another", "first", durable, RecordingReporter()):
        take(durable)


@pytest.mark.parametrize("round_", range(8))
def test_of_those_that_come_at_once_exactly_one_stays(durable: JournalStore, round_: int):
    many = 4
    together, ended = threading.Barrier(many), threading.Barrier(many)

    def come(run_id: str) -> bool:
        together.wait(30)
        try:
            with held(JOB, run_id, durable, RecordingReporter()):
                ended.wait(30)
                return True
        except RunError:
            ended.wait(30)
            return False

    with ThreadPoolExecutor(many) as pool:
        assert sum(pool.map(come, [f"run-{n}" for n in range(many)])) == 1


def test_those_that_wait_come_one_after_the_other(durable: JournalStore):
    inside: list[str] = []
    most: list[int] = []

    def come(run_id: str) -> None:
        with held(JOB, run_id, durable, RecordingReporter(), wait=True):
            inside.append(run_id)
            most.append(len(inside))
            time.sleep(0.1)
            inside.remove(run_id)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(come, ["run-a", "run-b", "run-c"]))
    assert most == [1, 1, 1]
    assert durable.runs(JOB) == []


def test_whoever_waits_says_for_whom(durable: JournalStore):
    say(durable, "other", "holds")
    reporter, took = RecordingReporter(), threading.Event()

    def come() -> None:
        with held(JOB, "mine", durable, reporter, wait=True):
            took.set()

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come)
        wait_until(lambda: bool(reporter.steps), 30)
        assert reporter.steps == ["waiting for run other of this job (process 7 on another), for 0 s"]
        assert not took.is_set()
        say(durable, "other", "over")
        coming.result(30)


def test_a_smaller_claim_is_given_way_to_and_a_larger_one_is_waited_out(durable: JournalStore):
    say(durable, "20260101-earlier", "claims")
    with pytest.raises(RunError, match="run 20260101-earlier"):
        take(durable)
    say(durable, "20260101-earlier", "waits")
    say(durable, "20260103-later", "claims")
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take, durable)
        wait_until(lambda: "20260102-mine" in durable.runs(JOB), 30)
        with pytest.raises(TimeoutError):
            taking.result(0.5)
        say(durable, "20260103-later", "waits")
        taking.result(30)


def test_a_larger_claim_that_becomes_a_hold_is_given_way_to(durable: JournalStore):
    say(durable, "20260103-later", "claims")
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take, durable)
        wait_until(lambda: "20260102-mine" in durable.runs(JOB), 30)
        say(durable, "20260103-later", "holds")
        with pytest.raises(RunError, match="run 20260103-later"):
            taking.result(30)


@pytest.mark.parametrize(("silent", "alive"), [(0, True), (40, True), (80, False), (-40, True), (-3600, False)])
def test_a_run_elsewhere_is_alive_while_it_speaks_and_never_for_ever(
    durable: JournalStore, age: Callable[[str, float], None], silent: float, alive: bool
):
    say(durable, "elsewhere", "holds")
    age("elsewhere", silent)
    assert is_alive("elsewhere", durable.recipe(JOB, "elsewhere")()) == alive
    if alive:
        with pytest.raises(RunError, match=r"process 7 on another"):
            take(durable)
    else:
        take(durable)


@pytest.mark.parametrize(("silent", "alive"), [(0, True), (20, True), (40, False)])
def test_who_depends_on_a_run_may_take_it_for_gone_before_another_takes_its_lock(
    durable: JournalStore, age: Callable[[str, float], None], silent: float, alive: bool
):
    say(durable, "elsewhere", "holds")
    age("elsewhere", silent)
    journal = durable.recipe(JOB, "elsewhere")()
    assert is_alive("elsewhere", journal, looked="looked-1", within=ALIVE_SECONDS / 2) == alive
    assert is_alive("elsewhere", journal)


@pytest.mark.parametrize(
    "said", ["", "{", "[]", '"holds"', '{"state": 1}', '{"state": "holds", "pid": {}, "process": []}']
)
def test_a_word_that_cannot_be_read_holds_nothing_for_ever(
    durable: JournalStore, age: Callable[[str, float], None], said: str
):
    durable.recipe(JOB, "odd")().write_note(ALIVE_NOTE, said)
    age("odd", 80)
    take(durable)


def test_a_number_that_another_process_has_now_is_no_sign_of_life(durable: JournalStore):
    machine, number, _ = this_process().split(" ")
    say(durable, "reused", "holds", f"{machine} {os.getppid()} 1")
    say(durable, "mine-before", "holds", f"{machine} {number} 1")
    take(durable)


def test_a_run_that_left_a_manifest_is_over_at_once_for_everybody(durable: JournalStore):
    journal = durable.recipe(JOB, "first")()
    with held(JOB, "first", durable, RecordingReporter()):
        journal.write_note(MANIFEST_NOTE, "{}")
    assert not is_alive("first", journal)
    assert durable.runs(JOB) == ["first"]
    take(durable)


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that holds the lock of a store in `tmp_path`; its parent does not ask how it ended."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "holds\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_a_killed_process_is_dead_though_nobody_cleared_it_away(tmp_path: Path, holder: "subprocess.Popen[str]"):
    store = FolderJournals(tmp_path)
    with pytest.raises(RunError, match=rf"process {holder.pid} "):
        take(store)
    holder.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive("held", store.recipe(JOB, "held")()), 10)
    take(store)


def test_a_process_that_only_sleeps_keeps_the_lock(tmp_path: Path, holder: "subprocess.Popen[str]"):
    """A laptop that was closed for an hour."""
    holder.send_signal(signal.SIGSTOP)
    hour_ago = time.time() - 3600
    os.utime(tmp_path / JOB / "held" / "notes" / ALIVE_NOTE, (hour_ago, hour_ago))
    with pytest.raises(RunError, match=rf"process {holder.pid} "):
        take(FolderJournals(tmp_path))
