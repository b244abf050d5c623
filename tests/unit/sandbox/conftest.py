"""One running sandbox for all of these tests, asked over real HTTP; every test finds it with fresh behaviour and figures."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from rowcall.sandbox.process import SandboxProcess, start_sandbox

SECONDS = 20


class Workspace:
    """A logged-in user of a sandbox."""

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process
        self.host = process.host
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update(self.config("sandbox").authenticate())

    def config(self, profile: str) -> Config:
        return Config(config_file=self.process.config_file, profile=profile, retry_timeout_seconds=SECONDS)

    def client(self, profile: str = "sandbox") -> WorkspaceClient:
        return WorkspaceClient(config=self.config(profile))

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.http.post(self.host + path, timeout=SECONDS, **options)

    def ask(self, text: str, *, app: str | None = None, serving: str | None = None, **extra: Any) -> requests.Response:
        body = {"input": [{"role": "user", "content": text}], **extra}
        path = f"/apps/{app}/responses" if app else f"/serving-endpoints/{serving}/invocations"
        return self.post(path, json=body)

    def behave(self, agent: str, **behaviour: Any) -> None:
        reply = self.http.put(f"{self.host}/sandbox/behaviour/{agent}", json=behaviour, timeout=SECONDS)
        assert reply.status_code == 200, reply.text

    def figures(self, agent: str) -> dict[str, Any]:
        return self.http.get(f"{self.host}/sandbox/figures", timeout=SECONDS).json()[agent]

    def wait_for(self, agent: str, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while not seen(figures := self.figures(agent)):
            assert time.monotonic() < deadline, figures
        return figures


def answer_text(reply: requests.Response) -> str:
    assert reply.status_code == 200, reply.text
    messages = [item for item in reply.json()["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


@pytest.fixture(scope="session", autouse=True)
def no_databricks_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, no_databricks_environment: None) -> Iterator[Workspace]:
    home: Path = tmp_path_factory.mktemp("sandbox")
    with start_sandbox(home) as process:
        yield Workspace(process)


@pytest.fixture
def workspace(running: Workspace) -> Workspace:
    running.behave("echo")
    running.behave("text-insight")
    running.http.delete(f"{running.host}/sandbox/figures", timeout=SECONDS)
    return running
