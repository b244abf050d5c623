"""When an endpoint is taken to serve nobody, and how it is found that it does again."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.circuit import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, ROWS, UNREACHED, Circuit


def opened() -> Circuit:
    circuit = Circuit()
    for number in range(FAILURES):
        circuit.failed(f"row {number}", 5.0, probe=False)
    return circuit


def test_failures_of_several_rows_in_a_row_open_it() -> None:
    circuit = Circuit()
    for number in range(FAILURES - 1):
        circuit.failed(f"row {number}", 5.0, probe=False)
    assert circuit.opened is None
    circuit.failed("another", 6.0, probe=False)
    assert circuit.opened == 6.0


def test_rows_that_always_fail_do_not() -> None:
    circuit = Circuit()
    for number in range(100):
        circuit.failed(f"row {number % (ROWS - 1)}", 5.0, probe=False)
    assert circuit.opened is None


@given(st.lists(st.booleans()))
def test_an_answer_in_between_keeps_it_closed(answers: list[bool]) -> None:
    circuit, in_a_row = Circuit(), 0
    for number, answer in enumerate(answers):
        if answer:
            circuit.answered()
        else:
            circuit.failed(str(number), 1.0, probe=False)
        in_a_row = 0 if answer else in_a_row + 1
        if in_a_row >= FAILURES:
            return
        assert circuit.opened is None
        assert circuit.wait(0.0) == 0


def test_a_server_that_is_not_reached_is_no_rows_fault() -> None:
    circuit = Circuit()
    for _ in range(UNREACHED):
        assert circuit.opened is None
        circuit.failed("the only row", 5.0, probe=False, reached=False)
    assert circuit.opened == 5.0


def test_while_nobody_asks_there_is_no_outage() -> None:
    circuit = opened()
    circuit.slept(400.0)
    assert circuit.opened == 405.0
    circuit.answered()
    circuit.slept(400.0)
    assert circuit.opened is None


def test_one_call_at_a_time_finds_out() -> None:
    circuit = opened()
    assert circuit.wait(5.0) == FIRST_PAUSE
    assert circuit.wait(5.0 + FIRST_PAUSE) == 0
    assert circuit.sent()
    assert circuit.wait(100.0) == math.inf
    circuit.failed("x", 6.0, probe=True)
    assert circuit.wait(6.0) == 2 * FIRST_PAUSE


def test_what_was_in_flight_before_is_no_probe() -> None:
    circuit = opened()
    assert circuit.sent()
    circuit.failed("late", 6.0, probe=False)
    assert circuit.wait(100.0) == math.inf


def test_pauses_grow_to_the_longest_and_begin_anew_the_next_time() -> None:
    circuit, now = opened(), 10.0
    for _ in range(20):
        assert circuit.sent()
        circuit.failed("x", now, probe=True)
        now += circuit.wait(now)
    circuit.failed("x", now, probe=False)
    assert circuit.sent()
    circuit.failed("x", now, probe=True)
    assert circuit.wait(now) == LONGEST_PAUSE
    circuit.answered()
    assert circuit.wait(now) == 0
    for number in range(FAILURES):
        circuit.failed(f"row {number}", now, probe=False)
    assert circuit.wait(now) == FIRST_PAUSE


def test_a_probe_that_is_cut_off_lets_another_try() -> None:
    circuit = opened()
    assert circuit.sent()
    circuit.given_up()
    assert circuit.wait(5.0 + FIRST_PAUSE) == 0
