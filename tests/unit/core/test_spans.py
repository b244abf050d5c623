"""Spans: the call and its attempts."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.records import Attempt, CallError, ErrorKind, Outcome, Reply, Usage
from rowcall.core.span_row import MAX_CONTENT, PREVIEW, Span, SpanDraft, SpanIds, row_of, span_id
from rowcall.core.spans import LateSpans, call_spans, told, traceparent
from span_cases import CONTEXT, KEPT, START, TRACE_ID, assert_whole, attributes, call, raw_span, spans_of, trace_of


class TestRoot:
    def test_says_what_was_asked_and_how_it_ended(self) -> None:
        reply = Reply(
            Outcome.OK, "the answer", usage=Usage(10, 2, 5, 1, 15), model="m-1", response_id="r-1", finish_reason="stop"
        )
        root = call_spans(call(reply), "the request", CONTEXT)[0]
        assert (root["name"], root["kind"], root["parent_span_id"]) == (
            "invoke_agent review-triage",
            "SPAN_KIND_CLIENT",
            None,
        )
        assert (root["start_time_unix_nano"], root["end_time_unix_nano"]) == (START, START + 5_000_000)
        assert root["status"] == {"message": "", "code": "STATUS_CODE_OK"}
        assert attributes(root) == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "databricks",
            "gen_ai.request.model": "apps/review-triage",
            "gen_ai.response.model": "m-1",
            "gen_ai.response.id": "r-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 2,
            "gen_ai.usage.reasoning.output_tokens": 1,
            "server.address": "https://triage.test",
            "rowcall.run_id": "20261123-060000-ab12",
            "rowcall.job": "triage",
            "rowcall.request_hash": "hash",
            "rowcall.outcome": "ok",
            "rowcall.attempts": 1,
            "rowcall.request": "the request",
            "rowcall.answer": "the answer",
        }

    def test_a_failure_has_its_kind_and_message(self) -> None:
        error = CallError(ErrorKind.RATE_LIMITED, "slow down", 429)
        root = call_spans(call(Reply(Outcome.ERROR, error=error)), "r", CONTEXT)[0]
        assert root["status"] == {"message": "slow down", "code": "STATUS_CODE_ERROR"}
        assert attributes(root)["error.type"] == "rate_limited"

    def test_an_outcome_without_an_error_is_the_message(self) -> None:
        root = call_spans(call(Reply(Outcome.REFUSED, "no")), "r", CONTEXT)[0]
        assert root["status"] == {"message": "refused", "code": "STATUS_CODE_ERROR"}

    def test_what_is_too_long_is_left_out_and_the_rest_stays(self) -> None:
        # Quotes double when they become JSON: prompt and answer together pass what a span may hold.
        made = call(Reply(Outcome.OK, '"' * MAX_CONTENT))
        said = attributes(call_spans(made, '"' * MAX_CONTENT, CONTEXT)[0])
        assert said["rowcall.run_id"] == CONTEXT.run_id
        assert "left out" in said["rowcall.answer"]


class TestAttempts:
    LIMITED = CallError(ErrorKind.RATE_LIMITED, "slow down", 429, "REQUEST_LIMIT_EXCEEDED")
    TWO = (
        Attempt(1, START, START + 1_000_000, status=429, error=LIMITED, retry_after=2.0),
        Attempt(
            2,
            START + 3_000_000,
            START + 9_000_000,
            waited=2.0004,
            first_byte_ns=START + 5_500_000,
            status=200,
            request_id="q",
        ),
    )

    def test_each_is_a_child_of_the_call(self) -> None:
        root, *attempts = call_spans(call(attempts=self.TWO), "r", CONTEXT)
        assert [span["name"] for span in attempts] == ["attempt 1", "attempt 2"]
        assert {span["parent_span_id"] for span in attempts} == {root["span_id"]}
        assert {span["trace_id"] for span in (root, *attempts)} == {TRACE_ID}
        assert len({span["span_id"] for span in (root, *attempts)}) == 3

    def test_says_why_it_failed_and_how_long_the_next_one_waited(self) -> None:
        _, first, second = call_spans(call(attempts=self.TWO), "r", CONTEXT)
        assert attributes(first) == {
            "http.request.method": "POST",
            "http.response.status_code": 429,
            "server.address": "https://triage.test",
            "error.type": "rate_limited",
            "rowcall.error.code": "REQUEST_LIMIT_EXCEEDED",
            "rowcall.retry_after_seconds": 2.0,
        }
        assert first["status"] == {"message": "slow down", "code": "STATUS_CODE_ERROR"}
        assert attributes(second) == {
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "http.request.resend_count": 1,
            "server.address": "https://triage.test",
            "rowcall.waited_seconds": 2.0,
            "rowcall.request_id": "q",
            "rowcall.first_byte_ms": 2,
        }
        assert second["status"]["code"] == "STATUS_CODE_OK"
        assert second["end_time_unix_nano"] - second["start_time_unix_nano"] == 6_000_000

    def test_the_header_names_the_span_of_the_attempt(self) -> None:
        spans = call_spans(call(attempts=self.TWO), "r", CONTEXT)
        version, trace, parent, flags = traceparent(TRACE_ID, 2).split("-")
        assert (version, trace, flags) == ("00", TRACE_ID, "01")
        assert parent == spans[2]["span_id"]


def test_an_error_is_told_without_what_may_be_a_prompt() -> None:
    error = CallError(ErrorKind.BAD_REQUEST, "cannot answer 'SECRET'", 400)
    assert told(error, "full") == told(error, "preview") == "bad_request (HTTP 400): cannot answer 'SECRET'"
    assert told(error, "none") == "bad_request (HTTP 400): the outputs have what was said"
    assert told(replace(error, status=None), "full") == "bad_request: cannot answer 'SECRET'"


class TestContent:
    def test_ids_and_names_that_a_server_told_are_no_place_for_a_text(self) -> None:
        text = "SECRET PROMPT"
        reply = Reply(Outcome.OK, "answer", model=text, response_id=text, finish_reason=text, trace_id=text)
        made = call(reply, attempts=(Attempt(1, START, START + 9, status=200, request_id=f"{text} <b>"),))
        assert "SECRET" not in str(call_spans(made, "r", replace(CONTEXT, content="none")))
        assert str(call_spans(made, "r", CONTEXT)).count("SECRET") == 5

    def test_ids_and_names_stay_where_they_are_some(self) -> None:
        names = {
            "model": "gpt-5.1",
            "response_id": "resp_0a",
            "finish_reason": "stop",
            "trace_id": "trace:/main.a.b/0f",
        }
        root = call_spans(call(Reply(Outcome.OK, "answer", **names)), "r", replace(CONTEXT, content="none"))[0]
        assert all(name in str(root) for name in names.values())

    SPOKEN = raw_span(
        attributes={
            "mlflow.spanInputs": '{"q": "SECRET"}',
            "mlflow.spanOutputs": '"SECRET"',
            "mlflow.chat.messages": '[{"content": "SECRET"}]',
            "gen_ai.prompt.0.content": "SECRET",
            "gen_ai.input.messages": '"SECRET"',
            "gen_ai.tool.call.arguments": '{"a": "SECRET"}',
            "input.value": "SECRET",
            "db.statement": "SELECT 'SECRET'",
            "anything": '"SECRET"',
            "mlflow.spanType": '"LLM"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 3}',
            "http.url": "https://search.test/?q=SECRET",
            "error.message": "SECRET",
            "gen_ai.request.model": "m-1",
            "gen_ai.usage.output_tokens": "7",
            "duration": "1.5",
        },
        status={"code": "STATUS_CODE_ERROR", "message": "cannot answer SECRET"},
    )

    def all_spans(self, content: str, request: str = "SECRET request", answer: str = "SECRET answer") -> list[Span]:
        context = replace(CONTEXT, content=content)
        reply = Reply(Outcome.OK, answer, trace=json.dumps(trace_of(self.SPOKEN)))
        return call_spans(call(reply), request, context)

    def test_none_keeps_every_text_out(self) -> None:
        assert "SECRET" not in json.dumps(self.all_spans("none"))

    def test_none_keeps_what_is_about_the_span(self) -> None:
        assert attributes(self.all_spans("none")[-1]) == {
            "mlflow.spanType": "LLM",
            "mlflow.chat.tokenUsage": {"input_tokens": 3},
            "gen_ai.request.model": "m-1",
            "gen_ai.usage.output_tokens": 7,
            "duration": 1.5,
        }

    def test_none_keeps_what_a_server_says_of_an_error_out(self) -> None:
        error = CallError(ErrorKind.BAD_REQUEST, "cannot answer 'SECRET'", 400, "no SECRET here")
        made = call(Reply(Outcome.ERROR, error=error), (Attempt(1, START, START + 5, status=400, error=error),))
        root, attempt = call_spans(made, "SECRET request", replace(CONTEXT, content="none"))
        assert "SECRET" not in json.dumps([root, attempt])
        assert root["status"] == attempt["status"] == {"message": "bad_request", "code": "STATUS_CODE_ERROR"}
        assert attributes(attempt)["error.type"] == "bad_request"
        assert attributes(attempt)["http.response.status_code"] == 400

    def test_none_keeps_codes_that_are_codes(self) -> None:
        error = CallError(ErrorKind.RATE_LIMITED, "slower", 429, "REQUEST_LIMIT_EXCEEDED")
        made = call(Reply(Outcome.ERROR, error=error), (Attempt(1, START, START + 5, status=429, error=error),))
        attempt = call_spans(made, "r", replace(CONTEXT, content="none"))[1]
        assert attributes(attempt)["rowcall.error.code"] == "REQUEST_LIMIT_EXCEEDED"

    @pytest.mark.parametrize(
        ("name", "type_", "kept"),
        [("tools/search", '"TOOL"', "tools/search"), ("find SECRET", '"TOOL"', "TOOL"), ("find SECRET", None, "span")],
    )
    def test_none_keeps_names_that_are_names(self, name: str, type_: str | None, kept: str) -> None:
        said = {"about SECRET": 1, "tokens": 2} | ({"mlflow.spanType": type_} if type_ else {})
        (span,) = spans_of(trace_of(raw_span(name=name, attributes=said)), "none")
        assert span["name"] == kept
        assert attributes(span) == {"tokens": 2} | ({"mlflow.spanType": "TOOL"} if type_ else {})
        assert spans_of(trace_of(raw_span(name=name)))[0]["name"] == name

    def test_preview_keeps_the_beginning(self) -> None:
        root, _, agent = self.all_spans("preview", request="q" * 10_000)
        assert attributes(root)["rowcall.request"] == "q" * PREVIEW + "… (10000 characters)"
        assert attributes(root)["rowcall.answer"] == "SECRET answer"
        assert attributes(agent)["mlflow.spanInputs"] == '{"q":"SECRET"}'

    def test_full_has_a_limit_too(self) -> None:
        said = attributes(self.all_spans("full", request="q" * (MAX_CONTENT + 1))[0])["rowcall.request"]
        assert said == "q" * MAX_CONTENT + f"… ({MAX_CONTENT + 1} characters)"


def test_late_spans_are_those_of_the_call_however_often_they_are_looked_at() -> None:
    late = LateSpans(call(), "request", CONTEXT)
    assert list(late) == list(late) == call_spans(call(), "request", CONTEXT)


def test_a_trace_that_cannot_be_described_costs_its_own_spans_and_no_answer() -> None:
    strange = call(Reply(Outcome.OK, "x", trace=object()))  # type: ignore[arg-type]  # what no reader expects
    with pytest.raises(TypeError):
        call_spans(strange, "request", CONTEXT)
    assert [span["name"] for span in LateSpans(strange, "request", CONTEXT)] == [
        "invoke_agent review-triage",
        "attempt 1",
    ]


class TestOverflow:
    LONG = "q" * (MAX_CONTENT + 1)

    def test_the_whole_is_kept_beside_the_span_that_says_where(self) -> None:
        root, attempt = call_spans(call(Reply(Outcome.OK, "short")), self.LONG, KEPT)
        assert root["overflow"] == {"rowcall.request": self.LONG}
        assert attributes(root)["rowcall.overflow"] == "/journal/overflow/run"
        assert attributes(root)["rowcall.answer"] == "short"
        assert "overflow" not in attempt
        assert "rowcall.overflow" not in attributes(attempt)

    def test_what_an_agent_says_at_length_is_kept_as_the_json_it_is(self) -> None:
        outputs = {"pages": ["p" * 1000] * 100}
        trace = trace_of(raw_span(attributes={"mlflow.spanOutputs": json.dumps(outputs), "n": "1"}))
        span = call_spans(call(Reply(Outcome.OK, trace=json.dumps(trace))), "r", KEPT)[-1]
        assert json.loads(span["overflow"]["mlflow.spanOutputs"]) == outputs
        assert attributes(span)["mlflow.spanOutputs"].startswith('{"pages":["ppp')
        assert attributes(span)["n"] == 1

    def test_what_is_left_out_is_kept_too(self) -> None:
        # Each is short enough, but quotes double when they become JSON.
        quotes = '"' * MAX_CONTENT
        root, _ = call_spans(call(Reply(Outcome.OK, quotes)), quotes, KEPT)
        assert root["overflow"] == {"rowcall.request": quotes, "rowcall.answer": quotes}
        assert attributes(root)["rowcall.answer"] == f"({MAX_CONTENT} characters left out)"
        assert attributes(root)["rowcall.run_id"] == CONTEXT.run_id

    @pytest.mark.parametrize("content", ["preview", "none"])
    def test_nothing_is_kept_of_what_the_job_wants_less_of(self, content: str) -> None:
        about = {"gen_ai.request.model": json.dumps(self.LONG), "mlflow.spanInputs": json.dumps(self.LONG)}
        reply = Reply(Outcome.OK, self.LONG, trace=json.dumps(trace_of(raw_span(attributes=about))))
        spans = call_spans(call(reply), self.LONG, replace(KEPT, content=content))
        assert not any("overflow" in span or "rowcall.overflow" in attributes(span) for span in spans)

    def test_nothing_is_kept_where_there_is_no_place(self) -> None:
        assert "overflow" not in call_spans(call(), self.LONG, CONTEXT)[0]


@settings(deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_texts_with_lone_surrogates_can_be_stored(request: str, answer: str) -> None:
    assert_whole(call_spans(call(Reply(Outcome.OK, answer)), request, CONTEXT))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), None),
        ([float("inf"), 1.5], [None, 1.5]),
        (2**70, 2**70),
        ({"a": "\ud83d"}, {"a": "\ufffd"}),
        (Path("x"), "x"),
    ],
)
def test_an_attribute_is_json_whatever_it_was(value: object, kept: object) -> None:
    draft = SpanDraft(SpanIds("a" * 32, "b" * 16), "n", "k", 1, 2, {"odd": value, "plain": "é"}, {"code": "c"})
    assert attributes(row_of(draft)) == {"odd": kept, "plain": "é"}


def test_the_same_call_has_the_same_spans() -> None:
    made = call(Reply(Outcome.OK, "x", trace=json.dumps(trace_of(raw_span()))), TestAttempts.TWO)
    assert call_spans(made, "r", CONTEXT) == call_spans(made, "r", CONTEXT)


@settings(deadline=None)
@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.text(max_size=20))
def test_a_span_id_is_w3c_hex_and_depends_on_trace_and_name(trace_id: str, name: str) -> None:
    own = span_id(trace_id, name)
    assert re.fullmatch("[0-9a-f]{16}", own)
    assert own.strip("0")
    assert own == span_id(trace_id, name)
    assert own != span_id(trace_id, f"{name}.")
    assert own != span_id(trace_id[::-1] + "f", name)
