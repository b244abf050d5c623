"""Charts as SVG that is part of a page: text stays text, and colours are those of the page, light or dark."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from rowcall.core.run_report.latency import Latencies, ticks
from rowcall.core.run_report.timeline import Timeline
from rowcall.core.run_report.words import count, rate, time_taken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT, _GRID, _OK, _BAD, _MAIN = (f"#0{n}0{n}0{n}" for n in range(1, 7))
_COLOURS = {_INK: "ink", _FAINT: "faint", _GRID: "grid", _OK: "ok", _BAD: "bad", _MAIN: "main"}
"""Stand-ins, drawn by nobody else, for the colours that the page's style sheet names."""
_SIZE = (5.4, 2.45)
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GRID,
    "xtick.labelcolor": _FAINT,
    "ytick.color": _GRID,
    "ytick.labelcolor": _FAINT,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.subplot.left": 0.075,
    "figure.subplot.right": 0.98,
    "figure.subplot.bottom": 0.19,
    "figure.subplot.top": 0.88,
}
_UNITS = ((3 * 3600, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))


def throughput(timeline: Timeline) -> str:
    """Answers a second over time."""

    def draw(axes: "Axes") -> None:
        edges, unit = _edges(timeline)
        both = [sum(each) for each in zip(timeline.ok, timeline.not_ok, strict=True)]
        axes.stairs(timeline.ok, edges, fill=True, color=_OK, label="ok")
        if any(timeline.not_ok):
            axes.stairs(both, edges, baseline=timeline.ok, fill=True, color=_BAD, label="not ok")
            _legend(axes)
        _over_time(axes, edges, unit)

    return _drawn("throughput", draw)


def in_flight(timeline: Timeline, limit: int | None) -> str:
    """Calls in flight over time, under their limit."""

    def draw(axes: "Axes") -> None:
        edges, unit = _edges(timeline)
        axes.stairs(timeline.in_flight, edges, fill=True, color=_MAIN, alpha=0.18)
        axes.stairs(timeline.in_flight, edges, color=_MAIN, linewidth=1.4, label="in flight")
        if limit:
            axes.axhline(limit, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)), label=f"limit {count(limit)}")
            _legend(axes)
        _over_time(axes, edges, unit)

    return _drawn("in-flight", draw)


def latency(latencies: Latencies) -> str:
    """How many calls took how long, with percentiles."""

    def draw(axes: "Axes") -> None:
        bars = latencies.bars
        edges = [bars[0].low, *(bar.high for bar in bars)]
        axes.stairs([bar.calls for bar in bars], edges, fill=True, color=_MAIN, alpha=0.75)
        axes.set_xscale("log")
        marks = ticks(edges[0], edges[-1]) or [edges[0], edges[-1]]
        axes.set_xticks(marks, [time_taken(mark).replace(".0 ", " ") for mark in marks])
        axes.set_xticks([], minor=True)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, max(bar.calls for bar in bars) * 1.3)
        _whole_numbers(axes)
        for share, height in ((0.5, 0.99), (0.9, 0.9), (0.99, 0.81)):
            at = latencies.percentile(share)
            axes.axvline(at, color=_INK, linewidth=0.9, linestyle=(0, (2, 2)))
            axes.annotate(
                f"p{100 * share:g}",
                (at, height),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                va="top",
            )

    return _drawn("latency", draw)


def _edges(timeline: Timeline) -> tuple[list[float], str]:
    """Where buckets begin and end, in the unit that suits, since the run began."""
    end = timeline.width * len(timeline.ok)
    _, size, unit = next(each for each in _UNITS if end >= each[0])
    return [n * timeline.width / size for n in range(len(timeline.ok) + 1)], unit


def _over_time(axes: "Axes", edges: Sequence[float], unit: str) -> None:
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.001) * 1.12)
    axes.set_xlabel(f"{unit} since the run began")
    axes.yaxis.set_major_formatter(lambda value, _: rate(value) if value % 1 else count(value))
    axes.yaxis.set_major_locator(_locator(5))


def _whole_numbers(axes: "Axes") -> None:
    axes.yaxis.set_major_locator(_locator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: count(value))


def _locator(most: int, *, integer: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=integer)


def _legend(axes: "Axes") -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0, handlelength=1.4)


def _drawn(name: str, draw: Callable[["Axes"], None]) -> str:
    """The SVG element, without what a page does not need of it: prolog, size, style sheet, ids of its own."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {**_SETTINGS, "svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure(figsize=_SIZE)
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        written = StringIO()
        figure.savefig(
            written,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return _for_a_page(written.getvalue())


def _for_a_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub("|".join(_COLOURS), lambda found: f"var(--{_COLOURS[found[0]]})", svg)
