"""Ctrl-C and SIGTERM while the main thread is inside a client that they would break.

Python raises what they mean wherever the main thread is. Inside gRPC that may be between taking a lock and noting it, and every
later call waits for that lock for ever.
"""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back(hurry: Callable[[], object]) -> Generator[None]:
    """Raise what comes meanwhile when the block is over; `hurry` is called in a thread beside it, to end the block soon. Who
    insists is not held back. Elsewhere than in the main thread nothing can come."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _HELD}

    def hold(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before[number](number, frame)
        else:
            threading.Thread(target=_unheard, args=(hurry,), daemon=True).start()

    _handle({number: hold for number, handler in before.items() if callable(handler)})
    try:
        yield
    finally:
        _handle({number: handler for number, handler in before.items() if callable(handler)})
        if len(came) == 1:
            before[came[0]](came[0], None)


def _handle(handlers: dict[int, Any]) -> None:
    """All of them at once: nothing comes between."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _unheard(hurry: Callable[[], object]) -> None:
    """Where it cannot be hurried, the block takes its time."""
    with suppress(Exception):
        hurry()
