"""The page: values laid out by a template, each escaped."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rowcall.core.errors import SetupError
from rowcall.core.run_report.page import Page
from rowcall.core.run_report.words import count, time_taken
from rowcall.core.shown import clean

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = Path(__file__).parent


def render(page: Page) -> str:
    """HTML that loads nothing and runs nothing. Raises `SetupError` as `check_libraries` does."""
    check_libraries()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "time_taken": time_taken}
    style = Markup((_HERE / "page.css").read_text(encoding="utf-8"))  # noqa: S704 (our own file)
    return environment.get_template("page.html").render(page=page, style=style, charts=_charts(page))


def _shown(value: object) -> object:
    """Every value on its way into the page: no character of it can turn the text around or is none at all."""
    from markupsafe import Markup

    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _charts(page: Page) -> Mapping[str, "Markup"]:
    from markupsafe import Markup

    from rowcall.run_report import charts

    drawn: dict[str, str] = {}
    if page.timeline is not None:
        drawn |= {
            "throughput": charts.throughput(page.timeline),
            "in_flight": charts.in_flight(page.timeline, page.concurrency),
        }
    if page.latencies is not None:
        drawn["latency"] = charts.latency(page.latencies)
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704 (drawn of numbers)


def check_libraries() -> None:
    """Raises `SetupError` where the libraries for a page are missing."""
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"a report needs {' and '.join(missing)}, of the extra `report`: pip install 'rowcall[report]'"
        )


def default_place(page: Page) -> Path:
    """A file in this folder, named for the run."""
    return Path(re.sub(r"[^\w-]", "_", page.run_id) + ".html")
