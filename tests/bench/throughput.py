"""How close a run comes to the ideal time: rows × latency ÷ limit, from the first request to the last reply.

    make bench                       2,000 rows, 200 ms, 64 in flight
    python tests/bench/throughput.py --rows 20000 --latency-ms 5 --tasks 2

Real parts, as in the tests: the sandbox in a process of its own, Sail in another, Delta tables. Prints one line.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from rowcall.adapters.spark import SparkSqlSession
from rowcall.sandbox.lakehouse import KIND, open_lakehouse
from rowcall.sandbox.process import start_sandbox
from rowcall.wiring import TASK_MODULES
from support import Bench, make_job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tasks", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        sys.stdout.write(measure(Path(folder), options) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> str:
    house = open_lakehouse(folder / "lakehouse", modules=TASK_MODULES)
    try:
        with start_sandbox(folder / "sandbox") as sandbox:
            bench = Bench(SparkSqlSession(house.spark, KIND, house), sandbox, folder, house.folder)
            bench.session.create_schema("`main`.`test`")
            bench.reset()
            bench.behave(latency_ms=options.latency_ms)
            query = f"SELECT id, concat('row ', id) AS text FROM range({options.rows})"
            engine = {"concurrency": options.concurrency, "tasks": options.tasks}
            job = make_job("bench", prompts={"query": query, "key": "id"}, engine=engine)
            row = bench.run(job)
            figures = bench.figures()
    finally:
        house.stop()
    took = (figures["last_reply_ns"] - figures["first_request_ns"]) / 1e9
    ideal = options.rows * options.latency_ms / 1000 / options.concurrency
    return (
        f"{row.ok:,} of {options.rows:,} rows ok · first request to last reply {took:.2f} s, ideal {ideal:.2f} s: "
        f"{ideal / took:.1%} · {options.rows / took:,.0f} rows/s · whole run {row.seconds:.2f} s · "
        f"most in flight {figures['max_in_flight']} of {options.concurrency}"
    )


if __name__ == "__main__":
    main()
