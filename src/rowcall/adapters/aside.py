"""Work that may never end, done in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")
_Work = tuple["Future[Any]", Callable[[], Any]]


class Aside:
    """Does one piece of work after the other, all in one thread: a SQL warehouse has a session for each. One that does not end
    within `seconds` is left behind with its thread, which holds up nobody's end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: SimpleQueue[_Work] | None = None

    def do(self, work: Callable[[], _T]) -> _T:
        """Raises what the work raises, and `TimeoutError`."""
        if self._waiting is None:
            self._waiting = SimpleQueue()
            threading.Thread(target=_work, args=(self._waiting,), name="rowcall-aside", daemon=True).start()
        doing: Future[_T] = Future()
        self._waiting.put((doing, work))
        try:
            return doing.result(self.seconds)
        except TimeoutError:
            self._waiting = None
            raise


def _work(waiting: "SimpleQueue[_Work]") -> None:
    while True:
        doing, work = waiting.get()
        try:
            doing.set_result(work())
        except BaseException as error:  # handed to whoever waits for it
            doing.set_exception(error)
