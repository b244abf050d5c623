"""What a notebook gets of a run: a bar while it goes on, a summary, and its rows as DataFrames."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rowcall import run_report
from rowcall.adapters.packaged import sql_texts
from rowcall.adapters.whole_file import write_whole
from rowcall.core import sql
from rowcall.core.errors import RunError, SqlError
from rowcall.core.plan import RunPlan
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.run_html import framed, progress_html, summary_html
from rowcall.wiring import Options, archive


class NotebookReporter:
    """Shows a run as a bar that is replaced as it goes on."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._plan: RunPlan | None = None
        self._progress = Progress()
        self._started = time.monotonic()

    def plan(self, plan: RunPlan) -> None:
        self._plan, self._started = plan, time.monotonic()
        self._update()

    def step(self, text: str) -> None:
        self._update(text)

    def progress(self, progress: Progress) -> None:
        self._progress = progress
        self._update()

    def over(self, row: RunRow) -> None:
        """Shows the summary of a run in the place of its bar."""
        self._show(summary_html(row))

    def _update(self, step: str = "") -> None:
        if self._plan is not None:
            self._show(progress_html(self._plan, self._progress, time.monotonic() - self._started, step))


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a run, one HTML page. A notebook shows it in a frame of its own."""

    html: str = field(repr=False)
    place: Path

    def save(self, path: str | Path | None = None) -> Path:
        """Write the page to a file, by default one in this folder named for the run, and say where. Raises `SetupError`."""
        place = Path(path) if path is not None else self.place
        write_whole(place, self.html)
        return place

    def _repr_html_(self) -> str:
        return framed(self.html)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: its row in the runs table, and its rows as DataFrames, read when they are asked for.

    What the row has, the run has: `run.status`, `run.ok`, `run.cost`, `run.check()`; its counts of failures are `run.row.failures`.
    The frames are Spark's where the tables are in a Spark session that stays (Databricks, Spark Connect, one that was handed in),
    else pandas'. A notebook shows the run as a summary.
    """

    row: RunRow
    where: Options = field(repr=False, compare=False)
    runs_table: str = field(default="main.rowcall.runs", repr=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("row", "where", "runs_table"):  # a copy asks for these before it has them
            raise AttributeError(name)
        try:
            return getattr(self.row, name)
        except AttributeError:
            raise AttributeError(f"a run has no {name!r}; dir(run.row) has what it has") from None

    @property
    def outputs(self) -> Any:
        """The outputs table: every key with its best answer so far, whichever run brought it."""
        return self._frame("run_outputs", self.row.outputs_table)

    @property
    def failures(self) -> Any:
        """The rows that this run left without an ok answer, and why."""
        return self._frame("run_failures", self.row.outputs_table)

    @property
    def traces(self) -> Any:
        """Every span of this run: its calls, their attempts, what the agents traced."""
        return self._frame("run_spans", self.row.traces_table)

    def report(self) -> Report:
        """The page that `rowcall report` writes. Raises `SetupError` where its libraries are missing, `RunError` where the run is
        in its table no more."""
        run_report.check_libraries()
        with archive([self.runs_table, self.row.outputs_table, self.row.traces_table], self.where) as found:
            page = run_report.read_page(found.session, sql_texts(), self.runs_table, self.row.run_id, found.lives)
        return Report(run_report.render(page), run_report.default_place(page))

    def _frame(self, statement: str, table: str) -> Any:
        # A day earlier: a session's time zone may be behind.
        quoted, day = sql.quote_table(table), datetime.fromtimestamp(self.row.started_at / 1e6, UTC) - timedelta(days=1)
        text = sql.of_run(sql_texts(), statement, quoted, self.row.run_id, f"{day:%Y-%m-%d}")
        with archive([quoted], self.where) as found:
            try:
                return found.session.frame(text)
            except SqlError as error:
                if error.missing:
                    raise RunError(f"there is no table {table} here any more") from error
                raise

    def _repr_html_(self) -> str:
        return summary_html(self.row)
