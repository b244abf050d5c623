"""Quotas of a minute that a run gives itself: requests, input tokens, output tokens, split over its tasks.

Token buckets. A call reserves before it is sent what it will probably use, and what it did use settles it: an estimate that was
too low becomes a debt that later calls wait for. Until it is known how long answers are, a call whose request sets no limit
reserves all of a minute, so that one finds out. So in any 60 s a task uses at most its share and one burst, a second's worth or
the largest single call, as far as the estimates are right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

BURST_SECONDS = 1.0
_SMOOTHING = 0.1
_BYTES_PER_TOKEN = 4
_OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


def output_limit(parameters: Mapping[str, object]) -> int | None:
    """The most output tokens that a request allows its answer."""
    return next((limit for name in _OUTPUT_LIMITS if isinstance(limit := parameters.get(name), int)), None)


@dataclass(frozen=True, slots=True)
class Rates:
    """Most in a minute; None is no limit."""

    requests: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None

    @property
    def limited(self) -> bool:
        return any(most is not None for most in self.each())

    def share(self, tasks: int) -> "Rates":
        """What one of so many tasks may use."""
        return Rates(*(None if most is None else most / tasks for most in self.each()))

    def each(self) -> tuple[float | None, float | None, float | None]:
        return self.requests, self.input_tokens, self.output_tokens


@dataclass(frozen=True, slots=True)
class Use:
    """What a call is taken to use, or used, of each quota."""

    requests: float
    input_tokens: float
    output_tokens: float

    def each(self) -> tuple[float, float, float]:
        return self.requests, self.input_tokens, self.output_tokens


@dataclass(slots=True)
class Bucket:
    """One quota. Times are in seconds of the caller's clock; `at` is when `level` was so."""

    per_minute: float
    at: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self._burst

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much may be used; what is more than a burst may, once a burst is there."""
        self._refill(now)
        missing = min(amount, self._burst) - self.level
        return max(0.0, missing * 60 / self.per_minute)

    def use(self, amount: float, now: float) -> None:
        """Use so much; negative gives back."""
        self._refill(now)
        self.level = min(self._burst, self.level - amount)

    @property
    def _burst(self) -> float:
        return self.per_minute / 60 * BURST_SECONDS

    def _refill(self, now: float) -> None:
        self.level = min(self._burst, self.level + max(0.0, now - self.at) * self.per_minute / 60)
        self.at = now


class Quotas:
    """The quotas of one task, and what a call is expected to use."""

    def __init__(self, rates: Rates, now: float) -> None:
        self._buckets = [None if most is None else Bucket(most, now) for most in rates.each()]
        self._input_tokens_a_byte = 1 / _BYTES_PER_TOKEN
        self._a_minute_of_output = rates.output_tokens or 0.0
        self._output_tokens: float | None = None

    def expected(self, size: int, parameters: Mapping[str, object]) -> Use:
        """What a request of so many bytes will use. Servers reserve all of the limit that it sets itself (FACTS 2.3)."""
        limit = output_limit(parameters)
        likely = self._a_minute_of_output if self._output_tokens is None else self._output_tokens
        return Use(1, size * self._input_tokens_a_byte, likely if limit is None else limit)

    def wait(self, use: Use, now: float) -> float:
        """Seconds until all quotas have room for a call."""
        pairs = zip(self._buckets, use.each(), strict=True)
        return max((bucket.wait(amount, now) for bucket, amount in pairs if bucket is not None), default=0.0)

    def reserve(self, use: Use, now: float) -> None:
        self._use(use.each(), now)

    def settle(self, reserved: Use, size: int, used: tuple[int | None, int | None], now: float) -> None:
        """A call is over; `used` are its input and output tokens, None where it did not say: then the reservation stands."""
        tokens_in, tokens_out = used
        if tokens_in is not None:
            seen = tokens_in / max(size, 1)
            self._input_tokens_a_byte += _SMOOTHING * (seen - self._input_tokens_a_byte)
        if tokens_out is not None:
            before = tokens_out if self._output_tokens is None else self._output_tokens
            self._output_tokens = before + _SMOOTHING * (tokens_out - before)
        more_in = 0.0 if tokens_in is None else tokens_in - reserved.input_tokens
        more_out = 0.0 if tokens_out is None else tokens_out - reserved.output_tokens
        self._use((0.0, more_in, more_out), now)

    def give_back(self, reserved: Use, now: float) -> None:
        """A call was turned away: it used no tokens. It was a request all the same."""
        self._use((0.0, -reserved.input_tokens, -reserved.output_tokens), now)

    def _use(self, amounts: tuple[float, float, float], now: float) -> None:
        for bucket, amount in zip(self._buckets, amounts, strict=True):
            if bucket is not None:
                bucket.use(amount, now)


class Pause:
    """A quota of the endpoint's own that is used up. Where `SURE` calls in a row are told to come back later, nobody else need ask
    before; one call that is, among others that are answered, waits alone."""

    SURE = 3

    def __init__(self) -> None:
        self._told = 0
        self._until = -math.inf

    def told(self, wait: float, now: float) -> None:
        self._told += 1
        if self._told >= self.SURE:
            self._until = max(self._until, now + wait)

    def answered(self) -> None:
        self._told = 0

    def wait(self, now: float) -> float:
        return max(0.0, self._until - now)
