"""What the text of an `ai_query` error means: recorded shapes (tests/golden/ai_query_errors.yml), and anything at all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.ai_query.failure import WORDS, failure
from rowcall.core.endpoints import Wire
from rowcall.core.outcome import read_reply
from rowcall.core.records import CallError, ErrorKind, HttpReply

EXAMPLES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[3] / "golden" / "ai_query_errors.yml").read_text(encoding="utf-8")
)


def error_of(example: dict[str, Any]) -> CallError:
    return CallError(ErrorKind(example["kind"]), example["message"], example["status"], example["code"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["text"][:60])
def test_a_recorded_text(example: dict[str, Any]) -> None:
    assert failure(example["text"]) == error_of(example)


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each["status"] and "body" in each], ids=lambda each: each["text"][:60]
)
def test_over_http_the_same_body_means_the_same(example: dict[str, Any]) -> None:
    assert example["body"] in example["text"]
    reply = read_reply(HttpReply(example["status"], {}, example["body"].encode(), 0), Wire("chat", None), 0)
    assert reply.error == error_of(example)


@pytest.mark.parametrize("words", [words for words, _ in WORDS])
def test_every_row_of_the_table_decides_an_example(words: str) -> None:
    """Fails for a row that no text needs, or that an earlier one always hides."""
    kind = dict(WORDS)[words]

    def deciding(text: str) -> str | None:
        return next((row for row, _ in WORDS if re.search(row, text, re.IGNORECASE)), None)

    decided = [each for each in EXAMPLES if "body" not in each and deciding(each["text"]) == words]
    assert [each for each in decided if each["status"] is None and failure(each["text"]).kind is kind]


@pytest.mark.parametrize(
    ("alternative", "kind"), [(part, kind) for words, kind in WORDS for part in re.split(r"\|(?![^()]*\))", words)]
)
def test_every_alternative_is_a_pattern_of_its_own(alternative: str, kind: ErrorKind) -> None:
    """A misplaced bar would let an empty alternative decide everything."""
    assert not re.search(alternative, "", re.IGNORECASE)
    assert not re.search(alternative, "The moon is in the wrong house.", re.IGNORECASE)


@pytest.mark.parametrize("state", ["SQLSTATE: 08000", "SQLSTATE 08000", " SQLSTATE: 2203G."])
def test_the_sqlstate_is_no_part_of_the_message(state: str) -> None:
    assert failure(f"[SOME_ERROR] It broke. {state}") == CallError(
        ErrorKind.SERVER_ERROR, "[SOME_ERROR] It broke.", None, "SOME_ERROR"
    )


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_an_error_with_words(text: str) -> None:
    error = failure(text)
    assert error.kind is ErrorKind.SERVER_ERROR
    assert error.message


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("status 404", 404),
        ("status: 404", 404),
        ("Status code was 404", 404),
        ("status_code=404", 404),
        ("statusCode: 404", 404),
        ("HTTP 404", 404),
        ("HTTP/2 404", 404),
        ("HTTP error code: 404", 404),
        ("404 Not Found", 404),
        ("[AI_FUNCTION_HTTP_REQUEST_ERROR] 404", 404),
        ("the limit is 404 tokens", None),
        ("status 4040", None),
        ("http://x.test/404", None),
        ("row 404 of 500", None),
    ],
)
def test_a_status_is_found_where_a_text_tells_one(text: str, status: int | None) -> None:
    assert failure(text).status == status


def test_a_body_that_says_nothing_is_passed_over() -> None:
    error = failure('Sent {} and {"messages": []} got HTTP 400 {"message": "no such field"}')
    assert (error.kind, error.message, error.status) == (ErrorKind.BAD_REQUEST, "no such field", 400)


def test_secrets_do_not_get_into_messages() -> None:
    for text in ("invalid token dapi0123456789abcdef0123456789abcdef", '{"message": "Bearer abc.def-ghi is invalid"}'):
        error = failure(text)
        assert "[redacted]" in error.message
        assert "abcdef" not in error.message
        assert "abc.def" not in error.message


def test_a_long_text_is_cut() -> None:
    assert len(failure("x" * 100_000).message) <= 500


def test_deep_nesting_is_read() -> None:
    deep = '{"error":' * 50_000
    assert failure(f"status 500 {deep}").status == 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "error_code", "message", "detail", "code", "external_model_error"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TEXTS = st.text() | st.tuples(st.text(), JSON.map(json.dumps), st.text()).map("".join)


@given(TEXTS)
def test_any_text_is_read(text: str) -> None:
    error = failure(text)
    assert error.status is None or 100 <= error.status <= 599
    error.message.encode()
    (error.code or "").encode()
