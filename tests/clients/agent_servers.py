"""Agent servers as processes of their own: the scripts under agents/, each in a folder where it keeps its traces and runs."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rowcall.sandbox.child import stop_child

SCRIPTS = Path(__file__).with_name("agents")


@dataclass(frozen=True, slots=True)
class TraceStore:
    """MLflow's tracking store: one SQLite file for all servers, whose many tables take long to make."""

    file: Path

    def environment(self) -> dict[str, str]:
        """What makes a server write its traces here, each before its reply is sent."""
        return {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.file}",
            "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def traces(self) -> set[str]:
        """The ids of the traces that are stored."""
        with closing(sqlite3.connect(self.file)) as store:
            return {trace for (trace,) in store.execute("SELECT request_id FROM trace_info")}


@contextmanager
def serving(folder: Path, traces: TraceStore, script: str, *arguments: str) -> Iterator[str]:
    """Run a script in `folder` until the block ends; gives its URL, which it says on its first line."""
    log = folder / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            text=True,
            env={**os.environ, **traces.environment()},
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"{script} did not start: {log.read_text(errors='replace')[-2000:]}"
        yield url
    finally:
        stop_child(process)
