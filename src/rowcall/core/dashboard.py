"""The dashboard over the runs and traces tables, as a file for Databricks' AI/BI dashboards (`.lvdash.json`).

Its datasets are the queries of `sql/views/`, over tables without a catalog and a schema: those that the bundle names with
`dataset_catalog` and `dataset_schema` are where they are looked for.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rowcall.core.sql import SqlTexts, fill

Json = dict[str, Any]

VIEWS = ("runs_by_day", "latest_runs", "tokens_and_cost", "latency_by_day", "failures_by_kind", "slot_time")
WIDTH = 6
"""Columns of a page's grid."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a dataset, as it is or summed up; `kind` is what an axis makes of it. With `of` it is the share that
    its sum is of that column's."""

    column: str
    title: str
    kind: Literal["temporal", "quantitative", "categorical"] = "categorical"
    function: str = ""
    of: str = ""

    @property
    def name(self) -> str:
        return f"{self.function.lower()}({self.column})" if self.function else self.column

    @property
    def expression(self) -> str:
        if self.of:
            return f"SUM(`{self.column}`) / nullif(SUM(`{self.of}`), 0)"
        return f"{self.function}(`{self.column}`)" if self.function else f"`{self.column}`"

    def encoded(self, *, scale: bool = True) -> Json:
        found: Json = {"fieldName": self.name, "displayName": self.title}
        return {**found, "scale": {"type": self.kind}} if scale else found


DAY = Field("day", "Day", "temporal")
JOB, ENDPOINT, CURRENCY = Field("job", "Job"), Field("endpoint", "Endpoint"), Field("currency", "Currency")


def dashboard(texts: SqlTexts) -> str:
    """The text of the file."""
    datasets = [
        {"name": name, "displayName": name.replace("_", " "), "queryLines": _query_lines(texts, name)} for name in VIEWS
    ]
    pages = [
        _page("overview", "Overview", [*_overview()]),
        _page("runs", "Runs", [*_runs()]),
    ]
    return json.dumps({"datasets": datasets, "pages": pages}, indent=2) + "\n"


def query_of(texts: SqlTexts, name: str, *, runs: str, traces: str) -> str:
    """The query of one of the views: its statement without CREATE."""
    comment, _, query = create_view(texts, name, name, runs=runs, traces=traces).partition(
        f"CREATE OR REPLACE VIEW {name} AS\n"
    )
    return comment + query


def create_view(texts: SqlTexts, name: str, view: str, *, runs: str, traces: str) -> str:
    """The statement that makes a view of it."""
    slots = {"view": view, "runs": runs, "traces": traces}
    return fill(texts, f"views/{name}", **slots)


def _query_lines(texts: SqlTexts, name: str) -> list[str]:
    return query_of(texts, name, runs="runs", traces="traces").splitlines(keepends=True)


Placed = tuple[Json, int, int]
"""A widget, its width and its height."""


def _overview() -> Iterable[Placed]:
    yield from _filters(("runs_by_day", "latency_by_day", "failures_by_kind", "slot_time"))
    for column, title in (
        ("runs", "Runs"),
        ("asked", "Requests asked"),
        ("ok", "Answered ok"),
        ("failed", "Failed"),
        ("tokens", "Tokens"),
        ("seconds", "Seconds of runs"),
    ):
        yield _counter("runs_by_day", _sum(column, title)), 1, 2
    yield _bars("runs_by_day", "Runs over time", DAY, _sum("runs", "Runs"), Field("status", "Status")), 3, 6
    share = Field("ok", "Share of requests answered ok", "quantitative", "SHARE", of="asked")
    yield _lines("runs_by_day", "Share of requests answered ok", DAY, share, JOB), 3, 6
    yield _bars("runs_by_day", "Tokens by endpoint", _sum("tokens", "Tokens"), ENDPOINT, JOB), 3, 6
    yield _bars("runs_by_day", "Cost over time, by currency", DAY, _sum("cost", "Cost"), CURRENCY), 3, 6
    for column, title in (("p50_ms", "Median latency, ms"), ("p99_ms", "Latency of the slowest in 100, ms")):
        yield _lines("latency_by_day", title, DAY, Field(column, title, "quantitative", "MAX"), ENDPOINT), 3, 6
    requests = _sum("requests", "Requests without an ok answer")
    yield _bars("failures_by_kind", "Failures by kind", DAY, requests, Field("kind", "Kind")), 3, 6
    hours = _sum("hours", "Hours of call slots")
    yield _bars("slot_time", "Where the time of call slots went", hours, JOB, Field("state", "State")), 3, 6


def _runs() -> Iterable[Placed]:
    yield from _filters(("latest_runs",))
    runs = ("started_at", "job", "endpoint", "status", "asked", "ok", "failed", "ok_share", "seconds", "tokens", "cost")
    yield _table("latest_runs", "Runs", (*runs, "currency", "bound_by", "message", "run_id")), 6, 12
    usage = ("job", "endpoint", "runs", "asked", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    costs = ("tokens_a_request", "cost", "cost_a_request", "currency", "last_started")
    yield _table("tokens_and_cost", "Tokens and cost by job and endpoint", (*usage, *costs)), 6, 8


def _filters(datasets: Sequence[str]) -> Iterable[Placed]:
    for field, kind in (
        (JOB, "filter-multi-select"),
        (ENDPOINT, "filter-multi-select"),
        (DAY, "filter-date-range-picker"),
    ):
        yield _filter(kind, field, datasets), 2, 1


def _sum(column: str, title: str) -> Field:
    return Field(column, title, "quantitative", "SUM")


def _page(name: str, title: str, widgets: Sequence[Placed]) -> Json:
    """Widgets side by side from the left, in rows as high as their highest."""
    layout: list[Json] = []
    x = y = row = 0
    for number, (widget, width, height) in enumerate(widgets):
        if x + width > WIDTH:
            x, y, row = 0, y + row, 0
        position = {"x": x, "y": y, "width": width, "height": height}
        layout.append({"widget": {"name": f"{name}_{number}", **widget}, "position": position})
        x, row = x + width, max(row, height)
    return {"name": name, "displayName": title, "pageType": "PAGE_TYPE_CANVAS", "layout": layout}


def _counter(dataset: str, value: Field) -> Json:
    return _widget(dataset, 2, "counter", value.title, {"value": value.encoded(scale=False)}, [value])


def _bars(dataset: str, title: str, x: Field, y: Field, colour: Field) -> Json:
    encodings = {"x": x.encoded(), "y": y.encoded(), "color": colour.encoded()}
    return _widget(dataset, 3, "bar", title, encodings, [x, y, colour])


def _lines(dataset: str, title: str, x: Field, y: Field, colour: Field) -> Json:
    encodings = {"x": x.encoded(), "y": y.encoded(), "color": colour.encoded()}
    return _widget(dataset, 3, "line", title, encodings, [x, y, colour])


def _table(dataset: str, title: str, columns: Sequence[str]) -> Json:
    fields = [Field(column, column.replace("_", " ")) for column in columns]
    encodings = {"columns": [field.encoded(scale=False) for field in fields]}
    return _widget(dataset, 2, "table", title, encodings, fields, as_they_are=True)


def _widget(
    dataset: str,
    version: int,
    kind: str,
    title: str,
    encodings: Mapping[str, Any],
    fields: Sequence[Field],
    *,
    as_they_are: bool = False,
) -> Json:
    """`as_they_are` fields come row by row; others are summed up by the platform."""
    frame = {"showTitle": True, "title": title}
    return {
        "queries": [{"name": "main_query", "query": _query(dataset, fields, as_they_are=as_they_are)}],
        "spec": {"version": version, "widgetType": kind, "encodings": encodings, "frame": frame},
    }


def _filter(kind: str, field: Field, datasets: Sequence[str]) -> Json:
    """One choice for several datasets."""
    names = {dataset: f"{dataset}_{field.column}" for dataset in datasets}
    chosen = [{**field.encoded(scale=False), "queryName": name} for name in names.values()]
    return {
        "queries": [
            {"name": name, "query": _query(dataset, [field], as_they_are=False)} for dataset, name in names.items()
        ],
        "spec": {
            "version": 2,
            "widgetType": kind,
            "encodings": {"fields": chosen},
            "frame": {"showTitle": True, "title": field.title},
        },
    }


def _query(dataset: str, fields: Sequence[Field], *, as_they_are: bool) -> Json:
    named = [{"name": field.name, "expression": field.expression} for field in fields]
    return {"datasetName": dataset, "fields": named, "disaggregated": as_they_are}
