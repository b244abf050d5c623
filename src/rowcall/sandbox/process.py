"""The sandbox workspace as a child process."""

import configparser
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rowcall.sandbox.child import Child, start_child, stop_child
from rowcall.sandbox.databricks_sql.serving import Serving


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A running sandbox. `config_file` and `profile` are a login for the databricks-sdk."""

    host: str
    config_file: str
    profile: str
    process: Child = field(repr=False)

    def serving(self) -> Serving:
        """What `ai_query` on an embedded lakehouse of one's own asks."""
        logins = configparser.ConfigParser(interpolation=None)
        logins.read(self.config_file)
        return Serving(self.host, logins[f"{self.profile}-pat"]["token"])

    def stop(self) -> None:
        """Stop it and wait until it is gone; again is fine."""
        stop_child(self.process)

    def wait(self) -> None:
        """Wait until it ends by itself."""
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_sandbox(
    home: Path,
    upstream: str | None = None,
    token_ttl: float = 3600,
    port: int = 0,
    lakehouse: Path | None = None,
    login: Path | None = None,
) -> SandboxProcess:
    """Start a sandbox over the folder `home`; raises `SetupError` with what it said if it does not come up.

    `lakehouse` is the folder of its SQL warehouse's tables, `home/lakehouse` unless given; `login` is where its login is
    written, `home` unless given: two sandboxes that share files do not share that.
    Ctrl-C does not reach it: whoever started it stops it, or it stops when this process is gone.
    """
    home.mkdir(parents=True, exist_ok=True)
    arguments = ["--until-stdin-closes", "--home", str(home.absolute())]
    arguments += ["--token-ttl", str(token_ttl), "--port", str(port)]
    arguments += [] if upstream is None else ["--upstream", upstream]
    arguments += [] if lakehouse is None else ["--lakehouse", str(lakehouse.absolute())]
    arguments += [] if login is None else ["--login", str(login.absolute())]
    process, ready = start_child("the sandbox workspace", "rowcall.sandbox", arguments, home / "sandbox.log")
    return SandboxProcess(ready["host"], ready["config_file"], ready["profile"], process)
