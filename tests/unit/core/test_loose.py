"""Values out of JSON that somebody else wrote."""

import json

import pytest

from rowcall.core.endpoints import Wire, read_body
from rowcall.core.loose import parse_json, told_count
from rowcall.core.records import Outcome, Usage

DEEP = 100_000


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_lies_too_deep_is_null_and_the_rest_is_kept(opening: str, closing: str) -> None:
    deep = opening * DEEP + "1" + closing * DEEP
    text = f'{{"before": "]}}\\"[", "deep": {deep}, "after": [{{"b": 2}}]}}'
    value = parse_json(text)
    assert isinstance(value, dict)
    assert (value["before"], value["after"]) == (']}"[', [{"b": 2}])
    assert "null" in json.dumps(value["deep"])


@pytest.mark.parametrize("text", ["[" * DEEP, "[" * DEEP + "]" * (DEEP + 1), "[" * 9_000_000, '["' + "[" * DEEP])
def test_what_is_deep_and_no_json_is_none(text: str) -> None:
    assert parse_json(text) is None


def test_a_trace_too_deep_costs_no_answer() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "paid for"}]}
    reply = json.dumps({"output": [said], "status": "completed", "databricks_output": {"trace": "HERE"}})
    read = read_body(
        reply.replace('"HERE"', "[" * DEEP + "]" * DEEP).encode(), "application/json", Wire("responses", None)
    )
    assert (read.outcome, read.text) == (Outcome.OK, "paid for")


@pytest.mark.parametrize(
    ("told", "counted"), [(10, 10), (10.0, 10), ("10", 10), (0, 0), ("0", 0), (2**39, 2**39), (2**40, None)]
)
def test_counts_are_read_as_servers_tell_them(told: object, counted: int | None) -> None:
    assert told_count(told) == counted


@pytest.mark.parametrize("told", [1.5, "ten", "-1", -1.0, True, None, 1e300, "9" * 30, "١٠", "", [1]])
def test_what_is_no_count_is_none(told: object) -> None:
    assert told_count(told) is None


def test_usage_may_be_told_as_texts() -> None:
    usage = {"input_tokens": "12", "output_tokens": 3.0, "total_tokens": 15}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    read = read_body(
        json.dumps({"output": [said], "usage": usage}).encode(), "application/json", Wire("responses", None)
    )
    assert read.usage == Usage(input_tokens=12, output_tokens=3, total_tokens=15)
