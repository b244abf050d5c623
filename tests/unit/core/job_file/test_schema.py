"""The JSON Schema that editors use says what the reader says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from rowcall.core.errors import DefinitionError
from rowcall.core.job_file.reader import job_schema, parse_job
from rowcall.core.job_file.schema import job_shape

ROOT = Path(__file__).parents[4]
WRITE = (
    "from pathlib import Path; from rowcall.core.job_file.reader import job_schema; "
    "Path('jobs/schema.json').write_text(job_schema(), 'utf-8')"
)
BASE: dict[str, Any] = {
    "job": "small",
    "prompts": {"table": "main.a.b", "key": "id"},
    "request": {"input": "{text}"},
    "endpoint": {"serving": "agent"},
    "outputs": {"table": "main.a.c"},
}
GOOD: list[dict[str, Any]] = [
    {},
    {"prompts": {"query": "SELECT 1 AS id", "key": ["a", "b"], "where": None}},
    {"request": {"messages": [{"role": "user", "content": "x"}], "parameters": {"temperature": 0.5}}},
    {"endpoint": {"app": "agent", "price": {"input": 0.15, "output": "0.6"}, "stream": True}},
    {"endpoint": {"url": "http://localhost/v1", "model": "m", "api_key": "env:KEY"}},
    {"answer": "text"},
    {"answer": {"schema": {"sentiment": ["good", "bad"], "score": "double"}}},
    {"engine": {"kind": "responses", "concurrency": 64, "tasks": "auto"}},
    {"engine": {"flush_seconds": "1s", "publish_seconds": 30}},
    {"limits": {"timeout": 90, "deadline": "1h30m", "max_failures": "5%", "max_tokens": 1000}},
    {"limits": {"max_failures": 10, "attempts": 3}},
    {"limits": {"max_cost": "20 USD"}, "endpoint": {"app": "a", "price": {"input": 1, "output": 2}}},
    {"variables": {"n": 1}},
    {"traces": {"content": "preview"}, "runs": {"table": "a.b"}},
]
FILLED_LATER: list[dict[str, Any]] = [
    {"engine": {"concurrency": "${n}", "tasks": "${n}", "fan_out": "${where}"}},
    {"limits": {"timeout": "${n}", "max_failures": "${n}", "max_tokens": "${n}", "max_cost": "${n} USD"}},
    {"endpoint": {"url": "${host}/v1", "stream": "${stream}", "api": "${api}"}},
    {"job": "triage_${env}", "answer": "${answer}", "traces": {"content": "${content}"}},
]
BAD: list[dict[str, Any]] = [
    {"job": "1x"},
    {"job": 3},
    {"wher": "x"},
    {"prompts": {"table": "main.a.b"}},
    {"prompts": {"table": "main.a.b", "key": 3}},
    {"prompts": {"table": "main.a.b", "key": []}},
    {"request": {"messages": [{"role": "bot", "content": "x"}]}},
    {"endpoint": {"app": "a", "url": "http://x"}},
    {"endpoint": {"api": "auto"}},
    {"endpoint": {"url": "localhost"}},
    {"endpoint": {"url": "http://x", "api_key": "sk-live"}},
    {"engine": {"kind": "spark"}},
    {"engine": {"concurrency": 0}},
    {"engine": {"concurrency": "many"}},
    {"engine": {"tasks": "all"}},
    {"limits": {"max_failures": "5 percent"}},
    {"limits": {"max_cost": "twenty"}},
    {"limits": {"deadline": "soon"}},
    {"limits": {"attempts": 0}},
    {"limits": {"max_tokens": 0}},
    {"engine": {"concurrency": True}},
    {"answer": "json"},
    {"answer": {"schema": {}}},
    {"outputs": "main.a.c"},
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(job_schema()))


def test_the_schema_is_valid() -> None:
    schema = json.loads(job_schema())

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert job_schema().endswith("}\n")


def test_the_file_for_editors_is_current() -> None:
    assert (ROOT / "jobs" / "schema.json").read_text("utf-8") == job_schema(), f'run: python -c "{WRITE}"'


@pytest.mark.parametrize("change", GOOD, ids=str)
def test_what_the_reader_takes_the_schema_takes(change: dict[str, Any], validator: Draft202012Validator) -> None:
    data = {**BASE, **change}
    text = yaml.safe_dump(data).replace("{text}", "${n}" if "variables" in data else "x")

    assert parse_job(text, "x.yml").job == data["job"]
    validator.validate(data)


@pytest.mark.parametrize("change", FILLED_LATER, ids=str)
def test_a_variable_may_stand_for_any_scalar(change: dict[str, Any], validator: Draft202012Validator) -> None:
    validator.validate({**BASE, **change})


@pytest.mark.parametrize("change", BAD, ids=str)
def test_what_the_reader_refuses_the_schema_refuses(change: dict[str, Any], validator: Draft202012Validator) -> None:
    data = {**BASE, **change}

    with pytest.raises(DefinitionError):
        parse_job(yaml.safe_dump(data), "x.yml")
    assert not validator.is_valid(data)


def every(node: object, key: str) -> Iterator[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, dict) and isinstance(node.get(key), str):
        yield node
    for child in children:
        yield from every(child, key)


def test_every_pattern_is_also_said_in_words() -> None:
    patterns = [node for node in every(json.loads(job_schema()), "pattern") if node["pattern"] != r"\$\{"]

    assert patterns
    assert not [node["pattern"] for node in patterns if "patternErrorMessage" not in node]


def test_what_is_expected_is_said_in_words() -> None:
    shape = job_shape()

    assert shape.at("endpoint").expected() == "a mapping with `app`, `serving` or `url`"
    assert shape.at("answer").expected() == "`text` or a mapping with `schema`"
    assert shape.at("request").at("messages").at(0).at("role").choices() == [
        "system",
        "developer",
        "user",
        "assistant",
    ]
    assert shape.at("engine").at("concurrency").expected() == "a whole number from 1 to 4096 or `auto`"
    assert shape.at("request").at("parameters").at("anything").expected() == "a value"
