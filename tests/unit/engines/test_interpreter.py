"""Python's own settings while tasks go on in a process."""

import gc
import sys
from collections.abc import Iterator

import pytest

from rowcall.core.records import HttpFailure, HttpReply, HttpRequest
from rowcall.engines.interpreter import COLLECT_AFTER, SWITCH_SECONDS, set_for_tasks
from rowcall.testing import FakeEndpoint, MemoryJournal
from tasks import ask, recipe, rows

Settings = tuple[tuple[int, int, int], float]
FOR_TASKS = (COLLECT_AFTER, pytest.approx(SWITCH_SECONDS))


def settings() -> Settings:
    return gc.get_threshold(), sys.getswitchinterval()


@pytest.fixture(autouse=True)
def before() -> Iterator[Settings]:
    found = settings()
    yield found
    gc.set_threshold(*found[0])
    sys.setswitchinterval(found[1])


class Looking(FakeEndpoint):
    """Looks at the process while it is asked."""

    seen: Settings = ((0, 0, 0), 0.0)

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure:
        self.seen = settings()
        return await super().send(request)


def test_they_are_set_while_a_task_goes_on(before: Settings):
    endpoint = Looking()
    ask(recipe(endpoint, MemoryJournal()), rows(["a"]))
    assert (endpoint.seen[0][0], endpoint.seen[1]) == FOR_TASKS
    assert settings() == before


def test_of_tasks_side_by_side_the_last_one_sets_them_back(before: Settings):
    first, second = set_for_tasks(), set_for_tasks()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    threshold, interval = settings()
    assert (threshold[0], interval) == FOR_TASKS
    second.__exit__(None, None, None)
    assert settings() == before


def test_who_has_collection_off_keeps_it_off():
    gc.set_threshold(0, 10, 10)
    with set_for_tasks():
        assert gc.get_threshold() == (0, 10, 10)
    assert gc.get_threshold() == (0, 10, 10)
