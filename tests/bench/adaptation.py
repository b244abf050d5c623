"""How much of what a server allows `concurrency: auto` gets, and what finding that out costs. Run by `make bench`.

Each server is the sandbox's agent with a capacity. The rate is that of answers from the first request to the last reply, but for
the last two seconds, in which there is not enough left to ask; the waste is the calls that were turned away, of all calls.
"""

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rowcall.adapters.spark import SparkSqlSession
from rowcall.sandbox.lakehouse import KIND, open_lakehouse
from rowcall.sandbox.process import start_sandbox
from rowcall.wiring import TASK_MODULES
from support import Bench, make_job


@dataclass(frozen=True)
class Case:
    """A server and the rows it is asked. `allowed` is what it answers in a second; after `doubles_after` seconds, twice that."""

    name: str
    behaviour: Mapping[str, Any]
    rows: int
    allowed: float
    tasks: int = 1
    doubles_after: float | None = None


CASES = (
    Case("16 at once, 100 ms", {"latency_ms": 100, "capacity": {"at_once": 16}}, 3200, 160),
    Case("16 at once, two tasks", {"latency_ms": 100, "capacity": {"at_once": 16}}, 3200, 160, tasks=2),
    Case("16 at once, 50 to 500 ms", {"jitter": [80, 500], "capacity": {"at_once": 16}}, 3200, 0),
    Case("200 a second", {"latency_ms": 50, "capacity": {"per_second": 200}}, 4200, 200),
    Case(
        "200 a second, Retry-After: 1", {"latency_ms": 50, "capacity": {"per_second": 200, "retry_after": 1}}, 4200, 200
    ),
    Case("40 a second, Retry-After: 1", {"latency_ms": 50, "capacity": {"per_second": 40, "retry_after": 1}}, 840, 40),
    Case("16 at once, doubled", {"latency_ms": 100, "capacity": {"at_once": 16}}, 4800, 160, doubles_after=10),
)


def main() -> None:
    with TemporaryDirectory() as folder:
        house = open_lakehouse(Path(folder) / "lakehouse", modules=TASK_MODULES)
        try:
            with start_sandbox(Path(folder) / "sandbox") as sandbox:
                bench = Bench(SparkSqlSession(house.spark, KIND, house), sandbox, Path(folder), house.folder)
                bench.session.create_schema("`main`.`test`")
                for number, case in enumerate(CASES):
                    sys.stdout.write(measure(bench, case, number) + "\n")
                    sys.stdout.flush()
        finally:
            house.stop()


def measure(bench: Bench, case: Case, number: int) -> str:
    bench.reset()
    bench.behave(**case.behaviour)
    query = f"SELECT id, concat('row ', id) AS text FROM range({case.rows})"
    engine = {"concurrency": "auto", "tasks": case.tasks}
    job = make_job(f"adapts_{number}", prompts={"query": query, "key": "id"}, engine=engine)
    watch = Watch(bench, case)
    watch.start()
    row = bench.run(job)
    watch.over.set()
    watch.join()
    figures = bench.figures()
    took = (figures["last_reply_ns"] - figures["first_request_ns"]) / 1e9
    wasted = 1 - figures["answered"] / figures["calls"]
    allowed = case.allowed * took
    if case.doubles_after is not None:
        allowed += case.allowed * max(0.0, took - case.doubles_after)
    share = f"{case.rows / allowed:.1%} of what is allowed" if allowed else "no rate to compare with"
    return (
        f"{case.name:30} {row.ok:,} of {case.rows:,} ok · {case.rows / took:6.1f} rows/s, {share} · {wasted:.1%} wasted · "
        f"most in flight {figures['max_in_flight']}"
    )


class Watch(threading.Thread):
    """Doubles the capacity in the middle of a run."""

    def __init__(self, bench: Bench, case: Case) -> None:
        super().__init__(daemon=True)
        self.bench, self.case, self.over = bench, case, threading.Event()

    def run(self) -> None:
        if self.case.doubles_after is None:
            return
        while not self.over.is_set():
            first = self.bench.figures().get("first_request_ns")
            if first is not None and time.time_ns() - first >= self.case.doubles_after * 1e9:
                at_once = 2 * self.case.behaviour["capacity"]["at_once"]
                self.bench.behave(**{**self.case.behaviour, "capacity": {"at_once": at_once}})
                return
            self.over.wait(0.1)


if __name__ == "__main__":
    main()
