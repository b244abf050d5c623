"""Where the time of call slots went: counted once, whoever waited."""

from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.slots import ABOUT, Queue, SlotState, SlotTime, between, main_state, summed

SECONDS = st.dictionaries(st.sampled_from(list(map(str, SlotState))), st.floats(0, 1e6), max_size=4)


def test_every_state_is_explained() -> None:
    assert set(ABOUT) == set(SlotState)


def test_times_add_up() -> None:
    spent = SlotTime()
    spent.add(SlotState.ASKING, 1.5)
    spent.add(SlotState.ASKING, 0.5)
    spent.add(SlotState.QUOTA, 3.0)
    assert spent.seconds == {"asking": 2.0, "quota": 3.0}
    assert main_state(spent.seconds) == "quota"
    assert main_state({}) is None


@given(SECONDS, SECONDS)
def test_a_sum_has_all_of_both(one: dict[str, float], two: dict[str, float]) -> None:
    both = summed(one, two)
    assert set(both) == set(one) | set(two)
    assert all(both[state] == one.get(state, 0.0) + two.get(state, 0.0) for state in both)


class TestQueue:
    def test_holds_up_all_who_stand_in_it_by_what_holds_up_the_first(self) -> None:
        queue = Queue()
        first = queue.so_far(10.0)
        queue.held_up(SlotState.RATE, 10.0)
        second = queue.so_far(13.0)
        queue.held_up(SlotState.QUOTA, 14.0)
        queue.held_up(None, 16.0)
        assert between(first, queue.so_far(20.0)) == {"rate": 4.0, "quota": 2.0}
        assert between(second, queue.so_far(20.0)) == {"rate": 1.0, "quota": 2.0}

    def test_in_which_nobody_waits_takes_no_time(self) -> None:
        queue = Queue()
        before = queue.so_far(1.0)
        queue.held_up(None, 2.0)
        assert between(before, queue.so_far(99.0)) == {}
