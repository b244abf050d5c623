"""How costs, and two sides of a comparison, look in a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from rowcall.console import plain, print_rows
from rowcall.core.comparison import Comparison, Taken
from rowcall.core.names import some
from rowcall.core.shown import duration, money, plural, shorten

_EXAMPLE = 300
_COUNTS: Mapping[str, str] = {
    "runs": "runs",
    "asked": "asked",
    "ok": "ok",
    "input_tokens": "tokens in",
    "cached_tokens": "cached",
    "output_tokens": "out",
    "reasoning_tokens": "reasoning",
}
_MONEY: Mapping[str, str] = {"cost": "cost", "cost_of_1000_ok": "1,000 ok"}
_TIMES: Mapping[str, str] = {"first_run": "first run", "last_run": "last run"}
"""Columns of `sql/statements/costs.sql`, and what people read above them."""
_FACTS: tuple[tuple[str, Callable[[Taken], str]], ...] = (
    ("rows", lambda side: f"{side.rows:,}"),
    ("ok", lambda side: f"{side.ok:,}"),
    ("input tokens", lambda side: _count(side.input_tokens)),
    ("of them cached", lambda side: _count(side.cached_tokens)),
    ("output tokens", lambda side: _count(side.output_tokens)),
    ("of them reasoning", lambda side: _count(side.reasoning_tokens)),
    ("cost", lambda side: _money(side.cost, side.currency)),
    ("latency, mean", lambda side: _time(side.mean_latency_ms)),
    ("latency, median", lambda side: _time(side.median_latency_ms)),
    ("latency, 95 %", lambda side: _time(side.p95_latency_ms)),
)


def print_costs(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """What each job has cost."""
    titles = ("job", "endpoint", *_COUNTS.values(), *_MONEY.values(), *_TIMES.values())
    print_rows(console, [_cost_row(row) for row in rows], titles)
    if unfinished := [run_id for row in rows for run_id in row["unfinished"]]:
        runs = f"{plural('run', len(unfinished))} {some(unfinished)}"
        console.print(
            plain(f"\nNot counted is what {runs} took so far: it is counted with the end of the run, or by the next.")
        )


def _cost_row(row: Mapping[str, object]) -> dict[str, object]:
    counts = {title: _told(row[name]) for name, title in _COUNTS.items()}
    money = {title: _money(row[name], row["currency"]) for name, title in _MONEY.items()}
    times = {title: row[name] for name, title in _TIMES.items()}
    return {"job": row["job"], "endpoint": row["endpoint"], **counts, **money, **times}


def _told(value: object) -> str:
    """A count; nothing where nobody told it."""
    return "" if value is None else f"{int(str(value)):,}"


def _money(amount: object, currency: object) -> str:
    return "" if amount is None else money(float(str(amount)), currency)


def print_comparison(console: Console, found: Comparison) -> None:
    """What each side took, how far they agree, what changed, and rows that differ."""
    facts = [{"": name, "a": said(found.a), "b": said(found.b)} for name, said in _FACTS]
    console.print(plain(f"a  {found.a.name}\nb  {found.b.name}\n"))
    print_rows(console, [fact for fact in facts if fact["a"] or fact["b"]], ("", "a", "b"))
    console.print()
    for line in _agreement(found):
        console.print(plain(line))
    if found.changes:
        changes = [
            {"a": change.a or "not there", "b": change.b or "not there", "rows": f"{change.rows:,}"}
            for change in found.changes
        ]
        console.print()
        print_rows(console, changes, ("a", "b", "rows"), title="Rows whose outcome differs")
    _print_examples(console, found)


def _agreement(found: Comparison) -> Iterator[str]:
    if not found.compared:
        yield "The answers are of different types and are not compared."
    elif found.answered:
        share = 100 * found.same / found.answered
        yield f"{found.same:,} of {found.answered:,} rows that both answered have the same answer: {share:.1f} %"
        for name, same in found.fields.items():
            yield f"  {name}: {same:,}, {100 * same / found.answered:.1f} %"
    else:
        yield "There is no row that both answered."
    for side in (found.a, found.b):
        if side.lost:
            lost = f"{side.lost:,} {plural('request', side.lost)}"
            yield f"Of run {side.name}, {lost} cannot be compared: other runs have answered those rows better, or since."


def _print_examples(console: Console, found: Comparison) -> None:
    if not found.examples:
        return
    console.print(plain("\nRows that differ"))
    for row in found.examples:
        keys = list(row)[: list(row).index("outcome_a")]
        console.print(plain(f"\n▸ {shorten(', '.join(str(row[key]) for key in keys), 200)}", style="bold"))
        for side in ("a", "b"):
            answer = row[f"answer_{side}"]
            console.print(
                plain(f"  {side}  {row[f'outcome_{side}']}  {shorten('' if answer is None else answer, _EXAMPLE)}")
            )


def _count(value: int | None) -> str:
    return f"{value:,}" if value else ""


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:,.0f} ms" if milliseconds < 1000 else duration(milliseconds / 1000)
