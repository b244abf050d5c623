"""When a row is asked again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply
from rowcall.core.retry import Again, Done, RetryPolicy, decide, is_paced

POLICY = RetryPolicy(attempts=3, base=0.5, cap=4.0, paced_attempts=5)


def failed(kind: ErrorKind, retry_after: float | None = None) -> Reply:
    return Reply(Outcome.ERROR, error=CallError(kind, "m"), retry_after=retry_after)


def tried(*replies: Reply) -> list[Attempt]:
    return [
        Attempt(number, 0, 1, error=reply.error, retry_after=reply.retry_after)
        for number, reply in enumerate(replies, 1)
    ]


BUSY = failed(ErrorKind.UNAVAILABLE)
PACED = failed(ErrorKind.RATE_LIMITED, 20.0)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.ERROR])
def test_a_reply_that_is_no_error_stands(outcome: Outcome) -> None:
    reply = Reply(outcome, error=CallError(ErrorKind.BAD_REPLY, "$: no") if outcome is Outcome.INVALID else None)
    assert decide(reply, tried(reply), POLICY, 0.5) == Done()


@pytest.mark.parametrize("kind", [ErrorKind.BAD_REQUEST, ErrorKind.AGENT_ERROR, ErrorKind.UNAUTHENTICATED])
def test_what_asking_again_cannot_mend_stands(kind: ErrorKind) -> None:
    reply = failed(kind, 1.0)
    assert decide(reply, tried(reply), POLICY, 0.5) == Done()


def test_attempts_are_used_up() -> None:
    assert isinstance(decide(BUSY, tried(BUSY, BUSY), POLICY, 0.5), Again)
    assert decide(BUSY, tried(BUSY, BUSY, BUSY), POLICY, 0.5) == Done()


def test_one_attempt_is_one_attempt() -> None:
    assert decide(BUSY, tried(BUSY), RetryPolicy(attempts=1), 0.5) == Done()


def test_the_back_off_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(attempts=99, base=0.5, cap=4.0)
    waits = [decide(BUSY, tried(*[BUSY] * made), policy, 0.5) for made in (1, 2, 3, 4, 5, 98)]
    assert waits == [Again(0.25), Again(0.5), Again(1.0), Again(2.0), Again(2.0), Again(2.0)]


def test_the_jitter_is_full() -> None:
    assert decide(BUSY, tried(BUSY), POLICY, 0.0) == Again(0.0)


def test_a_pause_the_server_asked_for_is_kept_and_a_little_longer() -> None:
    busy = failed(ErrorKind.UNAVAILABLE, 20.0)
    assert decide(busy, tried(busy), POLICY, 0.0) == Again(20.0)
    assert decide(busy, tried(busy), POLICY, 0.5) == Again(21.0)
    soon = failed(ErrorKind.UNAVAILABLE, 1.0)
    assert decide(soon, tried(soon), POLICY, 0.5) == Again(1.125)


def test_a_busy_server_that_names_a_pause_still_uses_up_attempts() -> None:
    busy = failed(ErrorKind.UNAVAILABLE, 20.0)
    assert decide(busy, tried(busy, busy, busy), POLICY, 0.5) == Done()


def test_a_paced_quota_burns_no_attempts() -> None:
    assert decide(PACED, tried(PACED, PACED, PACED, PACED), POLICY, 0.0) == Again(20.0, paced=True)
    # One failure after four waits is the first of three attempts, with the first back-off.
    assert decide(BUSY, tried(PACED, PACED, PACED, PACED, BUSY), POLICY, 0.5) == Again(0.25)


def test_even_a_paced_quota_has_an_end() -> None:
    assert decide(PACED, tried(*[PACED] * 5), POLICY, 0.0) == Done()


def test_used_up_attempts_do_not_end_a_paced_wait() -> None:
    assert decide(PACED, tried(BUSY, BUSY, PACED), POLICY, 0.0) == Again(20.0, paced=True)


@pytest.mark.parametrize("wait", [None, 0.0])
def test_a_limit_that_names_no_pause_is_a_failure_like_others(wait: float | None) -> None:
    limited = failed(ErrorKind.RATE_LIMITED, wait)
    assert not is_paced(limited.error, wait, POLICY)
    assert decide(limited, tried(limited), POLICY, 0.5) == Again(0.25)
    assert decide(limited, tried(limited, limited, limited), POLICY, 0.5) == Done()


def test_where_the_window_adapts_a_limit_is_what_it_learns_from_and_no_failure_of_a_row() -> None:
    limited, policy = failed(ErrorKind.RATE_LIMITED), replace(POLICY, adaptive=True)
    decision = decide(limited, tried(*[limited] * 3), policy, 0.5)
    assert decision == Again(0.5 * 0.5 * 2**2, paced=True)
    assert decide(limited, tried(*[limited] * policy.paced_attempts), policy, 0.5) == Done()


@pytest.mark.parametrize("kind", [ErrorKind.CONNECTION, ErrorKind.UNAVAILABLE])
def test_while_nobody_is_served_a_row_is_asked_again_however_often_it_was(kind: ErrorKind) -> None:
    lost = failed(kind)
    assert decide(lost, tried(*[lost] * 50), POLICY, 0.5, down=True) == Again(0.0, waking=True)
    assert decide(lost, tried(*[lost] * 3), POLICY, 0.5) == Done()


def test_what_is_no_outage_is_no_better_for_an_open_circuit() -> None:
    refused = failed(ErrorKind.BAD_REQUEST)
    assert decide(refused, tried(refused), POLICY, 0.5, down=True) == Done()


REPLIES = st.builds(
    failed, st.sampled_from(list(ErrorKind)), st.none() | st.floats(min_value=0, max_value=86_400, width=32)
)


@given(st.lists(REPLIES, min_size=1, max_size=30), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_no_wait_is_cut_short_and_none_is_longer_than_asked(replies: list[Reply], jitter: float) -> None:
    last = replies[-1]
    decision = decide(last, tried(*replies), POLICY, jitter)
    if isinstance(decision, Again):
        assert decision.after_seconds >= (last.retry_after or 0.0)
        assert decision.after_seconds <= max(POLICY.cap, (last.retry_after or 0.0) * 1.1 + 0.25)


MOST = POLICY.attempts + POLICY.paced_attempts


@given(st.lists(st.sampled_from([BUSY, PACED]), min_size=MOST, max_size=MOST))
def test_a_call_that_goes_on_failing_ends_within_both_allowances(replies: list[Reply]) -> None:
    decisions = [decide(replies[made - 1], tried(*replies[:made]), POLICY, 0.5) for made in range(1, MOST + 1)]
    assert Done() in decisions
    assert decisions.index(Done()) + 1 >= POLICY.attempts


STARTING = Reply(Outcome.ERROR, error=CallError(ErrorKind.UNAVAILABLE, "m", 503))
MISSING = Reply(Outcome.ERROR, error=CallError(ErrorKind.NOT_FOUND, "m", 404, "RESOURCE_DOES_NOT_EXIST"))


def test_an_endpoint_that_starts_is_waited_for_and_uses_up_no_attempts() -> None:
    policy = RetryPolicy(attempts=1, warm_up=60)
    for waking in range(20):
        decision = decide(STARTING, tried(*[STARTING] * (waking + 1)), policy, 0.5, waking=waking, asleep=59.0)
        assert isinstance(decision, Again)
        assert decision.waking
        assert 0 < decision.after_seconds <= 10
    assert decide(STARTING, tried(*[STARTING] * 21), policy, 0.5, waking=20, asleep=60.0) == Done()


def test_what_waited_for_a_start_is_no_failed_attempt() -> None:
    policy = RetryPolicy(attempts=2)
    assert isinstance(decide(BUSY, tried(STARTING, STARTING, BUSY), policy, 0.5, waking=2, asleep=None), Again)
    assert decide(BUSY, tried(STARTING, STARTING, BUSY, BUSY), policy, 0.5, waking=2, asleep=None) == Done()


def test_one_that_seems_missing_is_waited_for_where_it_is_known_to_exist() -> None:
    known = RetryPolicy(attempts=1, missing=30.0)
    assert isinstance(decide(MISSING, tried(MISSING), known, 0.5, asleep=29.0), Again)
    assert decide(MISSING, tried(MISSING), known, 0.5, asleep=31.0) == Done()
    assert decide(MISSING, tried(MISSING), known, 0.5, asleep=None) == Done()
    assert decide(MISSING, tried(MISSING), RetryPolicy(attempts=1), 0.5, asleep=1.0) == Done()


def test_one_that_starts_says_itself_how_long_to_wait() -> None:
    reply = replace(STARTING, retry_after=45.0)
    assert decide(reply, tried(reply), RetryPolicy(attempts=1), 0.5, asleep=1.0) == Again(45.0, waking=True)


def test_other_failures_do_not_look_asleep() -> None:
    for kind, status in ((ErrorKind.SERVER_ERROR, 500), (ErrorKind.UNAVAILABLE, 502), (ErrorKind.NOT_FOUND, 404)):
        reply = Reply(Outcome.ERROR, error=CallError(kind, "m", status))
        assert decide(reply, tried(reply), RetryPolicy(attempts=1), 0.5, asleep=1.0) == Done()
