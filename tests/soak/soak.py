"""A run under random faults, its driver killed every 20 to 40 seconds; in the end every key is answered exactly once.

    make soak                                          10 minutes of it, as a test
    python tests/soak/soak.py --seconds 120 --seed 7

Prints, for each life of the driver, the replies it brought and those that nobody kept: they are paid for again. A reply counts
from status 200 on, a useless one too, and is kept once the span of its attempt is durable.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in (".", "faults"))

from commands import Command, descendants, durable_rows, job_of
from pyarrow import parquet

from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import control, wait_until

LIMIT, FLUSH, ATTEMPTS = 16, 50, 6
LATENCY_MS = 200
ROWS_A_SECOND = LIMIT * 1000 // LATENCY_MS
"""What the endpoint answers at best: with so many rows the time is over first."""
MOST_REPAID = FLUSH + LIMIT * ATTEMPTS
"""In a life: a flush, and the calls in flight with the useless replies that they had before."""
KILLED = "killed"
SECONDS_TO_FINISH = 300.0
FAULTS: list[Mapping[str, Any]] = [
    {"status": 429, "headers": {"Retry-After": "1"}},
    *({"status": status} for status in (400, 403, 404, 413, 429, 500, 502, 503, 504)),
    {"status": 401, "first": 3},
    *({"drop": where} for where in ("before", "middle")),
    {"delay_ms": 2000},
    {"pause_ms": 1000},
    {"pad_mb": 1},
    *(
        {"reply": name}
        for name in ("refusal", "incomplete", "empty", "error_in_200", "no_output", "wrong_types", "not_json", "html")
    ),
]
OUTAGES: list[Mapping[str, Any]] = [{"status": 503}, {"drop": "before"}]
CAPACITIES: list[Mapping[str, Any]] = [{}, {"capacity": {"at_once": 4}}, {"capacity": {"per_second": 20}}]


@dataclass(frozen=True, slots=True)
class Life:
    """What came of one process. `replies` are the server's, `repaid` those of them that nobody kept."""

    seconds: float
    end: str
    replies: int
    repaid: int

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s  {self.replies:6,} replies  {self.repaid:3} to be paid again  {self.end}"


class Books:
    """The server's count of replies against the spans of the attempts that are durable."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._replies = self._lost = 0

    def life(self, live: Callable[[], str]) -> Life:
        """What came of a life, which `live` lives; it says how it ended."""
        began = time.monotonic()
        end, seconds = live(), time.monotonic() - began
        wait_until(lambda: self._command.figures()["in_flight"] == 0)
        replies = self._command.answered()
        lost = replies - sum(self._kept())
        life = Life(seconds, end, replies - self._replies, lost - self._lost)
        self._replies, self._lost = replies, lost
        return life

    def _kept(self) -> Iterator[bool]:
        """For each attempt that is durable, whether its reply came with a status of 200 on."""
        spans = {(span["trace_id"], span["span_id"]): span["attributes"] for span in self._spans()}
        for attributes in map(json.loads, spans.values()):
            yield str(attributes.get("http.response.status_code", "")).startswith("2")

    def _spans(self) -> Iterator[Mapping[str, Any]]:
        if (self._command.tables / "main" / "rowcall" / "traces" / "_delta_log").exists():
            yield from self._command.rows("rowcall", "traces")
        for path in self._command.folder.glob("**/segments/*.parquet"):
            for spans in parquet.read_table(path, columns=["spans"]).column(0).to_pylist():
                yield from spans


def disturb(sandbox: SandboxProcess, agent: str, chance: random.Random) -> str:
    """Other faults than before, of some calls or of all."""
    struck = [
        {**fault, "share": round(chance.uniform(0.02, 0.3), 2)} for fault in chance.sample(FAULTS, chance.randint(0, 3))
    ]
    if chance.random() < 0.1:
        struck = [{**chance.choice(OUTAGES), "share": 1.0}]
    behaviour = {"latency_ms": LATENCY_MS, "faults": struck, **chance.choice(CAPACITIES)}
    control(sandbox, "PUT", f"behaviour/{agent}", behaviour)
    revoked = chance.random() < 0.2
    if revoked:
        control(sandbox, "DELETE", "tokens")
    return f"{json.dumps(behaviour)}{', all tokens revoked' if revoked else ''}"


def live(command: Command, chance: random.Random, until: float, say: Callable[[str], None]) -> str:
    """A process of the run, disturbed until it ends or is killed; how it ended."""
    process = command.start()
    started = descendants(process.pid)
    end = min(until, time.monotonic() + chance.uniform(20, 40))
    while process.poll() is None and time.monotonic() < end:
        say(f"    {disturb(command.sandbox, command.agent, chance)}")
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(chance.uniform(2, 5), max(0.0, end - time.monotonic())))
        started |= descendants(process.pid)
    process.kill()
    out, errors = process.communicate(timeout=60)
    wait_until(lambda: not any(Path("/proc", str(each)).exists() for each in started))
    return KILLED if process.returncode < 0 else _ending(out, errors)


def _ending(out: str, errors: str) -> str:
    """How a process ended by itself."""
    if not out:
        return errors.strip().splitlines()[-1]
    row = json.loads(out.splitlines()[-1])
    return f"{row['status']}, {row['message']}" if row["message"] else str(row["status"])


def soak(folder: Path, seconds: float, seed: int, say: Callable[[str], None]) -> None:
    """Raises AssertionError where a promise is broken."""
    rows, chance = int(seconds * ROWS_A_SECOND), random.Random(seed)
    say(f"{rows:,} rows for {seconds:g} s, seed {seed}")
    job = job_of(rows, concurrency=LIMIT, flush_rows=FLUSH, flush_seconds=0.5, publish_seconds=5)
    with start_sandbox(folder / "workspace") as sandbox:
        command = Command(folder, sandbox, job)
        books, lives, until = Books(command), list[Life](), time.monotonic() + seconds
        while time.monotonic() < until:
            lives.append(books.life(partial(live, command, chance, until, say)))
            say(str(lives[-1]))
        control(sandbox, "PUT", f"behaviour/{command.agent}", {})
        lives.append(books.life(lambda: str(command.run(SECONDS_TO_FINISH)["status"])))
        say(f"{lives[-1]}\n{total(lives)}")
        assert lives[-1].end == "done"
        assert command.answers() == [(n, f"row {n}") for n in range(rows)]
        assert {row["outcome"] for row in command.rows("demo", "cut")} == {"ok"}
        assert durable_rows(folder) == 0
        assert all(life.repaid <= MOST_REPAID for life in lives)


def total(lives: Sequence[Life]) -> str:
    killed = [life for life in lives if life.end == KILLED]
    replies, repaid = (sum(getattr(life, name) for life in lives) for name in ("replies", "repaid"))
    most = max((life.repaid for life in killed), default=0)
    return f"{len(killed)} kills, {replies:,} replies, {repaid} paid again, at most {most} after a kill"


def main() -> None:
    parser = argparse.ArgumentParser(description="A run under random faults, its driver killed again and again.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        soak(Path(folder), options.seconds, options.seed, partial(print, flush=True))


if __name__ == "__main__":
    main()
