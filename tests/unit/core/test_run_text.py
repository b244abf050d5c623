"""A run in words."""

import pytest

from rowcall.core.run_text import no_failures


@pytest.mark.parametrize(
    ("status", "asked", "failed", "said"),
    [
        ("done", 60, 0, "No row of run r-1 is without an ok answer."),
        ("running", 0, 0, "Run r-1 has no end yet. No row that it has published so far is without an ok answer."),
        (
            "stopped",
            0,
            0,
            "Run r-1 was stopped before 60 requests had an answer: the next run asks them. Of those it asked, none failed.",
        ),
        (
            "failed",
            59,
            0,
            "Run r-1 failed before 1 request had an answer: the next run asks them. Of those it asked, none failed.",
        ),
    ],
)
def test_why_the_outputs_have_no_failure_of_a_run(status: str, asked: int, failed: int, said: str) -> None:
    run = {"run_id": "r-1", "status": status, "pending_rows": 60, "asked": asked, "failed": failed}
    assert no_failures(run) == said


def test_failures_that_the_outputs_have_no_more() -> None:
    run = {"run_id": "r-1", "status": "done", "pending_rows": 60, "asked": 60, "failed": 2}
    assert no_failures(run).startswith("The outputs have no failure of run r-1, though 2 of its requests failed")
