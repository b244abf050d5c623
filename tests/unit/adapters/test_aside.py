"""Work in a thread of its own, which may never end."""

import threading

import pytest

from rowcall.adapters.aside import Aside


def test_all_work_is_done_in_one_thread() -> None:
    aside = Aside(10)
    threads = {aside.do(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_what_it_raises_is_raised_and_the_next_is_done() -> None:
    def fail() -> None:
        raise KeyError("x")

    aside = Aside(10)
    with pytest.raises(KeyError):
        aside.do(fail)
    assert aside.do(lambda: 7) == 7


def test_what_does_not_end_is_left_behind() -> None:
    aside, release = Aside(0.05), threading.Event()
    try:
        with pytest.raises(TimeoutError):
            aside.do(release.wait)
        aside.seconds = 60
        assert aside.do(lambda: 7) == 7
    finally:
        release.set()
