"""How `rowcall vacuum` looks in a terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console

from rowcall.console import plain, print_rows
from rowcall.core.shown import plural

_WORDS: Mapping[object, str] = {"goes": "would go", "to do": "would be done"}


def print_vacuum(console: Console, found: Sequence[Mapping[str, object]]) -> None:
    """A row for each thing that goes, or could not; how many of what stays, and why; what that was in all."""
    shown = [row for row in found if row["state"] != "stays"]
    rows = [{**row, "what": row["kind"], "how much": _much(row), "state": _state(row)} for row in shown]
    if rows:
        print_rows(console, rows, ("job", "what", "name", "how much", "state"))
    stays = Counter(
        (str(row["job"]), str(row["kind"]), str(row["why"]))
        for row in found
        if row["state"] == "stays" and row["rows"] is None
    )
    for (job, kind, why), count in stays.items():
        console.print(plain(f"stays: {job} · {_counted(kind, count)} · {why}", "dim"))
    console.print(plain(_summary(found)))


def _state(row: Mapping[str, object]) -> str:
    word = _WORDS.get(row["state"], str(row["state"]))
    return f"{word}: {row['why']}" if row["why"] else word


def _much(row: Mapping[str, object]) -> str:
    if row["rows"] is not None:
        return f"{row['rows']:,} rows"
    return "" if row["bytes"] is None else _bytes(int(str(row["bytes"])))


def _bytes(count: int) -> str:
    size, units = float(count), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 1000 and (larger := next(units, "")):
        size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


def _counted(kind: str, count: int) -> str:
    if kind.endswith("s"):
        return f"{count:,} × {kind}"
    return f"{count:,} {plural(kind, count)}"


def _summary(found: Sequence[Mapping[str, object]]) -> str:
    for state, said in (("gone", "gone"), ("goes", "would go")):
        rows = [row for row in found if row["state"] == state]
        if rows:
            size = sum(int(str(row["bytes"] or 0)) for row in rows)
            kinds = Counter(str(row["kind"]) for row in rows)
            counts = " · ".join(_counted(kind, count) for kind, count in kinds.items())
            return f"{said}: {counts} · {_bytes(size)} of files"
    return "nothing goes"
