"""The top of a report: one sentence of what happened, and the numbers that matter most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rowcall.core.report import rows_later
from rowcall.core.run_report.found import Found
from rowcall.core.run_report.words import count, percent, rate
from rowcall.core.shown import duration, money, plural

Run = Mapping[str, Any]
"""A row of `report_run.sql`."""
CUT_OFF = "cut off"
"""Said in the place of the status of a run that has no end in the runs table, and is no more."""
WITHOUT_END = ("running", CUT_OFF)


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, what it is, and what else one should know about it."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the requests ended: as the runs table says or, while it does not yet, as the traces do."""

    asked: int
    ok: int
    failures: Mapping[str, int]

    @property
    def failed(self) -> int:
        return self.asked - self.ok


def counts_of(run: Run, found: Found | None) -> Counts:
    if run["asked"] or found is None:
        return Counts(run["asked"] or 0, run["ok"] or 0, dict(run["failures"] or {}))
    return Counts(found.calls, found.calls - sum(found.lost.values()), found.lost)


def seconds_of(run: Run, found: Found | None) -> float:
    """Wall time; of a run that was cut off, up to the last answer that is published."""
    last_answer = found.last_ended // 1000 if found and found.calls else run["started_us"]
    last_us = run["ended_us"] or (run["now_us"] if run["status"] == "running" else last_answer)
    return max(0.0, (last_us - run["started_us"]) / 1e6)


def sentence(run: Run, counts: Counts, seconds: float) -> str:
    """What happened, in one plain sentence."""
    asked, took = f"{count(counts.asked)} {plural('request', counts.asked)}", duration(seconds)
    answered = f"{count(counts.ok)} of {asked}" if counts.failed else f"All {asked}" if counts.asked > 1 else asked
    were = "was" if counts.asked == 1 else "were"
    match run["status"]:
        case "done" if not run["pending_rows"]:
            return f"There was nothing to ask: {_nothing(run)}."
        case "done":
            return f"{answered} {were} answered by {run['endpoint']} in {took}{_failed(counts)}."
        case "running":
            return (
                f"The run goes on: {count(counts.ok)} of {count(run['pending_rows'])} requests have a published answer."
            )
        case "cut off":
            published = f"{count(counts.ok)} of {count(run['pending_rows'])} requests have a published answer"
            return f"The run was cut off: {published}. The next run of the job publishes what else it left."
        case status:
            said = {"stopped": "The run was stopped", "failed": "The run failed"}.get(status, "The run was interrupted")
            of_all = f"{count(counts.ok)} of {count(run['pending_rows'])} {plural('request', run['pending_rows'])}"
            return f"{said} after {took}; {of_all} had an answer by then{_failed(counts)}."


def _nothing(run: Run) -> str:
    if run["answered_rows"]:
        return f"all {count(run['source_rows'])} rows had their answer already"
    return "the prompt table has no rows that the job wants"


def _failed(counts: Counts) -> str:
    return f"; {count(counts.failed)} failed: {said_failures(counts)}" if counts.failed else ""


def said_failures(counts: Counts, most: int = 3) -> str:
    """`9 refused, 2 rate_limited`"""
    ranked = sorted(counts.failures.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count(number)} {name.replace('_', ' ')}" for name, number in ranked[:most]]
    return ", ".join(shown) + (f" and {len(ranked) - most} other kinds" if len(ranked) > most else "")


def tiles(run: Run, found: Found | None, counts: Counts, seconds: float) -> list[Tile]:
    return [
        Tile(count(counts.asked), "asked", _about_asked(run)),
        Tile(count(counts.ok), "ok", f"{percent(counts.ok, counts.asked)} of those asked" if counts.asked else ""),
        Tile(count(counts.failed), "failed", said_failures(counts) if counts.failed else "none"),
        Tile(duration(seconds), "wall time", _about_time(run)),
        _rate(found),
        _in_flight(run, found),
        _tokens(run, counts),
        _cost(run, counts),
    ]


def _about_asked(run: Run) -> str:
    """What became of the other rows; of a run without an end, how many are to be asked."""
    if run["status"] in WITHOUT_END:
        published = f"of {count(run['pending_rows'] or 0)}, as far as published"
        return published if run["status"] == CUT_OFF else f"{published}; rowcall ctl tells the rest"
    rows, kinds = run["source_rows"] or 0, {"duplicate_rows": "duplicates", "answered_rows": "answered before"}
    others = [f"{count(run[name])} {said}" for name, said in kinds.items() if run[name]]
    if later := rows_later(dict(run["context"] or {})):
        others.append(f"{count(later)} left for later")
    return f"of {count(rows)} {plural('row', rows)}" + (f": {', '.join(others)}" if others else "")


def _about_time(run: Run) -> str:
    if run["ended_us"] is None:
        return "up to the last published answer" if run["status"] == CUT_OFF else "so far"
    return "up to its last sign of life" if run["status"] == "interrupted" else "reading and publishing included"


def _rate(found: Found | None) -> Tile:
    if found is None or not found.calls:
        return Tile("–", "answers a second", "no calls" if found else "the traces are gone")
    return Tile(
        rate(found.calls / found.seconds), "answers a second", f"while asking, which took {duration(found.seconds)}"
    )


def _in_flight(run: Run, found: Found | None) -> Tile:
    if run["engine"] == "ai_query":
        return Tile(
            count(len(found.waves)) if found else "–", "statements", "ai_query asks; how much at once is the platform's"
        )
    limit = f"of {count(run['concurrency'])}" if run["concurrency"] else ""
    if found is None or not found.calls:
        return Tile("–", "calls in flight", limit)
    average = found.attempt_seconds / found.seconds
    if limit and average >= run["concurrency"] + 0.5:
        limit += " as planned, raised meanwhile"
    return Tile(rate(average), "calls in flight", f"{limit}, on average while asking")


def _tokens(run: Run, counts: Counts) -> Tile:
    sent, received = run["input_tokens"] or 0, run["output_tokens"] or 0
    if not sent + received:
        return Tile("–", "tokens", _no_tokens(run, counts))
    return Tile(count(sent + received), "tokens", f"{count(sent)} in, {count(received)} out")


def _no_tokens(run: Run, counts: Counts) -> str:
    if run["engine"] == "ai_query":
        return "ai_query tells none"
    return _not_yet(run, counts) or "the endpoint told none"


def _cost(run: Run, counts: Counts) -> Tile:
    if run["cost"] is None:
        why = _not_yet(run, counts) or "the endpoint told no tokens"
        return Tile("–", "cost", why if run["currency"] else "the job names no price")
    each = f"{money(run['cost'] / counts.asked, run['currency'])} a request" if counts.asked else ""
    return Tile(money(run["cost"], run["currency"]), "cost", each)


def _not_yet(run: Run, counts: Counts) -> str:
    if run["status"] in WITHOUT_END:
        return "told when the run is over" if run["status"] == "running" else "told by the next run"
    return "" if counts.asked else "nothing was asked to the end"
