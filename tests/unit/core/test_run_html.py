"""What a notebook shows of a run: read back by a parser of HTML, with texts that would like to be more than that."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.run_html import LONGEST, framed, progress_html, summary_html
from runs_of_tests import made_plan, over

VOID = ("br", "img", "input")
NASTY = [
    "<script>alert(1)</script>",
    "</div></table>",
    '" onload="x',
    "&lt;b&gt;",
    "\u202egnp",
    "a\x00b",
    "x" * 1_000_000,
]


class Page(HTMLParser):
    """The tags and the text of a page; every tag that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style", "title"}
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


OURS = {"div", "b", "span", "table", "tr", "td", "bdi"}


def widths(html: str) -> list[float]:
    return [float(width) for width in re.findall(r"width: ([0-9.]+)%", html)]


def test_a_summary_says_how_it_ended_and_where_the_answers_are() -> None:
    row = over(ok=5, failures={"timeout": 2}, bound_by="the endpoint's answers, 93 % of slot time")
    page = Page(summary_html(row))
    for said in ("✔", row.job, "7 asked · 5 ok · 2 timeout", row.bound_by, row.outputs_table, row.run_id):
        assert str(said) in page.text
    assert widths(summary_html(row)) == pytest.approx([100 * 5 / 7, 100 * 2 / 7], abs=0.01)


def test_a_run_that_stopped_says_why_and_what_is_left() -> None:
    row = replace(over(ok=2), status="stopped", message="limits.deadline has passed", asked=2, pending_rows=8)
    assert "limits.deadline has passed" in Page(summary_html(row)).text
    assert widths(summary_html(row)) == [25.0, 75.0]


def test_a_run_that_asked_nothing_has_no_bar() -> None:
    assert widths(summary_html(replace(over(), asked=0, ok=0, failed=0, pending_rows=0))) == []


def test_progress_says_what_is_about_to_happen_and_how_far_it_is() -> None:
    html = progress_html(made_plan(pending=8), Progress(asked=4, ok=3, failed=1, in_flight=2), 2.0)
    assert "8 to ask" in Page(html).text
    assert "4/8  ok 3  failed 1  in flight 2  2/s" in Page(html).text
    assert widths(html) == [37.5, 12.5, 50.0]
    assert "publishing …" in Page(progress_html(made_plan(pending=8), Progress(), 0.0, "publishing")).text


@pytest.mark.parametrize("nasty", NASTY, ids=lambda text: repr(text[:12]))
@pytest.mark.parametrize("where", ["job", "message", "bound_by", "outputs_table", "traces_table", "endpoint", "run_id"])
def test_every_text_is_a_text(where: str, nasty: str) -> None:
    row: RunRow = replace(over(ok=1), status="stopped", **{where: nasty})
    html = summary_html(row)
    assert Page(html).tags <= OURS
    assert len(html) < 3 * LONGEST + 10_000


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=9), st.integers(0, 10**9), max_size=4))
def test_whatever_the_texts_the_page_is_whole(text: str, failures: dict[str, int]) -> None:
    row = replace(over(), job=text, message=text, failures=failures, status="failed")
    assert Page(summary_html(row)).tags <= OURS


class Frame(HTMLParser):
    """The attributes of the one tag of a frame."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "page", ["<html><style>p { color: red }</style><p title='a'>\"b\" &lt;</p></html>", *NASTY[:4]]
)
def test_a_page_in_a_frame_is_that_page_and_cannot_get_out(page: str) -> None:
    ((tag, attributes),) = Frame(framed(page)).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == page
    assert attributes["sandbox"] is None, "nothing is allowed: no script, no form, no other origin"
