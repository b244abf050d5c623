"""The agent's own spans, whatever trace it sent."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.agent_trace import MAX_AGENT_SPANS, MAX_EVENTS
from rowcall.core.records import Attempt, Outcome, Reply
from rowcall.core.span_row import span_id
from rowcall.core.spans import call_spans
from span_cases import CONTEXT, START, TRACE_ID, assert_whole, attributes, call, raw_span, spans_of, trace_of

ATTEMPT = span_id(TRACE_ID, "attempt 1")
STACK = 'Traceback (most recent call last):\n  File "agent.py", line 7, in search\nLookupError: no such page: crumpets'


@pytest.mark.parametrize("name", ["mlflow_2", "mlflow_3", "mlflow_3_5", "mlflow_3_18", "unity_catalog", "otlp"])
class TestGenerations:
    """One trace, as each generation of MLflow and OpenTelemetry itself write it."""

    def spans(self, golden: Path, name: str, content: str = "full") -> list[dict[str, Any]]:
        text = (golden / "traces" / f"{name}.json").read_text(encoding="utf-8")
        spans = spans_of(text, content)
        assert_whole(call_spans(call(Reply(Outcome.OK, trace=text)), "r", CONTEXT))
        return spans

    def test_ids_parents_and_times(self, golden: Path, name: str) -> None:
        assert [
            (
                span["name"],
                span["span_id"],
                span["parent_span_id"],
                span["kind"],
                span["start_time_unix_nano"],
                span["end_time_unix_nano"],
            )
            for span in self.spans(golden, name)
        ] == [
            ("agent", "fa6e22b4e45c8428", ATTEMPT, "SPAN_KIND_INTERNAL", 1795528650406337593, 1795528650484482836),
            (
                "think",
                "4a13083afd32662e",
                "fa6e22b4e45c8428",
                "SPAN_KIND_INTERNAL",
                1795528650482377719,
                1795528650482678322,
            ),
            (
                "search",
                "66a51425f3570db6",
                "fa6e22b4e45c8428",
                "SPAN_KIND_INTERNAL",
                1795528650482853521,
                1795528650484331783,
            ),
        ]

    def test_attributes_are_decoded(self, golden: Path, name: str) -> None:
        agent, think, _ = map(attributes, self.spans(golden, name))
        assert agent["mlflow.spanInputs"] == {"question": "What are crumpets?"}
        assert agent["mlflow.spanOutputs"] == "Nobody knows."
        assert think["mlflow.chat.tokenUsage"] == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        assert think["twice"] == {"a": [1, 2]}
        assert (think["gen_ai.request.model"], think["mlflow.spanLogLevel"]) == ("bread-1", 20)

    def test_an_error_has_its_status_and_its_event(self, golden: Path, name: str) -> None:
        agent, _, search = self.spans(golden, name)
        assert agent["status"] == {"message": "", "code": "STATUS_CODE_OK"}
        assert search["status"] == {"message": "LookupError: no such page: crumpets", "code": "STATUS_CODE_ERROR"}
        (event,) = search["events"]
        assert (event["name"], event["time_unix_nano"]) == ("exception", 1795528650484209664)
        assert attributes(event) == {
            "exception.type": "LookupError",
            "exception.message": "no such page: crumpets",
            "exception.stacktrace": STACK,
        }

    def test_none_keeps_texts_out_of_spans_and_events(self, golden: Path, name: str) -> None:
        spans = self.spans(golden, name, "none")
        assert "crumpets" not in json.dumps(spans)
        assert attributes(spans[2]["events"][0]) == {"exception.type": "LookupError"}
        assert spans[2]["status"]["code"] == "STATUS_CODE_ERROR"
        assert [span["name"] for span in spans] == ["agent", "think", "search"]


class TestTree:
    def test_hangs_under_the_last_attempt(self) -> None:
        attempts = (Attempt(1, START, START + 1, status=503), Attempt(2, START + 2, START + 3, status=200))
        text = json.dumps(trace_of(raw_span(), raw_span("AAAAAAAAAAE=", "2LrGX9p18sw=", name="tool")))
        *_, last, agent, tool = call_spans(call(Reply(Outcome.OK, "x", trace=text), attempts), "r", CONTEXT)
        assert last["name"] == "attempt 2"
        assert agent["span_id"] == base64.b64decode("2LrGX9p18sw=").hex() == "d8bac65fda75f2cc"
        assert agent["parent_span_id"] == last["span_id"]
        assert (tool["span_id"], tool["parent_span_id"]) == ("0000000000000001", "d8bac65fda75f2cc")
        assert {agent["trace_id"], tool["trace_id"]} == {TRACE_ID}

    @pytest.mark.parametrize("own", ["d8bac65fda75f2cc", "0xD8BAC65FDA75F2CC", "D8BAC65FDA75F2CC"])
    def test_ids_may_be_hex(self, own: str) -> None:
        (span,) = spans_of(trace_of(raw_span(own)))
        assert span["span_id"] == "d8bac65fda75f2cc"

    def test_short_ids_of_numbers_are_filled_up(self) -> None:
        assert spans_of(trace_of(raw_span("0x1f")))[0]["span_id"] == "000000000000001f"

    @pytest.mark.parametrize("own", ["no id", "AAAA", "0000000000000000", "AAAAAAAAAAA=", "span-7", "ü"])
    def test_an_id_that_is_none_is_replaced_and_its_children_stay(self, own: str) -> None:
        parent, child = spans_of(trace_of(raw_span(own), raw_span("AAAAAAAAAAE=", own, name="tool")))
        assert parent["span_id"] == span_id(TRACE_ID, "agent span 0")
        assert child["parent_span_id"] == parent["span_id"]

    @pytest.mark.parametrize("own", [None, 7, [], True])
    def test_a_span_without_an_id_gets_one(self, own: Any) -> None:
        (span,) = spans_of(trace_of(raw_span(own)))
        assert (span["span_id"], span["parent_span_id"]) == (span_id(TRACE_ID, "agent span 0"), ATTEMPT)

    def test_an_id_that_is_told_twice_stands_for_the_first(self) -> None:
        first, second, child = spans_of(
            trace_of(raw_span(), raw_span(name="again"), raw_span("AAAAAAAAAAE=", "2LrGX9p18sw="))
        )
        assert first["span_id"] == child["parent_span_id"] == "d8bac65fda75f2cc"
        assert second["span_id"] == span_id(TRACE_ID, "agent span 1")

    def test_ids_of_the_call_itself_are_not_taken(self) -> None:
        root = span_id(TRACE_ID, "call")
        spans = call_spans(
            call(Reply(Outcome.OK, trace=json.dumps(trace_of(raw_span(root), raw_span(ATTEMPT))))), "r", CONTEXT
        )
        assert_whole(spans)
        assert len(spans) == 4

    def test_an_agent_that_went_on_with_the_attempts_trace_stays_under_it(self) -> None:
        (span,) = spans_of(trace_of(raw_span(parent=ATTEMPT)))
        assert span["parent_span_id"] == ATTEMPT

    def test_circles_are_cut(self) -> None:
        ids = [base64.b64encode(bytes([0] * 7 + [n])).decode() for n in range(1, 5)]
        own_parent = raw_span(ids[0], ids[0], name="own parent")
        spans = spans_of(
            trace_of(own_parent, raw_span(ids[1], ids[2]), raw_span(ids[2], ids[1]), raw_span(ids[3], ids[2]))
        )
        assert [span["parent_span_id"] for span in spans] == [ATTEMPT, ATTEMPT, "0" * 15 + "2", "0" * 15 + "3"]

    def test_a_missing_parent_is_the_attempt(self) -> None:
        assert spans_of(trace_of(raw_span(parent="AAAAAAAAAAk=")))[0]["parent_span_id"] == ATTEMPT

    def test_there_are_only_so_many_and_the_call_says_how_many_are_missing(self) -> None:
        many = [raw_span(f"{n + 1:016x}") for n in range(MAX_AGENT_SPANS + 3)]
        root, _, *spans = call_spans(call(Reply(Outcome.OK, trace=json.dumps(trace_of(*many)))), "r", CONTEXT)
        assert len(spans) == MAX_AGENT_SPANS
        assert attributes(root)["rowcall.agent_spans_left_out"] == 3

    def test_a_trace_without_an_attempt_is_left_out(self) -> None:
        made = call(Reply(Outcome.OK, trace=json.dumps(trace_of(raw_span()))), attempts=())
        assert len(call_spans(made, "r", CONTEXT)) == 1


class TestTimes:
    @pytest.mark.parametrize("start", [None, True, -1, 2**63, "yesterday", 1.5, "-4", "9" * 30])
    def test_a_span_that_does_not_say_when_it_began_is_left_out(self, start: object) -> None:
        spans = spans_of(
            trace_of(raw_span(start_time_unix_nano=start), raw_span("AAAAAAAAAAE=", "2LrGX9p18sw="), None, 3)
        )
        assert [span["span_id"] for span in spans] == ["0" * 15 + "1"]
        assert spans[0]["parent_span_id"] == ATTEMPT

    def test_times_are_kept_as_they_are_told(self) -> None:
        (span,) = spans_of(trace_of(raw_span(start_time_unix_nano=5, end_time_unix_nano=2**63 - 1)))
        assert (span["start_time_unix_nano"], span["end_time_unix_nano"]) == (5, 2**63 - 1)

    @pytest.mark.parametrize("end", [None, -3, "x", 2**63, 0, 1795387458314960520])
    def test_what_is_no_end_is_none(self, end: object) -> None:
        (span,) = spans_of(trace_of(raw_span(end_time_unix_nano=end)))
        assert span["end_time_unix_nano"] == span["start_time_unix_nano"]


class TestAttributes:
    def test_those_called_as_rowcalls_own_get_another_name(self) -> None:
        (span,) = spans_of(trace_of(raw_span(attributes={"rowcall.outcome": "refused", "rowcalls": 1})))
        assert attributes(span) == {"agent.rowcall.outcome": "refused", "rowcalls": 1}

    def said(self, value: object) -> object:
        (span,) = spans_of(trace_of(raw_span(attributes={"it": value})))
        return attributes(span)["it"]

    @pytest.mark.parametrize(
        ("value", "meant"),
        [
            ('"text"', "text"),
            ("plain text", "plain text"),
            ('{"a": "1"}', {"a": "1"}),
            ('"{\\"a\\": 1}"', {"a": 1}),
            ('"[1, 2]"', [1, 2]),
            ('"12"', "12"),
            ('"{no json"', "{no json"),
            ("12", 12),
            (True, True),
            ([1, "a"], [1, "a"]),
        ],
    )
    def test_json_texts_are_decoded_twice_at_most(self, value: object, meant: object) -> None:
        assert self.said(value) == meant

    @pytest.mark.parametrize(
        ("value", "meant"),
        [
            ({"stringValue": "a"}, "a"),
            ({"string_value": '{"a": 1}'}, {"a": 1}),
            ({"intValue": "-7"}, -7),
            ({"intValue": 7}, 7),
            ({"boolValue": False}, False),
            ({"doubleValue": 0.5}, 0.5),
            ({"bytesValue": "AAE="}, "AAE="),
            ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}, [1, "b"]),
            ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
            ({"arrayValue": {}}, []),
        ],
    )
    def test_values_of_otlp_are_what_they_stand_for(self, value: object, meant: object) -> None:
        pairs = [{"key": "it", "value": value}, {"value": value}, None, {"key": "empty", "value": {}}]
        (span,) = spans_of(trace_of(raw_span(attributes=pairs)))
        assert attributes(span) == {"it": meant}

    def test_there_are_only_so_many_events(self) -> None:
        (span,) = spans_of(
            trace_of(raw_span(events=[{"name": "tick", "time_unix_nano": n} for n in range(MAX_EVENTS + 9)]))
        )
        assert len(span["events"]) == MAX_EVENTS

    def test_an_event_without_a_time_was_when_its_span_began(self) -> None:
        (span,) = spans_of(trace_of(raw_span(events=[{"name": 3}, "no event"])))
        assert [event["time_unix_nano"] for event in span["events"]] == [span["start_time_unix_nano"]] * 2
        assert [event["name"] for event in span["events"]] == ["3", "event"]

    def test_a_name_of_an_event_may_be_a_prompt(self) -> None:
        (span,) = spans_of(trace_of(raw_span(events=[{"name": "asked SECRET", "time_unix_nano": 1}])), "none")
        assert span["events"][0]["name"] == "event"

    def test_what_a_key_is_about_may_be_a_prompt_too(self) -> None:
        told = {
            "mlflow.llm.prompt": "my SECRET prompt",
            "mlflow.llm.model": "fine-1",
            "error.type": "the prompt was: SECRET",
            "gen_ai.agent.name": "the one who knows SECRET things",
            "gen_ai.response.finish_reasons": ["stop", "it was SECRET, really"],
            "mlflow.chat.tokenUsage": {"input_tokens": 3, "a SECRET of": 4},
            "gen_ai.usage.details": {"cached": 3},
        }
        (span,) = spans_of(
            trace_of(raw_span(attributes={key: json.dumps(value) for key, value in told.items()})), "none"
        )
        assert "SECRET" not in json.dumps(span)
        assert attributes(span) == {"mlflow.llm.model": "fine-1", "gen_ai.usage.details": {"cached": 3}}

    def test_a_trace_may_be_a_text_itself(self) -> None:
        assert len(spans_of(json.dumps(json.dumps(trace_of(raw_span()))))) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
IDS = JSON_VALUES | st.sampled_from(["2LrGX9p18sw=", "AAAAAAAAAAE=", "0x1", "0000000000000001", ATTEMPT])
TIMES = JSON_VALUES | st.integers(-1, 2**63) | st.integers(0, 2**63 - 1).map(str)
OTLP_VALUES = st.recursive(
    st.dictionaries(st.sampled_from(["stringValue", "intValue", "boolValue", "double_value"]), JSON_VALUES, max_size=2),
    lambda inner: st.lists(inner, max_size=3).map(lambda values: {"arrayValue": {"values": values}}),
    max_leaves=4,
)
ATTRIBUTES = (
    JSON_VALUES
    | st.dictionaries(st.text(), JSON_VALUES.map(json.dumps) | JSON_VALUES)
    | st.lists(st.fixed_dictionaries({"key": JSON_VALUES, "value": OTLP_VALUES | JSON_VALUES}), max_size=3)
)
EVENTS = JSON_VALUES | st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": JSON_VALUES, "timeUnixNano": TIMES, "timestamp": TIMES, "attributes": ATTRIBUTES}
    ),
    max_size=3,
)
RAW_SPANS = JSON_VALUES | st.fixed_dictionaries(
    {},
    optional={
        "span_id": IDS,
        "spanId": IDS,
        "context": JSON_VALUES | st.fixed_dictionaries({"span_id": IDS}),
        "parent_span_id": IDS,
        "parent_id": IDS,
        "name": JSON_VALUES,
        "kind": JSON_VALUES | st.integers(-1, 6),
        "start_time_unix_nano": TIMES,
        "startTimeUnixNano": TIMES,
        "start_time": TIMES,
        "end_time_unix_nano": TIMES,
        "status": JSON_VALUES | st.dictionaries(st.sampled_from(["code", "message"]), JSON_VALUES),
        "status_code": JSON_VALUES,
        "attributes": ATTRIBUTES,
        "events": EVENTS,
    },
)
SPAN_LISTS = st.lists(RAW_SPANS, max_size=5) | JSON_VALUES
SCOPES = st.lists(
    st.fixed_dictionaries({"scopeSpans": st.lists(st.fixed_dictionaries({"spans": SPAN_LISTS}))}), max_size=2
)
TRACES = (
    JSON_VALUES
    | st.fixed_dictionaries({"data": JSON_VALUES | st.fixed_dictionaries({"spans": SPAN_LISTS})})
    | st.fixed_dictionaries({"spans": SPAN_LISTS})
    | st.fixed_dictionaries({"resourceSpans": SCOPES | JSON_VALUES})
)


@settings(deadline=None)
@given(TRACES.map(json.dumps), st.sampled_from(["full", "preview", "none"]))
def test_whatever_the_trace_the_spans_can_be_stored(trace: str, content: str) -> None:
    made = call(Reply(Outcome.OK, "fine", trace=trace))
    assert_whole([*call_spans(made, "request", CONTEXT)[:2], *spans_of(trace, content)])


@settings(deadline=None)
@given(st.text())
def test_a_trace_that_is_no_json_is_left_out(trace: str) -> None:
    assert len(call_spans(call(Reply(Outcome.OK, trace=trace)), "r", CONTEXT)) == 2


@pytest.mark.parametrize("depth", [100, 300, 900, 960, 990, 100_000])
@pytest.mark.parametrize("level", ["[", '{"arrayValue": {"values": ['])
def test_deep_attributes_do_not_raise(depth: int, level: str) -> None:
    closing = "".join({"[": "]", "{": "}"}[char] for char in reversed(level) if char in "[{")
    deep = level * depth + closing * depth
    assert_whole(call_spans(call(Reply(Outcome.OK, trace=deep)), "r", CONTEXT))
    for said in (json.dumps({"mlflow.spanInputs": deep}), f'[{{"key": "it", "value": {deep}}}]'):
        trace = json.dumps(trace_of(raw_span(attributes="HERE"))).replace('"HERE"', said)
        assert_whole(call_spans(call(Reply(Outcome.OK, trace=trace)), "r", CONTEXT))
