"""The tables of a report: where the time of call slots went, tokens and cost, and how the run was set up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rowcall.core.report import ROWS_LATER, rows_later
from rowcall.core.run_report.headline import Counts, Run
from rowcall.core.run_report.words import count, percent, time_taken
from rowcall.core.shown import money, plural, shorten
from rowcall.core.slots import ABOUT, CLIENT_CPU

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole: `percent` of it, as a number for a bar; `amount` and `share` for people."""

    name: str
    about: str
    percent: float
    amount: str
    share: str


def states(run: Run) -> list[Share]:
    """Where the time of the call slots went, the most first."""
    told: Mapping[str, float] = run["slot_seconds"] or {}
    seconds = {state: spent for state, spent in told.items() if state != CLIENT_CPU and spent > 0}
    about: Mapping[str, str] = {str(state): text for state, text in ABOUT.items()}
    total = sum(seconds.values())
    return [
        Share(
            state.replace("_", " "), about.get(state, ""), 100 * spent / total, time_taken(spent), percent(spent, total)
        )
        for state, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]


def endings(counts: Counts) -> list[Share]:
    """How the requests ended: ok, then what failed, the most first."""
    ended = {"ok": counts.ok, **dict(sorted(counts.failures.items(), key=lambda item: (-item[1], item[0])))}
    return [
        Share(name.replace("_", " "), "", 100 * number / counts.asked, count(number), percent(number, counts.asked))
        for name, number in ended.items()
        if counts.asked and number
    ]


def tokens(run: Run, counts: Counts) -> list[tuple[str, str, str]]:
    """What, how many, how many a request."""
    kinds = {
        "input": run["input_tokens"],
        "of them from the endpoint's cache": run["cached_tokens"],
        "output": run["output_tokens"],
        "of them for reasoning": run["reasoning_tokens"],
    }
    if not run["input_tokens"] and not run["output_tokens"]:
        return []
    asked = max(counts.asked, 1)
    rows = [
        (name, "–", "") if number is None else (name, count(number), count(number / asked))
        for name, number in kinds.items()
    ]
    if run["cost"] is not None:
        rows.append(("cost", money(run["cost"], run["currency"]), money(run["cost"] / asked, run["currency"])))
    return rows


def plan(run: Run) -> Iterator[Fact]:
    """How the run was set up, and where it ran."""
    yield "run", str(run["run_id"])
    yield "endpoint", str(run["endpoint"])
    yield "engine", str(run["engine"])
    if run["concurrency"]:
        tasks = run["tasks"] or 1
        yield (
            "calls in flight",
            f"at most {count(run['concurrency'])}, shared by {count(tasks)} {plural('task', tasks)}",
        )
    rows = (
        ("source_rows", "in the prompt table"),
        ("duplicate_rows", "with the request of another"),
        ("answered_rows", "answered before"),
        ("pending_rows", "requests to ask"),
    )
    said, context = [f"{count(run[name] or 0)} {what}" for name, what in rows], dict(run["context"] or {})
    if later := rows_later(context):
        said.append(f"{count(later)} left for a later run")
    yield "rows", ", ".join(said)
    for name in ("outputs", "traces"):
        yield f"{name} table", str(run[f"{name}_table"])
    yield "definition", str(run["definition_hash"])
    yield "rowcall", str(run["rowcall_version"])
    for name, value in sorted(context.items()):
        if name != ROWS_LATER:
            yield name.replace("_", " "), shorten(value, 500)
    if run["statement_ids"]:
        yield "SQL statements", f"{count(len(run['statement_ids']))}, their ids are in the runs table"
