"""The `ai_query` engine against a SQL side that a test stages: what it asks, keeps, asks again, and when it stops."""

import threading
import time
from dataclasses import asdict
from typing import Any

import pytest
from staged_session import (
    STRUCT,
    BlockedSession,
    Failure,
    StagedSession,
    answers,
    echo,
    engine_of,
    nothing,
    planned,
    refusing,
    run,
    sizes,
    staged,
    statements,
)

from rowcall.core.engine_plan import TRIAL_ROWS
from rowcall.core.errors import RunError, SqlError
from rowcall.core.limits import ALIKE_ROWS
from rowcall.core.plan import RunPlan
from rowcall.core.records import Progress
from rowcall.engines.ai_query import INTERRUPTED, execute, replies_of
from rowcall.engines.replies import collect_left, replies_from


class TestAsking:
    def test_every_row_is_asked_once_and_answered_under_its_keys(self) -> None:
        session = staged(5)
        progress = run(planned(5), session)
        assert (progress.asked, progress.ok, progress.failed, progress.stop) == (5, 5, 0, "")
        made = answers(session)
        assert {key: (row["answer"], row["keys"][0]["id"], row["attempts"]) for key, row in made.items()} == {
            f"hash-{n}": (f"echo: row {n}", n, 1) for n in range(5)
        }
        assert sizes(session) == [5]

    def test_waves_follow_one_another_until_none_is_left(self) -> None:
        session = staged(10)
        assert run(planned(10, **statements(4)), session).ok == 10
        assert [wave for _, wave, _ in session.asked] == [1, 2, 3]
        assert sizes(session) == [4, 4, 2]
        assert len(answers(session)) == 10

    def test_a_row_of_nulls_is_settled_without_being_asked(self) -> None:
        session = staged(["a", None, "b"])
        progress = run(planned(3), session)
        assert (progress.asked, progress.ok, progress.failed) == (3, 2, 1)
        null = answers(session)["hash-1"]
        assert (null["outcome"], null["error"]["kind"], null["attempts"]) == ("error", "null_prompt", 0)
        assert session.asked == [("prompt", 1, ["hash-0", "hash-2"])]

    def test_where_every_row_is_of_nulls_no_statement_asks(self) -> None:
        session = staged([None, None])
        assert run(planned(2), session).asked == 2
        assert session.asked == []

    def test_rows_that_are_no_longer_pending_are_not_waited_for(self) -> None:
        """The plan counts rows before the pending table is written; another run may have answered some."""
        session = staged(3)
        assert run(planned(100), session).asked == 3

    def test_a_statement_that_finds_no_row_ends_the_run(self) -> None:
        session = staged(3)
        session.counted = 5
        assert run(planned(5), session).asked == 3

    def test_the_statement_is_told_with_each_attempt(self) -> None:
        session = staged(1)
        run(planned(1), session)
        (row,) = session.journal.rows()
        assert any("statement-1" in span["attributes"] for span in row["spans"])
        assert row["latency_ms"] is None

    def test_progress_is_shown_while_a_statement_runs(self) -> None:
        running, seen = threading.Event(), list[Progress]()
        go_on = threading.Event()

        def slow(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            running.set()
            assert go_on.wait(10)
            return "done", None

        def look(progress: Progress) -> None:
            if running.is_set():
                seen.append(progress)
                go_on.set()

        assert run(planned(1), staged(1, slow), look).ok == 1
        assert (seen[0].in_flight, seen[0].asked) == (1, 0)


class TestRowsThatFail:
    def test_what_may_pass_is_left_for_the_next_wave(self) -> None:
        def limited(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return (None, "REQUEST_LIMIT_EXCEEDED: slow down") if request == "row 1" and tries < 3 else ("ok", None)

        session = staged(3, limited)
        progress = run(planned(3), session)
        assert (progress.ok, progress.retries) == (3, 2)
        assert [chosen for _, _, chosen in session.asked] == [["hash-0", "hash-1", "hash-2"], ["hash-1"], ["hash-1"]]
        assert answers(session)["hash-1"]["attempts"] == 3

    def test_it_is_settled_by_its_last_error_after_its_attempts(self) -> None:
        def limited(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return (None, f"HTTP 429: try {tries}") if request == "row 1" else ("ok", None)

        session = staged(2, limited)
        progress = run(planned(2, attempts=3), session)
        assert (progress.ok, progress.failed, progress.stop) == (1, 1, "")
        failed = answers(session)["hash-1"]
        assert (failed["attempts"], failed["error"]["message"]) == (3, "HTTP 429: try 3")

    def test_what_may_not_pass_is_settled_at_once(self) -> None:
        def refused(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return (None, 'HTTP 400 {"error_code": "BAD_REQUEST"}') if request == "row 1" else ("ok", None)

        session = staged(3, refused)
        assert run(planned(3), session).failed == 1
        assert sizes(session) == [3]

    def test_an_answer_that_does_not_fit_is_paid_for_once(self) -> None:
        """Where it is not to be corrected; over HTTP it is not asked again either (`core.retry.decide`)."""
        session = staged(2, lambda request, tries, form: ("not json", None))
        progress = run(planned(2, answer={"schema": {"score": "double"}, "corrections": 0}), session)
        assert {row["outcome"] for row in session.journal.rows()} == {"invalid"}
        assert (progress.failed, progress.retries, sizes(session)) == (2, 0, [2])

    def test_refusals_and_empty_answers_are_no_errors(self) -> None:
        session = staged(2, lambda request, tries, form: ("" if request == "row 0" else "ok", None))
        assert run(planned(2), session).failed == 1
        assert answers(session)["hash-0"]["outcome"] == "empty"

    def test_more_failures_than_the_job_allows_stop_the_run(self) -> None:
        def refused(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return ("ok", None) if request == "row 0" else (None, "HTTP 400")

        session = staged(10, refused)
        progress = run(planned(10, limits={"max_failures": 2}, **statements(4)), session)
        assert progress.stop == "3 rows failed, more than limits.max_failures allows (2)"
        assert sizes(session) == [4]
        assert progress.asked == len(answers(session)) == 4


class TestRowsThatFailAlike:
    def test_stop_the_run_where_nothing_was_answered(self) -> None:
        session = staged(100, lambda request, tries, form: (None, "HTTP 400: no such parameter"))
        progress = run(planned(100, **statements(ALIKE_ROWS)), session)
        assert progress.stop == "every row so far failed alike, bad_request (HTTP 400): HTTP 400: no such parameter"
        assert sizes(session) == [ALIKE_ROWS]

    def test_where_no_row_can_fare_better_they_stop_it_at_once_and_a_few_are_kept(self) -> None:
        text = "403 PERMISSION_DENIED: 'm' is no longer available. Use Unity Catalog model services."
        session = staged(100, lambda request, tries, form: (None, text))
        progress = run(planned(100), session)
        assert progress.stop == f"permission_denied (HTTP 403): {text}"
        assert len(session.asked) == 1
        assert progress.asked == len(answers(session)) == ALIKE_ROWS

    def test_one_refused_row_among_answers_does_not_stop_it(self) -> None:
        def denied(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return (None, "PERMISSION_DENIED: no") if request == "row 3" else ("ok", None)

        session = staged(6, denied)
        progress = run(planned(6, **statements(2)), session)
        assert (progress.ok, progress.failed, progress.stop) == (5, 1, "")

    def test_a_whole_wave_of_refusals_after_answers_stops_it(self) -> None:
        def expired(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return ("ok", None) if int(request.split()[1]) < 5 else (None, "HTTP 401")

        session = staged(50, expired)
        progress = run(planned(50, **statements(5)), session)
        assert progress.stop.startswith("unauthenticated (HTTP 401): ")
        assert sizes(session) == [5, 5]
        assert progress.ok == 5

    def test_errors_that_may_pass_are_waited_for_up_to_their_attempts(self) -> None:
        session = staged(ALIKE_ROWS, lambda request, tries, form: (None, "HTTP 429"))
        progress = run(planned(ALIKE_ROWS, attempts=4), session)
        assert sizes(session) == [ALIKE_ROWS] * 4
        assert progress.failed == ALIKE_ROWS
        assert {row["attempts"] for row in session.journal.rows()} == {4}

    @pytest.mark.parametrize("errors", [("HTTP 401", "HTTP 403"), ("HTTP 403", "HTTP 429")])
    def test_refusals_of_two_kinds_end_the_run_as_well(self, errors: tuple[str, str]) -> None:
        session = staged(60, lambda request, tries, form: (None, errors[int(request.split()[1]) % 2]))
        progress = run(planned(60), session)
        assert progress.ok == 0
        assert progress.stop
        assert len(session.asked) <= 4


class TestStatementsThatFail:
    @pytest.mark.parametrize(
        "reason",
        [
            "[AI_FUNCTION_HTTP_REQUEST_ERROR] status code: 503. SQLSTATE: 08000",
            "The warehouse is temporarily unavailable",
            "Connection reset by peer",
            "HTTP 429",
        ],
    )
    def test_what_may_pass_is_tried_again(self, reason: str) -> None:
        session = staged(4, echo, Failure(reason), None, Failure(reason), Failure(reason))
        progress = run(planned(4, attempts=3, **statements(2)), session)
        assert (progress.ok, progress.stop) == (4, "")
        assert sizes(session) == [2, 2]
        assert session.sent == 5

    def test_but_not_for_ever(self) -> None:
        session = staged(4, echo, *[Failure("HTTP 503")] * 9)
        with pytest.raises(SqlError, match="HTTP 503"):
            run(planned(4, attempts=3), session)
        assert session.sent == 3

    def test_failures_are_counted_in_a_row_only(self) -> None:
        failures = [Failure("HTTP 503"), Failure("HTTP 503"), None] * 3
        session = staged(6, echo, *failures)
        assert run(planned(6, attempts=3, **statements(2)), session).ok == 6

    def test_rows_that_were_put_off_are_no_failures_of_statements(self) -> None:
        """A wave in which most rows were put off is followed by a pause; the next statement's failures are its own."""
        session = staged(2, lambda request, tries, form: ("ok", None) if tries > 1 else (None, "HTTP 429"))
        session.failures = [None, Failure("HTTP 503"), Failure("HTTP 503"), None]
        assert run(planned(2, attempts=3), session).ok == 2

    def test_one_that_takes_too_long_is_followed_by_one_of_half_the_rows(self) -> None:
        session = staged(12, echo, Failure("Statement timed out"), Failure("Statement timed out"))
        assert run(planned(12, **statements(12)), session).ok == 12
        assert sizes(session) == [3, 3, 3, 3]

    def test_half_of_one_row_is_one_row(self) -> None:
        session = staged(2, echo, Failure("Statement timed out"), Failure("Statement timed out"))
        assert run(planned(2, **statements(1)), session).ok == 2
        assert sizes(session) == [1, 1]

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("[INSUFFICIENT_PERMISSIONS] User has no permission CAN QUERY. SQLSTATE: 42501", "permission_denied"),
            ("RESOURCE_DOES_NOT_EXIST: Endpoint m does not exist.", "not_found"),
            ("Invalid access token", "unauthenticated"),
        ],
    )
    def test_a_refusal_stops_the_run_with_its_kind(self, reason: str, kind: str) -> None:
        session = staged(4, echo, Failure(reason))
        progress = run(planned(4), session)
        assert progress.stop.startswith(f"{kind}: ")
        assert (progress.asked, session.sent) == (0, 1)

    def test_any_other_error_is_raised_and_what_was_answered_is_kept(self) -> None:
        session = staged(4, echo, None, Failure("[DIVIDE_BY_ZERO] It broke."))
        with pytest.raises(SqlError, match="DIVIDE_BY_ZERO"):
            run(planned(4, **statements(2)), session)
        assert len(answers(session)) == 2

    def test_a_first_wave_that_was_committed_all_the_same_is_read_and_not_asked_again(self) -> None:
        session = staged(4, echo, Failure("Connection reset by peer", committed=True))
        progress = run(planned(4, **statements(2)), session)
        assert progress.ok == 4
        assert [chosen for _, _, chosen in session.asked] == [["hash-0", "hash-1"], ["hash-2", "hash-3"]]
        assert {row["attempts"] for row in answers(session).values()} == {1}

    def test_so_is_a_later_one(self) -> None:
        session = staged(6, echo, None, Failure("Connection reset by peer", committed=True))
        progress = run(planned(6, **statements(2)), session)
        assert progress.ok == 6
        assert sizes(session) == [2, 2, 2]
        assert {row["attempts"] for row in answers(session).values()} == {1}

    def test_so_is_one_that_was_the_last(self) -> None:
        session = staged(2, echo, Failure("Connection reset by peer", committed=True))
        progress = run(planned(2), session)
        assert (progress.ok, session.sent) == (2, 1)


class TestStopping:
    def test_an_interruption_cancels_the_statement_that_runs(self) -> None:
        session = BlockedSession(requests={f"hash-{n}": f"row {n}" for n in range(4)}, blocks_at=2)

        def interrupt(_: Progress) -> None:
            if session.running.is_set():
                raise KeyboardInterrupt

        progress = run(planned(4, **statements(2)), session, interrupt)
        assert progress.stop == INTERRUPTED == "interrupted"
        assert (progress.asked, progress.ok, progress.in_flight) == (2, 2, 0)
        assert session.interrupted.is_set()
        assert session.sent == 2
        assert len(answers(session)) == 2

    def test_a_failure_on_this_side_cancels_it_as_well_and_is_raised(self) -> None:
        session = BlockedSession(requests={"hash-0": "row 0"}, blocks_at=1)

        def fail(_: Progress) -> None:
            if session.running.is_set():
                raise RuntimeError("the disk is full")

        with pytest.raises(RuntimeError, match="the disk is full"):
            run(planned(1), session, fail)
        assert session.interrupted.is_set()

    def test_a_journal_that_cannot_be_written_is_raised(self) -> None:
        session = staged(1)
        session.journal.broken = True
        with pytest.raises(RunError, match="No space left"):
            run(planned(1), session)

    def test_after_the_deadline_nothing_is_asked(self) -> None:
        session, plan = staged(4), planned(4, limits={"deadline": "1h"})
        long_ago = time.time_ns() - 3_600_000_000_001
        progress = execute(plan, engine_of(plan), session, session.journal, long_ago, nothing)
        assert (progress.stop, progress.asked, session.asked) == ("limits.deadline has passed", 0, [])

    def test_before_it_all_is(self) -> None:
        progress = run(planned(4, limits={"deadline": "1h"}), staged(4))
        assert (progress.stop, progress.ok) == ("", 4)


AGENT: dict[str, Any] = {"task": "agent/v1/responses"}


class TestWays:
    def test_the_first_that_answers_is_kept_for_all_rows(self) -> None:
        session = staged(10, refusing())
        assert run(planned(10, STRUCT, STRUCT, **AGENT), session).ok == 10
        assert [(form, len(chosen)) for form, _, chosen in session.asked] == [
            ("responses", TRIAL_ROWS),
            ("responses", 7),
        ]

    def test_a_trial_does_not_size_the_next_statement(self) -> None:
        session = staged(2_000, refusing())
        assert run(planned(2_000, STRUCT, STRUCT, **AGENT), session).ok == 2_000
        assert [len(chosen) for _, _, chosen in session.asked] == [TRIAL_ROWS, 2_000 - TRIAL_ROWS]

    def test_where_its_rows_are_refused_the_next_is_tried(self) -> None:
        session = staged(10, refusing("responses"))
        progress = run(planned(10, STRUCT, STRUCT, **AGENT), session)
        assert (progress.ok, progress.failed) == (10, 0)
        assert [(form, len(chosen)) for form, _, chosen in session.asked] == [
            ("responses", TRIAL_ROWS),
            ("prompt", TRIAL_ROWS),
            ("prompt", 7),
        ]
        assert {row["answer"].split(":")[0] for row in answers(session).values()} == {"prompt"}
        assert {row["attempts"] for row in answers(session).values()} == {1}

    def test_where_its_statement_is_refused_the_next_is_tried(self) -> None:
        session = staged(5, refusing(), Failure("[AI_FUNCTION_COMPILATION_ERROR] no such argument"))
        assert run(planned(5, STRUCT, STRUCT, **AGENT), session).ok == 5
        assert [form for form, _, _ in session.asked] == ["prompt", "prompt"]

    def test_where_the_statement_of_the_last_is_refused_that_is_raised(self) -> None:
        session = staged(5, refusing(), Failure("[DIVIDE_BY_ZERO] first"), Failure("[DIVIDE_BY_ZERO] second"))
        with pytest.raises(SqlError, match="second"):
            run(planned(5, STRUCT, STRUCT, **AGENT), session)

    def test_where_none_answers_the_first_says_what_it_got(self) -> None:
        session = staged(4, refusing("responses", "prompt"))
        progress = run(planned(4, STRUCT, STRUCT, **AGENT), session)
        assert (progress.ok, progress.failed) == (0, 4)
        assert session.asked[-1][0] == "responses"
        assert len(answers(session)) == 4

    def test_an_error_that_says_nothing_about_the_form_keeps_it(self) -> None:
        session = staged(5, lambda request, tries, form: (None, "HTTP 429") if tries == 1 else ("ok", None))
        assert run(planned(5, STRUCT, STRUCT, **AGENT), session).ok == 5
        assert {form for form, _, _ in session.asked} == {"responses"}

    def test_a_way_that_was_refused_for_want_of_a_grant_is_no_reason_to_try_another(self) -> None:
        session = staged(100, refusing("responses", "prompt", reason="PERMISSION_DENIED: no"))
        progress = run(planned(100, STRUCT, STRUCT, **AGENT), session)
        assert progress.stop == "permission_denied: PERMISSION_DENIED: no"
        assert {form for form, _, _ in session.asked} == {"responses"}

    @pytest.mark.parametrize("said", ["", '{"output": [{"content": [{"type": "refusal", "refusal": "No."}]}]}'])
    def test_an_empty_answer_or_a_refusal_is_an_answer_to_the_form(self, said: str) -> None:
        session = staged(4, lambda request, tries, form: (said, None))
        run(planned(4, STRUCT, STRUCT, **AGENT), session)
        assert {form for form, _, _ in session.asked} == {"responses"}

    def test_no_row_is_passed_over_where_a_trial_settled_some(self) -> None:
        """A way that is given up may have settled rows; the table of the next is made without them."""

        def empty(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return ("", None) if form == "responses" else ("ok", None)

        session = staged(10, empty)
        progress = run(planned(10, STRUCT, STRUCT, **AGENT), session)
        assert (progress.asked, progress.stop) == (10, "")

    def test_an_answer_that_does_not_fit_the_schema_is_an_answer_to_the_form(self) -> None:
        session = staged(4, lambda request, tries, form: ("not json", None))
        plan = planned(4, STRUCT, STRUCT, **AGENT, answer={"schema": {"score": "double"}, "corrections": 0})
        run(plan, session)
        assert {form for form, _, _ in session.asked} == {"responses"}
        assert sizes(session) == [TRIAL_ROWS, 1]

    def test_one_way_whose_type_is_unknown_is_tried_with_a_few_rows(self) -> None:
        session = staged(10)
        assert run(planned(10, None), session).ok == 10
        assert sizes(session) == [TRIAL_ROWS, 7]

    def test_what_a_trial_was_answered_is_not_asked_again(self) -> None:
        session = staged(TRIAL_ROWS)
        assert run(planned(TRIAL_ROWS, None), session).ok == TRIAL_ROWS
        assert sizes(session) == [TRIAL_ROWS]

    def test_an_interruption_during_a_trial_tries_no_other_way(self) -> None:
        session = BlockedSession(requests={"hash-0": "row 0"}, blocks_at=1)

        def interrupt(_: Progress) -> None:
            if session.running.is_set():
                raise KeyboardInterrupt

        progress = run(planned(1, STRUCT, STRUCT, **AGENT), session, interrupt)
        assert (progress.stop, session.sent) == (INTERRUPTED, 1)


class TestWhatADeadRunLeft:
    def left(self, session: StagedSession, plan: RunPlan) -> None:
        """What the next run does, from what stands in the manifest."""
        collect_left(session, session.journal, replies_from(asdict(replies_of(plan, engine_of(plan)))))

    def test_answers_that_no_segment_holds_are_put_into_the_journal(self) -> None:
        session, plan = staged(3), planned(3)
        session.execute(engine_of(plan).ways[0].ask.first(3))
        self.left(session, plan)
        assert {row["answer"] for row in answers(session).values()} == {"echo: row 0", "echo: row 1", "echo: row 2"}
        assert {row["attempts"] for row in answers(session).values()} == {1}

    def test_those_that_one_holds_are_not_put_there_twice(self) -> None:
        session, plan = staged(4), planned(4, **statements(2))
        session.failures = [None, Failure("[DIVIDE_BY_ZERO] it broke", committed=True)]
        with pytest.raises(SqlError):
            run(plan, session)
        assert len(answers(session)) == 2
        self.left(session, plan)
        assert len(answers(session)) == 4
        self.left(session, plan)
        assert len(answers(session)) == 4

    def test_what_may_pass_is_left_for_the_next_run(self) -> None:
        def limited(request: str, tries: int, form: str) -> tuple[str | None, str | None]:
            return (None, "HTTP 429") if request == "row 1" else ("ok", None)

        session, plan = staged(3, limited), planned(3)
        session.execute(engine_of(plan).ways[0].ask.first(3))
        self.left(session, plan)
        assert set(answers(session)) == {"hash-0", "hash-2"}

    def test_where_nothing_was_asked_nothing_is_done(self) -> None:
        session, plan = staged(3), planned(3)
        self.left(session, plan)
        assert session.journal.rows() == []

    def test_where_its_tables_are_gone_nothing_is_done(self) -> None:
        session, plan = staged(3), planned(3)
        session.execute(engine_of(plan).ways[0].ask.first(3))
        session.replies = None
        self.left(session, plan)
        assert session.journal.rows() == []

    def test_any_other_error_is_raised(self) -> None:
        session, plan = staged(1), planned(1)
        session.execute(engine_of(plan).ways[0].ask.first(1))
        session.unreadable = "no grant"
        with pytest.raises(SqlError, match="no grant"):
            self.left(session, plan)

    def test_how_to_read_replies_survives_being_written_down(self) -> None:
        plan = planned(1, answer={"schema": {"mood": ["good", "bad"]}})
        made = replies_of(plan, engine_of(plan))
        assert replies_from(asdict(made)) == made
        with pytest.raises(ValueError, match="read"):
            replies_from({})
