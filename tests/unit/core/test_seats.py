"""Who has the seat of a part of the rows, whatever the order in which attempts write and read."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.seats import SILENT_SECONDS, Claim, Seen, State, living, step, unaccounted, watched


def text(claim: Claim) -> str:
    return json.dumps(asdict(claim))


def names(claims: Sequence[Claim]) -> list[str]:
    return [claim.name for claim in claims]


def nobody(process: str) -> bool:
    return False


@dataclass(slots=True)
class Attempt:
    """An attempt that writes its claim, reads the others, writes what follows, one act at a time; at the end of its work it is
    done, or leaves."""

    claim: Claim
    work: int
    end: State
    told: bool = False
    worked: int = 0

    def act(self, notes: dict[str, Claim], dead: set[str]) -> None:
        if not self.told:
            notes[self.claim.name] = self.claim
            self.told = True
        elif self.claim.state is State.SEATED and self.worked < self.work:
            self.worked += 1
        elif self.claim.state is State.SEATED:
            self._say(replace(self.claim, state=self.end))
        else:
            others = [claim for name, claim in notes.items() if name != self.claim.name and name not in dead]
            self._say(step(self.claim, others))

    def _say(self, claim: Claim) -> None:
        self.told = claim == self.claim
        self.claim = claim

    @property
    def over(self) -> bool:
        return not self.claim.here and self.told


@dataclass(slots=True)
class Part:
    """The attempts at one part. What kills one is seen by all others from then on."""

    attempts: dict[str, Attempt]
    notes: dict[str, Claim] = field(default_factory=dict[str, Claim])
    dead: set[str] = field(default_factory=set[str])

    def act(self, name: str) -> None:
        if name not in self.dead and not self.attempts[name].over:
            self.attempts[name].act(self.notes, self.dead)

    def seated(self) -> list[str]:
        return [
            name
            for name, attempt in self.attempts.items()
            if attempt.claim.state is State.SEATED and name not in self.dead
        ]


acts = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=80)
ends = st.lists(st.sampled_from([State.DONE, State.LEFT]), min_size=4, max_size=4)


@given(acts, ends, st.integers(0, 3))
def test_at_most_one_attempt_has_the_seat_and_each_comes_to_an_end(
    acts: list[tuple[str, bool]], ends: list[State], kills: int
):
    part = Part({name: Attempt(Claim(name), work=2, end=end) for name, end in zip("abcd", ends, strict=True)})
    for name, killed in acts:
        if killed and len(part.dead) < kills:
            part.dead.add(name)
        part.act(name)
        assert len(part.seated()) <= 1
    for _ in range(40):
        for name in part.attempts:
            part.act(name)
            assert len(part.seated()) <= 1
    living = [attempt for name, attempt in part.attempts.items() if name not in part.dead]
    assert all(attempt.over for attempt in living)
    finished = [attempt for attempt in living if attempt.claim.state is State.DONE]
    assert len(finished) <= 1
    asked = [attempt for attempt in living if attempt.worked]
    assert finished or all(attempt.end is State.LEFT for attempt in asked)


@given(acts)
def test_whoever_draws_a_number_first_has_the_seat_first(acts: list[tuple[str, bool]]):
    part = Part({name: Attempt(Claim(name), work=1, end=State.LEFT) for name in "abcd"})
    order: list[str] = []
    for name, _ in [*acts, *((name, False) for name in "abcd" * 40)]:
        part.act(name)
        order += [seated for seated in part.seated() if seated not in order]
    numbers = [part.notes[name].place for name in order]
    assert len(order) == 4
    assert numbers == sorted(numbers)


def test_one_that_is_alone_draws_the_first_number_and_sits():
    waiting = step(Claim("a"), [])
    assert waiting == Claim("a", number=1)
    assert step(waiting, []) == Claim("a", number=1, state=State.SEATED)


@pytest.mark.parametrize(
    "other",
    [
        Claim("b"),
        Claim("b", number=1),
        Claim("a", number=2),
        Claim("b", number=3, state=State.SEATED),
    ],
    ids=["draws", "lower number", "same number and lower name", "seated"],
)
def test_an_attempt_waits_for(other: Claim):
    own = Claim("aa", number=2)
    assert step(own, [other]) == own


@pytest.mark.parametrize("other", [Claim("b", number=2), Claim("b", number=1, state=State.LEFT)])
def test_an_attempt_does_not_wait_for_those_behind_it_or_gone(other: Claim):
    assert step(Claim("a", number=2), [other]).state is State.SEATED


@pytest.mark.parametrize("own", [Claim("a"), Claim("a", number=2), Claim("a", number=2, state=State.SEATED)])
def test_nobody_asks_what_is_done(own: Claim):
    assert step(own, [Claim("b", number=1, state=State.DONE)]).state is State.LEFT


@given(st.sets(st.tuples(st.integers(1, 3), st.sampled_from("abcd")), min_size=1))
def test_of_several_that_think_they_have_the_seat_one_keeps_it(places: set[tuple[int, str]]):
    claims = [Claim(f"{name}{number}", number=number, state=State.SEATED) for number, name in places]
    after = [step(own, [other for other in claims if other != own]) for own in claims]
    (kept,) = [claim for claim in after if claim.state is State.SEATED]
    assert kept.place == max(claim.place for claim in claims)


def test_a_note_that_changes_is_of_the_living():
    seen: dict[str, Seen] = {}
    for beat in range(5):
        now = beat * SILENT_SECONDS
        seen = watched(seen, {"a": text(Claim("a", number=1, beat=beat))}, now)
        assert names(living(seen, now, nobody)) == ["a"]


def test_a_note_that_stays_as_it_is_for_long_is_of_the_dead():
    note = {"a": text(Claim("a", number=1))}
    seen = watched(watched({}, note, 100.0), note, 110.0)
    assert names(living(seen, 100.0 + SILENT_SECONDS - 0.1, nobody)) == ["a"]
    assert living(seen, 100.0 + SILENT_SECONDS, nobody) == []


def test_one_who_watches_after_a_pause_does_not_take_the_pause_for_silence():
    """Whoever sleeps between the start and the end of a look has seen what was there at the end."""
    seen = watched({}, {"a": text(Claim("a", beat=1))}, 0.0)
    seen = watched(seen, {"a": text(Claim("a", beat=2))}, 60.0)
    assert names(living(seen, 0.5, nobody)) == ["a"]


def test_a_claim_whose_process_has_ended_is_dead_at_once():
    claims = [Claim("a", process="gone", number=1, state=State.SEATED), Claim("b", process="here", number=2)]
    seen = watched({}, {claim.name: text(claim) for claim in claims}, 0.0)
    assert names(living(seen, 0.0, lambda process: process == "gone")) == ["b"]


def test_what_is_done_stays_done_however_long_its_process_is_gone():
    seen = watched({}, {"a": text(Claim("a", "gone", 1, State.DONE))}, 0.0)
    (claim,) = living(seen, 1e6, lambda process: True)
    assert claim.state is State.DONE


@pytest.mark.parametrize("torn", ["", '{"number": 1', "[]", '{"number": 1}', text(Claim("a")).replace("waiting", "x")])
def test_a_note_that_cannot_be_read_is_waited_for_until_it_is_taken_for_dead(torn: str):
    seen = watched({}, {"a": torn}, 0.0)
    assert living(seen, 1.0, nobody) == [Claim("a")]
    assert living(seen, SILENT_SECONDS, nobody) == []


@pytest.mark.parametrize(
    ("state", "gone", "may_write"),
    [
        (State.SEATED, False, True),
        (State.WAITING, False, True),
        (State.SEATED, True, False),
        (State.DONE, False, False),
        (State.LEFT, False, False),
    ],
)
def test_one_that_never_said_its_end_may_still_write_unless_its_process_is_gone(
    state: State, gone: bool, may_write: bool
):
    texts = {"a": text(Claim("a", "there", 1, State.DONE)), "b": text(Claim("b", "elsewhere", 2, state))}
    assert unaccounted(texts, lambda process: gone and process == "elsewhere") is may_write
