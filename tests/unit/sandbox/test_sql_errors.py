"""Messages recorded from Sail 0.7, and what a SQL warehouse says instead."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.sandbox.warehouse.sql_errors import canceled, failure_of, timed_out

UNSUPPORTED = "UnsupportedOperationException"
RECORDED = [
    (
        "invalid argument: found SELEC at 0:5 expected something else, ';', or end of input",
        "PARSE_SYNTAX_ERROR",
        "42601",
    ),
    ("invalid argument: found end of input expected 'GROUPING', or expression", "PARSE_SYNTAX_ERROR", "42601"),
    ("invalid argument: expected one statement", "PARSE_EMPTY_STATEMENT", "42617"),
    ("Table not found: [TABLE_OR_VIEW_NOT_FOUND] Table or view not found: t", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`t` cannot be found", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("Table not found: zz", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("Invalid table location: No commit files found in _delta_log", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    ("Database not found: nosuch", "SCHEMA_NOT_FOUND", "42704"),
    (
        'attribute ObjectName([Identifier("nope")]) is missing from the schema: cannot resolve attribute',
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        "42703",
    ),
    ("invalid argument: column not found in target table: nope", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703"),
    ('ambiguous attribute: ObjectName([Identifier("id")])', "AMBIGUOUS_REFERENCE", "42704"),
    ("Table already exists: main.t.a", "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    ("listing table path already exists: /data/main/t/r", "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    ("Temporary View already exists: tv", "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    ("Database already exists: s2", "SCHEMA_ALREADY_EXISTS", "42P06"),
    ("invalid argument: Cannot drop non-empty database 's2', use CASCADE", "SCHEMA_NOT_EMPTY", "2BP01"),
    ("Failed to commit transaction: 0", "DELTA_CONCURRENT_APPEND", "2D521"),
    ("divide by zero", "DIVIDE_BY_ZERO", "22012"),
    ("Cannot cast string 'x' to value of Int32 type", "CAST_INVALID_INPUT", "22018"),
    ("Can't cast value 99999999999 to type Int32", "CAST_OVERFLOW", "22003"),
    ("invalid argument: DateValue { year: 2024, month: 13, day: 1 }", "INVALID_TYPED_LITERAL", "42604"),
    (
        "invalid argument: input schema for INSERT has 1 fields, but table schema has 2 fields (with 0 generated)",
        "INSERT_COLUMN_ARITY_MISMATCH",
        "21S01",
    ),
    ("Placeholder ':x' was not provided a value for execution.", "UNBOUND_SQL_PARAMETER", "42P02"),
    (
        "[DELTA_NOT_NULL_CONSTRAINT_VIOLATED] NOT NULL constraint violated for column: s",
        "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        "23502",
    ),
    ("[INVALID_ARRAY_INDEX] The index 5 is out of bounds.", "INVALID_ARRAY_INDEX", "22003"),
    ("element_at: the index is out of bounds", "INVALID_ARRAY_INDEX_IN_ELEMENT_AT", "22003"),
    ("invalid argument: operation not found: aad292ac-6b01-4ef9-b5f2-fdd1bb351bec", "OPERATION_CANCELED", "HY008"),
    ("[UNSUPPORTED_DATA_TYPE] Unsupported DataType `dict`.", "UNSUPPORTED_DATA_TYPE", "XX000"),
    ("boom", "INTERNAL_ERROR", "XX000"),
    ("", "INTERNAL_ERROR", "XX000"),
]
FORM = re.compile(r"\[[A-Z][A-Z0-9_.]*\] .* SQLSTATE: [0-9A-Z]{5}", re.DOTALL)


@pytest.mark.parametrize(("said", "error_class", "sqlstate"), RECORDED, ids=[row[0][:40] for row in RECORDED])
def test_a_message_of_the_lakehouse_gets_its_class_and_state(said: str, error_class: str, sqlstate: str):
    failure = failure_of(said)
    assert (failure.error_class, failure.sqlstate) == (error_class, sqlstate)
    assert FORM.fullmatch(failure.text)


def test_names_and_types_are_worded_as_sql_has_them():
    column = failure_of('attribute ObjectName([Identifier("a"), Identifier("b")]) is missing from the schema')
    assert "`a`.`b`" in column.message
    assert '"INT"' in failure_of("Cannot cast string 'x' to value of Int32 type").message
    assert "`r`" in failure_of("listing table path already exists: /data/main/t/r").message


def test_an_error_in_databricks_form_is_kept():
    said = '[AI_FUNCTION_HTTP_REQUEST_ERROR] Error occurred: {"a": 1}\nand so on. SQLSTATE: 08000'
    assert failure_of(f"Traceback …\n{said}\n  at …").text == said


def test_what_is_not_supported_is_told_by_its_exception():
    failure = failure_of("CommandNode::CommentOnTable", UNSUPPORTED)
    assert (failure.error_class, failure.sqlstate) == ("UNSUPPORTED_FEATURE", "0A000")
    assert failure_of("unknown function: nofunc", UNSUPPORTED).error_class == "UNRESOLVED_ROUTINE"


def test_timeouts_and_cancellations_have_databricks_own_words():
    assert timed_out(2.5).text == (
        "[QUERY_EXECUTION_TIMEOUT_EXCEEDED] Query execution was cancelled due to exceeding the timeout (2.5s). "
        "SQLSTATE: 57KD0"
    )
    assert canceled().text == "[OPERATION_CANCELED] Operation has been canceled. SQLSTATE: HY008"


@given(st.text(), st.text())
def test_whatever_is_said_becomes_a_failure_in_databricks_form(said: str, kind: str):
    assert FORM.fullmatch(failure_of(said, kind).text)
