"""What the tests of adapters share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from http_server import Answer, serving


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a server on loopback that answers as told; returns its host. Stopped after the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))
