"""Spans: the call, its attempts and the agent's own, whatever trace the agent sent."""

import base64
import json
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.records import Attempt, Call, CallError, ErrorKind, Outcome, Reply, Usage
from rowcall.core.segments import schema
from rowcall.core.spans import (
    MAX_AGENT_SPANS,
    MAX_CONTENT,
    PREVIEW,
    Span,
    SpanContext,
    call_spans,
    span_id,
    told,
    traceparent,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
START = 1_795_387_458_000_000_000
CONTEXT = SpanContext(
    run_id="20261123-060000-ab12",
    job="triage",
    endpoint="review-triage",
    operation="invoke_agent",
    model="apps/review-triage",
    address="https://triage.test",
    content="full",
)
SPAN_TYPE = schema().field("spans").type


def call(reply: Reply | None = None, attempts: tuple[Attempt, ...] | None = None) -> Call:
    attempts = attempts if attempts is not None else (Attempt(1, START, START + 5_000_000, status=200),)
    return Call("hash", reply or Reply(Outcome.OK, "fine"), attempts, TRACE_ID, START, START + 5_000_000)


def spans_of(trace: object, content: str = "full") -> list[Span]:
    """The agent's spans of a trace, given as data or as text."""
    text = trace if isinstance(trace, str) else json.dumps(trace)
    context = replace(CONTEXT, content=content)
    return call_spans(call(Reply(Outcome.OK, "fine", trace=text)), "request", context)[2:]


def attributes(span: Span) -> dict[str, Any]:
    return json.loads(span["attributes"])


def raw_span(own: str = "2LrGX9p18sw=", parent: str | None = None, **more: object) -> dict[str, object]:
    """A span as MLflow 3.17 writes it (FACTS 2.2)."""
    return {
        "trace_id": "DyRbJ4o9MnKuYnEVJdiN5A==",
        "span_id": own,
        "parent_span_id": parent,
        "name": "agent",
        "start_time_unix_nano": 1795387458314960521,
        "end_time_unix_nano": 1795387458475197445,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "links": [],
        "attributes": {
            "mlflow.traceRequestId": '"tr-0f24"',
            "mlflow.spanType": '"AGENT"',
            "mlflow.spanInputs": '{"q": "SECRET question"}',
            "mlflow.spanOutputs": '"SECRET answer"',
        },
        **more,
    }


def trace_of(*spans: object) -> dict[str, object]:
    return {"info": {"trace_id": "tr-0f24", "state": "OK"}, "data": {"spans": list(spans)}}


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


class TestAgentSpans:
    def test_hang_under_the_last_attempt(self) -> None:
        attempts = (Attempt(1, START, START + 1, status=503), Attempt(2, START + 2, START + 3, status=200))
        text = json.dumps(trace_of(raw_span(), raw_span("AAAAAAAAAAE=", "2LrGX9p18sw=", name="tool")))
        *_, last, agent, tool = call_spans(call(Reply(Outcome.OK, "x", trace=text), attempts), "r", CONTEXT)
        assert last["name"] == "attempt 2"
        assert agent["span_id"] == base64.b64decode("2LrGX9p18sw=").hex() == "d8bac65fda75f2cc"
        assert agent["parent_span_id"] == last["span_id"]
        assert (tool["span_id"], tool["parent_span_id"]) == ("0000000000000001", "d8bac65fda75f2cc")
        assert {agent["trace_id"], tool["trace_id"]} == {TRACE_ID}

    def test_attributes_are_decoded_and_times_exact(self) -> None:
        (span,) = spans_of(trace_of(raw_span()))
        assert attributes(span) == {
            "mlflow.traceRequestId": "tr-0f24",
            "mlflow.spanType": "AGENT",
            "mlflow.spanInputs": {"q": "SECRET question"},
            "mlflow.spanOutputs": "SECRET answer",
        }
        assert (span["name"], span["kind"]) == ("agent", "SPAN_KIND_INTERNAL")
        assert (span["start_time_unix_nano"], span["end_time_unix_nano"]) == (1795387458314960521, 1795387458475197445)
        assert span["status"] == {"message": "", "code": "STATUS_CODE_OK"}

    @pytest.mark.parametrize("own", ["d8bac65fda75f2cc", "0xD8BAC65FDA75F2CC"])
    def test_ids_of_older_versions_are_hex(self, own: str) -> None:
        (span,) = spans_of(trace_of(raw_span(own)))
        assert span["span_id"] == "d8bac65fda75f2cc"

    @pytest.mark.parametrize(
        "broken",
        [
            {"span_id": None},
            {"span_id": "no id"},
            {"span_id": "AAAA"},
            {"span_id": "0000000000000000"},
            {"span_id": "AAAAAAAAAAA="},
            {"start_time_unix_nano": None},
            {"start_time_unix_nano": True},
            {"start_time_unix_nano": -1},
            {"start_time_unix_nano": 2**63},
            {"start_time_unix_nano": "1795387458314960521"},
        ],
    )
    def test_what_cannot_be_read_is_left_out_and_its_children_go_up(self, broken: dict[str, object]) -> None:
        parent = {**raw_span(), **broken}
        spans = spans_of(trace_of(parent, raw_span("AAAAAAAAAAE=", str(parent["span_id"]), name="tool"), None, 3))
        assert [span["name"] for span in spans] == ["tool"]
        assert spans[0]["parent_span_id"] == span_id(TRACE_ID, "attempt 1")

    def test_a_span_is_not_its_own_parent(self) -> None:
        (span,) = spans_of(trace_of(raw_span(parent="2LrGX9p18sw=")))
        assert span["parent_span_id"] == span_id(TRACE_ID, "attempt 1")

    @pytest.mark.parametrize("end", [None, 5, -3, "x", 2**63])
    def test_a_span_never_ends_before_it_starts(self, end: object) -> None:
        (span,) = spans_of(trace_of(raw_span(end_time_unix_nano=end)))
        assert span["end_time_unix_nano"] == span["start_time_unix_nano"]

    def test_there_are_only_so_many(self) -> None:
        assert len(spans_of(trace_of(*[raw_span()] * (MAX_AGENT_SPANS + 1)))) == MAX_AGENT_SPANS

    def test_a_trace_without_an_attempt_is_left_out(self) -> None:
        made = call(Reply(Outcome.OK, trace=json.dumps(trace_of(raw_span()))), attempts=())
        assert len(call_spans(made, "r", CONTEXT)) == 1


def test_an_error_is_told_without_what_may_be_a_prompt() -> None:
    error = CallError(ErrorKind.BAD_REQUEST, "cannot answer 'SECRET'", 400)
    assert told(error, "full") == told(error, "preview") == "bad_request (HTTP 400): cannot answer 'SECRET'"
    assert told(error, "none") == "bad_request (HTTP 400): the outputs have what was said"
    assert told(replace(error, status=None), "full") == "bad_request: cannot answer 'SECRET'"


class TestContent:
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
        assert attributes(agent)["mlflow.spanInputs"] == '{"q": "SECRET"}'

    def test_full_has_a_limit_too(self) -> None:
        said = attributes(self.all_spans("full", request="q" * (MAX_CONTENT + 1))[0])["rowcall.request"]
        assert said == "q" * MAX_CONTENT + f"… ({MAX_CONTENT + 1} characters)"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
RAW_SPANS = st.fixed_dictionaries(
    {},
    optional={
        "span_id": JSON_VALUES | st.sampled_from(["2LrGX9p18sw=", "AAAAAAAAAAE="]),
        "parent_span_id": JSON_VALUES | st.sampled_from(["2LrGX9p18sw=", "AAAAAAAAAAE="]),
        "name": JSON_VALUES,
        "start_time_unix_nano": JSON_VALUES | st.integers(0, 2**63 - 1),
        "end_time_unix_nano": JSON_VALUES,
        "status": JSON_VALUES | st.dictionaries(st.sampled_from(["code", "message"]), JSON_VALUES),
        "attributes": JSON_VALUES | st.dictionaries(st.text(), JSON_VALUES.map(json.dumps) | JSON_VALUES),
    },
)
TRACES = (
    JSON_VALUES
    | st.fixed_dictionaries({"data": JSON_VALUES})
    | st.fixed_dictionaries({"data": st.fixed_dictionaries({"spans": st.lists(RAW_SPANS, max_size=4)})})
)


def assert_whole(spans: list[Span]) -> None:
    """What an OpenTelemetry reader and the journal's files ask of spans."""
    for span in spans:
        assert re.fullmatch("[0-9a-f]{16}", span["span_id"])
        assert span["span_id"].strip("0")
        assert span["end_time_unix_nano"] >= span["start_time_unix_nano"] >= 0
        json.loads(span["attributes"], parse_constant=pytest.fail)
    ids = {span["span_id"] for span in spans}
    assert all(span["parent_span_id"] in ids for span in spans[1:])
    pa.array([spans], type=SPAN_TYPE)


@settings(deadline=None)
@given(TRACES.map(json.dumps), st.sampled_from(["full", "preview", "none"]))
def test_whatever_the_trace_the_spans_can_be_stored(trace: str, content: str) -> None:
    context = replace(CONTEXT, content=content)
    assert_whole(call_spans(call(Reply(Outcome.OK, "fine", trace=trace)), "request", context))


@settings(deadline=None)
@given(st.text())
def test_a_trace_that_is_no_json_is_left_out(trace: str) -> None:
    assert len(call_spans(call(Reply(Outcome.OK, trace=trace)), "r", CONTEXT)) == 2


@pytest.mark.parametrize("depth", [100, 900, 960, 990, 100_000])
def test_deep_attributes_do_not_raise(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    assert_whole(call_spans(call(Reply(Outcome.OK, trace=deep)), "r", CONTEXT))
    made = call(Reply(Outcome.OK, trace=json.dumps(trace_of(raw_span(attributes={"mlflow.spanInputs": deep})))))
    spans = call_spans(made, "r", CONTEXT)
    assert_whole(spans)
    assert len(spans) == 3


@settings(deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_texts_with_lone_surrogates_can_be_stored(request: str, answer: str) -> None:
    assert_whole(call_spans(call(Reply(Outcome.OK, answer)), request, CONTEXT))


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
