"""`traces.otlp`: secrets are named, never written."""

from typing import Any

import pytest
from pydantic import ValidationError

from rowcall.core.collector import Collector
from rowcall.core.definition.traces import Otlp
from rowcall.core.plan import collector_of
from support import make_job

URL = "https://collector.test:4318/v1/traces"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer env:TOKEN"},
        {"authorization": "env:TOKEN"},
        {"X-Api-Key": "env:KEY_2"},
        {"X-Databricks-UC-Table-Name": "main.agents.x_otel_spans"},
        {"x-tenant": "blue team"},
    ],
)
def test_headers_are_plain_or_say_where_a_secret_is(headers: dict[str, str]) -> None:
    assert Otlp(endpoint=URL, headers=headers).headers == headers


@pytest.mark.parametrize(
    "name", ["Authorization", "x-api-key", "X-Auth", "Cookie", "x-token", "Client-Secret", "x-password"]
)
@pytest.mark.parametrize("value", ["Bearer abc", "abc", "env:", "env:A B", "Bearer  env:A", "my env:A", ""])
def test_what_looks_like_a_secret_is_not_written_down(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} looks like a secret; say where it is, not what it is"):
        Otlp(endpoint=URL, headers={name: value})


@pytest.mark.parametrize(
    "headers", [{"two words": "a"}, {"": "a"}, {"x:y": "a"}, {"ok": "two\nlines"}, {"ok": "bell\x07"}]
)
def test_headers_are_fit_to_be_sent(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Otlp(endpoint=URL, headers=headers)


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "https://user:pw@collector.test/v1/traces", "ftp://x", f"{URL}?key=1", ""]
)
def test_an_endpoint_is_a_plain_address(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        Otlp(endpoint=endpoint)


def test_the_plan_has_the_collector_and_where_its_secrets_are() -> None:
    otlp: dict[str, Any] = {"endpoint": URL, "headers": {"Authorization": "Bearer env:TOKEN"}}
    job = make_job("x", traces={"table": "main.test.t", "otlp": otlp})
    assert collector_of(job, "0.1") == Collector(URL, (("Authorization", "Bearer env:TOKEN"),), "0.1")
    assert collector_of(make_job("x"), "0.1") is None
