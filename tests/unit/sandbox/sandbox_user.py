"""A user of a running sandbox, for tests: logs in, asks agents, sets behaviours, reads figures."""

import time
from collections.abc import Callable
from typing import Any

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from rowcall.sandbox.process import SandboxProcess

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
