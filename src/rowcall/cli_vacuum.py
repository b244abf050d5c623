"""The command that removes what runs have left."""

from pathlib import Path
from typing import Annotated

import typer

from rowcall.cli_options import (
    FAILED,
    HOME,
    RUNS_TABLE,
    Home,
    Json,
    Profile,
    RunsTable,
    UseSandbox,
    Variables,
    Warehouse,
    errors,
    load,
    options_of,
    print_json,
    terminal,
)


def vacuum(
    jobs: Annotated[list[Path] | None, typer.Argument(help="Job definitions.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every job in the runs table.")] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="What is younger stays: 7d, 12h; at least an hour.")
    ] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; show what would go.")] = False,
    optimize: Annotated[bool, typer.Option(help="Have the platform compact the tables, where it does that.")] = True,
    delta: Annotated[
        bool, typer.Option("--delta", help="VACUUM the tables, too: their versions of more than a week ago are gone.")
    ] = False,
    var: Variables = None,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Remove what runs have left and nobody needs, and traces and runs that a job keeps no longer."""
    from rowcall import console_vacuum, housekeeping

    if bool(jobs) == every:
        raise typer.BadParameter("give job definitions, or --all for every job in the runs table", param_hint="JOBS")
    with errors():
        loaded = None if every else [load(job, var) for job in jobs or ()]
        found = housekeeping.vacuum(
            loaded,
            table=table,
            older_than=older_than,
            dry_run=dry_run,
            optimize=optimize,
            delta=delta,
            options=options_of(home, profile, sandbox, warehouse),
        )
    if as_json:
        print_json(found)
    else:
        console_vacuum.print_vacuum(terminal(), found)
    if any(row["state"] == "failed" for row in found):
        raise typer.Exit(FAILED)
