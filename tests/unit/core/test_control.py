"""The control note: what is written is read again, and what nobody wrote changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.control import Command, Control, changed, read_control, refusal

controls = st.builds(Control, st.booleans(), st.none() | st.integers(1, 4096))
UNFIT = (None, "", "{", '{"paused": tr', "[]", "null", '{"other": 1}', '{"concurrency": 3}')
NO_COUNTS = ("0", "-3", "true", '"8"', "2.5", "null")


def test_more_calls_than_there_may_ever_be_are_as_many_as_there_may_be():
    assert read_control('{"paused": false, "concurrency": 1000000000000}', Control()) == Control(concurrency=4096)


@given(controls)
def test_a_control_is_read_as_it_was_written(control: Control):
    assert read_control(control.as_text(), Control(paused=not control.paused, concurrency=9)) == control


@given(st.none() | st.text())
def test_whatever_the_note_says_reading_it_never_raises(said: str | None):
    assert isinstance(read_control(said, Control()), Control)


@pytest.mark.parametrize("said", UNFIT)
def test_a_note_that_says_nothing_that_can_be_obeyed_changes_nothing(said: str | None):
    before = Control(paused=True, concurrency=7)
    assert read_control(said, before) == before


@pytest.mark.parametrize("count", NO_COUNTS)
def test_what_is_no_number_of_calls_is_as_planned(count: str):
    assert read_control(f'{{"paused": 1, "concurrency": {count}}}', Control(paused=True, concurrency=7)) == Control()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pause", Control(paused=True, concurrency=7)),
        ("resume", Control(paused=False, concurrency=7)),
        ("stop", Control(paused=True, concurrency=7)),
        (3, Control(paused=True, concurrency=3)),
    ],
)
def test_a_command_changes_what_it_is_about_and_nothing_else(command: Command, expected: Control):
    assert changed(Control(paused=command != "pause", concurrency=7), command) == expected


@pytest.mark.parametrize("command", ["pause", "resume", "stop"])
@pytest.mark.parametrize("engine", ["responses", "ai_query"])
def test_every_run_can_pause_go_on_and_stop(command: Command, engine: str):
    assert refusal(command, engine, 4) is None


@pytest.mark.parametrize(
    ("command", "why"), [(3, "the least is 4"), (4, None), (4096, None), (4097, "the most is 4096")]
)
def test_every_task_needs_a_call_and_there_is_a_most(command: int, why: str | None):
    told = refusal(command, "responses", 4)
    assert told is None if why is None else why in str(told)


def test_how_many_rows_ai_query_asks_at_once_is_not_ours():
    assert "the platform's" in str(refusal(8, "ai_query", 1))
