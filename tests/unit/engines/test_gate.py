"""What calls pass before they are sent, in a task that asks an endpoint in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rowcall.core import circuit
from rowcall.core.circuit import FAILURES
from rowcall.core.control import CONTROL_NOTE, Control
from rowcall.core.limits import Budget
from rowcall.core.progress import PROGRESS_NOTES, STOP_NOTE, StopRequest, progress_note, read_stop, total
from rowcall.core.rates import Pause, Rates
from rowcall.core.records import ErrorKind, HttpFailure, HttpReply, Progress
from rowcall.core.retry import RetryPolicy
from rowcall.engines import gate
from rowcall.engines.worker import run_task
from rowcall.testing import FakeEndpoint, MemoryJournal, error_reply, responses_reply
from support import wait_until
from tasks import ask, recipe, rows

GONE = HttpFailure(ErrorKind.CONNECTION, "connection refused")


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(circuit, "LONGEST_PAUSE", 0.02)


def beside(work: Callable[[], None]) -> threading.Thread:
    """Work that goes on beside a task."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def first(count: int, failure: HttpReply | HttpFailure) -> Callable[[Any], str | HttpReply | HttpFailure]:
    """Answers that fail so often before the endpoint is well."""
    left = [failure] * count
    return lambda _: left.pop() if left else "well"


@pytest.mark.usefixtures("quick_probes")
class TestCircuit:
    @pytest.mark.parametrize("failure", [GONE, error_reply(502), error_reply(503)], ids=["gone", "502", "503"])
    def test_an_outage_costs_no_row_and_is_found_over_by_one_call_at_a_time(
        self, failure: HttpReply | HttpFailure
    ) -> None:
        endpoint, journal = FakeEndpoint(first(FAILURES + 30, failure), latency=0.001), MemoryJournal()
        in_flight: list[int] = []
        answer = endpoint.answer

        def watched(body: dict[str, Any]) -> str | HttpReply | HttpFailure:
            in_flight.append(endpoint.in_flight)
            return answer(body)

        endpoint.answer = watched
        policy = RetryPolicy(attempts=3, base=0.001)
        report = ask(recipe(endpoint, journal, share=8, retry=policy), rows([f"row {n}" for n in range(40)]))
        assert (report["ok"], report["stop"]) == (40, "")
        assert len(endpoint.requests) == 40 + FAILURES + 30
        assert set(in_flight[FAILURES + 8 : FAILURES + 30]) == {1}

    def test_an_outage_that_lasts_stops_the_run_and_fails_no_further_row(self) -> None:
        answers = ["well"] * 5
        endpoint, journal = FakeEndpoint(lambda _: answers.pop() if answers else GONE), MemoryJournal()
        made = recipe(endpoint, journal, share=8, outage=0.1, retry=RetryPolicy(attempts=50, base=0.001))
        report = ask(made, rows([f"row {n}" for n in range(500)]))
        assert report["stop"] == "the endpoint has served nobody for 0.1 s: connection: connection refused"
        assert (report["asked"], report["ok"]) == (5, 5)

    def test_what_never_was_there_is_given_up_sooner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gate, "START_SECONDS", 0.05)
        made = recipe(FakeEndpoint(lambda _: GONE), MemoryJournal(), share=8, outage=3600.0)
        report = ask(made, rows([f"row {n}" for n in range(100)]))
        assert report["stop"] == "the endpoint has served nobody for 0.05 s: connection: connection refused"

    def test_an_endpoint_that_starts_has_the_time_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gate, "START_SECONDS", 0.0)
        endpoint = FakeEndpoint(first(FAILURES + 10, error_reply(503)))
        made = recipe(endpoint, MemoryJournal(), share=8, outage=0.0, retry=RetryPolicy(3, base=0.001, warm_up=60.0))
        assert ask(made, rows([f"row {n}" for n in range(20)]))["ok"] == 20

    def test_probes_that_take_too_long_are_no_answers(self) -> None:
        late = HttpFailure(ErrorKind.TIMEOUT, "no whole reply in time")
        replies: list[str | HttpFailure] = [late] * 500 + [GONE] * FAILURES + ["well"]
        made = recipe(FakeEndpoint(lambda _: replies.pop()), MemoryJournal(), share=8, outage=0.1)
        report = ask(made, rows([f"row {n}" for n in range(100)]))
        assert report["stop"] == "the endpoint has served nobody for 0.1 s: timeout: no whole reply in time"
        assert report["failed"] == 0

    def test_one_row_that_reaches_no_server_is_enough(self) -> None:
        unreached = HttpFailure(ErrorKind.CONNECTION, "connection refused", connected=False)
        endpoint = FakeEndpoint(first(circuit.UNREACHED + 5, unreached))
        policy = RetryPolicy(attempts=circuit.UNREACHED + 1, base=0.001)
        assert ask(recipe(endpoint, MemoryJournal(), share=1, retry=policy), rows(["a", "b"]))["ok"] == 2


class TestQuota:
    def test_one_that_is_used_up_is_waited_out_by_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gate, "SATURATED_SECONDS", 0.01)
        told = 8
        endpoint = FakeEndpoint(first(told, error_reply(429, headers={"retry-after": "0.2"})))
        report = ask(recipe(endpoint, MemoryJournal(), share=8), rows([f"row {n}" for n in range(400)]))
        assert report["ok"] == 400
        assert told >= Pause.SURE
        assert len(endpoint.requests) == 400 + told, "nobody asked while the quota was used up"

    def test_where_all_calls_are_turned_away_for_long_an_adaptive_run_stops(self) -> None:
        endpoint = FakeEndpoint(lambda _: error_reply(429))
        made = recipe(endpoint, MemoryJournal(), share=8, outage=0.3, retry=RetryPolicy(3, base=0.01, adaptive=True))
        report = ask(replace(made, adaptive=True), rows([f"row {n}" for n in range(50)]))
        assert "the endpoint has turned all calls away for 0 s: rate_limited (HTTP 429): status 429" in report["stop"]
        assert (report["asked"], report["turned_away"]) == (0, len(endpoint.requests))

    def test_what_servers_say_is_not_told_where_it_may_be_a_prompt(self) -> None:
        spans = replace(recipe(FakeEndpoint(), MemoryJournal()).spans, content="none")
        made = recipe(FakeEndpoint(lambda _: error_reply(503, message="secret")), MemoryJournal(), share=8, outage=0.01)
        made = replace(made, spans=spans, retry=RetryPolicy(3, base=0.001, warm_up=0.0))
        report = ask(made, rows([f"row {n}" for n in range(50)]))
        assert "served nobody" in report["stop"]
        assert "secret" not in report["stop"]

    def test_requests_of_a_minute_are_paced(self) -> None:
        endpoint = FakeEndpoint()
        began = time.monotonic()
        ask(recipe(endpoint, MemoryJournal(), rates=Rates(requests=1200)), rows([f"row {n}" for n in range(40)]))
        assert time.monotonic() - began >= (40 - 20) / 20 - 0.1, "20 at once and 20 a second"

    def test_a_wait_for_a_quota_ends_with_the_run(self) -> None:
        journal = MemoryJournal()
        endpoint = FakeEndpoint(lambda _: journal.write_note(STOP_NOTE, StopRequest("enough").as_text()) or "fine")
        report = ask(recipe(endpoint, journal, rates=Rates(requests=1)), rows(["a", "b", "c"]))
        assert (report["stop"], report["asked"]) == ("enough", 1)


class TestControl:
    def test_a_pause_starts_no_call_until_it_is_over(self) -> None:
        endpoint, journal = FakeEndpoint(latency=0.005), MemoryJournal()
        still: list[int] = []

        def pause() -> None:
            wait_until(lambda: len(endpoint.requests) > 10)
            journal.write_note(CONTROL_NOTE, Control(paused=True).as_text())
            wait_until(lambda: total(journal.notes(PROGRESS_NOTES)).paused == 1 and endpoint.in_flight == 0)
            still.append(len(endpoint.requests))
            wait_until(lambda: total(journal.notes(PROGRESS_NOTES)).asked == still[0])
            still.append(len(endpoint.requests))
            journal.write_note(CONTROL_NOTE, Control().as_text())

        thread = beside(pause)
        report = ask(recipe(endpoint, journal, flush_seconds=0.01), rows([f"row {n}" for n in range(200)]))
        thread.join(10)
        assert report["ok"] == 200
        assert still[0] == still[1] < 200

    @pytest.mark.parametrize(("concurrency", "share"), [(2, 1), (5, 2), (40, 20)])
    def test_the_calls_in_flight_become_fewer_or_more(self, concurrency: int, share: int) -> None:
        endpoint, journal = FakeEndpoint(latency=0.01), MemoryJournal()
        seen: list[int] = []

        def turn() -> None:
            wait_until(lambda: len(endpoint.requests) > 10)
            journal.write_note(CONTROL_NOTE, Control(concurrency=concurrency).as_text())
            wait_until(lambda: total(journal.notes(PROGRESS_NOTES)).room == share and endpoint.in_flight <= share)
            endpoint.most_in_flight = 0
            begun = len(endpoint.requests)
            wait_until(lambda: len(endpoint.requests) > begun + 5 * share)
            seen.append(endpoint.most_in_flight)
            journal.write_note(STOP_NOTE, StopRequest("seen").as_text())

        thread = beside(turn)
        ask(recipe(endpoint, journal, share=4, tasks=2, flush_seconds=0.01), rows(["row"] * 5000))
        thread.join(10)
        assert seen == [share]


class TestBeforeTheFirstCall:
    def test_a_task_that_comes_late_does_as_it_is_told_before_it_asks(self) -> None:
        endpoint, journal = FakeEndpoint(), MemoryJournal()
        journal.write_note(STOP_NOTE, StopRequest("the run is over").as_text())
        assert ask(recipe(endpoint, journal), rows(["a", "b"]))["stop"] == "the run is over"
        assert endpoint.requests == []

    def test_fewer_calls_at_once_hold_from_the_first(self) -> None:
        endpoint, journal = FakeEndpoint(latency=0.002), MemoryJournal()
        journal.write_note(CONTROL_NOTE, Control(concurrency=1).as_text())
        assert ask(recipe(endpoint, journal, share=8), rows([f"row {n}" for n in range(20)]))["ok"] == 20
        assert endpoint.most_in_flight == 1

    def test_what_an_earlier_attempt_was_doing_counts_no_more(self) -> None:
        journal, dead = MemoryJournal(), Progress(asked=3, ok=3, in_flight=4, room=4, paused=1, input_tokens=7)
        for part in (1, 2):
            journal.write_note(f"{PROGRESS_NOTES}{part}-dead", progress_note(dead))
        list(run_task(recipe(FakeEndpoint(), journal), [rows(["a"])], part=1))
        counted = total(journal.notes(f"{PROGRESS_NOTES}1-"))
        assert (counted.asked, counted.in_flight, counted.paused, counted.input_tokens) == (4, 0, 0, 7)
        assert total(journal.notes(f"{PROGRESS_NOTES}2-")) == dead


class TestStops:
    def test_calls_in_flight_are_given_so_long_and_no_longer(self) -> None:
        endpoint, journal = FakeEndpoint(latency=3600.0), MemoryJournal()

        def stop() -> None:
            wait_until(lambda: endpoint.in_flight == 4)
            journal.write_note(STOP_NOTE, StopRequest("terminated", 0.1).as_text())

        thread = beside(stop)
        report = ask(recipe(endpoint, journal, timeout=7200.0), rows([f"row {n}" for n in range(10)]))
        thread.join(10)
        assert (report["stop"], report["asked"], report["in_flight"]) == ("terminated", 0, 0)
        assert len(endpoint.requests) == 4

    def test_a_stop_is_seen_at_once_however_seldom_answers_are_saved(self) -> None:
        endpoint, journal = FakeEndpoint(latency=0.005), MemoryJournal()

        def stop() -> None:
            wait_until(lambda: len(endpoint.requests) > 20)
            journal.write_note(STOP_NOTE, StopRequest("enough").as_text())

        thread = beside(stop)
        made = recipe(endpoint, journal, flush_seconds=3600.0, flush_rows=100_000)
        report = ask(made, rows([f"row {n}" for n in range(50_000)]))
        thread.join(10)
        assert (report["stop"], report["asked"]) == ("enough", len(journal.rows()))

    def test_who_insists_shortens_the_wait(self) -> None:
        endpoint, journal = FakeEndpoint(latency=3600.0), MemoryJournal()

        def stop() -> None:
            wait_until(lambda: endpoint.in_flight == 4)
            journal.write_note(STOP_NOTE, StopRequest("interrupted").as_text())
            wait_until(lambda: total(journal.notes(PROGRESS_NOTES)).stop == "interrupted")
            journal.write_note(STOP_NOTE, StopRequest("interrupted", 0.0).as_text())

        thread = beside(stop)
        report = ask(recipe(endpoint, journal, timeout=7200.0), rows([f"row {n}" for n in range(10)]))
        thread.join(10)
        assert report["stop"] == "interrupted"

    def test_what_other_tasks_used_counts_for_the_budget(self) -> None:
        usage = {"input_tokens": 1, "output_tokens": 0}
        endpoint, journal = FakeEndpoint(lambda _: responses_reply("fine", usage=usage), latency=0.002), MemoryJournal()
        journal.write_note(f"{PROGRESS_NOTES}other", progress_note(Progress(input_tokens=999_990)))
        made = recipe(endpoint, journal, budget=Budget(max_tokens=1_000_000), flush_seconds=0.01)
        report = ask(made, rows([f"row {n}" for n in range(5000)]))
        assert "limits.max_tokens is 1,000,000" in report["stop"]
        assert 0 < report["asked"] < 5000


class TestNotes:
    @pytest.mark.parametrize("said", [None, "", "{", "[]", '"stop"', '{"reason": 7}', '{"reason": ""}', "null"])
    def test_what_is_no_request_to_stop_stops_nothing(self, said: str | None) -> None:
        assert read_stop(said) is None

    def test_a_request_to_stop_is_read_as_it_was_written(self) -> None:
        for request in (StopRequest("a"), StopRequest("b", 0.0), StopRequest("c", 8.5)):
            assert read_stop(request.as_text()) == request

    @pytest.mark.parametrize("grace", ["-1", "1e308", "true", f"1{'0' * 400}", '"8"', "NaN"])
    def test_a_grace_that_is_no_time_is_none(self, grace: str) -> None:
        assert read_stop(f'{{"reason": "enough", "grace": {grace}}}') == StopRequest("enough")

    def test_what_cannot_be_read_of_a_task_is_left_out_of_the_total(self) -> None:
        said = [
            "{",
            "[]",
            "[" * 100_000,
            '{"asked": "x"}',
            '{"asked": null, "stop": 5}',
            '{"asked": 1e400}',
            '{"mood": 1}',
        ]
        notes = {f"{PROGRESS_NOTES}{number}": text for number, text in enumerate(said)}
        notes[f"{PROGRESS_NOTES}a"] = progress_note(Progress(asked=3, ok=2, failed=1, stop="enough"))
        assert total({**notes, "stop": "{}"}) == Progress(asked=3, ok=2, failed=1, stop="enough")
