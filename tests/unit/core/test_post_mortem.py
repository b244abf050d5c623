"""One sentence on what a run was bound by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.post_mortem import bound_by
from rowcall.core.slots import CLIENT_CPU, SlotState

STATES = st.dictionaries(st.sampled_from([*map(str, SlotState), CLIENT_CPU]), st.floats(0, 1e9), max_size=11)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (
            {"asking": 93.0, "idle": 7.0},
            "the endpoint's answers, 93 % of slot time; a higher engine.concurrency than 64 may be faster",
        ),
        (
            {"asking": 40.0, "quota": 58.0, "source": 2.0},
            "the endpoint's rate limit, 58 % of slot time; engine.concurrency 26 would have been as fast",
        ),
        (
            {"asking": 10.0, "backing_off": 90.0},
            "waits after failed calls, 90 % of slot time; fewer failures would be faster; rowcall report shows which they are",
        ),
        (
            {"asking": 25.0, "rate": 75.0},
            "the job's own rates, 75 % of slot time; only higher rates would be faster, "
            "and engine.concurrency 16 would have been as fast",
        ),
        (
            {"asking": 5.0, "limit": 95.0},
            "how many calls may be in flight, 95 % of slot time; 4 were in flight on average",
        ),
        (
            {"asking": 20.0, "unavailable": 80.0},
            "an endpoint that served nobody, 80 % of slot time; an endpoint that does not scale to zero would be faster",
        ),
        (
            {"asking": 1.0, "idle": 99.0},
            "its last calls, while the other slots had nothing more to ask, 99 % of slot time; "
            "engine.concurrency 1 would have been as fast",
        ),
        (
            {"asking": 10.0, "source": 90.0},
            "getting the rows to its tasks, 90 % of slot time; engine.concurrency 7 would have been as fast",
        ),
        (
            {"asking": 45.0, "journal": 55.0},
            "writing the journal, 55 % of slot time; a larger engine.flush_rows would be faster, "
            "and engine.concurrency 29 would have been as fast",
        ),
        (
            {"asking": 64.0, CLIENT_CPU: 0.9},
            "the processor, busy 90 % of the time; more engine.tasks, on executors, would be faster",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else max(value, key=lambda state: value[state]),
)
def test_says_where_most_of_the_time_went_and_which_number_to_change(seconds: dict[str, float], said: str) -> None:
    assert bound_by(seconds, 64) == said


def test_several_tasks_share_no_processor() -> None:
    seconds = {"asking": 6_400.0, CLIENT_CPU: 4 * 30.0}
    said = bound_by(seconds, 64, 4)
    assert said is not None
    assert said.startswith("the endpoint's answers, 100 % of slot time")
    busy = bound_by({**seconds, CLIENT_CPU: 4 * 90.0}, 64, 4)
    assert busy is not None
    assert busy.startswith("the processor, busy 90 % of the time")


def test_of_ai_query_tells_the_share_of_its_statements() -> None:
    said = bound_by({"asking": 88.0, "journal": 12.0}, None)
    assert said is not None
    assert said.startswith("ai_query's statements, 88 % of the time;")


def test_where_nothing_was_asked_there_is_nothing_to_say() -> None:
    assert bound_by({}, 64) is None
    assert bound_by({CLIENT_CPU: 1.0}, 64) is None


@given(STATES, st.one_of(st.none(), st.integers(1, 10_000)))
def test_is_one_line_and_never_more_than_all_of_the_time(seconds: dict[str, float], slots: int | None) -> None:
    said = bound_by(seconds, slots)
    assert said is None or ("\n" not in said and int(said.split(" %")[0].rsplit(" ", 1)[-1]) <= 100)
