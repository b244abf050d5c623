"""Starting the sandbox workspace as a child process that never outlives its parent."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rowcall.core.errors import SetupError

_SECONDS_TO_START = 20.0
_SECONDS_TO_STOP = 5.0


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A running sandbox. `config_file` and `profile` are a login for the databricks-sdk."""

    host: str
    config_file: str
    profile: str
    process: "subprocess.Popen[str]" = field(repr=False)

    def stop(self) -> None:
        """Stop it and wait until it is gone; again is fine."""
        _stop(self.process)

    def wait(self) -> None:
        """Wait until it ends by itself."""
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_sandbox(home: Path, upstream: str | None = None, token_ttl: float = 3600, port: int = 0) -> SandboxProcess:
    """Start a sandbox over the folder `home`; raises `SetupError` with what it said if it does not come up.

    Ctrl-C does not reach it: whoever started it stops it, or it stops when this process is gone.
    """
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "rowcall.sandbox", "--until-stdin-closes"]
    command += ["--home", str(home), "--token-ttl", str(token_ttl), "--port", str(port)]
    command += [] if upstream is None else ["--upstream", upstream]
    log = home / "sandbox.log"
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 (this package's own module, no shell)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        ready = json.loads(_first_line(process))
        return SandboxProcess(ready["host"], ready["config_file"], ready["profile"], process)
    except ValueError:
        _stop(process)
        said = log.read_text(errors="replace").strip()[-2000:] or "it said nothing"
        raise SetupError(f"the sandbox workspace did not start within {_SECONDS_TO_START:.0f} s: {said}") from None
    except BaseException:
        _stop(process)
        raise


def _first_line(process: "subprocess.Popen[str]") -> str:
    """The child's first line, or nothing if it ends or takes too long."""
    lines: list[str] = []
    output = process.stdout
    if output is not None:
        reader = threading.Thread(target=lambda: lines.append(output.readline()), daemon=True)
        reader.start()
        reader.join(_SECONDS_TO_START)
    return lines[0] if lines else ""


def _stop(process: "subprocess.Popen[str]") -> None:
    """Close its input, which ends it; insist if it does not."""
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
