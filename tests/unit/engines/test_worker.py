"""The loop inside one task, against an endpoint and a journal in memory."""

import asyncio
import json
import math
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from rowcall.core.errors import RunError, SqlError
from rowcall.core.limits import ALIKE_ROWS, REFUSALS, Budget
from rowcall.core.progress import STOP_NOTE
from rowcall.core.records import ErrorKind, HttpFailure, HttpReply, HttpRequest
from rowcall.core.retry import RetryPolicy
from rowcall.engines.worker import run_task
from rowcall.testing import FakeEndpoint, MemoryJournal, error_reply, responses_reply
from tasks import ask, recipe, rows


def by_hash(journal: MemoryJournal) -> dict[str, dict[str, Any]]:
    return {row["request_hash"]: row for row in journal.rows()}


def test_every_row_is_asked_once_and_answered_under_its_keys():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    report = ask(recipe(endpoint, journal), rows(["a", "b"]), rows(["c"]))
    assert (report["asked"], report["ok"], report["failed"]) == (3, 3, 0)
    assert sorted(row["answer"] for row in journal.rows()) == ["echo: a", "echo: b", "echo: c"]
    assert {(row["answer"], row["keys"][0]["id"]) for row in journal.rows()} == {
        ("echo: a", 0),
        ("echo: b", 1),
        ("echo: c", 0),
    }


@pytest.mark.parametrize("share", [1, 3, 8])
def test_the_share_is_reached_and_never_exceeded(share: int):
    endpoint, journal = FakeEndpoint(latency=0.005), MemoryJournal()
    ask(recipe(endpoint, journal, share=share), rows([f"row {n}" for n in range(40)]))
    assert endpoint.most_in_flight == share


class Blocking(FakeEndpoint):
    """Holds the row `slow` back until `others` rows were answered: with a barrier anywhere that never happens."""

    def __init__(self, others: int) -> None:
        super().__init__()
        self.left = others
        self.released = asyncio.Event()

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure:
        if b"slow" in request.body:
            await asyncio.wait_for(self.released.wait(), 20)
        else:
            self.left -= 1
            if self.left == 0:
                self.released.set()
        return await FakeEndpoint.send(self, request)


def test_a_slow_row_holds_back_no_other():
    endpoint, journal = Blocking(others=50), MemoryJournal()
    report = ask(recipe(endpoint, journal, share=2), rows(["slow", *(f"row {n}" for n in range(25))]), rows(["x"] * 25))
    assert report["ok"] == 51


def test_the_longest_requests_of_a_batch_come_first_but_for_the_first_rows_of_all():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    first, more = [f"row {n:02}" for n in range(2 * ALIKE_ROWS)], ["bb 1", "a", None, "cccc cccc", "bb 2"]
    ask(recipe(endpoint, journal, share=1), rows([*first, *more]), numbered(rows(["d", "dd"]), 1000))
    asked = [json.loads(request.body or b"")["input"][0]["content"] for request in endpoint.requests]
    assert asked == [*first, "cccc cccc", "bb 1", "bb 2", "a", "dd", "d"]


def numbered(batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
    """The batch with hashes of its own."""
    hashes = pa.array([f"hash-{start + n}" for n in range(batch.num_rows)])
    return batch.set_column(0, "request_hash", hashes)


def test_what_the_journal_has_is_not_asked_again():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    ask(recipe(endpoint, journal), rows(["a", "b"]))
    ask(recipe(endpoint, journal), rows(["a", "b", "c"]))
    assert len(endpoint.requests) == 3
    assert sorted(row["request_hash"] for row in journal.rows()) == ["hash-0", "hash-1", "hash-2"]


def test_two_attempts_at_a_part_ask_each_row_once_and_no_more_than_their_share():
    endpoint, journal = FakeEndpoint(latency=0.005), MemoryJournal()
    made, part = recipe(endpoint, journal, share=2), rows([f"row {n}" for n in range(40)])
    with ThreadPoolExecutor(2) as attempts:
        (first,), (twin,) = attempts.map(lambda number: list(run_task(made, [part], number)), [0, 0])
    asked = sorted(json.loads(report.column("report")[0].as_py())["asked"] for report in (first, twin))
    assert asked == [0, 40]
    assert len(endpoint.requests) == len(journal.rows()) == 40
    assert endpoint.most_in_flight == 2


def test_an_attempt_whose_rows_end_in_an_error_keeps_its_answers_and_does_not_stop_the_run():
    """As where the JVM that feeds it is killed."""

    def fed() -> Iterator[pa.RecordBatch]:
        yield rows(["a", "b"])
        raise EOFError("the executor is gone")

    endpoint, journal = FakeEndpoint(), MemoryJournal()
    with pytest.raises(EOFError, match="the executor is gone"):
        list(run_task(recipe(endpoint, journal), fed(), 0))
    assert sorted(journal.answered_hashes()) == ["hash-0", "hash-1"]
    (progress,) = journal.notes("progress-").values()
    assert json.loads(progress)["stop"] == ""


def test_a_null_request_is_an_outcome_and_no_call():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    ask(recipe(endpoint, journal), rows([None, "b"]))
    unasked = by_hash(journal)["hash-0"]
    assert (unasked["outcome"], unasked["error"]["kind"], unasked["error"]["message"]) == (
        "error",
        "null_prompt",
        "review is NULL",
    )
    assert unasked["attempts"] == 0
    assert unasked["spans"] == []
    assert len(endpoint.requests) == 1


def test_a_passing_failure_is_tried_again_and_its_attempts_are_told():
    replies = iter([error_reply(503), error_reply(429, headers={"retry-after": "0.01"}), responses_reply("at last")])
    endpoint, journal = FakeEndpoint(lambda _: next(replies)), MemoryJournal()
    report = ask(recipe(endpoint, journal), rows(["a"]))
    (row,) = journal.rows()
    assert (row["outcome"], row["answer"], row["attempts"]) == ("ok", "at last", 3)
    assert report["retries"] == 2
    names = [(span["name"], json.loads(span["attributes"]).get("http.response.status_code")) for span in row["spans"]]
    assert names == [("invoke_agent agent", None), ("attempt 1", 503), ("attempt 2", 429), ("attempt 3", 200)]


def test_a_row_is_given_up_after_its_attempts():
    endpoint, journal = FakeEndpoint(lambda _: error_reply(503)), MemoryJournal()
    ask(recipe(endpoint, journal, retry=RetryPolicy(attempts=3, base=0.001, warm_up=0.0)), rows(["a"]))
    (row,) = journal.rows()
    assert (row["outcome"], row["error"]["kind"], row["error"]["status"], row["attempts"]) == (
        "error",
        "unavailable",
        503,
        3,
    )
    assert len(endpoint.requests) == 3


def test_the_header_of_each_attempt_names_its_span():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    ask(recipe(endpoint, journal), rows(["a"]))
    (row,) = journal.rows()
    sent = endpoint.requests[0].headers["traceparent"]
    assert sent == f"00-{row['trace_id']}-{row['spans'][1]['span_id']}-01"


def test_a_failure_no_other_row_can_escape_stops_the_task():
    endpoint, journal = FakeEndpoint(lambda _: error_reply(403, "PERMISSION_DENIED", "no CAN QUERY")), MemoryJournal()
    report = ask(recipe(endpoint, journal, share=2), rows([f"row {n}" for n in range(100)]))
    assert report["stop"] == "permission_denied (HTTP 403): no CAN QUERY"
    assert len(endpoint.requests) <= 2


def test_rows_that_all_fail_alike_stop_the_task():
    endpoint, journal = FakeEndpoint(lambda _: error_reply(400, "BAD_REQUEST", "no such field")), MemoryJournal()
    report = ask(recipe(endpoint, journal, share=1), rows([f"row {n}" for n in range(100)]))
    assert report["stop"].startswith("every row so far failed alike, bad_request (HTTP 400): no such field")
    assert len(endpoint.requests) == ALIKE_ROWS


def test_one_good_answer_keeps_a_task_of_failures_going():
    endpoint = FakeEndpoint(lambda body: "fine" if "row 0" in str(body) else error_reply(400, "BAD_REQUEST"))
    report = ask(recipe(endpoint, MemoryJournal(), share=1), rows([f"row {n}." for n in range(100)]))
    assert (report["asked"], report["stop"]) == (100, "")


@pytest.mark.parametrize("part", [None, 0])
def test_no_call_starts_after_the_deadline(part: int | None):
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    (report,) = run_task(recipe(endpoint, journal, deadline_ns=1), [rows(["a"])], part)
    assert json.loads(report.column("report")[0].as_py())["stop"] == "limits.deadline has passed"
    assert endpoint.requests == []


def test_a_request_to_stop_is_seen_and_what_is_in_flight_is_kept():
    journal = MemoryJournal()

    def answer(body: dict[str, Any]) -> str:
        journal.write_note(STOP_NOTE, json.dumps({"reason": "enough"}))
        return "kept"

    endpoint = FakeEndpoint(answer, latency=0.01)
    report = ask(recipe(endpoint, journal, share=2, flush_seconds=0.01), rows([f"row {n}" for n in range(10_000)]))
    assert report["stop"] == "enough"
    assert 0 < len(endpoint.requests) < 10_000
    assert len(journal.rows()) == len(endpoint.requests)


def test_a_stop_ends_a_long_wait_and_leaves_the_row_for_the_next_run():
    journal = MemoryJournal()
    endpoint = FakeEndpoint(lambda _: error_reply(429, headers={"retry-after": "600"}))
    timer = threading.Timer(0.2, lambda: journal.write_note(STOP_NOTE, json.dumps({"reason": "enough"})))
    timer.start()
    report = ask(recipe(endpoint, journal), rows(["a"]))
    assert (report["stop"], report["asked"], journal.rows()) == ("enough", 0, [])


@pytest.mark.parametrize(("share", "flush_rows"), [(1, 1), (3, 1), (4, 10)])
def test_what_a_crash_can_lose_is_one_flush_and_what_is_in_flight(share: int, flush_rows: int):
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    unsaved: list[int] = []

    def answer(body: dict[str, Any]) -> str:
        unsaved.append(len(endpoint.requests) - len(journal.rows()))
        return "fine"

    endpoint.answer = answer
    made = recipe(endpoint, journal, share=share, flush_rows=flush_rows, flush_seconds=3600.0)
    ask(made, rows([f"row {n}" for n in range(60)]))
    assert max(unsaved) <= flush_rows - 1 + share
    assert len(journal.rows()) == 60


def test_a_full_disk_ends_the_task_with_a_clear_error():
    endpoint, journal = FakeEndpoint(latency=0.001), MemoryJournal(broken=True)
    with pytest.raises(RunError, match=r"the journal cannot be used.*No space left on device"):
        ask(recipe(endpoint, journal, share=1), rows([f"row {n}" for n in range(100_000)]))
    assert len(endpoint.requests) < 100_000


def test_an_error_of_ours_is_the_outcome_of_its_row():
    batch = rows(["a", "b"])
    broken = batch.set_column(1, "request", pa.array(["not JSON", batch.column("request")[1].as_py()]))
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    ask(recipe(endpoint, journal), broken)
    assert by_hash(journal)["hash-0"]["error"]["kind"] == ErrorKind.INTERNAL
    assert by_hash(journal)["hash-1"]["outcome"] == "ok"


def test_a_timeout_is_a_kind_of_error():
    endpoint, journal = (
        FakeEndpoint(lambda _: HttpFailure(ErrorKind.TIMEOUT, "no whole reply in time")),
        MemoryJournal(),
    )
    ask(recipe(endpoint, journal), rows(["a"]))
    (row,) = journal.rows()
    assert (row["error"]["kind"], row["error"]["status"]) == ("timeout", None)


def test_cost_is_tokens_times_price():
    usage = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}
    endpoint, journal = FakeEndpoint(lambda _: responses_reply("x", usage=usage)), MemoryJournal()
    budget = Budget(input_price=Decimal(3), output_price=Decimal(15), currency="USD")
    ask(recipe(endpoint, journal, budget=budget), rows(["a"]))
    (row,) = journal.rows()
    assert row["cost"] == pytest.approx(0.0105)


def test_cached_tokens_cost_what_they_do():
    details = {"input_tokens_details": {"cached_tokens": 800}}
    usage = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500, **details}
    endpoint, journal = FakeEndpoint(lambda _: responses_reply("x", usage=usage)), MemoryJournal()
    prices = {"input_price": Decimal(3), "output_price": Decimal(15), "cached_price": Decimal("0.5")}
    ask(recipe(endpoint, journal, budget=Budget(**prices, currency="USD")), rows(["a"]))
    (row,) = journal.rows()
    assert row["cost"] == pytest.approx(0.0085)


class SlowDisk(MemoryJournal):
    """Every write takes longer than a call, and the calls in flight finish while one is under way."""

    def write_segment(self, name: str, table: pa.Table) -> None:
        time.sleep(0.02)
        MemoryJournal.write_segment(self, name, table)


@pytest.mark.parametrize(("share", "flush_rows"), [(8, 1), (8, 3), (3, 2)])
def test_more_calls_in_flight_than_a_flush_holds_is_no_deadlock(share: int, flush_rows: int):
    endpoint, journal = FakeEndpoint(latency=0.005), SlowDisk()
    report = ask(recipe(endpoint, journal, share=share, flush_rows=flush_rows), rows([f"row {n}" for n in range(60)]))
    assert (report["ok"], len(journal.rows())) == (60, 60)


class FullDisk(SlowDisk):
    """Full after its first segment, for so many writes."""

    def __init__(self, refuses: float) -> None:
        SlowDisk.__init__(self)
        self.refuses = refuses

    def write_segment(self, name: str, table: pa.Table) -> None:
        if self.written and self.refuses > 0:
            self.refuses -= 1
            raise OSError(28, "No space left on device")
        SlowDisk.write_segment(self, name, table)


def test_answers_that_could_not_be_kept_are_never_passed_over():
    endpoint, journal = FakeEndpoint(), FullDisk(refuses=math.inf)
    with pytest.raises(RunError, match="answers are lost"):
        ask(recipe(endpoint, journal, share=1, flush_rows=10), rows([f"row {n}" for n in range(15)]))


def test_what_is_said_to_be_lost_is_all_that_was_paid_and_not_kept():
    endpoint, journal = FakeEndpoint(latency=0.02), FullDisk(refuses=math.inf)
    with pytest.raises(RunError) as caught:
        ask(recipe(endpoint, journal, share=8, flush_rows=10), rows([f"row {n}" for n in range(200)]))
    assert f"{len(endpoint.requests) - len(journal.rows())} answers are lost: " in str(caught.value)
    assert len(endpoint.requests) < 200


def test_a_disk_that_has_room_again_in_the_end_loses_nothing():
    endpoint, journal = FakeEndpoint(latency=0.02), FullDisk(refuses=1)
    with pytest.raises(RunError, match=r"no answer is lost: .*No space left"):
        ask(recipe(endpoint, journal, share=8, flush_rows=10), rows([f"row {n}" for n in range(200)]))
    assert len(journal.rows()) == len(endpoint.requests) < 200


def test_a_note_that_cannot_be_read_costs_no_answer():
    class Unreadable(MemoryJournal):
        def notes(self, prefix: str) -> dict[str, str]:
            if prefix == STOP_NOTE:
                raise OSError(5, "Input/output error")
            return MemoryJournal.notes(self, prefix)

    torn, unreadable = MemoryJournal(), Unreadable()
    torn.write_note(STOP_NOTE, "")
    for journal in (torn, unreadable):
        assert ask(recipe(FakeEndpoint(), journal), rows(["a"]))["ok"] == 1


def test_one_refused_row_does_not_stop_a_run_that_has_answers():
    def answer(body: dict[str, Any]) -> str | HttpReply:
        return error_reply(403, "PERMISSION_DENIED", "not that one") if "row 7." in str(body) else "fine"

    report = ask(recipe(FakeEndpoint(answer), MemoryJournal(), share=1), rows([f"row {n}." for n in range(30)]))
    assert (report["asked"], report["failed"], report["stop"]) == (30, 1, "")


def test_a_permission_that_is_withdrawn_stops_a_run_that_has_answers():
    def answer(body: dict[str, Any]) -> str | HttpReply:
        return "fine" if "row 0." in str(body) else error_reply(403, "PERMISSION_DENIED", "gone")

    report = ask(recipe(FakeEndpoint(answer), MemoryJournal(), share=1), rows([f"row {n}." for n in range(30)]))
    assert (report["asked"], report["stop"]) == (1 + REFUSALS, "permission_denied (HTTP 403): gone")


def test_a_wait_of_hours_stops_the_run():
    endpoint = FakeEndpoint(lambda _: error_reply(429, headers={"retry-after": "7200"}))
    report = ask(recipe(endpoint, MemoryJournal()), rows(["a"]))
    asked_for = re.fullmatch(r"the endpoint asks to come back in (\d+) minutes", report["stop"])
    assert asked_for is not None
    assert 120 <= int(asked_for[1]) <= 132  # two hours, and up to a tenth more so that rows do not come back at once
    assert report["asked"] == 0


def test_rows_that_cannot_be_read_end_the_task_and_keep_what_was_answered():
    def batches() -> Iterator[pa.RecordBatch]:
        yield rows(["a", "b"])
        raise SqlError("[BOOM] cannot read", "SELECT")

    endpoint, journal = FakeEndpoint(latency=0.05), MemoryJournal()
    with pytest.raises(SqlError, match="BOOM"):
        list(run_task(recipe(endpoint, journal, share=4), batches()))
    assert sorted(row["answer"] for row in journal.rows()) == ["echo: a", "echo: b"]


def test_a_task_that_does_not_see_the_journal_asks_nothing():
    endpoint, journal = FakeEndpoint(), MemoryJournal()
    made = recipe(endpoint, journal)
    journal.texts.clear()
    with pytest.raises(RunError, match="tasks and driver see different folders"):
        ask(made, rows(["a"]))
    assert endpoint.requests == []


def test_a_long_wait_ends_at_the_deadline():
    endpoint = FakeEndpoint(lambda _: error_reply(429, headers={"retry-after": "600"}))
    deadline = time.time_ns() + 200_000_000
    assert (
        ask(recipe(endpoint, MemoryJournal(), deadline_ns=deadline), rows(["a"]))["stop"]
        == "limits.deadline has passed"
    )
