"""What traces cost: rows a second with and without them, alternating in one lakehouse and one sandbox.

    python tests/bench/traces.py                         rounds of 3,000 rows, 5 ms, 64 in flight
    python tests/bench/traces.py --agent                 the agent sends a trace of its own with each answer

There is no way to turn the spans of calls off; here they are left out by hand. A round is a run with and one without them, now this
one first and now that: machines have faster and slower minutes, so what is compared are the two of a round. Prints one line.
"""

import argparse
import sys
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.spans import LateSpans
from rowcall.engines import worker
from rowcall.sandbox.lakehouse import KIND, open_lakehouse
from rowcall.sandbox.process import start_sandbox
from support import Bench, make_job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--latency-ms", type=float, default=5)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--agent", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        sys.stdout.write(measure(Path(folder), options) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> str:
    house = open_lakehouse(folder / "lakehouse")
    try:
        with start_sandbox(folder / "sandbox") as sandbox:
            bench = Bench(SparkSqlSession(house.spark, KIND, house), sandbox, folder, house.folder)
            bench.session.create_schema("`main`.`test`")
            bench.behave(latency_ms=options.latency_ms)
            runs: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
            one_run(bench, options, "warm", traced=True)
            for number in range(options.rounds):
                for traced in (True, False) if number % 2 else (False, True):
                    runs[traced].append(one_run(bench, options, f"{number}_{int(traced)}", traced=traced))
    finally:
        house.stop()
    (traced_rate, traced_cpu), (rate, cpu) = (
        [median(each) for each in zip(*runs[how], strict=True)] for how in (True, False)
    )
    slower = [1 - with_[0] / without[0] for with_, without in zip(runs[True], runs[False], strict=True)]
    low, middle, high = quantiles(slower, n=4)
    return (
        f"{traced_rate:,.0f} rows/s with traces, {rate:,.0f} without: {middle:.1%} slower (half of {options.rounds} rounds between "
        f"{low:.1%} and {high:.1%}) · {traced_cpu:.3f} and {cpu:.3f} ms of CPU a row of the thread that asks · "
        f"{options.concurrency} in flight, {options.latency_ms:g} ms"
    )


def one_run(bench: Bench, options: argparse.Namespace, number: str, *, traced: bool) -> tuple[float, float]:
    """Rows a second, from the first request to the last reply, and milliseconds of CPU a row of the thread that makes the calls. It
    is one of this process, so that what it calls can be left out."""
    bench.reset()
    bench.behave(latency_ms=options.latency_ms)
    query = f"SELECT id, concat('row ', id) AS text FROM range({options.rows})"
    request: dict[str, Any] = (
        {"input": "{text}", "databricks_options": {"return_trace": traced}} if options.agent else {}
    )
    job = make_job(
        f"bench_{number}",
        prompts={"query": query, "key": "id"},
        engine={"concurrency": options.concurrency, "fan_out": "driver"},
        **({"endpoint": {"serving": "echo"}, "request": request} if options.agent else {}),
    )
    worker.LateSpans = LateSpans if traced else lambda *_: []
    row = bench.run(job)
    if row.ok != options.rows:
        raise SystemExit(f"{row.ok:,} of {options.rows:,} rows ok: {row.message}")
    figures = bench.figures()
    cpu = row.slot_seconds["client_cpu"] * 1000 / options.rows
    return options.rows / ((figures["last_reply_ns"] - figures["first_request_ns"]) / 1e9), cpu


if __name__ == "__main__":
    main()
