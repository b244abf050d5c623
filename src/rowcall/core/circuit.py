"""A circuit breaker: where an endpoint serves nobody, one call at a time finds out when it does again.

It opens when calls of several rows have failed one after the other and none was answered in between, so that neither a row that
always fails nor a share of failing calls opens it; sooner where they reach no server at all, which is no row's fault. What fails
while it is open says nothing of the row that is asking.
"""

import math
from dataclasses import dataclass, field

FAILURES, ROWS = 10, 3
"""So many failures in a row, of so many rows, open the circuit."""
UNREACHED = 3
"""So do so many that reached no server, of whatever rows."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between probes: twice as long after each."""


@dataclass(slots=True)
class Circuit:
    """Times are in seconds of the caller's clock. `opened` is when it opened, None while it is closed."""

    opened: float | None = None
    _failures: int = 0
    _unreached: int = 0
    _rows: set[str] = field(default_factory=set[str])
    _pause: float = FIRST_PAUSE
    _next: float = 0.0
    _probing: bool = False

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent; endless while another finds out."""
        if self.opened is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._next - now)

    def sent(self) -> bool:
        """A call is sent; whether it is a probe."""
        self._probing = self.opened is not None
        return self._probing

    def answered(self) -> None:
        """The endpoint said something to somebody: it is there."""
        self.opened, self._probing, self._failures, self._unreached = None, False, 0, 0
        self._rows.clear()

    def failed(self, row: str, now: float, *, probe: bool, reached: bool = True) -> None:
        """A call of a row found nobody who serves it; `reached` is False where it found no server."""
        if self.opened is None:
            self._failures += 1
            self._unreached += not reached
            if len(self._rows) < ROWS:
                self._rows.add(row)
            if self._unreached >= UNREACHED or (self._failures >= FAILURES and len(self._rows) >= ROWS):
                self.opened, self._pause, self._next = now, FIRST_PAUSE, now + FIRST_PAUSE
        elif probe:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
            self._next = now + self._pause
        if probe:
            self._probing = False

    def slept(self, seconds: float) -> None:
        """Nobody asked for so long: that is no part of an outage."""
        if self.opened is not None:
            self.opened += seconds

    def given_up(self) -> None:
        """A probe ended without saying anything, such as a call that was cancelled."""
        self._probing = False
