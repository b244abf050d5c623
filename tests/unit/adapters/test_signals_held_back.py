"""Ctrl-C and SIGTERM inside a client: raised when it is done, whose work is cut short meanwhile."""

import signal
import threading
from collections.abc import Iterator

import pytest

from rowcall.adapters.signals import held_back


class ToldError(Exception):
    """What SIGTERM means in these tests."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    def tell(number: int, frame: object) -> None:
        raise ToldError

    before = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: tell}
    kept = {number: signal.signal(number, handler) for number, handler in before.items()}
    yield
    assert {number: signal.getsignal(number) for number in before} == before, "they are as they were"
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "means"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, ToldError)])
def test_the_block_is_hurried_and_ends_before_it_is_raised(number: signal.Signals, means: type[BaseException]) -> None:
    hurried, done = threading.Event(), list[bool]()

    def work() -> None:
        with held_back(hurried.set):
            signal.raise_signal(number)
            done.append(hurried.wait(10))

    with pytest.raises(means):
        work()
    assert done == [True]


def test_it_is_what_is_raised_though_the_block_fails_of_being_hurried() -> None:
    def work() -> None:
        with held_back(lambda: None):
            signal.raise_signal(signal.SIGINT)
            raise ValueError("interrupted")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_who_insists_is_not_held_back() -> None:
    done = list[bool]()

    def work() -> None:
        with held_back(lambda: None):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not done


def test_where_nothing_comes_nothing_happens() -> None:
    with held_back(lambda: pytest.fail("hurried")):
        pass


def test_what_cannot_be_hurried_takes_its_time() -> None:
    def refuse() -> None:
        raise RuntimeError("no tags here")

    with pytest.raises(KeyboardInterrupt), held_back(refuse):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back(lambda: pytest.fail("hurried")):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_hold_nothing() -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with held_back(lambda: None):
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not failed
