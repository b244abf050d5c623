"""A child process that says when it is ready, and never outlives its parent."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from rowcall.core.errors import SetupError

_SECONDS_TO_START = 30.0
_SECONDS_TO_STOP = 5.0

Child = subprocess.Popen[str]


def start_child(
    what: str, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> tuple[Child, dict[str, str]]:
    """Start `python -m module`; returns it with the JSON object it prints when it is ready.

    The child ends when its standard input closes, so also when this process is killed. Ctrl-C does not reach it: it has
    a session of its own. Raises `SetupError` with what it said on `log` if it does not come up; `what` names it there.
    """
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 (this package's own module, no shell)
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=None if environment is None else dict(environment),
        )
    try:
        return process, json.loads(_first_line(process))
    except ValueError:
        stop_child(process)
        said = log.read_text(errors="replace").strip()[-2000:] or "it said nothing"
        raise SetupError(f"{what} did not start: {said}") from None
    except BaseException:
        stop_child(process)
        raise


def stop_child(process: Child) -> None:
    """Close its input, which ends it; insist if it does not. Again is fine."""
    if process.stdin is not None:
        process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            process.wait(_SECONDS_TO_STOP)
            break
        except subprocess.TimeoutExpired:
            insist()
    process.wait()
    # Only now: closing it under a reading thread would wait for the child's next line.
    if process.stdout is not None:
        process.stdout.close()


def _first_line(process: Child) -> str:
    """The child's first line, or nothing if it ends or takes too long."""
    lines: list[str] = []
    output = process.stdout
    if output is not None:
        reader = threading.Thread(target=lambda: lines.append(output.readline()), daemon=True)
        reader.start()
        reader.join(_SECONDS_TO_START)
    return lines[0] if lines else ""
