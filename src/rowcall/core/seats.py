"""Who asks a part of the rows when Spark runs more than one attempt at it: a retry, or a speculative twin of one that goes on.

Each attempt has a claim, a note that the others read. It draws a number above all that it sees and waits for every lower one
(Lamport's bakery algorithm), so at most one has the seat however they interleave, and whoever came first has it first. An attempt
is taken for dead when its note has not changed for `SILENT_SECONDS` while another watched, by that one's clock alone: clocks of
two machines are never compared. One that was only asleep gives way when it sees that its seat is taken.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

SILENT_SECONDS = 15.0


class State(StrEnum):
    WAITING = "waiting"
    SEATED = "seated"
    DONE = "done"
    """All rows of the part were asked, or the run stopped: nobody else needs to."""
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an attempt says of itself. `number` is 0 until it is drawn; `process` is where it runs; `beat` changes as it lives."""

    name: str
    process: str = ""
    number: int = 0
    state: State = State.WAITING
    beat: int = 0

    @property
    def here(self) -> bool:
        return self.state in (State.WAITING, State.SEATED)

    @property
    def place(self) -> tuple[int, str]:
        return self.number, self.name


@dataclass(frozen=True, slots=True)
class Seen:
    """The text of a note, and since when it is so on the clock of whoever watches."""

    text: str
    since: float


def watched(before: Mapping[str, Seen], texts: Mapping[str, str], now: float) -> dict[str, Seen]:
    """What is known of the notes after another look that ended `now`."""
    seen = {name: Seen(text, now) for name, text in texts.items()}
    return {
        name: before[name] if name in before and before[name].text == new.text else new for name, new in seen.items()
    }


def living(seen: Mapping[str, Seen], looked_at: float, is_gone: Callable[[str], bool]) -> list[Claim]:
    """The claims but those of the dead. `looked_at` is when the last look began, `is_gone` says whether a process has ended."""

    def is_dead(claim: Claim) -> bool:
        silent = looked_at - seen[claim.name].since
        return claim.here and (silent >= SILENT_SECONDS or is_gone(claim.process))

    claims = [_read(name, note.text) for name, note in seen.items()]
    return [claim for claim in claims if not is_dead(claim)]


def unaccounted(texts: Mapping[str, str], is_gone: Callable[[str], bool]) -> bool:
    """Whether any of these notes is of an attempt that never said its end, and may be asleep."""
    claims = (_read(name, text) for name, text in texts.items())
    return any(claim.here and not is_gone(claim.process) for claim in claims)


def step(own: Claim, others: Collection[Claim]) -> Claim:
    """What a claim is to say next, given the others that live; the same where it waits, or keeps the seat."""
    done = any(other.state is State.DONE for other in others)
    match own.state:
        case State.WAITING if done:
            return replace(own, state=State.LEFT)
        case State.WAITING if not own.number:
            return replace(own, number=1 + max((other.number for other in others), default=0))
        case State.WAITING if not any(_is_ahead(other, own) for other in others):
            return replace(own, state=State.SEATED)
        case State.SEATED if done or any(_has_taken(other, own) for other in others):
            return replace(own, state=State.LEFT)
        case _:
            return own


def _has_taken(other: Claim, own: Claim) -> bool:
    """Whether another has the seat that this claim had."""
    return other.state is State.SEATED and other.place > own.place


def _is_ahead(other: Claim, own: Claim) -> bool:
    """Whether another has the seat, is about to draw a number, or came first."""
    waits = other.state is State.WAITING and (not other.number or other.place < own.place)
    return other.state is State.SEATED or waits


def _read(name: str, text: str) -> Claim:
    """A note that cannot be read, half replaced, is of one who is about to draw a number: to be waited for."""
    try:
        said = json.loads(text)
        return Claim(name, str(said["process"]), int(said["number"]), State(said["state"]), int(said["beat"]))
    except (ValueError, KeyError, TypeError):
        return Claim(name)
