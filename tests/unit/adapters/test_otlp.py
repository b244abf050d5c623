"""Spans to a collector, over OTLP/HTTP; a real server parses what it is sent."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from collectors import Taking
from rowcall.adapters import otlp
from rowcall.core.collector import Collector
from rowcall.core.errors import RunError, SetupError
from rowcall.core.records import Outcome, Reply
from rowcall.core.span_row import Span
from rowcall.core.spans import call_spans
from span_cases import CONTEXT, START, TRACE_ID, call

SECRET = "quite-a-secret-0815"


def spans_of(golden: Path) -> list[Span]:
    trace = (golden / "traces" / "mlflow_3.json").read_text(encoding="utf-8")
    return call_spans(call(Reply(Outcome.OK, "fine", trace=trace)), "request", CONTEXT)


def attributes(span: Any) -> dict[str, Any]:
    """Attributes of a span or an event as they were sent, each of one kind."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def test_spans_arrive_with_their_ids_times_and_events(collector: Taking, golden: Path) -> None:
    rows = spans_of(golden)
    otlp.export(Collector(collector.url, (), "9.9"), rows)
    assert [
        (
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex() or None,
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            ProtoSpan.SpanKind.Name(span.kind),
        )
        for span in collector.spans
    ] == [
        (
            TRACE_ID,
            row["span_id"],
            row["parent_span_id"],
            row["name"],
            row["start_time_unix_nano"],
            row["end_time_unix_nano"],
            row["kind"],
        )
        for row in rows
    ]
    assert [span.status.code for span in collector.spans] == [1, 1, 1, 1, 2]
    search = collector.spans[-1]
    assert search.status.message == "LookupError: no such page: crumpets"
    assert attributes(search.events[0])["exception.type"] == "LookupError"
    (resource,) = collector.got[0].resource_spans
    assert attributes(resource.resource) == {"service.name": "rowcall", "service.version": "9.9"}


def test_attributes_are_plain_values_or_json(collector: Taking) -> None:
    said = {
        "text": "a",
        "whole": 7,
        "large": 2**70,
        "flag": True,
        "part": 0.5,
        "deep": {"a": [1]},
        "mixed": [1, "a"],
        "no": None,
    }
    (root, _) = call_spans(call(), "request", CONTEXT)
    otlp.export(Collector(collector.url, (), "1"), [{**root, "attributes": json.dumps(said)}])
    (span,) = collector.spans
    assert attributes(span) == {
        "text": "a",
        "whole": 7,
        "large": str(2**70),
        "flag": True,
        "part": 0.5,
        "deep": '{"a": [1]}',
        "mixed": '[1, "a"]',
    }


def test_lists_of_texts_stay_lists(collector: Taking) -> None:
    (root, _) = call_spans(call(Reply(Outcome.OK, "x", finish_reason="stop")), "request", CONTEXT)
    otlp.export(Collector(collector.url, (), "1"), [root])
    (reasons,) = [each for each in collector.spans[0].attributes if each.key == "gen_ai.response.finish_reasons"]
    assert [value.string_value for value in reasons.value.array_value.values] == ["stop"]


def test_secrets_are_looked_up_when_they_are_sent(collector: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_TOKEN", SECRET)
    table = ("X-Databricks-UC-Table-Name", "main.agents.bread_otel_spans")
    headers = (("Authorization", "Bearer env:COLLECTOR_TOKEN"), ("x-key", "env:COLLECTOR_TOKEN"), table)
    otlp.export(Collector(collector.url, headers, "1"), call_spans(call(), "request", CONTEXT))
    (sent,) = collector.headers
    assert (sent["authorization"], sent["x-key"]) == (f"Bearer {SECRET}", SECRET)
    assert sent["x-databricks-uc-table-name"] == "main.agents.bread_otel_spans"
    assert sent["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("value", [None, "", "two\nlines"])
def test_a_secret_that_is_not_there_is_told_before_anything_is_sent(
    collector: Taking, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("COLLECTOR_TOKEN", raising=False)
    else:
        monkeypatch.setenv("COLLECTOR_TOKEN", value)
    with pytest.raises(SetupError, match=r"names the environment variable COLLECTOR_TOKEN for Authorization"):
        otlp.check(Collector(collector.url, (("Authorization", "Bearer env:COLLECTOR_TOKEN"),), "1"))


def test_many_spans_are_sent_in_lots(collector: Taking) -> None:
    root, _ = call_spans(call(), "request", CONTEXT)
    otlp.export(Collector(collector.url, (), "1"), [{**root, "span_id": f"{n + 1:016x}"} for n in range(1100)])
    assert [len(request.resource_spans[0].scope_spans[0].spans) for request in collector.got] == [512, 512, 76]


def test_a_lot_of_long_spans_is_small(collector: Taking) -> None:
    root, _ = call_spans(call(), "request", CONTEXT)
    long = json.dumps({"rowcall.answer": "a" * 1_500_000})
    otlp.export(Collector(collector.url, (), "1"), [{**root, "attributes": long}] * 7)
    assert [len(request.resource_spans[0].scope_spans[0].spans) for request in collector.got] == [3, 3, 1]


def test_a_collector_that_refuses_says_why_without_the_secret(
    collector: Taking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COLLECTOR_TOKEN", SECRET)
    collector.answer = 401, f"wrong token {SECRET}".encode()
    headers = (("Authorization", "Bearer env:COLLECTOR_TOKEN"),)
    with caplog.at_level(logging.DEBUG), pytest.raises(RunError) as error:
        otlp.export(Collector(collector.url, headers, "1"), call_spans(call(), "request", CONTEXT))
    assert "401" in str(error.value)
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


def test_a_collector_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RunError, match=r"."):
        otlp.export(Collector("http://127.0.0.1:9/v1/traces", (), "1"), call_spans(call(), "request", CONTEXT))


def test_a_collector_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        with pytest.raises(RunError):
            otlp.export(Collector(place, (), "1"), call_spans(call(), "request", CONTEXT))


def test_codes_and_kinds_of_other_versions_are_read() -> None:
    root, _ = call_spans(call(), "request", CONTEXT)
    span = otlp.readable_span({**root, "kind": "ODD", "status": {"code": "FINE", "message": "x"}}, "1")
    assert (span.kind.name, span.status.status_code.name, span.start_time) == ("INTERNAL", "UNSET", START)
