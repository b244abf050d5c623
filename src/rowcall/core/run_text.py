"""A run in words: what is about to happen, how far it is, how it ended. One line each."""

from collections.abc import Mapping
from typing import Any, assert_never

from rowcall.core.ai_query.waves import ONE_STATEMENT
from rowcall.core.engine_plan import EnginePlan
from rowcall.core.plan import RunPlan
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.shown import duration, money, plural


def headline(plan: RunPlan) -> str:
    """One line that says what is about to happen; and others where calls are not made where they would be, and where other jobs'
    answers are replaced."""
    engine, rows = plan.engine, plan.rows
    parts = [
        f"{rows.duplicates:,} {plural('duplicate', rows.duplicates)}",
        f"{rows.answered:,} answered",
        f"{rows.pending:,} to ask",
        f"{rows.later:,} left for later",
    ]
    said = ", ".join(part for part in parts if not part.startswith("0 ")) or "nothing to ask"
    how = f"{engine.kind}, {how_asked(engine, rows.pending)}"
    endpoint = f"{plan.bound.endpoint} in the sandbox" if plan.workspace == "sandbox" else str(plan.bound.endpoint)
    line = f"{plan.job} · {endpoint} · {how} · {rows.source:,} {plural('row', rows.source)}: {said}"
    if engine.kind == "responses" and engine.fell_back:
        line += f"\n  the driver makes the calls: {engine.fan_out_reason}"
    if rows.takeover:
        line += f"\n  {rows.takeover}"
    return line


def how_asked(engine: EnginePlan, pending: int) -> str:
    """How much is asked at once, in a few words."""
    match engine.kind:
        case "responses":
            split = engine.split
            most = f"up to {split.total}" if engine.adaptive else str(split.total)
            part = "task" if engine.cut is None else "shard"
            return f"{most} at once ({split.tasks} {plural(part, split.tasks)} × {split.share})"
        case "ai_query":
            if engine.rows_per_statement is not None:
                return f"{engine.rows_per_statement:,} {plural('row', engine.rows_per_statement)} a statement"
            return "one statement" if pending <= ONE_STATEMENT else "in statements of about ten minutes"
        case _:
            assert_never(engine.kind)


def progress_line(progress: Progress, plan: RunPlan, seconds: float) -> str:
    rate = progress.asked / seconds if seconds > 0 else 0.0
    left = (plan.rows.pending - progress.asked) / rate if rate > 0 and not progress.paused else None
    parts = [
        f"ok {progress.ok:,}",
        f"failed {progress.failed:,}",
        f"in flight {progress.in_flight}",
        f"{rate:,.0f}/s",
    ]
    parts += [f"{duration(left)} left"] if left is not None and progress.asked else []
    tokens = progress.input_tokens + progress.output_tokens
    parts += [f"{tokens:,} tokens"] if tokens else []
    parts += [f"{progress.waking} waiting for the endpoint to serve anybody"] if progress.waking else []
    parts += [f"turned away {progress.turned_away:,}"] if progress.turned_away else []
    parts += ["paused"] if progress.paused else []
    parts += ["waiting for the endpoint's quota"] if progress.held else []
    parts += [f"stopping: {progress.stop[:80]}"] if progress.stop else []
    return "  ".join(parts)


def summary_line(row: RunRow) -> str:
    """`74 asked · 74 ok · 20,245 tokens · 0.9 s`"""
    parts = [f"{row.asked:,} asked", f"{row.ok:,} ok"]
    parts += [f"{count:,} {name}" for name, count in sorted(row.failures.items(), key=lambda item: -item[1])]
    parts += [f"{row.retries:,} {plural('retry', row.retries)}"] if row.retries else []
    parts += [f"{row.tokens:,} tokens"] if row.tokens else []
    parts += [duration(row.seconds)]
    parts += [money(row.cost, row.currency)] if row.cost is not None else []
    return " · ".join(parts)


def no_failures(run: Mapping[str, Any]) -> str:
    """What to say of a run, a row of the runs table, where the outputs have no failure of its."""
    run_id, left = run["run_id"], run["pending_rows"] - run["asked"]
    if run["status"] == "running":
        return f"Run {run_id} has no end yet. No row that it has published so far is without an ok answer."
    said = f"No row of run {run_id} is without an ok answer."
    if left > 0:
        ended = "failed" if run["status"] == "failed" else f"was {run['status']}"
        rows = f"{left:,} {plural('request', left)}"
        said = (
            f"Run {run_id} {ended} before {rows} had an answer: the next run asks them. Of those it asked, none failed."
        )
    if run["failed"]:
        said = f"The outputs have no failure of run {run_id}, though {run['failed']:,} of its requests failed: a row that had an "
        said += "answer from an earlier run keeps it, and a later run may have answered others. The traces have all failures."
    return said
