"""One running sandbox for all of these tests, asked over real HTTP; every test finds it with fresh behaviour and figures."""

import os
from collections.abc import Iterator

import pytest
from sandbox_user import SECONDS, Workspace

from rowcall.sandbox.process import start_sandbox


@pytest.fixture(scope="session", autouse=True)
def no_databricks_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, no_databricks_environment: None) -> Iterator[Workspace]:
    with start_sandbox(tmp_path_factory.mktemp("sandbox")) as process:
        yield Workspace(process)


@pytest.fixture
def workspace(running: Workspace) -> Workspace:
    running.behave("echo")
    running.behave("text-insight")
    running.http.delete(f"{running.host}/sandbox/figures", timeout=SECONDS)
    return running
