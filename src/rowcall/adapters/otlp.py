"""Spans to an OpenTelemetry collector, over OTLP/HTTP with the OpenTelemetry SDK (`rowcall[otlp]`)."""

import json
import logging
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rowcall.core.collector import SECRET_PLACE, Collector
from rowcall.core.errors import RunError, SetupError
from rowcall.core.loose import mapping, one_line, parse_json, sequence
from rowcall.core.ports import Row

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

TIMEOUT_SECONDS = 5.0
"""Of one post, its own retries included."""
_POST_SPANS = 512
_POST_CHARACTERS = 4_000_000


def check(collector: Collector) -> None:
    """Raises `SetupError` where the SDK is not installed, or a secret that a header names is not there."""
    try:
        import_module("opentelemetry.exporter.otlp.proto.http")
    except ImportError as error:
        raise SetupError(
            "traces.otlp needs the OpenTelemetry SDK: pip install 'rowcall[otlp]', or leave traces.otlp out"
        ) from error
    _headers(collector)


def export(collector: Collector, spans: Iterable[Row]) -> None:
    """Send spans, rows of a segment's `spans` column. Raises `RunError` where the collector does not take them, though it may have
    some, and `SetupError` as `check` does."""
    check(collector)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    headers = _headers(collector)
    exporter = OTLPSpanExporter(collector.endpoint, headers=headers, timeout=TIMEOUT_SECONDS)
    try:
        for post in _posts(spans):
            with _complaints() as said:
                result = _sent(exporter, [readable_span(span, collector.version) for span in post])
            if result is not SpanExportResult.SUCCESS:
                raise RunError(_without(headers, said[-1]) if said else "it does not say why")
    finally:
        exporter.shutdown()


def _sent(exporter: Any, spans: Sequence["ReadableSpan"]) -> Any:
    """Versions of the SDK differ in what of a failed post they raise."""
    try:
        return exporter.export(spans)
    except Exception as error:
        raise RunError(f"{type(error).__name__} while posting") from error


def readable_span(row: Row, version: str) -> "ReadableSpan":
    """A span as OpenTelemetry's SDK has it. Attributes that are no plain values are JSON text there."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode

    def context(span_id: object) -> SpanContext:
        return SpanContext(int(str(row["trace_id"]), 16), int(str(span_id), 16), False, TraceFlags(TraceFlags.SAMPLED))

    status = mapping(row["status"])
    code = StatusCode.__members__.get(str(status.get("code")).removeprefix("STATUS_CODE_"), StatusCode.UNSET)
    return ReadableSpan(
        name=str(row["name"]),
        context=context(row["span_id"]),
        parent=None if row["parent_span_id"] is None else context(row["parent_span_id"]),
        resource=Resource({"service.name": "rowcall", "service.version": version}),
        attributes=_attributes(row["attributes"]),
        events=[
            Event(str(event["name"]), _attributes(event["attributes"]), _whole(event["time_unix_nano"]))
            for event in map(mapping, sequence(row["events"]))
        ],
        kind=SpanKind.__members__.get(str(row["kind"]).removeprefix("SPAN_KIND_"), SpanKind.INTERNAL),
        status=Status(code, str(status.get("message") or "") or None if code is StatusCode.ERROR else None),
        start_time=_whole(row["start_time_unix_nano"]),
        end_time=_whole(row["end_time_unix_nano"]),
        instrumentation_scope=InstrumentationScope("rowcall", version),
    )


def _attributes(text: object) -> dict[str, Any]:
    said = mapping(parse_json(str(text)))
    return {key: _attribute(value) for key, value in said.items() if value is not None}


def _attribute(value: object) -> object:
    """The value where OTLP has such, and every reader takes it: a plain one, an integer of 64 bits, a list of texts."""
    if isinstance(value, bool | float | str) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    items = sequence(value)
    return (
        list(items) if items and all(isinstance(item, str) for item in items) else json.dumps(value, ensure_ascii=False)
    )


def _whole(number: object) -> int:
    return int(str(number))


def _posts(spans: Iterable[Row]) -> Iterator[list[Row]]:
    """Spans in lots that a collector takes at once."""
    lot: list[Row] = []
    size = 0
    for span in spans:
        lot.append(span)
        size += len(str(span["attributes"])) + sum(
            len(str(event.get("attributes"))) for event in map(mapping, sequence(span["events"]))
        )
        if len(lot) >= _POST_SPANS or size >= _POST_CHARACTERS:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def _headers(collector: Collector) -> dict[str, str]:
    return dict(_header(name, said) for name, said in collector.headers)


def _header(name: str, said: str) -> tuple[str, str]:
    place = SECRET_PLACE.fullmatch(said)
    if place is None:
        return name, said
    scheme, variable = place.groups()
    secret = os.environ.get(variable, "").strip()
    if not secret or not secret.isprintable():
        raise SetupError(
            f"traces.otlp.headers names the environment variable {variable} for {name}, which is not set where the run is started, "
            "is empty, or is more than one line of text"
        )
    return name, f"{scheme} {secret}" if scheme else secret


def _without(headers: Mapping[str, str], said: str) -> str:
    """What the SDK said; a server may have quoted what it was sent."""
    for value in headers.values():
        for secret in (value, value.split(" ", 1)[-1]):
            said = said.replace(secret, "[redacted]") if len(secret) > 3 else said
    return one_line(said)


@contextmanager
def _complaints() -> Generator[list[str]]:
    """What the SDK logs of an export that fails: it tells the reason nowhere else. Nobody else hears it."""
    said: list[str] = []
    logger = logging.getLogger("opentelemetry.exporter")
    handler = _Hearing(said)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Hearing(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
