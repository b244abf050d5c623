"""Commands on what runs cost and how their answers differ."""

from dataclasses import asdict
from typing import Annotated

import typer

from rowcall.cli_options import (
    HOME,
    RUNS_TABLE,
    Home,
    Json,
    Profile,
    RunsTable,
    UseSandbox,
    Warehouse,
    errors,
    options_of,
    print_json,
    terminal,
)

_SIDE = "A run id or its beginning, JOB:ENDPOINT, or a job."


def costs(
    job: Annotated[str | None, typer.Argument(help="Only this job.", show_default=False)] = None,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Show what each job has cost so far, by endpoint and currency."""
    from rowcall import console_compare, history

    with errors():
        found = history.costs(table, job=job, options=options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json(found)
    elif found:
        console_compare.print_costs(terminal(), found)
    else:
        typer.echo(f"{table} has no run{f' of job {job}' if job else ''} that asked anything.")


def compare(
    one: Annotated[str, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    other: Annotated[
        str | None,
        typer.Argument(metavar="B", help="Another; without it A is a job with two endpoints.", show_default=False),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="How many rows that differ are shown.")] = 5,
    table: RunsTable = RUNS_TABLE,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Compare two runs, two endpoints of a job, or two jobs: agreement, outcomes, latency, tokens, cost."""
    from rowcall import console_compare, history

    with errors():
        options = options_of(home, profile, sandbox, warehouse)
        found = history.compare(table, one, other, examples=examples, options=options)
    if as_json:
        print_json(asdict(found))
    else:
        console_compare.print_comparison(terminal(), found)
