"""Where the time of a task's slots goes, as its report and the spans of its calls tell."""

import json
from typing import Any

import pytest

from rowcall.core.rates import Rates
from rowcall.core.retry import RetryPolicy
from rowcall.core.slots import CLIENT_CPU, main_state
from rowcall.testing import FakeEndpoint, MemoryJournal, error_reply, responses_reply
from tasks import ask, recipe, rows


def most(report: dict[str, Any]) -> str | None:
    return main_state({state: seconds for state, seconds in report["seconds"].items() if state != CLIENT_CPU})


def spans(journal: MemoryJournal) -> list[dict[str, Any]]:
    return [span for table in journal.written.values() for each in table.column("spans").to_pylist() for span in each]


def test_an_endpoint_that_takes_its_time_is_what_most_goes_to() -> None:
    report = ask(recipe(FakeEndpoint(latency=0.05), MemoryJournal()), rows([f"row {n}" for n in range(40)]))
    assert most(report) == "asking"
    assert report["seconds"][CLIENT_CPU] > 0


def test_a_quota_that_is_waited_out_is_told_apart_from_failures() -> None:
    turned_away = [error_reply(429, headers={"retry-after": "0.3"})]
    endpoint = FakeEndpoint(lambda _: turned_away.pop() if turned_away else "well")
    assert most(ask(recipe(endpoint, MemoryJournal(), share=1), rows(["a", "b"]))) == "quota"

    failing = [error_reply(500)]
    endpoint = FakeEndpoint(lambda _: failing.pop() if failing else "well")
    policy = RetryPolicy(3, base=5.0, cap=5.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("random.random", lambda: 0.06)
        assert most(ask(recipe(endpoint, MemoryJournal(), share=1, retry=policy), rows(["a", "b"]))) == "backing_off"


def test_the_rates_of_the_job_are_what_most_goes_to_where_they_are_low() -> None:
    made = recipe(FakeEndpoint(), MemoryJournal(), rates=Rates(requests=600.0))
    assert most(ask(made, rows([f"row {n}" for n in range(14)]))) == "rate"


def test_slots_without_rows_are_idle() -> None:
    made = recipe(FakeEndpoint(latency=0.2), MemoryJournal(), share=8)
    assert most(ask(made, rows(["the only one"]))) == "idle"


def test_waits_and_attempts_add_up_to_the_time_of_the_call() -> None:
    troubles = [error_reply(429, headers={"retry-after": "0.05"}), error_reply(500)]
    endpoint = FakeEndpoint(lambda _: troubles.pop() if troubles else responses_reply("well"))
    journal = MemoryJournal()
    assert ask(recipe(endpoint, journal, share=1), rows(["a"]))["ok"] == 1
    root, *attempts = spans(journal)
    assert [json.loads(one["attributes"])["rowcall.waited_for"] for one in attempts[1:]] == ["backing_off", "quota"]
    waited = sum(json.loads(one["attributes"]).get("rowcall.waited_seconds", 0.0) for one in attempts)
    asked = sum(one["end_time_unix_nano"] - one["start_time_unix_nano"] for one in attempts) / 1e9
    assert waited + asked == pytest.approx((root["end_time_unix_nano"] - root["start_time_unix_nano"]) / 1e9, abs=2e-3)
