"""The command that looks whether all is there that a run needs."""

from pathlib import Path
from typing import Annotated

import typer

from rowcall.cli_options import (
    FAILED,
    HOME,
    OK,
    WRONG_DEFINITION,
    Home,
    Json,
    Profile,
    UseSandbox,
    Variables,
    Warehouse,
    errors,
    options_of,
    pairs,
    print_json,
    terminal,
)
from rowcall.core.doctor.checks import State, worst

_CODES = {State.OK: OK, State.MISSING: FAILED, State.WRONG: WRONG_DEFINITION}


def doctor(
    job: Annotated[
        Path | None,
        typer.Argument(help="A job definition; without one, packages, login and workspace.", show_default=False),
    ] = None,
    var: Variables = None,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Check that all a run needs is there, and say what to do where it is not. Asks nothing that is paid; starts no warehouse."""
    from rowcall import api, console_doctor
    from rowcall import doctor as examination

    with errors():
        loaded = None if job is None else api.load_job(job, pairs(var, "--var"))
        checks = examination.examine(loaded, options_of(home, profile, sandbox, warehouse))
    if as_json:
        print_json([check.as_json() for check in checks])
    else:
        console_doctor.print_checks(terminal(), checks)
    raise typer.Exit(_CODES[worst(checks)])
