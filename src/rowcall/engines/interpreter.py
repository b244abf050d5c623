"""How Python is set in a process while tasks go on in it, and set back after the last of them."""

import gc
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

COLLECT_AFTER = 20_000
"""Objects more than before, until Python looks for those that only hold one another."""
SWITCH_SECONDS = 0.001
"""For how long a thread may keep the loop that makes the calls waiting for the interpreter."""


@dataclass(slots=True)
class _Interpreter:
    """`threshold` and `interval` are those from before the first task."""

    tasks: int = 0
    threshold: tuple[int, int, int] = (0, 0, 0)
    interval: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        with self.lock:
            self.tasks += 1
            if self.tasks == 1:
                self.threshold, self.interval = gc.get_threshold(), sys.getswitchinterval()
                if self.threshold[0]:  # zero is off
                    gc.set_threshold(max(COLLECT_AFTER, self.threshold[0]), *self.threshold[1:])
                sys.setswitchinterval(min(SWITCH_SECONDS, self.interval))

    def end(self) -> None:
        with self.lock:
            self.tasks -= 1
            if not self.tasks:
                gc.set_threshold(*self.threshold)
                sys.setswitchinterval(self.interval)


_INTERPRETER = _Interpreter()


@contextmanager
def set_for_tasks() -> Generator[None]:
    """A task holds thousands of objects until they are durable. Python takes that for garbage piling up, and goes through all there
    is in the process again and again: a tenth of a task's time. While a thread makes them durable, it lets the loop wait for 5 ms
    each time it has sent or received something: another tenth of the rows a second (both seen with Python 3.11)."""
    _INTERPRETER.begin()
    try:
        yield
    finally:
        _INTERPRETER.end()
