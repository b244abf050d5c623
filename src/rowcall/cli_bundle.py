"""Commands on a bundle."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rowcall.cli_options import FAILED, Json, errors, print_json, terminal
from rowcall.core.shown import clean

app = typer.Typer(help="Look at a Declarative Automation Bundle.", no_args_is_help=True)


@app.callback()
def _bundle() -> None:
    """Keeps `check` a command of its own."""


@app.command()
def check(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where databricks.yml is.")] = Path(),
    wheel: Annotated[bool, typer.Option(help="Build the wheels and install each into an empty environment.")] = True,
    as_json: Json = False,
) -> None:
    """Build the bundle for each target as the Databricks CLI does, and look for all that it refers to. Needs no workspace.

    This runs code that the bundle brings, as a deployment does: the Python that it names and, unless --no-wheel is given, the
    commands that build its wheels, and the wheels. Read a bundle that is not yours before you check it."""
    from rowcall import console
    from rowcall.bundle.check import check as check_bundle

    out = terminal(stderr=as_json)
    command = context.find_root().command
    with errors(), console.LiveReporter(out) as reporter:
        found = check_bundle(folder, lambda given: refused(command, given), wheel=wheel, step=reporter.step)
    if as_json:
        jobs = {target: sorted(made.get("jobs", {})) for target, made in found.resources.items()}
        problems = [str(problem) for problem in found.problems]
        print_json({"jobs": jobs, "missing": found.missing, "wheels": found.wheels, "problems": problems})
    else:
        for problem in found.problems:
            typer.echo(clean(str(problem)), err=True)
        console.print_bundle(out, found)
    raise typer.Exit(FAILED if found.problems else 0)


def refused(command: Any, arguments: list[str]) -> str | None:
    """What is wrong with arguments of the command line, if anything; nothing is run."""
    commands = getattr(command, "commands", {})
    if not arguments or arguments[0] not in commands:
        return f"there is no command {arguments[0]!r}" if arguments else "it names no command"
    try:
        commands[arguments[0]].make_context(arguments[0], arguments[1:])
    except Exception as error:
        # Typer raises Click's errors, or those of a Click of its own.
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())  # type: ignore[attr-defined]
    return None
