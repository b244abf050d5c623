"""What people see: the plan, the progress line, the summary, tables of rows. Text comes from tables and servers, so nothing of it
is read as markup, and no control character of it reaches the terminal."""

import json
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from types import TracebackType
from typing import assert_never

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from rowcall.api import Planned
from rowcall.bundle.check import Checked
from rowcall.control import RunState
from rowcall.core.ai_query.waves import ONE_STATEMENT
from rowcall.core.endpoint_plan import EndpointPlan
from rowcall.core.engine_plan import EnginePlan, ResponsesPlan
from rowcall.core.estimate import CONFIDENCE, Figure
from rowcall.core.listing import statements_of
from rowcall.core.plan import RunPlan
from rowcall.core.records import ErrorKind
from rowcall.core.records import Progress as RunProgress
from rowcall.core.report import RunRow
from rowcall.core.run_text import headline, progress_line, summary_line
from rowcall.core.shown import clean, duration, money, shorten
from rowcall.demo import Demo

QUIET_SECONDS = 10.0
_LEFT_OUT = """-- The statements of a run, in order. Left out are the temporary views over files of the journal (rowcall_staged_…),
-- whose names are not known before, the volume of the journal on Databricks, and DESCRIBE QUERY, which runs nothing.

"""
_MARKS = {
    "done": ("✔", "green"),
    "stopped": ("■", "yellow"),
    "failed": ("✘", "red"),
    "interrupted": ("■", "yellow"),
}


class LiveReporter:
    """Shows a run on a terminal as a progress bar; elsewhere as a line every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plan: RunPlan | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = self._spoke = time.monotonic()

    def __enter__(self) -> "LiveReporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def plan(self, plan: RunPlan) -> None:
        self._plan = plan
        self._console.print(plain(headline(plan)))
        self._started = self._spoke = time.monotonic()

    def step(self, text: str) -> None:
        self._stop()
        quiet = time.monotonic() - self._spoke
        if self._console.is_terminal or quiet >= QUIET_SECONDS:
            self._spoke = time.monotonic()
            self._console.print(plain(f"  {text} …", style="dim"))

    def progress(self, progress: RunProgress) -> None:
        if self._plan is None:
            return
        said = progress_line(progress, self._plan, time.monotonic() - self._started)
        if self._console.is_terminal:
            self._update(progress, said)
        elif time.monotonic() - self._spoke >= QUIET_SECONDS:
            self._spoke = time.monotonic()
            self._console.print(plain(f"  {progress.asked:,}/{self._plan.rows.pending:,}  {said}"))

    def _update(self, progress: RunProgress, said: str) -> None:
        if self._bar is None:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[said]}", markup=False),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._started = time.monotonic()
            self._task = self._bar.add_task("", total=self._plan.rows.pending if self._plan else None, said="")
            self._bar.start()
        self._bar.update(self._task, completed=progress.asked, said=clean(said))

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def print_summary(console: Console, row: RunRow, command: str, where: str = "") -> None:
    """How a run ended, where its answers are, and what to type next: `command` asks the rest, the options `where` say where the
    tables are."""
    mark, style = _MARKS.get(row.status, ("·", ""))
    console.print(plain(f"{mark} {summary_line(row)}", style=style))
    if row.message:
        message = row.message.replace("\n", "\n    ")
        console.print(plain(f"  {row.status}: {message}", style=style))
    if row.bound_by:
        console.print(plain(f"  bound by: {row.bound_by}"))
    console.print(plain(f"  answers {row.outputs_table}   traces {row.traces_table}   run {row.run_id}"))
    left = row.pending_rows - row.ok - row.failures.get(ErrorKind.NULL_PROMPT, 0)
    left += row.rows_later
    if left:
        look = f"rowcall failures {row.run_id}{where}   ·   " if row.failed else ""
        are = "is" if left == 1 else "are"
        console.print(plain(f"  next: {look}{command} asks only the {left:,} that {are} left"))


def print_plan(console: Console, planned: Planned, *, statements: bool, pilot: bool = False) -> None:
    """Everything a run would do: the statements first, what was decided last, where the eye is. `pilot` says that one was run."""
    plan = planned.plan
    if statements:
        for name, text in statements_of(plan):
            console.print(plain(f"-- {name}", style="bold"))
            lines = Syntax(clean(text), "sql", background_color="default", word_wrap=True)
            console.print(lines if console.is_terminal else plain(text))
            console.print()
    console.print(plain(headline(plan), style="bold"))
    table = Table.grid(padding=(0, 2))
    for name, value in plan_facts(plan):
        table.add_row(plain(name, style="dim"), plain(value))
    console.print(table)
    if plan.rows.pending:
        console.print()
        print_rows(
            console, list(estimate_rows(planned)), ("a run takes", "at least", "expected", "at most", "going by")
        )
    print_preview(console, planned.preview)
    console.print(plain(f"\nNothing {'else ' if pilot else ''}was written.", style="dim"))


def estimate_rows(planned: Planned) -> Iterable[dict[str, str]]:
    """The estimate as rows of a table."""
    guess, currency = planned.estimate, planned.plan.calls.budget.currency
    yield _estimate_row("input tokens", guess.input_tokens, _count)
    yield _estimate_row("output tokens", guess.output_tokens, _count)
    if guess.cost is not None:
        yield _estimate_row("cost", guess.cost, lambda amount: money(amount, currency))
    yield _estimate_row("time of asking", guess.seconds, duration)


def _estimate_row(name: str, figure: Figure, said: Callable[[float], str]) -> dict[str, str]:
    interval = figure.interval
    expected, high = ("?" if value is None else said(value) for value in (interval.expected, interval.high))
    shown = {"at least": said(interval.low), "expected": expected, "at most": high}
    return {"a run takes": name, **shown, "going by": figure.reason}


def _count(amount: float) -> str:
    return f"{amount:,.0f}"


def plan_facts(plan: RunPlan) -> Iterable[tuple[str, str]]:
    """What was decided and why, by name."""
    engine, endpoint, rows, tables, calls = (
        plan.engine,
        plan.bound.endpoint,
        plan.rows,
        plan.bound.tables,
        plan.calls,
    )
    yield "endpoint", f"{endpoint} at {endpoint.url}"
    yield "api", f"{_said_api(endpoint)}: {endpoint.api_reason}"
    if endpoint.readiness.waiting:
        waits = f"a run waits up to {duration(calls.warm_up)} for it, and asks it then how it is asked"
        yield "waiting", f"{endpoint.readiness.waiting}; {waits}"
    yield "engine", f"{engine.kind}: {engine.reason}"
    yield from _engine_facts(engine, plan.session)
    counts = f"{rows.source:,} source = {rows.duplicates:,} duplicate + {rows.answered:,} answered + {rows.pending:,} pending"
    yield "rows", counts
    deadline = f", the run ends after {duration(calls.deadline)}" if calls.deadline else ""
    if engine.kind == "responses":
        runs = f", {duration(calls.run_timeout)} a run" if endpoint.wire.run == "background" else ""
        patience = f"{calls.timeout:g} s an exchange ({endpoint.timeout_reason}){runs}"
        yield "limits", f"{patience}, {calls.retry.attempts} attempts a row{deadline}"
    else:
        patience = f"{duration(engine.statement_timeout)} a statement"
        yield "limits", f"{patience}, {calls.retry.attempts} attempts a row{deadline}"
    for name, table in (("answers", tables.outputs), ("traces", tables.traces), ("runs", tables.runs)):
        yield name, table.replace("`", "")
    if plan.collector is not None:
        yield "spans also to", plan.collector.endpoint


def _said_api(endpoint: EndpointPlan) -> str:
    """`invocations (chat), streamed`"""
    wire = endpoint.wire
    shape = f" ({wire.shape})" if endpoint.api == "invocations" else ""
    how = ", streamed" if wire.stream else ", in the background" if wire.run == "background" else ""
    return f"{endpoint.api}{shape}{how}"


def _engine_facts(engine: EnginePlan, session: str) -> Iterable[tuple[str, str]]:
    published = f"published every {engine.publish_seconds:g} s"
    match engine.kind:
        case "responses":
            split = engine.split
            yield "fan out", f"{engine.fan_out}: {engine.fan_out_reason} ({session})"
            adapted = ", as many as the endpoint takes" if engine.adaptive else ""
            yield "in flight", f"{split.tasks} × {split.share} = {split.total} of at most {engine.concurrency}{adapted}"
            if rates := _said_rates(engine):
                yield "rates", rates
            yield "durable", f"every {engine.flush_rows:,} answers or {engine.flush_seconds:g} s; {published}"
        case "ai_query":
            for way in engine.ways:
                yield "call", f"{way.form.name}: {way.returns or 'its type is told by the first rows'} ({session})"
            rows = engine.rows_per_statement
            sized = (
                f"{rows:,} rows each" if rows else f"one for up to {ONE_STATEMENT:,} rows, else of about ten minutes"
            )
            yield "statements", sized
            yield "durable", f"with each statement; {published}"
        case _:
            assert_never(engine.kind)


def _said_rates(engine: ResponsesPlan) -> str:
    """`600 requests, 20,000 input tokens a minute shared by 2 tasks`"""
    names = ("requests", "input tokens", "output tokens")
    said = [f"{most:,.0f} {name}" for name, most in zip(names, engine.rates.each(), strict=True) if most is not None]
    tasks = engine.split.tasks
    shared = f", shared by {tasks} tasks" if tasks > 1 else ""
    return f"at most {', '.join(said)} a minute{shared}" if said else ""


def script(statements: Iterable[tuple[str, str]]) -> str:
    """Statements as a script for a SQL editor."""
    return _LEFT_OUT + "\n\n".join(f"-- {name}\n{text.rstrip()};" for name, text in statements)


def plan_json(planned: Planned) -> dict[str, object]:
    plan = planned.plan
    return {
        **dict(plan_facts(plan)),
        "job": plan.job,
        "run_id": plan.run_id,
        "rows": {name: getattr(plan.rows, name) for name in ("source", "duplicates", "answered", "pending")},
        "takeover": plan.rows.takeover or None,
        "estimate": {"confidence": CONFIDENCE, **asdict(planned.estimate)},
        **_split_json(plan.engine),
        "preview": [dict(row) for row in planned.preview],
        "statements": [{"name": name, "sql": text} for name, text in statements_of(plan)],
    }


def _split_json(engine: EnginePlan) -> dict[str, object]:
    if engine.kind == "responses":
        return {"tasks": engine.split.tasks, "calls_per_task": engine.split.share}
    return {"rows_per_statement": engine.rows_per_statement or "auto"}


def print_preview(console: Console, rows: Sequence[Mapping[str, object]]) -> None:
    """Rendered requests, as they would be sent."""
    for row in rows:
        key = row["key"]
        shown = ", ".join(str(value) for value in key.values()) if isinstance(key, Mapping) else str(key)
        console.print(plain(f"\n▸ {shorten(shown, 200)}", style="bold"))
        request = row["request"]
        if request is None:
            console.print(plain("  not asked: the prompt is NULL", style="yellow"))
            continue
        for name, value in json.loads(str(request)).items():
            for line in _request_lines(name, value):
                console.print(plain(f"  {line}"))


def _request_lines(name: str, value: object) -> Iterable[str]:
    if name == "messages" and isinstance(value, list):
        for message in value:
            yield _message_line(message)
    else:
        yield f"{name}: {shorten(json.dumps(value, ensure_ascii=False), 400)}"


def _message_line(message: object) -> str:
    if isinstance(message, Mapping) and isinstance(message.get("content"), str):
        return f"{message.get('role')}: {shorten(message['content'], 400)}"
    return shorten(message if isinstance(message, str) else json.dumps(message, ensure_ascii=False), 400)


def print_state(console: Console, state: RunState) -> None:
    """How far a run is that goes on, and what it was told."""
    progress, control = state.progress, state.control
    told = [f"stopping: {state.stop}"] if state.stop else ["paused"] if control.paused else []
    told += [f"at most {control.concurrency:,} calls at once"] if control.concurrency is not None else []
    facts: dict[str, object] = {
        "run": state.run_id,
        "job": state.job,
        "asked with": state.engine,
        "told": ", ".join(told) or "nothing",
        "tasks": f"{state.tasks:,}" + (f", {progress.paused:,} paused" if progress.paused else ""),
        "in flight": f"{progress.in_flight:,}" + (f" of at most {progress.room:,}" if progress.room else ""),
        "asked": f"{progress.asked:,} of {state.pending_rows:,}",
        "ok": f"{progress.ok:,}",
        "failed": f"{progress.failed:,}",
    }
    print_rows(console, [{"": name, " ": value} for name, value in facts.items()], ("", " "))


def print_rows(console: Console, rows: Sequence[Mapping[str, object]], columns: Sequence[str], title: str = "") -> None:
    """Rows of a table, the named columns only."""
    table = Table(
        title=plain(title) if title else None, title_justify="left", box=None, pad_edge=False, header_style="dim"
    )
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    for row in rows:
        table.add_row(*(plain(_cell(row.get(column))) for column in columns))
    console.print(table)


def print_run(console: Console, row: Mapping[str, object]) -> None:
    """The row of a run, without the columns that say nothing."""
    cost = row["cost"]
    shown = {**row, "cost": money(cost, row["currency"]), "currency": None} if isinstance(cost, float) else row
    print_rows(
        console, [{"": name, " ": value} for name, value in shown.items() if value not in (None, "", {}, [])], ("", " ")
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {_cell(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, datetime):
        return (
            f"{value:%Y-%m-%d %H:%M:%S}" if value.tzinfo is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    return shorten(str(value), 300)


def plain(text: object, style: str = "") -> Text:
    """A text of anybody's, to be shown as it is."""
    return Text(clean(str(text)), style=style)


def print_demo(console: Console, shown: Demo, command: str, where: str) -> None:
    """What the demo filled, and what to try next. `command` is how rowcall was called, `where` the options that tell where its
    tables are."""
    console.print()
    print_rows(console, shown.sample, list(shown.sample[0]) if shown.sample else [], title="Some of the answers")
    console.print()
    console.print(plain(f"Both engines gave the same answer to {shown.alike:,} of {shown.row.source_rows:,} texts."))
    console.print()
    print_rows(console, [{"table": name, "rows": f"{n:,}"} for name, n in shown.counts.items()], ("table", "rows"))
    console.print(Text(f"\nThe tables are Delta folders under {shown.folder}. Next:"))
    job = shlex.quote(str(shown.job_file))
    nexts = [
        (f"{command} run {job}{where}", "asks nothing: every row has its answer"),
        (f"{command} plan {job}{where}", "what a run would do, and every statement"),
        (f"{command} report {shown.row.run_id}{where}", "this run as a page, with charts"),
    ]
    edit = (f"edit {job}, run it again", "asks only what the change touches")
    nexts.append(edit if shown.in_checkout else (f"{command} init my-project", "a job of your own to change"))
    width = max(len(words) for words, _ in nexts)
    for words, effect in nexts:
        console.print(Text(f"  {words:<{width}}   {effect}"))


def print_bundle(console: Console, checked: Checked) -> None:
    """What a bundle would deploy, and how the look at it went."""
    kinds = list(dict.fromkeys(kind for made in checked.resources.values() for kind in made))
    rows = [
        {"target": target, **{kind: ", ".join(made.get(kind, {})) for kind in kinds}}
        for target, made in checked.resources.items()
    ]
    print_rows(console, rows, ("target", *kinds))
    for version in checked.wheels:
        console.print(plain(f"a fresh environment with the wheel alone says {version}"))
    for target, names in checked.missing.items():
        named = " ".join(f"--var {name}=…" for name in names)
        console.print(plain(f"to deploy {target}, give {named}"))
    mark, colour = ("✘", "red") if checked.problems else ("✔", "green")
    count = len(checked.problems)
    said = "nothing is wrong" if not count else f"{count} {'mistake' if count == 1 else 'mistakes'}"
    console.print(Text(f"{mark} ", colour).append(said))
