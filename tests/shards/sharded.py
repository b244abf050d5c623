"""A run cut into shards: its coordinator and each shard a process, over the SQL warehouse and the volumes of the sandbox."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from rowcall.sandbox.process import SandboxProcess
from support import control

LIMIT, FLUSH, SHARDS = 6, 10, 3
Process = subprocess.Popen[str]


@dataclass
class Sharded:
    """Runs of one job, which has tables of its own. `latency_ms` is what the endpoint takes to answer."""

    folder: Path
    sandbox: SandboxProcess
    name: str
    rows: int = 240
    latency_ms: float = 50
    more: str = ""
    started: list[Process] = field(default_factory=list[Process])

    def __post_init__(self) -> None:
        self.write()
        control(self.sandbox, "DELETE", "figures")
        self.behave(self.latency_ms)

    def write(self, text: str = "row") -> None:
        engine = {"concurrency": LIMIT, "flush_rows": FLUSH, "flush_seconds": 0.1, "publish_seconds": 0.5}
        schema = f"main.{self.name}"
        (self.folder / "job.yml").write_text(f"""
job: {self.name}
prompts: {{query: "SELECT id, concat('{text} ', id) AS text FROM range({self.rows})", key: id}}
request: {{input: "{{text}}"}}
{self.more or "endpoint: {app: echo}"}
engine: {json.dumps(engine)}
outputs: {{table: {schema}.answers}}
traces: {{table: {schema}.traces}}
runs: {{table: {schema}.runs}}
""")

    def behave(self, latency_ms: float) -> None:
        control(self.sandbox, "PUT", "behaviour/echo", {"latency_ms": latency_ms})

    def coordinate(self, *options: str, shards: int = SHARDS, patience: str = "60s", job_run: str = "1") -> Process:
        together = ("--shards", str(shards), "--job-run", job_run, "--patience", patience)
        return self.start("run", "job.yml", *together, *options)

    def shard(self, number: int, *options: str, of: int = SHARDS, patience: str = "60s", job_run: str = "1") -> Process:
        together = ("--job-run", job_run, "--patience", patience)
        return self.start("shard", "job.yml", f"{number}/{of}", *together, *options)

    def shards(self, *numbers: int) -> list[Process]:
        return [self.shard(number) for number in numbers or range(1, SHARDS + 1)]

    def start(self, *words: str) -> Process:
        login = {"DATABRICKS_CONFIG_FILE": self.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile}
        process = subprocess.Popen(
            [sys.executable, "-m", "rowcall", *words, "--json", "--warehouse", "sandbox"],
            cwd=self.folder,
            env={**os.environ, **login},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End what a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=60)

    def figures(self) -> dict[str, Any]:
        return control(self.sandbox, "GET", "figures")["echo"]

    def answered(self) -> int:
        return self.figures()["answered"]

    def answers(self) -> list[tuple[int, str]]:
        return sorted((row["id"], row["answer"]) for row in self.table("answers"))

    def runs(self) -> list[tuple[str, int]]:
        """How the runs ended and what they asked, oldest first."""
        return [(run["status"], run["asked"]) for run in sorted(self.table("runs"), key=lambda run: run["started_at"])]

    def table(self, name: str) -> list[dict[str, Any]]:
        folder = Path(self.sandbox.config_file).parent / "lakehouse" / "main" / self.name / name
        return DeltaTable(folder).to_pyarrow_table().to_pylist()

    def notes(self, name: str) -> list[str]:
        """The notes of that name in the journals of the job."""
        volumes = Path(self.sandbox.config_file).parent / "volumes"
        found = volumes.glob(f"main/{self.name}/rowcall/journal/{self.name}/*/notes/{name}")
        return [note.read_text() for note in found]

    def seated(self) -> int:
        """How many attempts at a part ask now, or would go on to if they lived."""
        return sum('"seated"' in note for note in self.notes("seat-*"))

    @property
    def whole(self) -> list[tuple[int, str]]:
        return [(n, f"row {n}") for n in range(self.rows)]


@dataclass(frozen=True)
class End:
    """How a process ended: its exit code, its JSON line (empty if it printed none) and what it told people."""

    code: int
    said: dict[str, Any]
    errors: str


def end_of(process: Process) -> End:
    out, errors = process.communicate(timeout=200)
    assert "Traceback" not in errors, errors
    return End(process.returncode, json.loads(out.splitlines()[-1]) if out else {}, errors)


def ends_of(processes: Sequence[Process]) -> list[End]:
    return [end_of(process) for process in processes]
