"""Commands that look at runs that were, and steer one that goes on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rowcall.cli_options import (
    HOME,
    RUNS_TABLE,
    Home,
    Json,
    Limit,
    Profile,
    RunsTable,
    UseSandbox,
    Warehouse,
    errors,
    options_of,
    print_json,
    terminal,
)
from rowcall.core.control import Command
from rowcall.core.shown import clean

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run id, or its beginning.")]


class Action(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CONCURRENCY = "concurrency"
    STOP = "stop"


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
    from rowcall import console, history

    with errors():
        found = history.runs(table, job=job, limit=limit, options=options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json(found)
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
        shown = [{**row, "status": "cut off" if row["alive"] is False else row["status"]} for row in found]
        console.print_rows(terminal(), shown, columns)
        if shown != found:
            typer.echo(
                "\nWhat was cut off is no more; the next run of the job publishes what it left, and says how it went."
            )
    else:
        typer.echo(f"{table} has no run{f' of job {job}' if job else ''}.")


def show(
    run_id: RunId,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show one run."""
    from rowcall import console, history

    with errors():
        row = history.find_run(table, run_id, options=options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json(row)
    else:
        console.print_run(terminal(), row)


def failures(
    run_id: RunId,
    table: RunsTable = RUNS_TABLE,
    limit: Limit = 50,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """List a run's rows that have no ok answer, and why."""
    from rowcall import console, history
    from rowcall.core.run_text import no_failures

    with errors():
        options = options_of(home, profile, sandbox, warehouse)
        run, listed = history.failures_of(table, run_id, limit=limit + 1, options=options)
    found = listed[:limit]
    if as_json:
        print_json(found)
    elif found:
        keys = list(found[0])[: list(found[0]).index("answer")]
        console.print_rows(terminal(), found, (*keys, "outcome", "error", "attempts"))
    else:
        typer.echo(clean(no_failures(run)))
    if len(listed) > limit:
        typer.echo(f"There are more than these {limit:,}; --limit lists more.", err=as_json)


def report(
    run_id: RunId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; <run id>.html by default.", show_default=False),
    ] = None,
    show_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Write the report of a run: one HTML page that needs no network."""
    from rowcall import history

    with errors():
        path = history.report(table, run_id, output, options=options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(f"wrote {path}")
    if show_it:
        typer.launch(path.absolute().as_uri())


def trace(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The name of a job.")],
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The row's key, a=1,b=2 if it has several columns; or a trace id.")
    ],
    full: Annotated[bool, typer.Option("--full", help="Show all that the spans carry, texts whole.")] = False,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show what happened to one row: its call, waits, attempts, and what the agent did."""
    from rowcall import console_trace, history

    with errors():
        options = options_of(home, profile, sandbox, warehouse)
        story = history.trace(table, job, key, full=full, options=options)
    if as_json:
        print_json(story.as_json())
    else:
        console_trace.print_story(terminal(), story, full=full)


def ctl(
    run_id: RunId,
    action: Annotated[
        Action | None, typer.Argument(help="Without one, only show how far it is.", show_default=False)
    ] = None,
    calls: Annotated[
        int | None, typer.Argument(metavar="N", help="How many calls, for concurrency.", min=1, show_default=False)
    ] = None,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Steer a run that goes on: pause, resume, concurrency N, stop. Its tasks obey within a flush."""
    from rowcall import console, history

    command = _command(action, calls)
    with errors():
        state = history.control(table, run_id, command, options=options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json(state.as_json())
    else:
        console.print_state(terminal(), state)


def _command(action: Action | None, calls: int | None) -> Command | None:
    if (action is Action.CONCURRENCY) != (calls is not None):
        raise typer.BadParameter("concurrency, and nothing else, takes a number of calls", param_hint="ACTION")
    match action:
        case Action.PAUSE:
            return "pause"
        case Action.RESUME:
            return "resume"
        case Action.STOP:
            return "stop"
        case _:
            return calls
