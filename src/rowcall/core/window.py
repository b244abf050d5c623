"""How many calls a task keeps in flight: a fixed number, or one that finds out what the endpoint takes.

An adaptive window doubles each round until a call is turned away (a 429 that names no wait, or a short one). Then it is cut
once, however many calls of that moment are turned away, remembers where that was, comes back to there quickly, stays a while,
and then tries more, faster and faster: the curve of TCP CUBIC (RFC 9438), counted in rounds of answers and not in seconds, so
that answers of a minute fool it no more than answers of a millisecond. Latency is no signal. It grows only while it is used; an
endpoint in trouble (5xx, no reply) or one that paces a quota holds it where it is.

A small window is also paced: calls start evenly, `size` of them in the time of an answer. So it may be less than one.
"""

import math
from dataclasses import dataclass, field

FIRST = 8.0
"""Calls in flight that an adaptive window begins with."""
USED = 0.8
CUT, MOST_CUTS = 0.9, 8
"""What a cut leaves; where the next follows within a round it is deeper, as if it were two, four, up to so many."""
ROUNDS_BACK = 6.0
"""Rounds of answers from a cut until the window is where it was cut."""
SMALL = 8.0
"""Below, whole calls are too coarse a measure: calls start evenly, and a round is this many answers."""
AHEAD = 1.5
"""How much faster than evenly the calls of a larger window may start."""
LONGEST_INTERVAL = 1.0
"""Seconds between calls at the most: an endpoint that turns nearly all away is still asked whether it does."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds without a new call after one was turned away; each next pause is twice as long until a call is answered."""
FASTEST = 1.0
"""How much a window may grow in a second, as a share of its size: it doubles in a second at the least."""
_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that was sent: when, in seconds of any one clock, beside how many others, and after how many cuts."""

    at: float
    beside: int
    cuts: int


@dataclass(slots=True)
class Window:
    """`most` is never exceeded. Times are in seconds of the caller's clock."""

    most: int
    adaptive: bool = False
    size: float = field(init=False)
    _cuts: int = 0
    _proven: bool = True
    _ceiling: float | None = None
    _low: float = 0.0
    _rounds: float = 0.0
    _held: float = 0.0
    _latency: float | None = None
    _next: float = -math.inf
    _answered: float = -math.inf
    _grown: float = -math.inf
    _pause: float = 0.0
    _severity: int = 1
    _answers: int = 0
    _resumed: float = -math.inf

    def __post_init__(self) -> None:
        self.size = min(FIRST, float(self.most)) if self.adaptive else float(self.most)

    def limit(self, most: int) -> None:
        """Set the most calls in flight, from now on."""
        self.most = most
        self.size = min(self.size, float(most)) if self.adaptive else float(most)

    @property
    def room(self) -> int:
        """How many calls may be in flight."""
        whole = math.ceil(self.size) if self.size < SMALL else round(self.size)
        return max(1, min(self.most, whole))

    def wait(self, in_flight: int, now: float) -> float:
        """Seconds until the next call may start; endless where one has to end first."""
        if in_flight >= self.room:
            return math.inf
        return max(0.0, self._next - now, self._resumed - now)

    def sent(self, in_flight: int, now: float) -> Sent:
        """A call starts beside so many others."""
        # From when it might have been: otherwise every late wake-up would slow the pace.
        interval = self._interval()
        self._next = max(self._next, now - interval) + interval
        return Sent(now, in_flight, self._cuts)

    def answered(self, sent: Sent, in_flight: int, now: float) -> None:
        """A call was answered; `in_flight` counts it still."""
        took = max(now - sent.at, 1e-6)
        self._latency = took if self._latency is None else self._latency + _SMOOTHING * (took - self._latency)
        if not self.adaptive or sent.cuts != self._cuts:
            return
        self._proven = True
        self._answers += 1
        if sent.at >= self._resumed:
            self._pause = 0.0
        if in_flight < USED * self.size:
            return
        step = self._step(now)
        if self._held > 0:
            self._held -= step
        elif self._ceiling is None:
            self._grow(self.size + 1, now)
        else:
            self._rounds += step
            bend = (self._rounds - ROUNDS_BACK) / ROUNDS_BACK
            self._grow(self._ceiling + (self._ceiling - self._low) * bend**3, now)

    def turned_away(self, sent: Sent, now: float) -> None:
        """The endpoint has no room for a call. The window is cut once for all calls that were sent before it was."""
        if not self.adaptive:
            return
        if sent.at >= self._resumed:
            first = SHORTEST_PAUSE if self._latency is None else min(SHORTEST_PAUSE, self._latency / 4)
            self._pause = min(LONGEST_PAUSE, max(first, 2 * self._pause))
            self._resumed = now + self._pause
        if sent.cuts == self._cuts and self._proven:
            self._ceiling = min(self.size, float(max(sent.beside, 1)))
            self._severity = 1 if self._answers >= max(self.size, SMALL) else min(MOST_CUTS, 2 * self._severity)
            self._answers = 0
            self._low = self._ceiling * CUT**self._severity
            self.size = max(self._least(), self._low)
            self._cuts, self._rounds, self._held, self._proven = self._cuts + 1, 0.0, 0.0, False

    def hold(self) -> None:
        """The endpoint is in trouble or paces a quota: do not grow for a round."""
        self._held = 1.0

    def _step(self, now: float) -> float:
        """The part of a round that an answer is. Where calls start only now and then, time counts as well."""
        since, self._answered = now - self._answered, now
        by_number = 1 / max(self.size, SMALL)
        return by_number if self.size > 1 else max(by_number, min(1.0, since / LONGEST_INTERVAL))

    def _least(self) -> float:
        """A window in which a call starts every `LONGEST_INTERVAL`."""
        return min(1.0, (self._latency or LONGEST_INTERVAL) / LONGEST_INTERVAL)

    def _interval(self) -> float:
        if not self.adaptive or self._latency is None:
            return 0.0
        ahead = 2.0 if self._ceiling is None else AHEAD if self.size >= SMALL else 1.0
        return self._latency / (self.size * ahead)

    def _grow(self, size: float, now: float) -> None:
        """Never smaller, and no faster than the endpoint can show what it makes of it."""
        fastest = self.size * (1 + FASTEST * min(now - self._grown, 1.0))
        self._grown = now
        self.size = min(max(self.size, self._least(), min(size, fastest)), float(self.most))
