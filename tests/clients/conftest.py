"""Databricks' own clients and agent servers. `make test-clients` installs them; elsewhere these tests are not collected."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
from agent_servers import TraceStore, serving

collect_ignore_glob = [] if find_spec("databricks_openai") else ["test_*.py"]

Start = Callable[..., str]
"""From a script under agents/ and its arguments to the URL of a server that runs it."""


@pytest.fixture(scope="session")
def trace_store(tmp_path_factory: pytest.TempPathFactory) -> TraceStore:
    return TraceStore(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory, trace_store: TraceStore) -> Iterator[Start]:
    """Start an agent script; all are stopped at the end."""
    with ExitStack() as stack:
        yield lambda script, *arguments: stack.enter_context(
            serving(tmp_path_factory.mktemp("server"), trace_store, script, *arguments)
        )


@pytest.fixture(scope="session")
def agent_server(start: Start) -> str:
    """A `ResponsesAgent` on MLflow's `AgentServer`."""
    return start("agent_server.py")


@pytest.fixture(scope="session")
def background_server(start: Start) -> str:
    """The same agent on Databricks' `LongRunningAgentServer`."""
    return start("background_server.py")


@pytest.fixture(scope="session")
def durable_server(start: Start) -> str:
    """A handler on Databricks' `DurableAgentServer`."""
    return start("durable_server.py")


@pytest.fixture(scope="session")
def chat_agent_server(start: Start) -> str:
    """A `ChatAgent` on MLflow's `AgentServer`, which streams."""
    return start("chat_agent_server.py")


@pytest.fixture(scope="session")
def chat_model_server(start: Start) -> str:
    """The same agent as a saved model, as `mlflow models serve` serves it."""
    return start("scoring_server.py", "chatterer.py")


@pytest.fixture(scope="session")
def custom_model_server(start: Start) -> str:
    """A custom model with a signature, as `mlflow models serve` serves it."""
    return start("scoring_server.py", "scores.py", '{"text": "string", "weight": "double"}')
