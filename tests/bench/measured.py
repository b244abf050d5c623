"""A command as a process of its own, measured whole: its wall time, and the CPU and memory of all processes it starts."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

_LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, bytes (the most of all processes together), and what the command printed last."""

    started_ns: int
    seconds: float
    cpu_seconds: float
    most_bytes: int
    said: str


def measure(command: Sequence[str], folder: Path, seconds: float = 900) -> Measured:
    """Run a command in a folder. Raises RuntimeError where it fails."""
    with (folder / "said").open("wb") as said, (folder / "errors").open("wb") as errors:
        started, started_ns = time.monotonic(), time.time_ns()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=errors)
        watch = _Watch(process.pid)
        watch.start()
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - started
        timer.cancel()
        watch.over.set()
        watch.join()
    if process.returncode not in (0, 3):
        raise RuntimeError(f"{command}: exit code {process.returncode}\n{(folder / 'errors').read_text()[-2000:]}")
    cpu = max(usage.ru_utime + usage.ru_stime, sum(watch.cpu.values()))
    return Measured(started_ns, took, cpu, watch.most_bytes, (folder / "said").read_text().strip().rpartition("\n")[2])


class _Watch(threading.Thread):
    """Looks at a tree of processes again and again: how much memory it has, how much CPU each process has used."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.over = psutil.Process(pid), threading.Event()
        self.cpu: dict[int, float] = {}
        self.most_bytes = 0

    def run(self) -> None:
        while not self.over.wait(_LOOK_EVERY):
            memory = 0
            try:
                for process in (self.root, *self.root.children(recursive=True)):
                    times = process.cpu_times()
                    self.cpu[process.pid] = times.user + times.system
                    memory += process.memory_info().rss
            except psutil.Error:
                continue
            self.most_bytes = max(self.most_bytes, memory)


@contextmanager
def endpoint(behaviour: Mapping[str, Any]) -> Generator[str]:
    """The server of `endpoint.py`; yields its address."""
    script = str(Path(__file__).with_name("endpoint.py"))
    process = subprocess.Popen([sys.executable, script, json.dumps(behaviour)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def figures(address: str, what: str = "figures") -> dict[str, Any]:
    with urlopen(f"{address}/{what}", timeout=30) as reply:  # a loopback address
        return json.load(reply)
