"""The window of calls in flight, against simulated endpoints: no clock, no network, the same every time."""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.window import FIRST, LONGEST_INTERVAL, Window

Latency = Callable[[random.Random], float]
REFUSAL_SECONDS = 0.002


@dataclass
class AtOnce:
    """Serves so many calls at a time, and turns the others away; `later` is what it serves from that moment on."""

    most: int
    later: tuple[float, int] = (math.inf, 0)
    served: int = 0

    def takes(self, now: float) -> bool:
        if self.served >= (self.later[1] if now >= self.later[0] else self.most):
            return False
        self.served += 1
        return True

    def done(self) -> None:
        self.served -= 1


@dataclass
class PerSecond:
    """A token bucket."""

    rate: float
    burst: float
    tokens: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def takes(self, now: float) -> bool:
        self.tokens, self.at = min(self.burst, self.tokens + (now - self.at) * self.rate), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def done(self) -> None: ...


@dataclass(frozen=True)
class Course:
    """How a run went: seconds, calls, and of each answer when it came."""

    seconds: float
    calls: int
    answers: list[float]
    window: Window

    @property
    def wasted(self) -> float:
        return 1 - len(self.answers) / self.calls

    def rate(self, start: float, end: float) -> float:
        return sum(start <= at < end for at in self.answers) / (end - start)


def course(server: AtOnce | PerSecond, rows: int, latency: Latency, window: Window) -> Course:
    """Ask all rows through a window. Who is turned away comes back after a back-off of half a second, doubled each time."""
    chance, order = random.Random(7), count()
    events: list[tuple[float, int, str, object]] = []
    line, now, in_flight, calls = [0] * rows, 0.0, 0, 0
    answers: list[float] = []
    while len(answers) < rows:
        while line:
            wait = window.wait(in_flight, now)
            if wait > 0:
                if wait < math.inf:
                    heapq.heappush(events, (now + wait, next(order), "look", None))
                break
            tries, sent = line.pop(0), window.sent(in_flight, now)
            in_flight, calls = in_flight + 1, calls + 1
            taken = server.takes(now)
            end = now + (latency(chance) if taken else REFUSAL_SECONDS)
            heapq.heappush(events, (end, next(order), "answer" if taken else "refusal", (sent, tries)))
        now, _, what, about = heapq.heappop(events)
        match what, about:
            case "answer", (sent, _):
                server.done()
                window.answered(sent, in_flight, now)
                in_flight -= 1
                answers.append(now)
            case "refusal", (sent, int(tries)):
                window.turned_away(sent, now)
                in_flight -= 1
                heapq.heappush(
                    events, (now + chance.random() * min(60, 0.5 * 2**tries), next(order), "back", tries + 1)
                )
            case "back", int(tries):
                line.insert(0, tries)
            case _:
                pass
    return Course(now, calls, answers, window)


def steady(seconds: float) -> Latency:
    return lambda _: seconds


def spread(median: float) -> Latency:
    return lambda chance: chance.lognormvariate(math.log(median), 1)


def slow(chance: random.Random) -> float:
    return chance.uniform(10, 100)


ADAPTIVE = 256


@pytest.mark.parametrize(
    ("latency", "rows"),
    [(steady(0.1), 4_000), (steady(0.02), 15_000), (spread(0.1), 4_000), (slow, 2_000)],
    ids=["100 ms", "20 ms", "spread", "slow"],
)
def test_a_server_of_16_at_a_time_is_kept_busy_and_not_pestered(latency: Latency, rows: int) -> None:
    adapted = course(AtOnce(16), rows, latency, Window(ADAPTIVE, adaptive=True))
    told = course(AtOnce(16), rows, latency, Window(16))
    assert told.wasted == 0
    assert told.seconds / adapted.seconds >= 0.9
    assert adapted.wasted <= 0.05


@pytest.mark.parametrize("latency", [0.005, 0.05, 0.2])
@pytest.mark.parametrize(("rate", "burst"), [(200, 20), (200, 200), (40, 40)])
def test_a_rate_is_found_whatever_the_latency(rate: int, burst: int, latency: float) -> None:
    rows = rate * 30
    adapted = course(PerSecond(rate, burst), rows, steady(latency), Window(ADAPTIVE, adaptive=True))
    assert ((rows - burst) / rate) / adapted.seconds >= 0.9
    assert adapted.wasted <= 0.05


def test_where_the_server_takes_more_later_the_window_finds_that_too() -> None:
    adapted = course(AtOnce(16, later=(20.0, 32)), 8000, steady(0.1), Window(ADAPTIVE, adaptive=True))
    assert adapted.rate(10, 20) == pytest.approx(160, rel=0.1)
    assert adapted.rate(25, 35) >= 0.9 * 320
    assert adapted.wasted <= 0.05


def test_where_it_takes_less_later_few_calls_are_wasted_on_finding_out() -> None:
    adapted = course(AtOnce(64, later=(10.0, 4)), 8000, steady(0.1), Window(ADAPTIVE, adaptive=True))
    assert adapted.rate(15, 30) >= 0.9 * 40
    assert adapted.wasted <= 0.05


def test_an_endpoint_that_turns_nobody_away_gets_all_there_may_be() -> None:
    adapted = course(AtOnce(10_000), 20_000, steady(0.05), Window(64, adaptive=True))
    assert adapted.window.room == 64
    assert adapted.wasted == 0


def test_slow_answers_are_no_sign_of_anything() -> None:
    adapted = course(AtOnce(10_000), 2_000, slow, Window(64, adaptive=True))
    assert adapted.window.room == 64


def test_a_window_that_is_not_used_does_not_grow() -> None:
    window = Window(ADAPTIVE, adaptive=True)
    for second in range(1000):
        window.answered(window.sent(0, second), 1, second + 0.5)
    assert window.size == FIRST


def test_all_that_are_turned_away_at_once_cut_the_window_once() -> None:
    window = Window(64, adaptive=True)
    flight = [window.sent(number, 0.0) for number in range(8)]
    sizes: list[float] = []
    for sent in flight:
        window.turned_away(sent, 0.002)
        sizes.append(window.size)
    assert sizes[0] < FIRST
    assert len(set(sizes)) == 1


def test_trouble_holds_the_window_for_a_round() -> None:
    window, calm = Window(64, adaptive=True), Window(64, adaptive=True)
    window.hold()
    for each in (window, calm):
        for number in range(8):
            each.answered(each.sent(7, 0.0), 8, 1.0 + number)
    assert window.size == FIRST
    assert calm.size > FIRST


@given(st.integers(1, 4096), st.lists(st.sampled_from(["answer", "refusal", "trouble"]), max_size=50))
def test_a_fixed_window_is_what_it_is(most: int, events: list[str]) -> None:
    window = Window(most)
    for number, event in enumerate(events):
        sent = window.sent(most - 1, number)
        match event:
            case "answer":
                window.answered(sent, most, number + 1)
            case "refusal":
                window.turned_away(sent, number + 1)
            case _:
                window.hold()
        assert window.room == most
        assert window.wait(most - 1, number) == 0
        assert window.wait(most, number) == math.inf


@settings(max_examples=200)
@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from("arth"), st.floats(0, 10), st.integers(0, 300)), max_size=80),
)
def test_an_adaptive_window_never_has_room_for_more_than_the_most_nor_for_nobody(
    most: int, events: list[tuple[str, float, int]]
) -> None:
    window, now = Window(most, adaptive=True), 0.0
    for what, after, beside in events:
        sent = window.sent(beside, now)
        now += after
        match what:
            case "a":
                window.answered(sent, beside + 1, now)
            case "r":
                window.turned_away(sent, now)
            case "h":
                window.hold()
            case _:
                window.limit(max(1, most - beside))
        assert 1 <= window.room <= window.most <= most
        assert window.wait(0, now + 1e6) == 0, "nobody waits for ever where nothing is in flight"


@dataclass
class Starving:
    """Turns away a share of all calls until a moment, whatever the client does."""

    until: float
    share: float
    chance: random.Random = field(default_factory=lambda: random.Random(3))

    def takes(self, now: float) -> bool:
        return now >= self.until or self.chance.random() >= self.share

    def done(self) -> None: ...


@pytest.mark.parametrize("latency", [0.1, 1.0])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_one_that_was_turned_away_for_long_comes_back(share: float, latency: float) -> None:
    rows = int(64 / latency * 250)
    adapted = course(Starving(120.0, share), rows, steady(latency), Window(64, adaptive=True))
    assert adapted.rate(60, 120) > 0, "it never stops asking"
    assert adapted.rate(240, 260) >= 0.8 * 64 / latency


def test_any_number_of_refusals_is_survived() -> None:
    window, now = Window(64, adaptive=True), 0.0
    for _ in range(3000):
        window.answered(window.sent(0, now), 1, now + 0.01)
        now += 0.01 + window.wait(0, now + 0.01)
        window.turned_away(window.sent(0, now), now + 0.01)
        now += 0.01 + window.wait(0, now + 0.01)
    assert 0 < window.size < 64
    assert window.wait(0, now) <= LONGEST_INTERVAL, "it goes on asking"
