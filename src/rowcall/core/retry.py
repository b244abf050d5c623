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
_MOST_BETWEEN_LOOKS = 10.0
_UNAVAILABLE = 503
_ASLEEP_CODES = ("RESOURCE_DOES_NOT_EXIST", "resource_does_not_exist")
_SPREAD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts the first one. The back-off doubles from `base` to `cap`, in seconds. `warm_up` is how long an endpoint
    that has not answered yet may take to start, `missing` how long it may seem to be missing meanwhile, in seconds. `adaptive`
    says that how much is asked at once is found out from the rate limits that are met: then they are no row's failures."""

    attempts: int
    base: float = 0.5
    cap: float = 60.0
    paced_attempts: int = 100
    warm_up: float = 900.0
    missing: float = 0.0
    adaptive: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The reply stands."""


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again after a pause. `paced`: a quota's pause; `waking`: the endpoint serves nobody, because it starts or is down.
    Neither burns an attempt, nor is a sign of trouble with the row."""

    after_seconds: float
    paced: bool = False
    waking: bool = False


Decision = Done | Again


def decide(
    reply: Reply,
    attempts: Sequence[Attempt],
    policy: RetryPolicy,
    jitter: float,
    *,
    waking: int = 0,
    asleep: float | None = None,
    down: bool = False,
) -> Decision:
    """What to do with a reply. `attempts` are all so far, the last one brought it; `waking` of them found the endpoint serving
    nobody. 0 ≤ `jitter` < 1. `asleep` says for how many seconds the endpoint has not answered anybody, None once it has; `down`
    that its circuit is open: when to ask again is then the circuit's to say."""
    error = reply.error
    if down and (is_outage(error) or (error is not None and error.kind is ErrorKind.TIMEOUT)):
        return Again(0.0, waking=True)
    if asleep is not None and is_asleep(error, asleep, policy):
        own = min(_MOST_BETWEEN_LOOKS, 1.0 + waking) * (1 - jitter / 2)
        return Again(max(own, reply.retry_after or 0.0), waking=True)
    if reply.outcome is not Outcome.ERROR or error is None or not retryable(error.kind):
        return Done()
    paced = sum(is_paced(attempt.error, attempt.retry_after, policy) for attempt in attempts)
    patient = is_paced(error, reply.retry_after, policy)
    failed = len(attempts) - paced - waking
    used, allowed = (paced, policy.paced_attempts) if patient else (failed, policy.attempts)
    if used >= allowed:
        return Done()
    if reply.retry_after:
        return _after(reply, jitter, paced=patient)
    return Again(jitter * min(policy.cap, policy.base * 2.0 ** min(used - 1, _MOST_DOUBLINGS)), paced=patient)


def is_asleep(error: CallError | None, asleep: float, policy: RetryPolicy) -> bool:
    """Whether a failure is that of an endpoint that is scaled to zero or starts (FACTS 2.4)."""
    if error is None:
        return False
    if error.kind is ErrorKind.NOT_FOUND:
        return error.code in _ASLEEP_CODES and asleep < policy.missing
    return error.kind is ErrorKind.UNAVAILABLE and error.status == _UNAVAILABLE and asleep < policy.warm_up


def is_paced(error: CallError | None, retry_after: float | None, policy: RetryPolicy) -> bool:
    """Whether a failure is a quota's "come back in …". A wait of zero paces nothing."""
    return error is not None and error.kind is ErrorKind.RATE_LIMITED and (policy.adaptive or bool(retry_after))


def is_outage(error: CallError | None) -> bool:
    """Whether a failure is that of an endpoint that may serve nobody at all."""
    return error is not None and error.kind in (ErrorKind.CONNECTION, ErrorKind.UNAVAILABLE)


def _after(reply: Reply, jitter: float, *, paced: bool) -> Again:
    """The server's wait and a little more, so that the slots it sent away do not come back all at once."""
    wait = reply.retry_after or 0.0
    return Again(wait + jitter * max(_SPREAD_SECONDS, _SPREAD_SHARE * wait), paced)
