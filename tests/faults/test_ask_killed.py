"""A notebook's kernel that is killed while `rowcall.ask` asks: the same cell again asks only what was not durable yet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from commands import descendants

from rowcall.adapters.journal import FolderJournals
from rowcall.sandbox.process import SandboxProcess
from support import Bench, wait_until

ROWS, AT_ONCE = 60, 4
CELL = f"""
import pandas as pd
import rowcall

rows = pd.DataFrame({{"text": [f"row {{n}}" for n in range({ROWS})]}})
engine = {{"concurrency": {AT_ONCE}, "flush_rows": 1}}
answered = rowcall.ask(rows, "Say {{text}}", "app:echo", engine=engine, name="killed")
assert list(answered.answer) == [f"Say row {{n}}" for n in range({ROWS})]
"""


def start(folder: Path, sandbox: SandboxProcess) -> subprocess.Popen[bytes]:
    login = {"DATABRICKS_CONFIG_FILE": sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": sandbox.profile}
    with (folder / "cell.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", CELL], cwd=folder, env={**os.environ, **login}, stderr=log, start_new_session=True
        )


def is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_was_durable_when_the_kernel_died_is_not_asked_again(
    tmp_path: Path, bench: Bench, sandbox: SandboxProcess
) -> None:
    bench.behave(latency_ms=200)
    kernel = start(tmp_path, sandbox)
    try:
        wait_until(lambda: bench.figures()["answered"] >= ROWS // 3, 100)
    finally:
        started = descendants(kernel.pid)
        os.killpg(kernel.pid, signal.SIGKILL)
        kernel.wait()
    # The lakehouse ends by itself, and until then it may keep what was in flight.
    wait_until(lambda: all(map(is_over, started)), 60)
    journals = FolderJournals(tmp_path / ".rowcall" / "journal")
    (run,) = journals.runs("killed")
    durable = len(journals.recipe("killed", run)().answered_hashes())
    assert ROWS // 3 - AT_ONCE <= durable < ROWS

    bench.reset()
    again = start(tmp_path, sandbox)
    assert again.wait(100) == 0, (tmp_path / "cell.log").read_text()
    assert bench.figures()["calls"] == ROWS - durable
