"""What a run leaves behind, and all it says on the way, holds no secret and no token."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle

from leaks import files, leaks
from rowcall.adapters.auth import SecretLogin
from rowcall.adapters.workspace_login import WorkspaceLogin
from rowcall.core.ports import Row, SqlSession, TaskWork
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import Bench, control, make_job, texts, wait_until

ROWS = 120
ACCESS_TOKEN = b"eyJhbGciOiJub25lIn0.sandbox."
"""How each of the sandbox's access and identity tokens begins."""
WRONG_KEY = "sk-wrong-8fc2a1d09b7e4d55"
QUOTED_KEY = "abc123SECRETkey999"
"""A key that no pattern tells from other words."""
LOUD = """
import logging
logging.basicConfig(level=logging.DEBUG)
sdk = logging.getLogger("databricks.sdk")
sdk.setLevel(logging.DEBUG)
sdk.setLevel = lambda level: None
from rowcall.cli import main
main()
"""
"""The command line with the logs of every library and level, those of the SDK too, which it otherwise turns down."""

JOB = """
job: {name}
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range({rows})
  key: id
request: {{input: "{{text}}"}}
endpoint: {endpoint}
engine: {{kind: responses, concurrency: 8, fan_out: {place}, flush_rows: 20, flush_seconds: 0.1}}
traces: {{content: full}}
outputs: {{table: main.demo.{name}}}
"""


class Quoting(BaseHTTPRequestHandler):
    """A model server that quotes the key it is sent: every second row is told in an answer, the others in an error."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"][-1]["content"]
        key = self.headers["Authorization"].removeprefix("Bearer ")
        assert key == QUOTED_KEY
        if int(prompt.removeprefix("row ")) % 2:
            self.reply(400, {"error": {"message": f"Incorrect API key provided: {key}", "code": key}}, key)
        else:
            content = [{"type": "output_text", "text": f"your key is {key}"}]
            output = [{"type": "message", "role": "assistant", "content": content}]
            self.reply(200, {"object": "response", "output": output}, key)

    def reply(self, status: int, value: object, request_id: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, said in {"Content-Type": "application/json", "X-Request-Id": request_id}.items():
            self.send_header(name, said)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def quoting() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quoting)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Project:
    """A folder where jobs are run by the command line; `said` is all that was printed and logged, by command."""

    folder: Path
    sandbox: SandboxProcess
    quoting: str
    said: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def __post_init__(self) -> None:
        url = f"url: {self.sandbox.host}/serving-endpoints, model: echo, api: responses"
        endpoints = {
            "by_login": "{app: echo}",
            "by_secret": f'{{{url}, api_key: "{{{{secrets/models/key}}}}"}}',
            "wrong": f'{{{url}, api_key: "env:WRONG_KEY"}}',
            "quoted": f'{{url: "{self.quoting}", model: echo, api: responses, api_key: "env:QUOTED_KEY"}}',
        }
        for name, endpoint in endpoints.items():
            place = "driver" if name == "by_secret" else "executors"
            text = JOB.format(name=name, endpoint=endpoint, place=place, rows=ROWS)
            (self.folder / f"{name}.yml").write_text(text)

    @property
    def profiles(self) -> ConfigParser:
        found = ConfigParser(interpolation=None)
        found.read(self.sandbox.config_file)
        return found

    @property
    def secrets(self) -> dict[str, bytes]:
        found = self.profiles
        login, identity = found["sandbox"], Path(found["sandbox-oidc"]["oidc_token_filepath"]).read_bytes()
        secrets = {
            "client secret": login["client_secret"].encode(),
            "personal access token": found["sandbox-pat"]["token"].encode(),
            "identity token": identity,
            "wrong key": WRONG_KEY.encode(),
            "quoted key": QUOTED_KEY.encode(),
            "access token": ACCESS_TOKEN,
        }
        assert identity.startswith(ACCESS_TOKEN)
        return secrets

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        environment = {
            "DATABRICKS_CONFIG_FILE": self.sandbox.config_file,
            "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile,
            "WRONG_KEY": WRONG_KEY,
            "QUOTED_KEY": QUOTED_KEY,
        }
        return subprocess.Popen(
            [sys.executable, "-c", LOUD, *command],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: "subprocess.Popen[bytes]", *command: str) -> int:
        out, errors = process.communicate(timeout=90)
        self.said += [(f"output of {command}", out), (f"logs of {command}", errors)]
        return process.returncode

    def run(self, *command: str) -> int:
        return self.finish(self.start(*command), *command)

    def answered(self) -> int:
        return control(self.sandbox, "GET", "figures").get("echo", {}).get("answered", 0)

    def leaks(self) -> list[str]:
        places = self.places()
        assert all(any(part in place for place, _ in places) for part in ("sandbox.log", "_delta_log", "rows of"))
        return leaks(self.secrets, places)

    def places(self) -> list[tuple[str, bytes]]:
        """Everything but the folder of the sandbox's login, which is what it should be in."""
        return [*self.said, *files(self.folder), *files(self.folder.parent / "sandbox")]


@pytest.fixture
def project(tmp_path: Path, quoting: str) -> Iterator[Project]:
    (tmp_path / "project").mkdir()
    with start_sandbox(tmp_path / "sandbox", login=tmp_path / "login") as started:
        made = Project(tmp_path / "project", started, quoting)
        control(started, "PUT", "secrets/models/key", {"value": made.profiles["sandbox-pat"]["token"]})
        yield made


@pytest.mark.timeout(300)
def test_runs_leave_no_secret_behind(project: Project):
    control(project.sandbox, "PUT", "behaviour/echo", {"latency_ms": 50})
    process = project.start("run", "by_login.yml")
    wait_until(lambda: project.answered() > ROWS // 2)
    process.send_signal(signal.SIGKILL)
    project.finish(process, "run", "by_login.yml", "killed")
    assert list((project.folder / ".rowcall" / "journal").rglob("*.parquet"))
    assert project.leaks() == []

    control(project.sandbox, "DELETE", "tokens")
    assert project.run("run", "by_login.yml", "--json") == 0
    assert project.run("run", "by_secret.yml") == 0
    assert any(b'"value": "**REDACTED**"' in text for _, text in project.said)
    assert project.run("run", "wrong.yml", "--json") == 1
    assert project.run("run", "quoted.yml", "--json") == 3
    told = b"".join(content for place, content in project.places() if place.startswith("rows of"))
    assert told.count(b"'your key is [redacted]'") >= ROWS // 2
    assert told.count(b"Incorrect API key provided: [redacted]") >= ROWS // 2
    assert project.run("plan", "by_secret.yml", "--json") == 0
    assert project.run("sql", "by_login.yml") == 0
    assert project.leaks() == []


def test_what_travels_to_tasks_is_how_to_log_in(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    travelled: list[bytes] = []
    fan_out = type(bench.session).fan_out

    def recorded(self: SqlSession, query: str, tasks: int, work: TaskWork) -> list[Row]:
        travelled.append(cloudpickle.dumps(work))
        return fan_out(self, query, tasks, work)

    monkeypatch.setattr(type(bench.session), "fan_out", recorded)
    bench.fill("travels", texts(8))
    job = make_job("travels", engine={"kind": "responses", "concurrency": 4, "fan_out": "executors"})
    assert bench.run(job).check().ok == 8
    login = WorkspaceLogin(bench.sandbox.profile, bench.sandbox.config_file)
    travelled.append(cloudpickle.dumps(SecretLogin("models", "key", login)))
    profiles = ConfigParser(interpolation=None)
    profiles.read(bench.sandbox.config_file)
    secrets = {
        "client secret": profiles["sandbox"]["client_secret"].encode(),
        "personal access token": profiles["sandbox-pat"]["token"].encode(),
        "access token": ACCESS_TOKEN,
    }
    assert len(travelled) == 2
    assert all(bench.sandbox.profile.encode() in one for one in travelled)
    assert leaks(secrets, [(f"part {number}", one) for number, one in enumerate(travelled)]) == []


@pytest.mark.parametrize("before", ["", "x", "Bearer "])
def test_the_search_finds_what_is_planted(tmp_path: Path, before: str):
    planted = f"{before}{ACCESS_TOKEN.decode()}QmFzZTY0/+ and more"
    (tmp_path / "plain.log").write_text(f"a line\n{planted}\n")
    (tmp_path / "basic.json").write_text(base64.b64encode(planted.encode()).decode())
    (tmp_path / "quoted.txt").write_text(quote(planted, safe="").replace("s", "%73"))
    pq.write_table(pa.table({"error": [{"message": planted}] * 2}), tmp_path / "rows.parquet", compression="zstd")
    (tmp_path / "innocent.txt").write_text("eyJhbGciOiJub25lIn0 sandbox")
    found = leaks({"token": ACCESS_TOKEN}, files(tmp_path))
    names = ("basic.json", "plain.log", "quoted.txt")
    assert {f"token in {tmp_path / name}" for name in names} < set(found)
    assert f"token in rows of {tmp_path / 'rows.parquet'}" in found
    assert not [leak for leak in found if "innocent" in leak]
