"""The command line: arguments, text, exit codes. What it does is in `api`; how it looks in `console`.

Exit codes: 0 all answered · 1 the run failed or stopped · 2 the job definition is wrong · 3 rows failed.
"""

import io
import json
import logging
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rowcall import __version__
from rowcall.core.errors import DefinitionError, RowcallError, TerminatedError

if TYPE_CHECKING:
    from rich.console import Console

    from rowcall.api import LoadedJob
    from rowcall.core.report import RunRow
    from rowcall.wiring import Options

OK, FAILED, WRONG_DEFINITION, ROWS_FAILED = 0, 1, 2, 3
RUNS_TABLE = "main.rowcall.runs"

app = typer.Typer(
    help="Put prompts in a table and get every answer back, once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JobFile = Annotated[Path, typer.Argument(help="A job definition, e.g. jobs/text_insight.yml.", show_default=False)]
Variables = Annotated[
    list[str] | None, typer.Option("--var", "-v", metavar="NAME=VALUE", help="Fills ${NAME} in the job.")
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
OnlyNew = Annotated[bool, typer.Option("--only-new", help="Keep ok answers to earlier versions of a request.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON line, last, for machines.")]
RunsTable = Annotated[str, typer.Option("--table", help="The runs table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many rows at the most.")]
HOME = Path(".rowcall")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(f"rowcall {__version__}")
        raise typer.Exit


@app.command()
def run(
    job: JobFile,
    var: Variables = None,
    only_new: OnlyNew = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another run of the job that goes on.")] = False,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    upstream: Upstream = None,
    home: Home = HOME,
) -> None:
    """Ask every row that has no answer yet; write answers and traces."""
    from rowcall import api, console

    out = _console(stderr=as_json)
    with _errors(), console.LiveReporter(out) as reporter:
        loaded = _load(job, var)
        options = _options(home, profile, sandbox, warehouse, upstream)
        row = api.run(loaded, only_new=only_new, wait=wait, options=options, reporter=reporter)
    console.print_summary(out, row, str(job))
    if as_json:
        _print_json(row.as_json())
    raise typer.Exit(_exit_code(row))


@app.command()
def plan(
    job: JobFile,
    var: Variables = None,
    only_new: OnlyNew = False,
    sql: Annotated[bool, typer.Option("--sql/--no-sql", help="Show every statement.")] = True,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show what a run would do, and why; writes nothing."""
    from rowcall import api, console

    with _errors():
        options = _options(home, profile, sandbox, warehouse)
        made, preview = api.plan(_load(job, var), only_new=only_new, options=options)
    if as_json:
        _print_json(console.plan_json(made, preview))
    else:
        console.print_plan(_console(), made, preview, statements=sql)


@app.command("sql")
def print_sql(
    job: JobFile,
    var: Variables = None,
    only_new: OnlyNew = False,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Print the statements that a run would send, as a script; writes nothing."""
    from rowcall import api, console
    from rowcall.core.listing import statements_of

    with _errors():
        options = _options(home, profile, sandbox, warehouse)
        made, _ = api.plan(_load(job, var), only_new=only_new, options=options)
    if as_json:
        _print_json([{"name": name, "sql": text} for name, text in statements_of(made)])
    else:
        typer.echo(console.clean(console.script(statements_of(made))))


@app.command()
def preview(
    job: JobFile,
    var: Variables = None,
    limit: Limit = 3,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show rendered requests; asks nothing."""
    from rowcall import api, console

    with _errors():
        options = _options(home, profile, sandbox, warehouse)
        _, rows = api.plan(_load(job, var), preview_rows=limit, options=options)
    if as_json:
        _print_json([dict(row) for row in rows])
    else:
        console.print_preview(_console(), rows)


@app.command()
def validate(
    jobs: Annotated[list[Path], typer.Argument(help="Job definitions.", show_default=False)],
    var: Variables = None,
) -> None:
    """Check job definitions: every mistake, with its line. Needs no workspace."""
    problems: list[str] = []
    for job in jobs:
        try:
            loaded = _load(job, var)
            typer.echo(f"{job}: {loaded.definition.job} is fine")
        except DefinitionError as error:
            problems.append(str(error))
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(WRONG_DEFINITION if problems else OK)


@app.command()
def runs(
    job: Annotated[str | None, typer.Argument(help="Only runs of this job.", show_default=False)] = None,
    table: RunsTable = RUNS_TABLE,
    limit: Limit = 20,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """List runs, newest first."""
    from rowcall import api, console

    with _errors():
        found = api.runs(table, job=job, limit=limit, options=_options(home, profile, sandbox, warehouse))
    if as_json:
        _print_json(found)
    elif found:
        columns = (
            "run_id",
            "job",
            "status",
            "source_rows",
            "asked",
            "ok",
            "failed",
            "started_at",
            "endpoint",
        )
        console.print_rows(_console(), found, columns)
    else:
        typer.echo(f"{table} has no run{f' of job {job}' if job else ''}.")


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or its beginning.")],
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show one run."""
    from rowcall import api, console

    with _errors():
        row = api.find_run(table, run_id, options=_options(home, profile, sandbox, warehouse))
    if as_json:
        _print_json(row)
    else:
        console.print_rows(
            _console(),
            [{"": name, " ": value} for name, value in row.items() if value not in (None, {}, "")],
            ("", " "),
        )


@app.command()
def failures(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or its beginning.")],
    table: RunsTable = RUNS_TABLE,
    limit: Limit = 50,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """List a run's rows that have no ok answer, and why."""
    from rowcall import api, console

    with _errors():
        found = api.failures(table, run_id, limit=limit, options=_options(home, profile, sandbox, warehouse))
    if as_json:
        _print_json(found)
    elif found:
        keys = list(found[0])[: list(found[0]).index("answer")]
        console.print_rows(_console(), found, (*keys, "outcome", "error", "attempts"))
    else:
        typer.echo(f"No row of run {run_id} is without an ok answer.")
        typer.echo("A row that failed but had an answer from an earlier run keeps it; such failures are in the traces.")


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
    upstream: Upstream = None,
    home: Home = HOME,
) -> None:
    """Start the local workspace: OAuth, serving endpoints, apps, files, a SQL warehouse. Ctrl-C stops it."""
    from rowcall.sandbox.process import start_sandbox

    with _errors(), start_sandbox(home / "sandbox", upstream, port=port, lakehouse=home / "lakehouse") as started:
        typer.echo(f"The sandbox workspace is at {started.host}. Log in to it with:\n")
        typer.echo(
            f"  export DATABRICKS_CONFIG_FILE={started.config_file} DATABRICKS_CONFIG_PROFILE={started.profile}\n"
        )
        typer.echo("Ctrl-C stops it.")
        with suppress(KeyboardInterrupt):
            started.wait()


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
) -> None:
    """Print the JSON schema of job definitions, for editors."""
    from rowcall.core.job_file.reader import job_schema

    if output is None:
        typer.echo(job_schema(), nl=False)
    else:
        output.write_text(job_schema(), encoding="utf-8")


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")] = Path()) -> None:
    """Start a project: a job to change, and the schema for your editor."""
    from rowcall import demo

    with _errors():
        written = demo.start_project(folder)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(
        f"\nnext: cd {folder} && rowcall demo   ·   rowcall plan {demo.JOB}   ·   edit the job, then rowcall run {demo.JOB}"
    )


@app.command("demo")
def run_demo(home: Home = HOME) -> None:
    """Fill a prompt table with real texts and have it answered by both engines, all on this machine."""
    from rowcall import console, demo

    out = _console()
    with _errors(), console.LiveReporter(out) as reporter:
        shown = demo.run_demo(home, reporter)
    for row in (shown.row, shown.sql_row):
        console.print_summary(out, row, str(shown.job_file))
    console.print_demo(out, shown, _command())
    raise typer.Exit(max(_exit_code(shown.row), _exit_code(shown.sql_row)))


def main() -> None:
    """The `rowcall` command. Returns when all went well: as the entry point of a Databricks wheel task it must not exit then."""
    # What the SDK has to say that matters comes back as an error.
    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as leaving:
        if leaving.code not in (None, OK):
            raise


@contextmanager
def _errors() -> Generator[None]:
    """A person's mistake becomes a message and an exit code, not a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except KeyboardInterrupt:
        _fail("interrupted; no answer that was kept is lost, and the same command goes on from there", FAILED)
    except DefinitionError as error:
        _fail(str(error), WRONG_DEFINITION)
    except RowcallError as error:
        _fail(f"rowcall: {error}", FAILED)


def _terminated(*_: object) -> NoReturn:
    """A cancelled job stops like one that was interrupted, only faster."""
    raise TerminatedError


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise SystemExit(code)


def _load(job: Path, variables: Sequence[str] | None) -> "LoadedJob":
    from rowcall import api

    given: dict[str, str] = {}
    for pair in variables or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, not {pair!r}", param_hint="--var")
        given[name] = value
    return api.load_job(job, given)


def _options(
    home: Path,
    profile: str | None = None,
    sandbox: bool = False,
    warehouse: str | None = None,
    upstream: str | None = None,
) -> "Options":
    from rowcall.wiring import Options

    return Options(home=home, profile=profile, sandbox=sandbox, upstream=upstream, warehouse=warehouse)


def _command() -> str:
    """How this command is called from here: `rowcall`, or the path to it where it is not on the PATH."""
    called = Path(sys.argv[0])
    if which("rowcall") or called.name != "rowcall":
        return "rowcall"
    return os.path.relpath(called)


def _exit_code(row: "RunRow") -> int:
    if row.status != "done":
        return FAILED
    return ROWS_FAILED if row.failed else OK


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    # Into a pipe or a log, lines are as long as they are.
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if terminal else 200)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
