"""How the checks of `rowcall doctor` look in a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from rowcall.console import plain
from rowcall.core.doctor.checks import Check, State

_STYLES: Mapping[State, tuple[str, str]] = {
    State.OK: ("✔", "green"),
    State.MISSING: ("✘", "red"),
    State.WRONG: ("✘", "red"),
    State.UNKNOWN: ("?", "yellow"),
    State.NOT_CHECKED: ("–", "dim"),
}


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """A row for each check; what to do, each on a line that can be copied; how many are in which state."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "check", "state", "found"):
        table.add_column(title, overflow="fold", no_wrap=title == "state")
    for check in checks:
        mark, style = _STYLES[check.found.state]
        table.add_row(plain(mark, style), plain(check.name), plain(check.found.state, style), plain(check.found.what))
    console.print(table)
    remedies = [check for check in checks if check.found.remedy]
    if remedies:
        console.print(plain("\nWhat to do", "bold"))
    for check in remedies:
        console.print(plain(f"{check.name}\n  {check.found.remedy}"))
    counts = {state: sum(check.found.state is state for check in checks) for state in State}
    console.print(plain("\n" + " · ".join(f"{count} {state}" for state, count in counts.items() if count)))
