"""What the commands share: their options, errors as messages with an exit code, where they print."""

import shlex
import signal
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rowcall.core.errors import DefinitionError, RowcallError, TerminatedError
from rowcall.core.shown import clean, json_line

if TYPE_CHECKING:
    from rich.console import Console

    from rowcall.api import LoadedJob
    from rowcall.wiring import Options

OK, FAILED, WRONG_DEFINITION, ROWS_FAILED = 0, 1, 2, 3
RUNS_TABLE = "main.rowcall.runs"

JobFile = Annotated[Path, typer.Argument(help="A job definition, e.g. jobs/text_insight.yml.", show_default=False)]
Variables = Annotated[
    list[str] | None, typer.Option("--var", "-v", metavar="NAME=VALUE", help="Fills ${NAME} in the job.")
]
Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="NAME=VALUE", help="Kept in the run's row: what started it, such as a job's id."),
]
Profile = Annotated[str | None, typer.Option(help="A profile of ~/.databrickscfg to log in with.")]
UseSandbox = Annotated[
    bool, typer.Option("--sandbox", help="Ask the agents of the local sandbox, whatever is configured.")
]
Warehouse = Annotated[
    str | None,
    typer.Option(help="Run the SQL on this SQL warehouse (its id) instead of a Spark; `sandbox` in the sandbox."),
]
Upstream = Annotated[str | None, typer.Option(help="An OpenAI-compatible URL behind the sandbox's agent `upstream`.")]
Home = Annotated[Path, typer.Option(help="Folder of the embedded lakehouse, the sandbox and the journals.")]
OneEndpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="NAME", help="Only this one of the job's `endpoints`.")
]
OnlyNew = Annotated[bool, typer.Option("--only-new", help="Keep ok answers to earlier versions of a request.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON line, last, for machines.")]
RunsTable = Annotated[str, typer.Option("--table", help="The runs table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many rows at the most.")]
HOME = Path(".rowcall")


@contextmanager
def errors() -> Generator[None]:
    """A person's mistake becomes a message and an exit code, not a traceback."""
    before = signal.signal(signal.SIGTERM, _terminated) if current_thread() is main_thread() else None
    try:
        yield
    except KeyboardInterrupt:
        _fail("interrupted; no answer that was kept is lost, and the same command goes on from there", FAILED)
    except DefinitionError as error:
        _fail(str(error), WRONG_DEFINITION)
    except RowcallError as error:
        _fail(f"rowcall: {error}", FAILED)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminated(*_: object) -> NoReturn:
    """A cancelled job stops like one that was interrupted, only faster. To be told once more does not hurry it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TerminatedError


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(clean(message), err=True)
    raise SystemExit(code)


def options_of(
    home: Path,
    profile: str | None = None,
    sandbox: bool = False,
    warehouse: str | None = None,
    upstream: str | None = None,
) -> "Options":
    from rowcall.wiring import Options

    return Options(home=home, profile=profile, sandbox=sandbox, upstream=upstream, warehouse=warehouse)


def where_said(home: Path, profile: str | None, sandbox: bool, warehouse: str | None) -> str:
    """The options that say where tables are, as they stand in a command; they begin with a space."""
    given = {"--profile": profile, "--warehouse": warehouse, "--home": str(home) if home != HOME else None}
    return " --sandbox" * sandbox + _said(given.items())


def runs_said(loaded: "LoadedJob") -> str:
    """The option that names the runs table of a job, where that is not the usual one; it begins with a space."""
    from rowcall.core import sql
    from rowcall.core.plan import tables_beside

    table = sql.bare_name(tables_beside(loaded.definition)[1])
    return _said([("--table", table if table != RUNS_TABLE else None)])


def variables_said(loaded: "LoadedJob", variables: Sequence[str] | None) -> list[str]:
    """What was given for `--var`, as it may be shown: a variable may be a part of prompts, which not every job wants in a log."""
    if loaded.definition.traces.content != "none":
        return list(variables or ())
    return [f"{pair.partition('=')[0]}=…" for pair in variables or ()]


def run_said(
    job: Path,
    where: str,
    variables: Sequence[str] | None = None,
    endpoint: str | None = None,
    *,
    only_new: bool = False,
    upstream: str | None = None,
) -> str:
    """The command that asks the rest of a job, `where` its tables are."""
    given = [*(("--var", pair) for pair in variables or ()), ("--endpoint", endpoint), ("--upstream", upstream)]
    return f"rowcall run {shlex.quote(str(job))}{_said(given)}{' --only-new' * only_new}{where}"


def _said(given: Iterable[tuple[str, str | None]]) -> str:
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given if value is not None)


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """What was given as NAME=VALUE, again and again."""
    found: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, not {pair!r}", param_hint=option)
        found[name] = value
    return found


def each_of(job: Path, variables: Sequence[str] | None, endpoint: str | None) -> "Sequence[LoadedJob]":
    """The job for each of its endpoints, or for the one that is named."""
    loaded = load(job, variables)
    return loaded.each() if endpoint is None else [loaded.asking(endpoint)]


def load(job: Path, variables: Sequence[str] | None) -> "LoadedJob":
    from rowcall import api

    return api.load_job(job, pairs(variables, "--var"))


def terminal(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    # Into a pipe or a log, lines are as long as they are.
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if terminal else 200)


def print_json(value: object) -> None:
    sys.stdout.write(json_line(value) + "\n")
