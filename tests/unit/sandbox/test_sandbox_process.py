"""The sandbox as a process: quick to start, on loopback only, and gone with whoever started it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from sandbox_user import SECONDS, Workspace

from rowcall.core.errors import SetupError
from rowcall.sandbox.process import start_sandbox
from rowcall.sandbox.server import listen

START_AND_SAY_WHERE = """
import sys, time
from pathlib import Path
from rowcall.sandbox.process import start_sandbox
sandbox = start_sandbox(Path(sys.argv[1]))
print(sandbox.host, flush=True)
time.sleep(60)
"""


def is_refused(host: str) -> bool:
    address, port = host.removeprefix("http://").split(":")
    try:
        socket.create_connection((address, int(port)), timeout=SECONDS).close()
    except ConnectionError:
        return True
    return False


def test_it_says_where_it_is(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "home") as sandbox:
        assert sandbox.profile == "sandbox"
        assert sandbox.host.startswith("http://127.0.0.1:")
        assert Path(sandbox.config_file) == tmp_path / "home" / "databrickscfg"
        facts = json.loads((tmp_path / "home" / "sandbox.json").read_text())
        assert facts == {"host": sandbox.host, "pid": sandbox.process.pid}
    assert is_refused(sandbox.host)
    assert sandbox.process.returncode == 0
    sandbox.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with start_sandbox(tmp_path) as sandbox:
        os.kill(sandbox.process.pid, number)
        assert sandbox.process.wait(SECONDS) == 0
    assert (tmp_path / "sandbox.log").read_text() == ""


def test_it_does_not_wait_long_for_calls_under_way(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as sandbox:
        workspace = Workspace(sandbox)
        workspace.behave("echo", latency_ms=60_000)
        with pytest.raises(requests.ReadTimeout):
            workspace.http.post(
                f"{sandbox.host}/apps/echo/responses",
                json={"input": [{"role": "user", "content": "hi"}]},
                timeout=0.2,
            )
    assert sandbox.process.returncode == 0


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START_AND_SAY_WHERE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        host = parent.stdout.readline().strip()
        assert not is_refused(host)
        parent.kill()
    deadline = time.monotonic() + SECONDS
    while not is_refused(host):
        assert time.monotonic() < deadline, "the sandbox outlived its parent"


def test_what_it_said_is_in_the_error_when_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="invalid float value: 'soon'"):
        start_sandbox(tmp_path, token_ttl="soon")  # what makes the child fail


def test_it_listens_on_loopback_only() -> None:
    with listen(0) as listening:
        address, port = listening.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=SECONDS)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["aiohttp", "yake", "numpy", "vaderSentiment", "databricks", "pyspark", "pysail"]
    code = f"import sys, rowcall.sandbox.process; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=SECONDS).returncode == 0


def test_sandboxes_that_share_a_home_need_not_share_a_login(tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.mkdir()
    with start_sandbox(tmp_path / "home") as first:
        before = Path(first.config_file).read_text()
        with start_sandbox(tmp_path / "home", login=login) as second:
            assert Path(second.config_file).parent == login
            assert second.serving().host == second.host != first.host
        assert Path(first.config_file).read_text() == before
