"""Building blocks of tests: jobs, prompt tables, and the sandbox's controls. Everything behind them is real."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rowcall import api
from rowcall.adapters.auth import WorkspaceLogin
from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.volume_journal import VolumeJournals
from rowcall.adapters.workspace import DatabricksWorkspace
from rowcall.api import Planned
from rowcall.core.definition import JobDefinition
from rowcall.core.ports import Row, SqlSession
from rowcall.core.report import RunRow
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import RecordingReporter
from rowcall.wiring import Surroundings

VOLUME = "/Volumes/main/test/files"


def make_job(name: str, **changes: Any) -> JobDefinition:
    """A job over `main.test.<name>` that asks the echo app and writes to `main.test.<name>_out`."""
    made: dict[str, Any] = {
        "job": name,
        "prompts": {"table": f"main.test.{name}", "key": "id"},
        "request": {"input": "{text}"},
        "endpoint": {"app": "echo"},
        "engine": {"concurrency": 8, "flush_seconds": 0.1},
        "outputs": {"table": f"main.test.{name}_out"},
        "traces": {"table": f"main.test.{name}_traces"},
        "runs": {"table": f"main.test.{name}_runs"},
    }
    return JobDefinition.model_validate({**made, **changes})


def fill(
    session: SqlSession, folder: Path, name: str, rows: Sequence[Mapping[str, object]] | pa.Table, seen: str = ""
) -> None:
    """Make or replace the table `main.test.<name>` from a file in `folder`, which the session sees as `seen`."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows])
    path = folder / f"{name}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    session.drop_table(f"`main`.`test`.`{name}`")
    session.view_of_files(f"fill_{name}", [f"{seen or folder}/{path.name}"])
    mapping = (
        "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
        if set(" ,;{}()\n\t=") & set("".join(table.column_names))
        else ""
    )
    session.execute(f"CREATE TABLE main.test.{name} USING DELTA {mapping} AS SELECT * FROM fill_{name}")


def texts(count: int, start: int = 0) -> list[dict[str, object]]:
    return [{"id": n, "text": f"row {n}"} for n in range(start, start + count)]


@dataclass(slots=True)
class Bench:
    """A session, a sandbox and a journal folder to run jobs in. `volume` is the folder of a volume, where the session is a SQL
    warehouse and sees no other files; `parallel` says that tasks run in processes of their own."""

    session: SqlSession
    sandbox: SandboxProcess
    folder: Path
    tables: Path
    login: WorkspaceLogin | None = None
    volume: Path | None = None
    parallel: bool = False

    def surroundings(self) -> Surroundings:
        login = self.login or WorkspaceLogin(self.sandbox.profile, self.sandbox.config_file)
        journals = VolumeJournals(login, self.journal) if self.volume else FolderJournals(Path(self.journal))
        return Surroundings(self.session, self.parallel, DatabricksWorkspace(login), login, journals)

    def run(self, job: JobDefinition, *, reporter: RecordingReporter | None = None, **options: Any) -> RunRow:
        return api.run_here(api.load_job(job), self.surroundings(), reporter=reporter or RecordingReporter(), **options)

    def plan(self, job: JobDefinition, **options: Any) -> Planned:
        return api.plan_here(api.load_job(job), self.surroundings(), **options)

    @property
    def journal(self) -> str:
        return f"{VOLUME}/journal-{self.folder.name}" if self.volume else str(self.folder / "journal")

    def fill(self, name: str, rows: Sequence[Mapping[str, object]] | pa.Table) -> None:
        fill(self.session, self.volume or self.folder, name, rows, seen=VOLUME if self.volume else "")

    def outputs(self, job: JobDefinition) -> list[Row]:
        return self.session.query(f"SELECT * FROM {job.outputs.table} ORDER BY id")

    def delta_folder(self, table: str) -> str:
        """Where the lakehouse keeps a table."""
        return str(self.tables.joinpath(*table.split(".")))

    def behave(self, agent: str = "echo", **behaviour: object) -> None:
        control(self.sandbox, "PUT", f"behaviour/{agent}", behaviour)

    def figures(self, agent: str = "echo", *, seconds: float = 60) -> dict[str, Any]:
        """What the sandbox counted; its `busiest` is of any so many seconds."""
        counted = control(self.sandbox, "GET", f"figures?seconds={seconds:g}")
        return counted.get(agent, {"calls": 0, "answered": 0, "max_in_flight": 0})

    def reset(self) -> None:
        """Forget what was counted and how agents were told to behave."""
        self.behave()
        control(self.sandbox, "DELETE", "figures")


def control(sandbox: SandboxProcess, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Call the sandbox's control routes."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{sandbox.host}/sandbox/{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read() or b"{}")


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look until it is so; fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
