"""The seat of a part of the rows: one attempt at it asks, the others wait. What to do is decided in `core.seats`; here are the
notes, the beat and the waiting.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

from rowcall.core import seats
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal
from rowcall.core.seats import Claim, Seen, State
from rowcall.engines.processes import is_gone, this_process
from rowcall.engines.stopping import Stopping

BEAT_SECONDS = 2.0
SEAT_NOTES = "seat-"


def attempt_name(part: int | None) -> str:
    """A name for an attempt at a part of the rows; `part` is None where no second attempt can be."""
    random = secrets.token_hex(6)
    return random if part is None else f"{part}-{random}"


@asynccontextmanager
async def seated(journal: Journal, part: int | None, name: str, stopping: Stopping) -> AsyncGenerator[bool]:
    """Wait for the seat of the part and keep it; says whether anything is left to ask.

    Raises `RunError` at the end if another attempt took the seat, which then asks what is left.
    """
    if part is None:
        yield True
        return
    seat = _Seat(journal, part, name, stopping)
    end = State.LEFT
    try:
        if not await seat.take():
            yield False
            return
        keeping = asyncio.create_task(seat.keep())
        try:
            yield True
        finally:
            seat.over.set()
            await keeping
        if seat.lost:
            raise RunError(f"part {part} of the rows is asked by another attempt, since this one was silent")
        end = State.LEFT if stopping.alone else State.DONE
    finally:
        with suppress(OSError):
            await seat.say(state=end)


class _Seat:
    """One attempt's claim, and what it saw of the others."""

    def __init__(self, journal: Journal, part: int, name: str, stopping: Stopping) -> None:
        self.over = asyncio.Event()
        self._journal = journal
        self._stopping = stopping
        self._prefix = f"{SEAT_NOTES}{part}-"
        self._claim = Claim(f"{SEAT_NOTES}{name}", this_process())
        self._seen: dict[str, Seen] = {}

    @property
    def lost(self) -> bool:
        """Whether another attempt took the seat that this one had."""
        return self._claim.state is State.LEFT

    async def take(self) -> bool:
        """Wait for the seat; False where nothing is left to ask."""
        await self.say()
        while not self._stopping.over():
            if not await self._step():
                await self._stopping.pause(BEAT_SECONDS)
                with suppress(OSError):
                    await self.say()
            elif self._claim.state is not State.WAITING:
                return self._claim.state is State.SEATED
        return False

    async def keep(self) -> None:
        """Beat until it is over. Whoever has lost the seat starts no more calls."""
        while not self.over.is_set():
            with suppress(OSError):
                await self.say()
                await self._step()
            if self.lost:
                self._stopping.stop("")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), BEAT_SECONDS)

    async def say(self, **changes: Any) -> None:
        """Change the claim, and tell the others."""
        self._claim = replace(self._claim, beat=self._claim.beat + 1, **changes)
        await asyncio.to_thread(self._journal.write_note, self._claim.name, json.dumps(asdict(self._claim)))

    async def _step(self) -> bool:
        """Do what the others leave to do; False where that is nothing."""
        others = await self._look()
        following = self._claim if others is None else seats.step(self._claim, others)
        if following == self._claim:
            return False
        await self.say(number=following.number, state=following.state)
        return True

    async def _look(self) -> list[Claim] | None:
        """The others that are not dead; None where the notes cannot be read now."""
        looked_at = time.monotonic()
        try:
            texts = await asyncio.to_thread(self._journal.notes, self._prefix)
        except (OSError, ValueError):
            return None
        texts.pop(self._claim.name, None)
        self._seen = seats.watched(self._seen, texts, time.monotonic())
        return seats.living(self._seen, looked_at, is_gone)
