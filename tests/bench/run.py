"""Rowcall and what one would write instead, side by side: whole processes against a server that costs next to nothing.

    make bench                                   all workloads
    python tests/bench/run.py A C                some of them
    python tests/bench/run.py --readme           all, and their rows in the README's table

Share of the ideal is from the first request to the last reply; the rest is of the whole process and all it starts.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from measured import Measured, endpoint, figures, measure
from pyarrow import parquet
from rich.console import Console
from rich.table import Table
from simulator import Simulation
from workloads import WORKLOADS, Workload

import rowcall
from rowcall.api import load_job, plan_here
from rowcall.wiring import surroundings

README = Path(__file__).parents[2] / "README.md"
RECIPES = Path(__file__).parent / "recipes"
OF_THE_ROW = {"id": "rendered.key.id", "request_hash": "rendered.request_hash"}
LIMIT_OF_OTHERS, MOST_IN_FLIGHT = 64, 1024
"""Where the limit is to be found out: of clients that cannot, and what rowcall goes up to."""
JOB = """
job: bench
prompts: {{query: "SELECT id, text FROM parquet.`{prompts}`", key: id}}
request: {{input: "{{text}}"}}
endpoint: {{url: "{address}/v1"}}
engine: {{kind: responses, concurrency: {limit}}}
outputs: {{table: main.bench.answers}}
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One client on one workload."""

    workload: Workload
    client: str
    measured: Measured
    seen: dict[str, Any]

    @property
    def rows(self) -> int:
        return self.workload.rows - self.workload.answered

    @property
    def seconds(self) -> float:
        return (self.seen["last_reply_ns"] - self.seen["first_request_ns"]) / 1e9

    @property
    def simulated(self) -> float:
        """Seconds that the simulator gives for the same rows in the same order."""
        workload, order = self.workload, list(dict.fromkeys(self.seen["order"]))
        seconds = {row: workload.server.seconds(row, workload.padding(row)) for row in order}
        adaptive = workload.limit is None
        limit = MOST_IN_FLIGHT if workload.limit is None else workload.limit
        run = Simulation(order, workload.server, seconds.__getitem__, limit=limit, adaptive=adaptive).run()
        return run.seconds

    def cells(self) -> tuple[str, ...]:
        rows, seen = self.rows, self.seen
        return (
            self.workload.name,
            self.workload.said,
            self.client,
            f"{seen['rows']:,}" + ("" if seen["rows"] == rows else f" of {rows:,}"),
            f"{seen['rows'] / self.seconds:,.0f}",
            f"{self.workload.ideal(self.workload, seen['order']) / self.seconds:.1%}",
            f"{self.seconds / self.simulated:.1%}" if self.client == "rowcall" else "",
            f"{seen['calls'] / rows:.3f}",
            f"{1000 * self.measured.cpu_seconds / rows:.2f}",
            f"{self.measured.most_bytes / 1e6:,.0f}",
            f"{seen['max_in_flight']}",
            f"{(seen['first_request_ns'] - self.measured.started_ns) / 1e9:.1f}",
            f"{self.measured.seconds:.1f}",
        )


HEADINGS = (
    "",
    "server",
    "client",
    "rows",
    "rows/s",
    "of the ideal",
    "s of simulated",
    "calls a row",
    "CPU ms a row",
    "MB",
    "most in flight",
    "first request after s",
    "all s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(one.name for one in WORKLOADS))
    parser.add_argument("--rowcall-only", action="store_true", help="leave out what one would write instead")
    parser.add_argument("--spark", metavar="PYTHON", help="one that has Apache Spark and openai, for map_in_pandas")
    parser.add_argument("--readme", action="store_true", help="put the rows into the README's table")
    options = parser.parse_args()
    chosen = [one for one in WORKLOADS if not options.workloads or one.name in options.workloads]
    found: list[Result] = []
    for workload in chosen:
        for client in ("rowcall", *(() if options.rowcall_only else workload.recipes)):
            python = options.spark if client == "map_in_pandas" else sys.executable
            if python is None or (python == options.spark and shutil.which("java") is None):
                continue
            found.append(run(workload, client, python))
            sys.stdout.write("  ".join(found[-1].cells()) + "\n")
            sys.stdout.flush()
    if options.readme:
        write_readme(found)
    Console().print(as_table(found))


def run(workload: Workload, client: str, python: str) -> Result:
    with TemporaryDirectory(prefix="rowcall-bench-") as name, endpoint(workload.behaviour) as address:
        folder = Path(name)
        prompts = folder / "prompts.parquet"
        texts = [workload.text(row) for row in range(workload.rows)]
        parquet.write_table(pa.table({"id": list(range(workload.rows)), "text": texts}), prompts)
        if workload.answered:
            answer_before(workload, folder, prompts, address)
        measured = measure([python, *command(workload, client, folder, prompts, address)], folder)
        return Result(workload, client, measured, figures(address))


def command(workload: Workload, client: str, folder: Path, prompts: Path, address: str) -> list[str]:
    if client == "rowcall":
        limit = "auto" if workload.limit is None else workload.limit
        (folder / "job.yml").write_text(JOB.format(prompts=prompts, address=address, limit=limit))
        return ["-m", "rowcall", "run", "job.yml", "--json"]
    limit = str(workload.limit or LIMIT_OF_OTHERS)
    return [str(RECIPES / f"{client}.py"), str(prompts), address, limit]


def answer_before(workload: Workload, folder: Path, prompts: Path, address: str) -> None:
    """Fill the outputs as if so many rows had been asked: one is, and the others get its answer under their own hashes."""
    job, options = folder / "job.yml", rowcall.Options(home=folder / ".rowcall")
    job.write_text(JOB.format(prompts=prompts, address=address, limit=1))
    loaded = load_job(job)
    rowcall.run(loaded, limit=1, options=options).check()
    with surroundings(loaded.definition, options) as here:
        rendered, table = plan_here(loaded, here).plan.bound.rendered, loaded.definition.outputs.table
        columns = [column.name for column in here.session.columns(f"SELECT * FROM {table}")]
        values = [OF_THE_ROW.get(name, f"one.{name}") for name in columns]
        here.session.execute(
            f"INSERT INTO {table} SELECT {', '.join(values)} FROM ({rendered}) AS rendered CROSS JOIN {table} AS one "
            f"WHERE rendered.key.id < {workload.answered} AND rendered.key.id <> one.id"
        )
    figures(address, "forget")


def as_table(found: list[Result]) -> Table:
    table = Table(*HEADINGS)
    for one in found:
        table.add_row(*one.cells(), end_section=one.client == "rowcall")
    return table


def write_readme(found: list[Result]) -> None:
    """The table between the two marks; it keeps the rows of other workloads."""
    text = README.read_text()
    before, table, after = re.split(r"(?<=<!-- bench -->\n)(.*?)(?=<!-- /bench -->)", text, maxsplit=1, flags=re.DOTALL)
    rows: dict[str, list[str]] = {}
    for line in table.splitlines(keepends=True)[2:]:
        rows.setdefault(line.split("|")[1].strip(), []).append(line)
    rows |= {name: [] for name in {one.workload.name for one in found}}
    for one in found:
        rows[one.workload.name].append(_line(one.cells()))
    ordered = [line for workload in WORKLOADS for line in rows.get(workload.name, [])]
    README.write_text(before + _line(HEADINGS) + _line(("---",) * len(HEADINGS)) + "".join(ordered) + after)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
