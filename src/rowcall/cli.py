"""The command line: arguments, text, exit codes. What it does is in `api`; how it looks in `console`.

Exit codes: 0 all answered · 1 the run failed or stopped · 2 the job definition is wrong · 3 rows failed.
"""

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated

import typer

from rowcall import __version__, cli_bundle, cli_compare, cli_doctor, cli_runs, cli_shards, cli_vacuum
from rowcall.cli_options import (
    FAILED,
    HOME,
    OK,
    ROWS_FAILED,
    WRONG_DEFINITION,
    Context,
    Home,
    JobFile,
    Json,
    Limit,
    OneEndpoint,
    OnlyNew,
    Profile,
    Upstream,
    UseSandbox,
    Variables,
    Warehouse,
    each_of,
    errors,
    load,
    options_of,
    pairs,
    print_json,
    run_said,
    runs_said,
    terminal,
    variables_said,
    where_said,
)
from rowcall.core.errors import DefinitionError
from rowcall.core.shown import clean

if TYPE_CHECKING:
    from rowcall.core.report import RunRow

app = typer.Typer(
    help="Put prompts in a table and get every answer back, once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(cli_bundle.app, name="bundle")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(f"rowcall {__version__}")
        raise typer.Exit


@app.command()
def run(
    job: JobFile,
    var: Variables = None,
    endpoint: OneEndpoint = None,
    only_new: OnlyNew = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Ask no more rows than this, spread over the table.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another run of the job that goes on.")] = False,
    shards: cli_shards.Shards = None,
    job_run: cli_shards.JobRun = None,
    patience: cli_shards.Patience = cli_shards.FIFTEEN_MINUTES,
    context: Context = None,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    upstream: Upstream = None,
    home: Home = HOME,
) -> None:
    """Ask every row that has no answer yet; write answers and traces."""
    from rowcall import api, console
    from rowcall.adapters.runtime import set_task_values

    out, code, started_by = terminal(stderr=as_json), OK, pairs(context, "--context")
    cut = None if shards is None else cli_shards.cut_of(shards, job_run, patience)
    where = where_said(home, profile, sandbox, warehouse)
    with errors(), console.LiveReporter(out) as reporter:
        options = options_of(home, profile, sandbox, warehouse, upstream)
        for one in each_of(job, var, endpoint):
            row = api.run(
                one,
                only_new=only_new,
                limit=limit,
                wait=wait,
                cut=cut,
                context=started_by,
                options=options,
                reporter=reporter,
            ).row
            given = variables_said(one, var)
            again = run_said(job, where, given, endpoint, only_new=only_new, upstream=upstream)
            console.print_summary(out, row, again, runs_said(one) + where)
            set_task_values({f"rowcall_{one.label}" if one.label else "rowcall": row.as_json()})
            if as_json:
                print_json(row.as_json())
            if row.status != "done":
                raise typer.Exit(_exit_code(row))
            code, wait = max(code, _exit_code(row)), True
    raise typer.Exit(code)


@app.command()
def plan(
    job: JobFile,
    var: Variables = None,
    endpoint: OneEndpoint = None,
    only_new: OnlyNew = False,
    pilot: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="First ask N rows for real, spread over the table, and plan with what they tell."
        ),
    ] = None,
    sql: Annotated[bool, typer.Option("--sql/--no-sql", help="Show every statement.")] = True,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show what a run would do, why, and what it will take; writes nothing but the answers of a pilot."""
    from rowcall import api, console

    out = terminal(stderr=as_json)
    where = where_said(home, profile, sandbox, warehouse)
    with errors(), console.LiveReporter(out) as reporter:
        options = options_of(home, profile, sandbox, warehouse)
        for one in each_of(job, var, endpoint):
            if pilot is not None:
                asked = api.run(one, only_new=only_new, limit=pilot, options=options, reporter=reporter).row
                again = run_said(job, where, variables_said(one, var), endpoint, only_new=only_new)
                console.print_summary(out, asked, again, runs_said(one) + where)
                if asked.status != "done":
                    raise typer.Exit(_exit_code(asked))
            planned = api.plan(one, only_new=only_new, options=options)
            if as_json:
                print_json(console.plan_json(planned))
            else:
                console.print_plan(out, planned, statements=sql, pilot=pilot is not None)


@app.command("sql")
def print_sql(
    job: JobFile,
    var: Variables = None,
    endpoint: OneEndpoint = None,
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

    with errors():
        options = options_of(home, profile, sandbox, warehouse)
        for one in each_of(job, var, endpoint):
            made = api.plan(one, only_new=only_new, options=options).plan
            if as_json:
                print_json([{"name": name, "sql": text} for name, text in statements_of(made)])
            else:
                typer.echo(clean(console.script(statements_of(made))))


@app.command()
def preview(
    job: JobFile,
    var: Variables = None,
    endpoint: OneEndpoint = None,
    limit: Limit = 3,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show rendered requests; asks nothing."""
    from rowcall import api, console

    with errors():
        options = options_of(home, profile, sandbox, warehouse)
        first = each_of(job, var, endpoint)[0]
        rows = api.plan(first, preview_rows=limit, options=options).preview
    if as_json:
        print_json([dict(row) for row in rows])
    else:
        console.print_preview(terminal(), rows)


@app.command()
def validate(
    jobs: Annotated[list[Path], typer.Argument(help="Job definitions.", show_default=False)],
    var: Variables = None,
) -> None:
    """Check job definitions: every mistake, with its line. Needs no workspace."""
    problems: list[str] = []
    for job in jobs:
        try:
            loaded = load(job, var)
            typer.echo(f"{job}: {loaded.definition.job} is fine")
        except DefinitionError as error:
            problems.append(str(error))
    for problem in problems:
        typer.echo(clean(problem), err=True)
    raise typer.Exit(WRONG_DEFINITION if problems else OK)


for _command_on_runs in (
    cli_runs.runs,
    cli_runs.show,
    cli_runs.failures,
    cli_runs.report,
    cli_runs.trace,
    cli_runs.ctl,
    cli_compare.costs,
    cli_compare.compare,
    cli_shards.shard,
    cli_shards.shards,
    cli_doctor.doctor,
    cli_vacuum.vacuum,
):
    app.command()(_command_on_runs)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
    upstream: Upstream = None,
    home: Home = HOME,
) -> None:
    """Start the local workspace: OAuth, serving endpoints, apps, files, a SQL warehouse. Ctrl-C stops it."""
    from rowcall.sandbox.process import start_sandbox

    with errors(), start_sandbox(home / "sandbox", upstream, port=port, lakehouse=home / "lakehouse") as started:
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

    _print_or_write(job_schema(), output)


@app.command()
def dashboard(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
) -> None:
    """Print the dashboard over all runs, for Databricks (.lvdash.json)."""
    from rowcall.adapters.packaged import sql_texts
    from rowcall.core import dashboard as core

    _print_or_write(core.dashboard(sql_texts()), output)


def _print_or_write(text: str, output: Path | None) -> None:
    from rowcall.adapters.whole_file import write_whole

    if output is None:
        typer.echo(text, nl=False)
    else:
        with errors():
            write_whole(output, text)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")] = Path()) -> None:
    """Start a project: a job to change, a bundle, tests against the sandbox, continuous integration."""
    from rowcall import project

    with errors():
        written = project.start_project(folder)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(
        f"\nnext: cd {folder}   ·   rowcall run {project.JOB} --sandbox   ·   edit the job, run again   ·   rowcall bundle check"
    )


@app.command("demo")
def run_demo(home: Home = HOME) -> None:
    """Fill a prompt table with real texts and have it answered by both engines, all on this machine."""
    from rowcall import console, demo

    out = terminal()
    with errors(), console.LiveReporter(out) as reporter:
        shown = demo.run_demo(home, reporter)
    where, in_sql = (where_said(home, None, True, warehouse) for warehouse in (None, demo.WAREHOUSE))
    console.print_summary(out, shown.row, run_said(shown.job_file, where), where)
    console.print_summary(out, shown.sql_row, run_said(shown.sql_job_file, in_sql), where)
    console.print_demo(out, shown, _command(), where)
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
