"""Which forms the SQL side takes, learned from what it says of a query that is never run."""

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core.ai_query.form import Form, Wanted, forms
from rowcall.core.ai_query.probing import Probed, Probes, probe_forms
from rowcall.core.definition import Request
from rowcall.core.errors import SqlError
from rowcall.core.records import Column
from rowcall.testing import FakeSqlSession

BOTH = forms(Wanted(Request(input="{text}"), (Column("text", "string"),), None), "agent/v1/responses")
STRUCT = Column("reply", "struct<result:string,errormessage:string>")


def probe(columns: "Refusing", tried: list[Form] = BOTH) -> Probes:
    return probe_forms(tried, "agent", sql_texts(), columns, files=False)


class Refusing:
    """Says the type of a call, or refuses it, by a text that the query contains."""

    def __init__(self, refusals: dict[str, str]) -> None:
        self.refusals = refusals
        self.seen: list[str] = []

    def __call__(self, query: str) -> tuple[Column, ...]:
        self.seen.append(query)
        for text, reason in self.refusals.items():
            if text in query:
                raise SqlError(reason, query)
        return (STRUCT,)


RESPONSES, PROMPT = "named_struct('input'", "r.messages[0].content"


def test_all_forms_that_are_taken_are_found_in_their_order() -> None:
    columns = Refusing({})
    assert probe(columns) == Probes(tuple(Probed(form, STRUCT.type) for form in BOTH))
    assert [form.name for form in BOTH] == ["responses", "prompt"]
    assert len(columns.seen) == 2


def test_a_form_that_is_refused_is_left_out() -> None:
    probes = probe(Refusing({RESPONSES: "[AI_FUNCTION_MODEL_SCHEMA_PARSE_ERROR] any"}))
    assert probes == Probes((Probed(BOTH[1], STRUCT.type),))


def test_where_all_are_refused_the_likeliest_says_why() -> None:
    probes = probe(Refusing({RESPONSES: "[UNRESOLVED_ROUTINE] first", PROMPT: "second"}))
    assert probes == Probes((), "[UNRESOLVED_ROUTINE] first")


@pytest.mark.parametrize(
    "reason",
    [
        "[PARSE_SYNTAX_ERROR] Syntax error at or near 'QUERY'",
        "[UNSUPPORTED_FEATURE] DESCRIBE QUERY",
        "DESCRIBE QUERY is not supported",
        "not yet implemented: describe",
        "not implemented",
    ],
)
def test_an_engine_that_cannot_describe_a_query_has_not_refused_the_call(reason: str) -> None:
    assert probe(Refusing({"ai_query": reason})) == Probes(tuple(Probed(form, None) for form in BOTH))


def test_a_refusal_beside_a_form_that_is_taken_is_not_told() -> None:
    assert probe(Refusing({PROMPT: "no"})).refusal == ""


def test_nothing_is_run() -> None:
    session = FakeSqlSession(schemas={"ai_query": (STRUCT,)})
    assert len(probe_forms(BOTH, "agent", sql_texts(), session.columns, files=False).found) == 2
    assert session.statements == []
