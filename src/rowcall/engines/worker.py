"""The loop inside one task: rows in, finished calls into the journal, never more than its share in flight.

`share` slots pull from one stream of rows. Each slot asks its row to the end, waits included, before it takes the next: a
sliding window with no barrier. Every call passes the task's gate, so that none of the limits can be exceeded. A flusher makes
finished answers durable after `flush_seconds` at the latest, and no call starts while `flush_rows` answers are not: a crash costs
at most one flush and what is in flight. The flusher also leaves the task's progress as a note in the journal, and looks there for
what it is told: to stop, to pause, to have more or fewer calls in flight. It adds up what all tasks have used, so that a budget
stops them even while the driver is busy.

A part of the rows has one attempt that asks at a time (`seat`), and a hash in the journal is not asked again: a retried or
speculative task asks only what is missing. No row raises: what goes wrong with one is its outcome. Only the journal's own failure
(a full disk) ends the task with an error.
"""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from rowcall.core.control import CONTROL_NOTE, Control, read_control
from rowcall.core.errors import RunError
from rowcall.core.limits import ALIKE_ROWS, REFUSALS, all_alike, stop_reason
from rowcall.core.outcome import stops_run
from rowcall.core.ports import Batches, Journal
from rowcall.core.progress import (
    PROGRESS_NOTES,
    STOP_NOTE,
    StopRequest,
    over,
    progress_note,
    read_progress,
    read_stop,
    total,
)
from rowcall.core.records import Call, CallError, ErrorKind, Outcome, Progress
from rowcall.core.segments import Finished
from rowcall.core.slots import CLIENT_CPU, Seconds, SlotState, SlotTime, summed
from rowcall.core.spans import LateSpans, told
from rowcall.engines.caller import Caller, unasked
from rowcall.engines.gate import Gate
from rowcall.engines.interpreter import set_for_tasks
from rowcall.engines.keeping import keep
from rowcall.engines.recipe import Recipe, Row
from rowcall.engines.seat import attempt_name, seated
from rowcall.engines.stopping import Stopping

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_NOTE = "manifest"
"""Written by the driver before any task starts."""
LOOK_SECONDS = 1.0
"""Between looks at the notes, where answers may stay unsaved for longer."""


def run_task(
    recipe: Recipe, batches: Batches, part: int | None = None, stopping: Stopping | None = None
) -> Iterator["pa.RecordBatch"]:
    """Ask every row of the batches (request_hash, request, keys); yields one report, the task's last progress as JSON. `stopping`
    is for who may want this attempt to leave, from another thread."""
    import pyarrow as pa

    with set_for_tasks():
        progress = asyncio.run(_attempt(recipe, batches, part, stopping or Stopping(recipe.deadline_ns)))
    yield pa.RecordBatch.from_pydict({"report": [json.dumps(asdict(progress))]})


async def _attempt(recipe: Recipe, batches: Batches, part: int | None, stopping: Stopping) -> Progress:
    """Ask what no other attempt at the part asks."""
    journal, name = recipe.open_journal(), attempt_name(part)
    stopping.begin()
    _check_journal(journal)
    async with seated(journal, part, name, stopping) as free:
        if not free:
            return Progress(stop=stopping.reason)
        await asyncio.to_thread(_settle_predecessors, journal, part)
        return await _Task(recipe, journal, name, stopping).run(batches)


def _settle_predecessors(journal: Journal, part: int | None) -> None:
    """Earlier attempts at the part are no more: nothing of theirs is in flight."""
    if part is not None:
        for name, said in journal.notes(f"{PROGRESS_NOTES}{part}-").items():
            journal.write_note(name, progress_note(over(read_progress(said))))


def _check_journal(journal: Journal) -> None:
    """Nothing is asked where its answer would be written to another place than the driver reads."""
    if not journal.notes(MANIFEST_NOTE):
        raise RunError(
            f"a task does not find the run's journal at {journal.place}: tasks and driver see different folders. "
            "Set `journal` to a folder that both see, such as a Unity Catalog Volume."
        )


class _Rows:
    """Rows of the batches, one at a time, to whoever asks next.

    Of a batch those with the longest requests come first: where these take longer, a run does not end with a few of them alone. The
    first rows of all are as they come: whether every row fails alike is not to be told by the longest.
    """

    def __init__(self, batches: Batches, known: set[str]) -> None:
        self._batches = iter(batches)
        self._known = known
        self._lock = asyncio.Lock()
        self._rows: Iterator[Row] = iter(())
        self._as_they_come = 2 * ALIKE_ROWS

    async def next(self) -> Row | None:
        while True:
            row = next(self._rows, None)
            if row is not None:
                return row
            async with self._lock:
                row = next(self._rows, None)
                if row is not None:
                    return row
                batch = await asyncio.to_thread(next, self._batches, None)
                if batch is None:
                    return None
                self._rows = self._of(batch)

    def _of(self, batch: "pa.RecordBatch") -> Iterator[Row]:
        keys = batch.column("keys")
        hashes, requests = batch.column("request_hash").to_pylist(), batch.column("request").to_pylist()
        first, self._as_they_come = self._as_they_come, max(0, self._as_they_come - len(requests))
        longest = sorted(range(first, len(requests)), key=lambda index: -len(requests[index] or ""))
        for index in (*range(min(first, len(requests))), *longest):
            if hashes[index] not in self._known:
                yield Row(str(hashes[index]), requests[index], keys.slice(index, 1))


class _Task:
    """One task's state: what is finished and not yet durable, what is in flight, whether to stop."""

    def __init__(self, recipe: Recipe, journal: Journal, name: str, stopping: Stopping) -> None:
        self.recipe = recipe
        self.journal = journal
        self.name = name
        self.finished: list[Finished] = []
        self.unsaved = 0
        self.full = asyncio.Event()
        self.room = asyncio.Event()
        self.closed = False
        self.stopping = stopping
        for event in (self.full, self.room):
            stopping.wakes(event)
        self.gate = Gate(recipe, self.stopping)
        self.slots: list[asyncio.Task[None]] = []
        self.grace = math.inf
        self.control = Control()
        self.others = Progress()
        self.refused_in_a_row = 0
        self.counts: Counter[str] = Counter()
        self.errors: Counter[ErrorKind] = Counter()
        self.spent = SlotTime()
        self.idle_since: list[float] = []
        self.ended: float | None = None
        self.caller: Caller | None = None
        self.cpu_before = time.thread_time()

    async def run(self, batches: Batches) -> Progress:
        """Ask all rows. What a slot or the journal could not do is raised once all that was answered is durable. That stops this
        attempt, not the run: Spark may make another."""
        rows = _Rows(batches, await asyncio.to_thread(self.journal.answered_hashes))
        async with self.recipe.connect() as client:
            caller = self.caller = Caller(self.recipe, client, self.gate, self.stopping, self.counts)
            add_slots = partial(self._add_slots, rows, caller)
            await self._look_at_notes(add_slots)
            add_slots()
            flusher = asyncio.create_task(self._flush_until_closed(add_slots))
            while working := [slot for slot in self.slots if not slot.done()]:
                ended = asyncio.gather(*working)
                await asyncio.wait({flusher, ended}, return_when=asyncio.FIRST_COMPLETED)
                if flusher.done() or ended.cancelled() or ended.exception() is not None:
                    self.stopping.stop("")
                await asyncio.wait(working)
            self.closed, self.ended = True, time.monotonic()
            self.full.set()
            await flusher
        for slot in self.slots:
            if not slot.cancelled():
                slot.result()
        return self.progress()

    def _add_slots(self, rows: _Rows, caller: Caller) -> None:
        """As many slots as calls may be in flight. Where that becomes less, the gate sees to it."""
        missing = self.gate.window.most - len(self.slots)
        self.slots += [asyncio.create_task(self._slot(rows, caller)) for _ in range(missing)]

    def _cut_off(self) -> None:
        """Wait no longer for the calls in flight."""
        for slot in self.slots:
            slot.cancel()

    def progress(self) -> Progress:
        counts, gate = self.counts, self.gate
        return Progress(
            asked=counts["asked"],
            ok=counts["ok"],
            failed=counts["asked"] - counts["ok"],
            in_flight=gate.in_flight,
            retries=counts["retries"],
            input_tokens=counts["input_tokens"],
            output_tokens=counts["output_tokens"],
            cached_tokens=counts["cached_tokens"],
            waking=counts["waking"] + (gate.waiting if gate.down else 0),
            turned_away=gate.turned_away,
            room=gate.window.room,
            paused=int(gate.paused),
            held=int(gate.held),
            seconds=self._seconds(),
            stop=self.stopping.reason,
        )

    def _seconds(self) -> Seconds:
        """Where the time of the slots went so far, of all that ended."""
        spent = summed(self.spent.seconds, self.gate.spent.seconds)
        if self.caller is not None:
            spent = summed(spent, self.caller.spent.seconds)
        until = time.monotonic() if self.ended is None else self.ended
        idle = sum(until - since for since in self.idle_since)
        return {**spent, SlotState.IDLE: idle, CLIENT_CPU: time.thread_time() - self.cpu_before}

    async def _slot(self, rows: _Rows, caller: Caller) -> None:
        try:
            await self._ask_rows(rows, caller)
        finally:
            self.idle_since.append(time.monotonic())

    async def _ask_rows(self, rows: _Rows, caller: Caller) -> None:
        while not self.stopping.over():
            began = time.monotonic()
            if self.unsaved >= self.recipe.flush_rows:
                await self.room.wait()
                self.spent.add(SlotState.JOURNAL, time.monotonic() - began)
                continue
            row = await rows.next()
            self.spent.add(SlotState.SOURCE, time.monotonic() - began)
            if row is None:
                return
            call = await _ask_safely(row, caller)
            if call is not None:
                self._finish(row, call)

    def _finish(self, row: Row, call: Call) -> None:
        reply, usage, counts = call.reply, call.reply.usage, self.counts
        spans = LateSpans(call, row.request or "", self.recipe.spans) if call.attempts else []
        tokens = usage.input_tokens or 0, usage.output_tokens or 0, usage.cached_tokens or 0
        cost = float(self.recipe.budget.cost(*tokens)) if self.recipe.budget.currency and any(tokens) else None
        self.finished.append(Finished(call, spans, cost, row.keys))
        counts["asked"] += 1
        counts["ok"] += reply.outcome is Outcome.OK
        counts["input_tokens"] += tokens[0]
        counts["output_tokens"] += tokens[1]
        counts["cached_tokens"] += tokens[2]
        refused = reply.error is not None and stops_run(reply.error.kind)
        self.refused_in_a_row = self.refused_in_a_row + 1 if refused else 0
        if reply.error is not None:
            self.errors[reply.error.kind] += 1
            self._stop_if_hopeless(reply.error)
        self._stop_if_used_up()
        self.unsaved += 1
        # At half, so that the rest can be answered while a segment is written.
        if len(self.finished) * 2 >= self.recipe.flush_rows:
            self.full.set()
        if self.unsaved >= self.recipe.flush_rows:
            self.room.clear()

    def _stop_if_hopeless(self, error: CallError) -> None:
        said = told(error, self.recipe.spans.content)
        if stops_run(error.kind) and (not self.counts["ok"] or self.refused_in_a_row >= REFUSALS):
            self.stopping.stop(said)
        elif all_alike(self.counts["ok"], self.errors) is not None:
            self.stopping.stop(f"every row so far failed alike, {said}")

    async def _flush_until_closed(self, add_slots: Callable[[], None]) -> None:
        """Make answers durable as they come; the last time when all slots are done. Where the journal fails, no call starts any
        more, and the last time tries once again. Raises `RunError` then, with what is lost."""
        last, flushed = False, time.monotonic()
        failure: OSError | None = None
        while not last:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.full.wait(), min(self.recipe.flush_seconds, LOOK_SECONDS))
            full, last = self.full.is_set(), self.closed
            self.full.clear()
            self._stop(self.stopping.leaving)
            try:
                due = full or time.monotonic() - flushed >= self.recipe.flush_seconds
                if last or (due and failure is None):
                    await self._flush()
                    flushed = time.monotonic()
                await self._say_progress()
                await self._look_at_notes(add_slots)
            except OSError as error:
                failure = error
                self.stopping.stop("")
        if failure is not None:
            lost = f"{self.unsaved} answers are lost" if self.unsaved else "no answer is lost"
            raise RunError(f"the journal cannot be used, {lost}: {failure}") from failure

    async def _flush(self) -> None:
        """Make what is finished durable."""
        finished, self.finished = self.finished, []
        if finished:
            try:
                await asyncio.to_thread(keep, self.journal, self.name, finished)
            except OSError:
                self.finished = finished + self.finished
                raise
            self.unsaved -= len(finished)
        if self.unsaved < self.recipe.flush_rows:
            self.room.set()

    async def _say_progress(self) -> None:
        note = progress_note(self.progress())
        with suppress(OSError):
            await asyncio.to_thread(self.journal.write_note, f"{PROGRESS_NOTES}{self.name}", note)

    async def _look_at_notes(self, add_slots: Callable[[], None]) -> None:
        """Obey what the notes say. What cannot be read now is read the next time: on a Volume a file may be seen half replaced."""
        with suppress(OSError, ValueError):
            notes = await asyncio.to_thread(self._notes)
            self._stop(read_stop(notes.get(STOP_NOTE)))
            self.control = control = read_control(notes.get(CONTROL_NOTE), self.control)
            most = None if control.concurrency is None else max(1, control.concurrency // self.recipe.tasks)
            self.gate.control(paused=control.paused, most=most)
            if not self.closed:
                add_slots()
            self.others = total({name: said for name, said in notes.items() if name != f"{PROGRESS_NOTES}{self.name}"})
            self._stop_if_used_up()

    def _stop_if_used_up(self) -> None:
        """Own answers count at once, those of other tasks as they note them."""
        if self.recipe.budget.limited and (reason := stop_reason(self.others + self.progress(), self.recipe.budget)):
            self.stopping.stop(reason)

    def _notes(self) -> Mapping[str, str]:
        """What the task is told; where the run has a budget, the progress of all tasks as well."""
        wanted = [STOP_NOTE, CONTROL_NOTE, *([PROGRESS_NOTES] if self.recipe.budget.limited else [])]
        return {name: text for prefix in wanted for name, text in self.journal.notes(prefix).items()}

    def _stop(self, request: StopRequest | None) -> None:
        if request is None:
            return
        self.stopping.stop(request.reason)
        if request.grace is not None and request.grace < self.grace:
            self.grace = request.grace
            asyncio.get_running_loop().call_later(request.grace, self._cut_off)


async def _ask_safely(row: Row, caller: Caller) -> Call | None:
    """An error of ours with one row is that row's outcome, not the end of thousands of paid ones."""
    try:
        return await caller.ask(row)
    except Exception as error:
        return unasked(row, ErrorKind.INTERNAL, f"{type(error).__name__}: {error}")
