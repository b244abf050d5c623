"""A disk that is full and a journal that cannot be written, as the operating system tells it: a clear error that says where, what
is safe and what to do. Answers that were durable are kept, and the next run goes on once there is room.

A file may grow to so many bytes (`RLIMIT_FSIZE`): root, who may write anywhere, is told so as well.
"""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import JournalError, RowcallError, RunError, SqlError
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.sandbox import lakehouse
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import RecordingReporter
from support import Bench, make_job, texts

RESPONSES = {"concurrency": 8, "fan_out": "driver", "flush_rows": 20, "flush_seconds": 0.05}
AI_QUERY = {"kind": "ai_query", "rows_per_statement": 20}
ROWS = 120


@dataclass(slots=True)
class Disk:
    """A process whose files cannot grow beyond so many bytes, while `full`."""

    process: int = 0
    before: tuple[int, int] = field(default=(0, 0))

    def fill(self, size: int = 0) -> None:
        self.before = resource.prlimit(self.process, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process, resource.RLIMIT_FSIZE, (size, self.before[1]))

    def clear(self) -> None:
        resource.prlimit(self.process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, self.before[1]))

    @contextmanager
    def full(self, size: int = 0) -> Iterator[None]:
        self.fill(size)
        try:
            yield
        finally:
            self.clear()


@dataclass(slots=True)
class FillsUp(RecordingReporter):
    """Fills a disk once a run has so many answers."""

    disk: Disk = field(default_factory=Disk)
    answers: int = 30
    filled: bool = False

    def progress(self, progress: Progress) -> None:
        if not self.filled and progress.asked >= self.answers:
            self.filled = True
            self.disk.fill()


@dataclass(slots=True)
class House:
    """A lakehouse in a process of its own, and the disk under it."""

    bench: Bench
    disk: Disk

    def fill(self, name: str, rows: int = ROWS) -> None:
        self.bench.fill(name, texts(rows))

    def answers(self, job: JobDefinition) -> dict[Any, Any]:
        try:
            return {out["id"]: out["answer"] for out in self.bench.outputs(job)}
        except SqlError as error:
            if not error.missing:
                raise
            return {}

    def run_to_the_end(self, job: JobDefinition, rows: int) -> RunRow:
        row = self.bench.run(job)
        assert (row.status, row.message) == ("done", None)
        assert self.answers(job) == {n: f"row {n}" for n in range(rows)}
        return row


@pytest.fixture(scope="module")
def own_house(tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxProcess) -> Iterator[House]:
    opened = lakehouse.open_lakehouse(tmp_path_factory.mktemp("disk"))
    try:
        session = SparkSqlSession(LakehouseSql(opened, sandbox.serving()), lakehouse.KIND, opened, ai_query=True)
        for schema in ("test", "rowcall"):
            session.create_schema(f"`main`.`{schema}`")
        bench = Bench(session, sandbox, tmp_path_factory.mktemp("files"), opened.folder)
        yield House(bench, Disk(opened._server.pid))
    finally:
        opened.stop()


@pytest.fixture
def house_with_disk(own_house: House) -> House:
    own_house.bench.reset()
    return own_house


def job(name: str, engine: dict[str, Any], **changes: Any) -> JobDefinition:
    return make_job(name, **{"endpoint": {"serving": "echo"}, "engine": engine, **changes})


def failed(bench: Bench, made: JobDefinition, reporter: RecordingReporter | None = None) -> str:
    """What a run says that does not go to its end."""
    try:
        row = bench.run(made, reporter=reporter)
    except RowcallError as error:
        return str(error)
    assert row.status == "failed"
    return str(row.message)


class TestJournal:
    HERE = Disk()

    @pytest.mark.parametrize("size", [0, 2_000])
    def test_that_is_full_from_the_start_costs_nothing(self, house_with_disk: House, size: int) -> None:
        """With 0 bytes the lock cannot be had, with 2,000 the manifest cannot be written."""
        bench, made = house_with_disk.bench, job(f"journal_{size}", RESPONSES)
        house_with_disk.fill(made.job)
        with self.HERE.full(size), pytest.raises(JournalError) as caught:
            bench.run(made)
        said = str(caught.value)
        assert said.startswith(f"{bench.journal}/{made.job}/")
        assert said.endswith("cannot be written: File too large. Make room there, or set `journal` to another folder.")
        assert bench.figures()["calls"] == 0
        assert not list(Path(bench.journal).rglob("*.part"))
        house_with_disk.run_to_the_end(made, ROWS)

    @pytest.mark.parametrize("engine", [RESPONSES, AI_QUERY], ids=["responses", "ai_query"])
    def test_that_fills_up_loses_what_it_says(self, house_with_disk: House, engine: dict[str, Any]) -> None:
        bench, made = house_with_disk.bench, job(f"fills_up_{engine.get('kind', 'responses')}", engine)
        house_with_disk.fill(made.job)
        bench.behave(latency_ms=250)
        try:
            said = failed(bench, made, FillsUp(disk=self.HERE))
        finally:
            self.HERE.clear()
        assert "File too large. Make room there, or set `journal` to another folder." in said
        assert bench.journal in said
        lost = re.search("([0-9]+) answers are lost", said)
        assert lost is not None if engine is RESPONSES else "What was answered is in `main`" in said
        kept = house_with_disk.answers(made)
        assert kept.items() <= {n: f"row {n}" for n in range(ROWS)}.items()
        house_with_disk.run_to_the_end(made, ROWS)
        assert bench.figures()["answered"] == ROWS + (int(lost[1]) if lost else 0)

    def test_that_fills_up_leaves_old_answers_as_they_are(self, house_with_disk: House) -> None:
        bench, made = house_with_disk.bench, job("old_answers", RESPONSES)
        house_with_disk.fill(made.job)
        house_with_disk.run_to_the_end(made, ROWS)
        before = bench.outputs(made)
        other = job("old_answers", RESPONSES, request={"input": "again: {text}"})
        with self.HERE.full(12_000):
            assert failed(bench, other)
        assert bench.outputs(made) == before
        assert bench.run(other).ok == ROWS

    @pytest.mark.parametrize(
        ("inside", "why"), [("file", "Not a directory"), ("/proc/rowcall", "No such file or directory")]
    )
    def test_in_a_place_that_takes_no_folder(
        self, house_with_disk: House, tmp_path: Path, inside: str, why: str
    ) -> None:
        (tmp_path / "file").write_text("not a folder")
        there = tmp_path / inside
        bench, made = house_with_disk.bench, job("no_folder", RESPONSES)
        house_with_disk.fill(made.job, 3)
        elsewhere = Bench(bench.session, bench.sandbox, there, bench.tables)
        with pytest.raises(JournalError) as caught:
            elsewhere.run(made)
        said = str(caught.value)
        assert said.startswith(f"{there}/journal/no_folder/")
        assert said.endswith(f"cannot be written: {why}. Make room there, or set `journal` to another folder.")
        assert bench.figures()["calls"] == 0


class TestTables:
    def test_that_cannot_be_made_cost_nothing(self, house_with_disk: House) -> None:
        bench, made = house_with_disk.bench, job("tables", RESPONSES)
        house_with_disk.fill(made.job)
        with house_with_disk.disk.full(), pytest.raises(SqlError, match="File too large"):
            bench.run(made)
        assert bench.figures()["calls"] == 0
        house_with_disk.run_to_the_end(made, ROWS)

    @pytest.mark.parametrize("engine", [RESPONSES, AI_QUERY], ids=["responses", "ai_query"])
    def test_that_fill_up_lose_no_answer(self, house_with_disk: House, engine: dict[str, Any]) -> None:
        bench, made = house_with_disk.bench, job(f"tables_{engine.get('kind', 'responses')}", engine)
        house_with_disk.fill(made.job, 40)
        house_with_disk.run_to_the_end(made, 40)
        before = bench.outputs(made)
        house_with_disk.fill(made.job, ROWS)
        bench.reset()
        bench.behave(latency_ms=20)
        try:
            with pytest.raises(RunError, match=r"are safe but could not be published: .*File too large") as caught:
                bench.run(made, reporter=FillsUp(disk=house_with_disk.disk, answers=20))
        finally:
            house_with_disk.disk.clear()
        assert "The next run publishes them before it asks anything." in str(caught.value)
        assert bench.outputs(made) == before
        house_with_disk.run_to_the_end(made, ROWS)
        statement_under_way = 20 if engine is AI_QUERY else 0
        assert bench.figures()["answered"] <= ROWS - 40 + statement_under_way
