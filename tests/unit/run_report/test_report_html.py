"""The page itself: whatever is in its values is text, and nothing is loaded or run."""

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall import run_report
from rowcall.core.errors import SetupError
from rowcall.core.run_report.facts import Share
from rowcall.core.run_report.headline import Tile
from rowcall.core.run_report.latency import Bin, Latencies
from rowcall.core.run_report.page import Page, Wave
from rowcall.core.run_report.timeline import Timeline
from rowcall.core.run_report.trouble import Trouble
from rowcall.core.run_report.waterfall import SlowRow, Strip
from rowcall.run_report import charts

NASTY = [
    "<script>document.title = 'run'</script>",
    "</style><script>alert(1)</script>",
    "</svg></title></textarea><img src=x onerror=alert(1)>",
    "\"><a href='javascript:alert(1)'>x</a>",
    "{{ 7 * 7 }} {% raw %}",
    "\x00\x07\x1b[31m \ud83d \u202eevil\u2066",
    "&lt;b&gt; &amp;amp;",
]
LATENCIES = Latencies((Bin(400, 3, 0.1, 0.104), Bin(410, 5, 0.16, 0.163), Bin(470, 1, 2.5, 2.5)))
TIMELINE = Timeline(0.5, (1.0, 4.0, 0.0), (0.0, 1.0, 0.0), (2.0, 3.5, 1.0))


def page_of(text: str) -> Page:
    """A page with everything in it, and that text wherever there is one."""
    strip = Strip("agent", text, text, 1, 0.0, 50.0, 1.0, failed=True)
    tile, share = Tile(text, text, text), Share(text, text, 50.0, text, text)
    return Page(
        run_id=text,
        job=text,
        status=text,
        when=text,
        sentence=text,
        message=text,
        bound_by=text,
        tiles=[tile],
        missing=text,
        in_sql=False,
        timeline=TIMELINE,
        latencies=LATENCIES,
        percentiles=[tile],
        waves=[Wave(1, text, text, text, text, text)],
        states=[share],
        endings=[share],
        attempts=text,
        troubles=[Trouble(text, text, 1, 2, (429,), text)],
        tokens=[(text, text, text)],
        slowest=[SlowRow(text, text, 1.0, text, text, text, text, (strip,), 3)],
        plan=[(text, text)],
        concurrency=4,
    )


class Seen(HTMLParser):
    """What a page consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = Seen(run_report.render(page_of("plain")))


@pytest.mark.parametrize("text", NASTY)
def test_values_are_text_whatever_is_in_them(text: str) -> None:
    html = run_report.render(page_of(text))
    seen = Seen(html)
    assert seen.tags == PLAIN.tags
    assert "script" not in seen.tags
    assert [name for name, _ in seen.attributes] == [name for name, _ in PLAIN.attributes]
    html.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", html)


@pytest.mark.parametrize("text", [each for each in NASTY if each.isprintable()])
def test_values_can_be_read_as_they_are(text: str) -> None:
    assert Seen(run_report.render(page_of(text))).text.count(text) >= 20


@settings(max_examples=15)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_text_adds_an_element(text: str) -> None:
    assert Seen(run_report.render(page_of(text))).tags == PLAIN.tags


def test_nothing_is_loaded_or_run() -> None:
    html = run_report.render(page_of("plain"))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert not re.search(r"url\((?!#)|@import|src=|<link(?! rel=\"icon\" href=\"data:,\")", html)
    assert [name for name, _ in PLAIN.attributes if name.startswith("on")] == []
    links = {value for name, value in PLAIN.attributes if name in ("href", "xlink:href")}
    assert all(link is not None and link.startswith(("#", "data:")) for link in links)


def test_without_its_parts_a_page_is_shorter_and_has_no_empty_headings() -> None:
    kept = {"run_id", "job", "status", "when", "sentence", "tiles", "in_sql", "plan"}
    empty: dict[str, Any] = {
        field.name: None if field.name in ("timeline", "latencies", "concurrency") else ""
        for field in fields(Page)
        if field.name not in kept
    }
    html = run_report.render(replace(page_of("plain"), **empty))
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["The plan"]
    assert "svg" not in Seen(html).tags


def test_charts_are_svg_in_the_colours_of_the_page() -> None:
    for chart in (charts.throughput(TIMELINE), charts.in_flight(TIMELINE, 4), charts.latency(LATENCIES)):
        ET.fromstring(chart)
        assert set(re.findall(r"#[0-9a-f]{6}\b", chart)) <= {"#000000"}
        assert "var(--faint)" in chart
        assert "<text" in chart


def test_ids_of_charts_do_not_meet_and_a_chart_is_always_the_same() -> None:
    drawn = [charts.throughput(TIMELINE), charts.in_flight(TIMELINE, 4), charts.latency(LATENCIES)]
    ids = [each for chart in drawn for each in re.findall(r' id="([^"]+)"', chart)]
    assert len(ids) == len(set(ids))
    assert charts.throughput(TIMELINE) == drawn[0]


def test_charts_of_next_to_nothing_are_drawn() -> None:
    still = Timeline(0.01, (0.0,), (0.0,), (0.0,))
    assert charts.throughput(still)
    assert charts.in_flight(still, None)
    assert charts.latency(Latencies((Bin(0, 1, 1e-9, 1e-9),)))


def test_a_missing_library_is_told_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SetupError, match=r"needs jinja2, of the extra `report`: pip install 'rowcall\[report\]'"):
        run_report.render(page_of("plain"))


@pytest.mark.parametrize(
    ("run_id", "name"), [("20261124-135019-d37f", "20261124-135019-d37f.html"), ("../../etc/x", "______etc_x.html")]
)
def test_a_report_is_named_for_its_run_and_stays_in_this_folder(run_id: str, name: str) -> None:
    assert run_report.default_place(replace(page_of("plain"), run_id=run_id)) == Path(name)
