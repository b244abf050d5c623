"""The report of a run as a browser shows it: whole, quiet, asking for nothing, readable in light, dark, narrow, wide and print."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown_page import Shown
from typer.testing import CliRunner

from rowcall import cli, run_report
from rowcall.adapters.packaged import sql_texts
from rowcall.adapters.whole_file import write_whole
from rowcall.core.definition import JobDefinition
from rowcall.core.ports import SqlSession
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess
from support import Bench, make_job

SCREENSHOT = Path(__file__).parent / "report.png"
NASTY = (
    "<script>document.title = 'run'; alert('run')</script><img src='http://127.0.0.1:9/x.png' onerror=\"document.title = 'run'\">",
    "</style></svg></title><body onload=\"document.title = 'run'\"><link rel=stylesheet href='http://127.0.0.1:9/x.css'>",
    "\u202ereversed\u2066 \u0645\u0631\u062d\u0628\u0627 nul\x00 bell\x07",
    "unbroken" * 60_000,
)
INK, PAPER = "getComputedStyle(document.body).color", "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def report(
    house: Lakehouse, session: SqlSession, sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Of a run with answers and an error that are markup."""
    bench = Bench(session, sandbox, tmp_path_factory.mktemp("report"), house.folder)
    bench.fill("browser_nasty", [{"id": f"{n} {text[:200]}", "text": text} for n, text in enumerate((*NASTY, "fails"))])
    body = {"error_code": "BAD_REQUEST", "message": NASTY[0]}
    bench.behave(latency_ms=30, faults=[{"match": "fails", "status": 400, "body": body}, {"first": 1, "status": 503}])
    return written(bench, make_job("browser_nasty"))


def written(bench: Bench, job: JobDefinition) -> Path:
    """The report of a run of that job."""
    row = bench.run(job)
    path = bench.folder / "report.html"
    page = run_report.read_page(bench.session, sql_texts(), job.runs.table or "", row.run_id)
    write_whole(path, run_report.render(page))
    return path


def luminance(colour: str) -> float:
    """Of `rgb(28, 33, 40)`, from 0 to 1, as contrast is computed."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colours(shown: Shown, selector: str, of: str = "color") -> set[str]:
    found: list[str] = shown.page.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(each => getComputedStyle(each).{of})"
    )
    assert found
    return set(found)


def test_a_report_is_quiet_asks_for_nothing_and_runs_nothing(report: Path, show: Callable[..., Shown]) -> None:
    shown = show(report)
    shown.page.wait_for_load_state("networkidle")
    assert shown.said == []
    assert shown.requested == [report.absolute().as_uri()]
    assert "run" not in shown.page.title().split()
    assert shown.page.title().startswith("browser_nasty · ")
    assert shown.page.locator("script, img, body[onload]").count() == 0


def test_what_was_answered_stands_there_as_text(report: Path, show: Callable[..., Shown]) -> None:
    text = show(report).page.locator("body").text_content() or ""
    for nasty in NASTY[:2]:
        assert text.count(nasty) >= 2
    assert "\u0645\u0631\u062d\u0628\u0627" in text


def test_all_that_a_report_has_is_seen(report: Path, show: Callable[..., Shown]) -> None:
    page = show(report).page
    headings = page.locator("h2").all_inner_texts()
    assert headings == [
        "Over time",
        "Latency",
        "Where the time went",
        "Outcomes",
        "What went wrong",
        "Tokens and cost",
        "The slowest rows",
        "The plan",
    ]
    assert [box["width"] > 300 for chart in page.locator("svg").all() if (box := chart.bounding_box())] == [True] * 3
    assert page.locator(".tiles dd strong").count() == 8
    assert page.locator("details[open] .track span").first.is_visible()
    page.locator("summary").last.click()
    assert page.locator("details").last.locator(".strip").first.is_visible()


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(width: int, report: Path, show: Callable[..., Shown]) -> None:
    shown = show(report, width=width)
    shown.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(scheme: str, report: Path, show: Callable[..., Shown]) -> None:
    shown = show(report, color_scheme=scheme)
    paper = str(shown.page.evaluate(PAPER))
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    inks = colours(shown, "body, .faint, dt, small, .number.bad, td, th") | colours(shown, "svg text", "fill")
    assert {ink for ink in inks if contrast(ink, paper) < 4.5} == set()
    assert {bar for bar in colours(shown, ".bars span", "backgroundColor") if contrast(bar, paper) < 3} == set()
    for (badge,) in [colours(shown, ".status", "backgroundColor")]:
        assert contrast(paper, badge) >= 3


def test_it_prints_on_white_paper_whatever_the_screen(report: Path, show: Callable[..., Shown]) -> None:
    shown = show(report, color_scheme="dark")
    shown.page.emulate_media(media="print")
    assert luminance(str(shown.page.evaluate(PAPER))) > 0.9
    assert contrast(str(shown.page.evaluate(INK)), str(shown.page.evaluate(PAPER))) > 7
    printed = shown.page.pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 10_000


def test_after_the_demo_its_report_opens(
    show: Callable[..., Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    demo = CliRunner().invoke(cli.app, ["demo"])
    assert demo.exit_code == cli.OK, demo.output
    (command,) = [
        line.split("rowcall report ")[1].split() for line in demo.output.splitlines() if "rowcall report " in line
    ]
    made = CliRunner().invoke(cli.app, ["report", command[0]])
    assert made.output == f"wrote {command[0]}.html\n"
    page = show(tmp_path / f"{command[0]}.html").page
    assert page.locator(".sentence").inner_text().startswith("All 240 requests were answered by app text-insight in ")


def test_the_picture_in_the_readme_is_of_a_report(
    bench: Bench, show: Callable[..., Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ROWCALL_SCREENSHOT=1 make test-browser` takes it anew; otherwise it is taken and thrown away."""
    reviews: list[dict[str, Any]] = [{"id": n, "text": f"Review {n}: {taste(n)}"} for n in range(900)]
    bench.fill("review_triage", reviews)
    lost = {"error_code": "INTERNAL_ERROR", "message": "KeyError: 'franchise' in tool look_up_franchise"}
    refused = {"error_code": "BAD_REQUEST", "message": "The content filter refused the prompt"}
    full = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Too many requests for this endpoint"}
    bench.behave(
        latency_ms=40,
        jitter=[140, 1500],
        capacity={"at_once": 26},
        faults=[
            {"match": "sue you", "status": 400, "body": refused},
            {"match": "lost franchise", "status": 500, "body": lost},
            {"every": 60, "status": 429, "headers": {"Retry-After": "3"}, "body": full},
            {"every": 41, "status": 503},
        ],
    )
    priced = {"app": "echo", "price": {"input": 3, "output": 15}}
    job = make_job("review_triage", endpoint=priced, engine={"concurrency": 32}, limits={"attempts": 4})
    shown = show(written(bench, job), width=1120)
    taken = SCREENSHOT if os.environ.get("ROWCALL_SCREENSHOT") else tmp_path / "report.png"
    below = shown.page.get_by_role("heading", name="Outcomes").bounding_box()
    assert below is not None
    shown.page.screenshot(path=taken, clip={"x": 0, "y": 0, "width": 1120, "height": below["y"] - 24}, full_page=True)
    assert taken.read_bytes().startswith(b"\x89PNG")
    assert 20_000 < taken.stat().st_size < 300_000
    assert SCREENSHOT.is_file()


def taste(n: int) -> str:
    if n % 150 == 7:
        return "I will sue you"
    return "from a lost franchise" if n % 300 == 9 else "the rye bread was excellent, the queue was long"
