"""The values of the page, all of them; the template lays them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rowcall.core.run_report.facts import Fact, Share, endings, plan, states, tokens
from rowcall.core.run_report.found import Found
from rowcall.core.run_report.headline import CUT_OFF, WITHOUT_END, Run, Tile, counts_of, seconds_of, sentence, tiles
from rowcall.core.run_report.latency import Latencies
from rowcall.core.run_report.timeline import Timeline
from rowcall.core.run_report.trouble import Trouble, troubles
from rowcall.core.run_report.waterfall import SlowRow, slow_rows
from rowcall.core.run_report.words import count, percent, rate, time_taken
from rowcall.core.shown import shorten

_PERCENTILES = (("half of them within", 0.5), ("nine in ten", 0.9), ("99 in 100", 0.99), ("the slowest", 1.0))


@dataclass(frozen=True, slots=True)
class Wave:
    """One statement of `ai_query`."""

    number: int
    asked: str
    failed: str
    took: str
    a_second: str
    statement_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """A report. `missing` says why there is nothing of the traces."""

    run_id: str
    job: str
    status: str
    when: str
    sentence: str
    message: str
    bound_by: str
    tiles: Sequence[Tile]
    missing: str
    in_sql: bool
    timeline: Timeline | None
    latencies: Latencies | None
    percentiles: Sequence[Tile]
    waves: Sequence[Wave]
    states: Sequence[Share]
    endings: Sequence[Share]
    attempts: str
    troubles: Sequence[Trouble]
    tokens: Sequence[tuple[str, str, str]]
    slowest: Sequence[SlowRow]
    plan: Sequence[Fact]
    concurrency: int | None


def make_page(run: Run, found: Found | None, *, cut_off: bool = False) -> Page:
    """`found` is None where the traces table is gone. `cut_off` is of a run that has no end in the runs table, and is no more."""
    run = {**run, "status": CUT_OFF} if cut_off else run
    counts, seconds = counts_of(run, found), seconds_of(run, found)
    in_sql = run["engine"] == "ai_query"
    seen = found if found and found.calls else None
    return Page(
        run_id=str(run["run_id"]),
        job=str(run["job"]),
        status=str(run["status"]),
        when=_when(run),
        sentence=sentence(run, counts, seconds),
        message=shorten(run["message"] or "", 2000),
        bound_by=str(run["bound_by"] or ""),
        tiles=tiles(run, found, counts, seconds),
        missing=_missing(run, found),
        in_sql=in_sql,
        timeline=seen.timeline if seen else None,
        latencies=seen.latencies if seen else None,
        percentiles=_percentiles(seen.latencies) if seen and seen.latencies else (),
        waves=[_wave(row) for row in seen.waves] if seen else (),
        states=states(run),
        endings=endings(counts),
        attempts=_attempts(seen) if seen and not in_sql else "",
        troubles=troubles(seen.outcomes, seen.exchanges) if seen else (),
        tokens=tokens(run, counts),
        slowest=slow_rows(seen.slowest, seen.keys) if seen and not in_sql else (),
        plan=list(plan(run)),
        concurrency=run["concurrency"],
    )


def _when(run: Run) -> str:
    """`24 November 2026, 13:50:21 to 13:50:29 UTC`"""
    started = datetime.fromtimestamp(run["started_us"] / 1e6, UTC)
    said = f"{started.day} {started:%B %Y, %H:%M:%S}"
    if run["ended_us"] is None:
        return f"begun {said} UTC"
    ended = datetime.fromtimestamp(run["ended_us"] / 1e6, UTC)
    day = "" if ended.date() == started.date() else f"{ended.day} {ended:%B}, "
    return f"{said} to {day}{ended:%H:%M:%S} UTC"


def _missing(run: Run, found: Found | None) -> str:
    if found is None:
        return f"The table {run['traces_table']} is not there any more, or cannot be read; what follows is from the runs table."
    if found.calls or not run["pending_rows"]:
        return ""
    if run["status"] in WITHOUT_END:
        return "No answer has been published yet."
    return (
        ""
        if not run["asked"]
        else f"The table {run['traces_table']} has no spans of this run; the rest is from the runs table."
    )


def _percentiles(latencies: Latencies) -> list[Tile]:
    return [
        Tile(time_taken(latencies.percentile(share)), f"p{100 * share:g}" if share < 1 else "max", words)
        for words, share in _PERCENTILES
    ]


def _attempts(found: Found) -> str:
    failed = sum(row["attempts"] for row in found.exchanges if row["kind"])
    if not failed:
        return f"None of the {count(found.attempts)} attempts failed."
    share = percent(failed, found.attempts)
    again = max(0, found.attempts - sum(row["calls"] for row in found.outcomes if row["kind"] != "null_prompt"))
    were = "was" if again == 1 else "were"
    return (
        f"{count(failed)} of {count(found.attempts)} attempts failed ({share}); "
        f"{count(again)} {were} made because one before had failed or its answer did not fit."
    )


def _wave(row: Run) -> Wave:
    seconds = max(row["ended"] - row["started"], 1) / 1e9
    return Wave(
        number=row["wave"],
        asked=count(row["asked"]),
        failed=count(row["failed"]),
        took=time_taken(seconds),
        a_second=rate(row["asked"] / seconds),
        statement_id=str(row["statement_id"] or ""),
    )
