"""What travels to processes that are not started from here is JSON, and comes out as it went in."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Wire
from rowcall.core.errors import RunError
from rowcall.core.limits import Budget
from rowcall.core.rates import Rates
from rowcall.engines.recipe import Recipe, as_json, read_recipe
from rowcall.testing import FakeEndpoint, MemoryJournal
from tasks import recipe

PLAIN = recipe(FakeEndpoint(), MemoryJournal())
ANSWER = parse_answer_schema(
    {
        "mood": ["good", "bad"],
        "score": "decimal(10,2)",
        "parts": {"first": "string", "rest": "array<struct<name:string,size:bigint>>"},
        "more": "map<string,double>",
    }
)
FULL = replace(
    PLAIN,
    wire=Wire("chat", "a-model", stream=True, answer=ANSWER, run="background"),
    headers=(("x-tag", "ünd"), ("x-tag", "twice")),
    deadline_ns=1_795_546_331_036_054_123,
    most_bytes=4_000_000,
    budget=Budget(3, 1000, Decimal("0.10"), Decimal("0.15"), Decimal("0.60"), Decimal("0.075"), "EUR"),
    tasks=8,
    adaptive=True,
    rates=Rates(7.5, None, 1000.0),
)


@pytest.mark.parametrize("made", [PLAIN, FULL], ids=["plain", "full"])
def test_a_recipe_is_read_as_it_was_written(made: Recipe):
    said = json.loads(json.dumps(as_json(made)))
    assert read_recipe(said, made.connect, made.open_journal) == made


def test_how_a_process_logs_in_stays_with_it():
    assert {"connect", "open_journal"}.isdisjoint(as_json(FULL))


@pytest.mark.parametrize(
    "said", [{}, {"url": 3}, {**as_json(PLAIN), "share": "many"}, {**as_json(PLAIN), "wire": None}]
)
def test_what_is_no_recipe_of_this_version_is_told(said: dict[str, object]):
    with pytest.raises(RunError, match=r"what the coordinator says cannot be read: .+"):
        read_recipe(said, PLAIN.connect, PLAIN.open_journal)
