"""Whether a row is asked again, and when. The one place that decides it: every client's own retries are off.

Two allowances: `attempts` for failures, and a larger one for a quota the server paces (a 429 that says when
to come back), so that waiting for its turn does not use up a row's attempts. The worker adds a wall-clock
budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rowcall.core.outcome import retryable
from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply

_MOST_DOUBLINGS = 32
_SPREAD_SECONDS = 0.25
_SPREAD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts the first one. The back-off doubles from `base` to `cap`, in seconds."""

    attempts: int
    base: float = 0.5
    cap: float = 60.0
    paced_attempts: int = 100


@dataclass(frozen=True, slots=True)
class Done:
    """The reply stands."""


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again after a pause. `paced`: a quota's pause, which burns no attempt and is no sign of trouble."""

    after_seconds: float
    paced: bool = False


Decision = Done | Again


def decide(reply: Reply, attempts: Sequence[Attempt], policy: RetryPolicy, jitter: float) -> Decision:
    """What to do with a reply. `attempts` are all so far, the one that brought it last; 0 ≤ `jitter` < 1."""
    error = reply.error
    if reply.outcome is not Outcome.ERROR or error is None or not retryable(error.kind):
        return Done()
    paced = sum(is_paced(attempt.error, attempt.retry_after) for attempt in attempts)
    if is_paced(error, reply.retry_after):
        return _after(reply, jitter, paced=True) if paced < policy.paced_attempts else Done()
    failed = len(attempts) - paced
    if failed >= policy.attempts:
        return Done()
    if reply.retry_after:
        return _after(reply, jitter, paced=False)
    return Again(jitter * min(policy.cap, policy.base * 2.0 ** min(failed - 1, _MOST_DOUBLINGS)))


def is_paced(error: CallError | None, retry_after: float | None) -> bool:
    """Whether a failure is a quota's "come back in …". A wait of zero paces nothing."""
    return error is not None and error.kind is ErrorKind.RATE_LIMITED and bool(retry_after)


def _after(reply: Reply, jitter: float, *, paced: bool) -> Again:
    """The server's wait and a little more, so that the slots it sent away do not come back all at once."""
    wait = reply.retry_after or 0.0
    return Again(wait + jitter * max(_SPREAD_SECONDS, _SPREAD_SHARE * wait), paced)
