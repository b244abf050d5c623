"""Commands for a run that is cut into shards: what each is, and one of them."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rowcall.cli_options import (
    FAILED,
    HOME,
    Home,
    JobFile,
    Json,
    OneEndpoint,
    Profile,
    UseSandbox,
    Variables,
    Warehouse,
    each_of,
    errors,
    options_of,
    print_json,
    terminal,
)
from rowcall.core.limits import MOST_SHARDS

if TYPE_CHECKING:
    from rowcall.core.rates import Rates
    from rowcall.core.shards import Cut
    from rowcall.shard import Asked

JobRun = Annotated[
    str | None,
    typer.Option(
        "--job-run",
        metavar="ID",
        help="What a run and its shards have in common; on Databricks {{job.run_id}}-{{job.repair_count}}.",
    ),
]
Shards = Annotated[
    int | None,
    typer.Option(min=2, max=MOST_SHARDS, metavar="N", help="Leave the asking to N shards, each a `rowcall shard`."),
]
Patience = Annotated[
    str, typer.Option(metavar="TIME", help="How long a run and its shards wait for one another, e.g. 90s or 15m.")
]
FIFTEEN_MINUTES = "15m"


def cut_of(shards: int, job_run: str | None, patience: str) -> "Cut":
    """What a run and its shards agree on. Raises `typer.BadParameter`."""
    from pydantic import TypeAdapter, ValidationError

    from rowcall import __version__
    from rowcall.core.definition.fields import Seconds
    from rowcall.core.shards import Cut

    if not job_run:
        raise typer.BadParameter("a run and its shards need one, the same", param_hint="--job-run")
    try:
        return Cut(shards, job_run, __version__, TypeAdapter(Seconds).validate_python(patience))
    except ValidationError as error:
        said = "expected a time such as 90s, 15m or 1h"
        raise typer.BadParameter(f"{said}, not {patience!r}", param_hint="--patience") from error


def shard(
    job: JobFile,
    number: Annotated[str, typer.Argument(metavar="I/N", help="Which shard of how many: 3/8.", show_default=False)],
    job_run: JobRun = None,
    patience: Patience = FIFTEEN_MINUTES,
    var: Variables = None,
    endpoint: OneEndpoint = None,
    as_json: Json = False,
    profile: Profile = None,
    sandbox: UseSandbox = False,
    warehouse: Warehouse = None,
    home: Home = HOME,
) -> None:
    """Ask one shard's rows of a run that `rowcall run --shards N` has begun, or begins soon."""
    from rowcall import api, console
    from rowcall.core.shards import read_shard

    try:
        cut = cut_of(read_shard(number).of, job_run, patience)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="I/N") from error
    out, left = terminal(stderr=as_json), False
    with errors(), console.LiveReporter(out) as reporter:
        options = options_of(home, profile, sandbox, warehouse)
        for one in each_of(job, var, endpoint):
            asked = api.shard(one, number, cut, options=options, reporter=reporter)
            out.print(console.plain(_said(asked)))
            if as_json:
                print_json(asked.as_json())
            left = asked.status == "left"
            if asked.status != "done":
                break
    if left:
        raise typer.Exit(FAILED)


def shards(
    job: JobFile,
    count: Annotated[
        int, typer.Argument(metavar="N", min=2, max=MOST_SHARDS, help="Into how many shards.", show_default=False)
    ],
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Show what each of N shards may have in flight and use in a minute, and what a for_each task takes as inputs. Needs no
    workspace."""
    from rowcall import api, console
    from rowcall.core.engine_plan import most_of, rates_of
    from rowcall.core.shards import shards_of, share_of

    with errors():
        first = each_of(job, var, None)[0]
        engine = api.engine_to_cut(first)
    inputs = [str(one) for one in shards_of(count)]
    whole = {"calls in flight": most_of(engine), **_rates_shown(rates_of(engine))}
    share = share_of(most_of(engine), rates_of(engine), count)
    part = {"calls in flight": share.concurrency, **_rates_shown(share.rates)}
    if as_json:
        limits = {name.replace(" ", "_"): most for name, most in part.items()}
        print_json({"inputs": inputs, "shards_with_calls": share.shards, **limits})
        return
    each = f"each of {share.shards} shards"
    rows = [{"limit": name, "the run": most, each: f"{part[name]:g}"} for name, most in whole.items()]
    typer.echo(f"inputs: {json.dumps(inputs)}")
    console.print_rows(terminal(), rows, ("limit", "the run", each))
    if share.shards < count:
        typer.echo(f"The other {count - share.shards} have nothing to do: there are no more calls to share.")


def _rates_shown(rates: "Rates") -> dict[str, float]:
    """The rates that there are, in words."""
    return {f"{name.replace('_', ' ')} per minute": most for name, most in asdict(rates).items() if most is not None}


def _said(asked: "Asked") -> str:
    mark = {"done": "✔", "stopped": "■", "left": "✘"}[asked.status]
    counts = f"{asked.asked:,} asked · {asked.ok:,} ok · {asked.failed:,} failed"
    return (
        f"{mark} shard {asked.shard} of run {asked.run_id} · {counts}{f' · {asked.message}' if asked.message else ''}"
    )
