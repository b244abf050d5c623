"""One run of a job at a time: a run says in its journal that it is alive, and gives way to another that is.

    claims ─▶ holds ─▶ over          the first to come, or of those that come at once the one with the smallest run id
       └────▶ waits ─▶ claims        any other, if it is to wait

A run claims the lock before it looks at the others. It gives way to one that holds it and to one that claims it with a smaller
run id, and waits for those with a larger one to see its claim and give way. So of two, whenever they come, exactly one holds it:
the larger looked before the smaller claimed, then the smaller sees it; or it did not, then it gives way.

A run of this machine is alive as long as its process; any other while it has spoken in the last minute by the clock of the
journal's store, in which both wrote. No two machines' clocks are compared.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from rowcall.core.errors import RunError
from rowcall.core.loose import count, mapping, parse_json, text
from rowcall.core.ports import Journal, JournalStore, Reporter
from rowcall.engines.processes import is_there, this_process
from rowcall.engines.worker import MANIFEST_NOTE

ALIVE_NOTE = "alive"
LOOKED_NOTE = "looked"
"""Written by who wants to know whether a run is alive, to read the clock of the store."""
ALIVE_SECONDS = 60.0
"""How long a run of another machine may be silent."""
PULSE_SECONDS = 10.0
CLAIM_SECONDS = 0.1
"""Between looks at claims that have to give way."""
WAIT_SECONDS = 1.0
TELL_SECONDS = 10.0
_HERE: set[str] = set()
"""Runs alive in this process."""

State = Literal["claims", "holds", "waits", "over"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run says of itself. `host` and `pid` are for people; `process` tells whether it is still there."""

    run_id: str
    state: str
    host: str = ""
    pid: int = 0
    process: str = ""

    @property
    def where(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def held(job: str, run_id: str, journals: JournalStore, reporter: Reporter, *, wait: bool = False) -> Generator[None]:
    """Hold the job's lock, from before the run looks at earlier runs until its end. Where another run has it, wait for that one if
    asked to, and otherwise raise `RunError`."""
    lock = _Lock(job, run_id, journals)
    over = threading.Event()
    pulse = threading.Thread(target=lock.pulse, args=(over,), daemon=True, name="rowcall-alive")
    _HERE.add(run_id)
    try:
        if wait:
            lock.wait(reporter)
        elif (other := lock.take()) is not None:
            raise RunError(
                f"run {other.run_id} of this job is going on ({other.where}): wait for it with --wait, "
                f"or stop it with rowcall ctl {other.run_id} stop"
            )
        pulse.start()
        yield
    finally:
        _HERE.discard(run_id)
        over.set()
        try:
            if pulse.ident is not None:
                pulse.join()
        finally:
            lock.leave()


def is_alive(run_id: str, journal: Journal, *, looked: str = LOOKED_NOTE, within: float = ALIVE_SECONDS) -> bool:
    """Whether a run goes on, as far as its journal says, where it has to have spoken `within` so many seconds. Those who look again
    and again each have a note `looked` of their own."""
    claim = _claim(run_id, journal)
    return (
        claim is not None
        and claim.state == "holds"
        and _lives(claim, lambda: _silence(journal, _now(journal, looked)), within)
    )


def is_dead(run_id: str, journal: Journal) -> bool:
    """Whether a run said that it is there, and is no more."""
    claim = _claim(run_id, journal)
    return claim is not None and not _lives(claim, lambda: _silence(journal, _now(journal)))


def goes_on_here(run_id: str, journal: Journal) -> bool:
    """Whether a process of this machine is at a run, or waits to begin it. Writes nothing."""
    claim = _claim(run_id, journal)
    if claim is None or claim.state == "over":
        return False
    return run_id in _HERE if claim.process == this_process() else is_there(claim.process) is True


class _Lock:
    def __init__(self, job: str, run_id: str, journals: JournalStore) -> None:
        self._job = job
        self._run_id = run_id
        self._journals = journals
        self._journal = journals.recipe(job, run_id)()

    def take(self) -> Claim | None:
        """Take the lock; or the run that has it, or comes before this one."""
        while True:
            self._say("claims")
            others = list(self._others())
            if not others:
                self._say("holds")
                return None
            for other in others:
                if other.state == "holds" or other.run_id < self._run_id:
                    return other
            time.sleep(CLAIM_SECONDS)

    def wait(self, reporter: Reporter) -> None:
        """Take the lock as soon as no other run has it; tell now and then which one has."""
        began, told = time.monotonic(), -TELL_SECONDS
        while (other := self.take()) is not None:
            self._say("waits")
            waited = time.monotonic() - began
            if waited - told >= TELL_SECONDS:
                told = waited
                reporter.step(f"waiting for run {other.run_id} of this job ({other.where}), for {waited:.0f} s")
            time.sleep(WAIT_SECONDS)

    def pulse(self, over: threading.Event) -> None:
        """Say again and again that the run is alive. In a thread of its own: publishing a large table may take longer than a run
        may be silent."""
        while not over.wait(PULSE_SECONDS):
            with suppress(OSError):
                self._say("holds")

    def leave(self) -> None:
        """Give up the lock, if it was had. What holds no run is no journal, and goes."""
        with suppress(OSError):
            if not self._journal.notes(MANIFEST_NOTE) and not self._journal.segments():
                self._journal.remove()
            else:
                self._say("over")

    def _others(self) -> Iterator[Claim]:
        """The other runs that live and have the lock or claim it. The own claim was just written."""
        now = self._journal.noted_at(ALIVE_NOTE)
        for run_id in self._journals.runs(self._job):
            if run_id != self._run_id:
                journal = self._journals.recipe(self._job, run_id)()
                claim = _claim(run_id, journal)
                if (
                    claim is not None
                    and claim.state in ("claims", "holds")
                    and _lives(claim, partial(_silence, journal, now))
                ):
                    yield claim

    def _say(self, state: State) -> None:
        claim = Claim(self._run_id, state, socket.gethostname(), os.getpid(), this_process())
        self._journal.write_note(ALIVE_NOTE, json.dumps(asdict(claim)))


def _claim(run_id: str, journal: Journal) -> Claim | None:
    said = journal.notes(ALIVE_NOTE).get(ALIVE_NOTE)
    if said is None:
        return None
    note = mapping(parse_json(said))
    host, process = (text(note.get(name)) or "" for name in ("host", "process"))
    # What cannot be read, half replaced, is of a run that speaks: to be given way to.
    return Claim(run_id, text(note.get("state")) or "holds", host, count(note.get("pid")) or 0, process)


def _now(journal: Journal, looked: str = LOOKED_NOTE) -> float | None:
    """The time by the clock of the journal's store."""
    journal.write_note(looked, "")
    return journal.noted_at(looked)


def _silence(journal: Journal, now: float | None) -> float:
    """For how many seconds a run has said nothing, by the store's clock; 0 where that is not known."""
    spoken = journal.noted_at(ALIVE_NOTE)
    return 0.0 if spoken is None or now is None else now - spoken


def _lives(claim: Claim, silence: Callable[[], float], within: float = ALIVE_SECONDS) -> bool:
    """A word from far in the future is one from before the store's clock was set right."""
    if claim.process == this_process():
        return claim.run_id in _HERE
    there = is_there(claim.process)
    return abs(silence()) <= within if there is None else there
