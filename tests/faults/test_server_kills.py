"""SIGKILL of what a run needs while it goes on: of the endpoint, of the workspace, of the SQL warehouse. They come back."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import LIMIT, Command, durable_rows, job_of

from matrix import MatrixRow
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import control, wait_until

ROWS, LATENCY_MS = 120, 50
ANSWERS = [(n, f"row {n}") for n in range(ROWS)]
Note = Callable[[MatrixRow], None]

pytestmark = pytest.mark.timeout(300)


class EchoServer:
    """`echo_server.py` on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "answered"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        script = str(Path(__file__).with_name("echo_server.py"))
        self._process = subprocess.Popen([sys.executable, script, str(self.port), str(self._log), str(LATENCY_MS)])
        wait_until(self._is_up)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)

    def answered(self) -> Counter[str]:
        """The answers it gave in all its lives."""
        return Counter(self._log.read_text().splitlines() if self._log.exists() else ())

    def _is_up(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def echo_server(tmp_path: Path) -> Iterator[EchoServer]:
    made = EchoServer(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator["Workspace"]:
    made = Workspace(tmp_path / "workspace")
    yield made
    made.process.stop()


class Workspace:
    """A sandbox that may be killed and started again at its address. Its secrets are others then, and its tokens; a workload's
    identity is a file, which is read at each login."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = start_sandbox(home)

    def start_again(self) -> None:
        self.process = start_sandbox(self.home, port=int(self.process.host.rpartition(":")[2]))

    def kill(self) -> None:
        self.process.process.kill()
        self.process.stop()

    def as_workload(self) -> SandboxProcess:
        config = self.home / "workload"
        identity = self.home / "identity-token"
        config.write_text(
            f"[workload]\nhost = {self.process.host}\nauth_type = file-oidc\noidc_token_filepath = {identity}\n"
        )
        return replace(self.process, config_file=str(config), profile="workload")

    def figures(self) -> dict[str, int]:
        return control(self.process, "GET", "figures")["echo"]


def test_an_endpoint_that_is_killed_and_comes_back_costs_no_row(
    tmp_path: Path, sandbox: SandboxProcess, echo_server: EchoServer, matrix: Note
):
    url = f'{{url: "http://127.0.0.1:{echo_server.port}/v1", api: chat}}'
    command = Command(tmp_path, sandbox, job_of(ROWS, url))
    process = command.start()
    wait_until(lambda: echo_server.answered().total() > ROWS // 3)
    echo_server.kill()
    wait_until(lambda: waiting(command) > 0)
    echo_server.start()

    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    row = json.loads(out.splitlines()[-1])
    assert (row["status"], row["ok"], row["failed"]) == ("done", ROWS, 0)
    assert command.answers() == ANSWERS
    answered = echo_server.answered()
    assert len(answered) == ROWS
    assert answered.total() <= ROWS + LIMIT
    repaid = answered.total() - ROWS
    matrix(MatrixRow("kill", "the endpoint; it comes back", ROWS, ROWS, 0, answered.total(), 0, repaid))


def test_a_workspace_that_is_killed_and_comes_back_costs_no_row_and_one_login(
    tmp_path: Path, workspace: Workspace, matrix: Note
):
    command = Command(tmp_path, workspace.as_workload(), job_of(ROWS), latency_ms=LATENCY_MS)
    process = command.start()
    wait_until(lambda: command.answered() > ROWS // 3)
    before = figures_when_all_wait(command)
    workspace.kill()
    wait_until(lambda: waiting(command) > 0)
    workspace.start_again()

    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    row = json.loads(out.splitlines()[-1])
    assert (row["status"], row["ok"], row["failed"]) == ("done", ROWS, 0)
    assert command.answers() == ANSWERS
    after = workspace.figures()
    assert before["answered"] + after["answered"] == ROWS
    tokens = control(workspace.process, "GET", "tokens")
    assert tokens["issued"] == 1
    assert 1 <= tokens["refused"] <= LIMIT
    calls = before["calls"] + after["calls"]
    matrix(MatrixRow("kill", "the workspace; it comes back", ROWS, ROWS, 0, calls, 0, 0))


def figures_when_all_wait(command: Command) -> dict[str, int]:
    """The server's figures once it answers nobody any more, and all it has answered is durable."""
    control(command.sandbox, "PUT", "behaviour/echo", {"latency_ms": 600_000})

    def still() -> bool:
        figures = command.figures()
        silent = time.time_ns() - figures["last_reply_ns"] > 1_000_000_000
        return silent and figures["in_flight"] == LIMIT and durable_rows(command.folder) == figures["answered"]

    wait_until(still)
    return command.figures()


def waiting(command: Command) -> int:
    """Calls that wait for an endpoint that serves nobody, as the tasks tell."""
    notes = command.folder.glob(".rowcall/journal/cut/*/notes/progress-*")
    return sum(json.loads(note.read_text())["waking"] for note in notes if note.suffix != ".part")


def test_a_warehouse_that_is_killed_in_a_merge_fails_the_run_and_the_next_publishes(
    tmp_path: Path, workspace: Workspace, matrix: Note
):
    job = job_of(ROWS, publish_seconds=60)
    command = Command(tmp_path, workspace.as_workload(), job, options=("--warehouse", "sandbox"))
    command.tables = workspace.home / "lakehouse"
    merge = "MERGE INTO `main`.`demo`.`cut`"
    control(workspace.process, "PUT", "warehouse", {"faults": [{"match": merge, "delay_ms": 600_000}]})
    process = command.start()
    wait_until(lambda: any(merge in each["statement"] for each in control(workspace.process, "GET", "statements")))
    before = command.figures()
    workspace.kill()
    workspace.start_again()

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "are safe but could not be published" in errors
    assert "Traceback" not in errors
    assert command.run()["status"] == "done"
    assert command.answers() == ANSWERS
    assert (before["answered"], command.figures()["answered"]) == (ROWS, 0)
    matrix(MatrixRow("kill", "the SQL warehouse, in the MERGE of outputs", ROWS, ROWS, 0, before["calls"], 0, 0))
