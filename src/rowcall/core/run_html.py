"""A run as a piece of HTML for a notebook: how far it is, how it ended. It takes its colours from the notebook, so that it reads
well in dark and in light; every text in it is somebody's, and is escaped."""

from collections.abc import Iterable, Mapping
from html import escape

from rowcall.core.plan import RunPlan
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.run_text import headline, progress_line, summary_line
from rowcall.core.shown import clean, shorten

LONGEST = 2_000
_COLOURS = {"ok": "#2e9e5b", "failed": "#d1495b", "left": "#8888"}
_STATUS = {"done": "✔", "stopped": "■", "failed": "✘", "interrupted": "■"}
_BOX = "font: 13px/1.6 system-ui, sans-serif; max-width: 60em"


def progress_html(plan: RunPlan, progress: Progress, seconds: float, step: str = "") -> str:
    """What is about to happen, and how far it is after so many seconds; `step` is what is being done beside asking."""
    said = progress_line(progress, plan, seconds) if progress.asked or progress.in_flight else ""
    counted = f"{progress.asked:,}/{plan.rows.pending:,}"
    lines = [headline(plan), f"{counted}  {said}" if plan.rows.pending else "", f"{step} …" if step else ""]
    bar = _bar({"ok": progress.ok, "failed": progress.failed, "left": max(0, plan.rows.pending - progress.asked)})
    return _box([_line(lines[0]), bar, *map(_line, filter(None, lines[1:]))])


def summary_html(row: RunRow) -> str:
    """How a run ended, what it was bound by, and where its answers are."""
    mark = _STATUS.get(row.status, "·")
    left = max(0, row.pending_rows - row.asked)
    facts: dict[str, object] = {
        "run": row.run_id,
        "asked": f"{row.endpoint} with {row.engine}",
        "rows": _rows(row),
        row.status: row.message,
        "bound by": row.bound_by,
        "answers": row.outputs_table,
        "traces": row.traces_table,
    }
    head = f"<div><b>{mark} {_text(row.job)}</b> &nbsp; {_text(summary_line(row))}</div>"
    return _box([head, _bar({"ok": row.ok, "failed": row.failed, "left": left}), _facts(facts)])


def _rows(row: RunRow) -> str:
    """`240: 50 to ask, 0 answered, 0 alike, 190 left for later`"""
    later = f", {row.rows_later:,} left for later" if row.rows_later else ""
    return f"{row.source_rows:,}: {row.pending_rows:,} to ask, {row.answered_rows:,} answered, {row.duplicate_rows:,} alike{later}"


def framed(page: str) -> str:
    """A whole page inside a notebook: in a frame, so that neither's styles reach the other, and which runs no script."""
    style = "width: 100%; height: 48em; border: 1px solid #8884; border-radius: 4px; background: #fff"
    return f'<iframe sandbox srcdoc="{escape(page)}" style="{style}"></iframe>'


def _facts(facts: Mapping[str, object]) -> str:
    rows = [
        f'<tr><td style="text-align: left; opacity: .65; padding: 0 1.5em 0 0">{_text(name)}</td>'
        f'<td style="text-align: left; white-space: pre-wrap; overflow-wrap: anywhere">{_text(value)}</td></tr>'
        for name, value in facts.items()
        if value not in (None, "")
    ]
    return f'<table style="border-collapse: collapse; margin: .3em 0 0">{"".join(rows)}</table>'


def _bar(parts: Mapping[str, int]) -> str:
    """Parts of a whole, one beside the other; nothing where there is no whole."""
    whole = sum(parts.values())
    if not whole:
        return ""
    pieces = [
        f'<span title="{name}: {count:,}" style="background: {_COLOURS[name]}; width: {100 * count / whole:.2f}%"></span>'
        for name, count in parts.items()
        if count
    ]
    style = "display: flex; height: 6px; border-radius: 3px; overflow: hidden; margin: .3em 0"
    return f'<div style="{style}">{"".join(pieces)}</div>'


def _box(parts: Iterable[str]) -> str:
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def _line(text: str) -> str:
    return f"<div>{_text(text)}</div>"


def _text(value: object) -> str:
    text = clean(str(value))
    return f"<bdi>{escape(text if len(text) <= LONGEST else shorten(text, LONGEST))}</bdi>"
