"""What may be in a text, and what of it reaches a terminal."""

import datetime as dt
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.shown import clean, json_line, money

FORGING = (
    "\x00",
    "\x07",
    "\x08",
    "\r",
    "\x1b",
    "\x7f",
    "\x9b",
    "\u061c",
    "\u180e",
    "\u200b",
    "\u200e",
    "\u200f",
    "\u2028",
)
FORGING = (*FORGING, "\u2029", "\u202e", "\u2060", "\u2066", "\u2069", "\u206a", "\ufeff", "\U000e0041", "\ud800")
TEXTS = st.text(st.characters() | st.sampled_from(FORGING))


@pytest.mark.parametrize("char", FORGING)
def test_what_forges_is_seen(char: str) -> None:
    assert clean(f"a{char}b") == "a�b"
    assert json.loads(json_line({"said": f"a{char}b"})) == {"said": f"a{char}b"}
    assert char not in json_line({"said": f"a{char}b"})


@pytest.mark.parametrize(
    "text",
    ["SELECT 1,\n\t2\n", "naïve Größe", "שלום", "می\u200cخواهم", "👨\u200d👩\u200d👧", "日本語", "{{x}}", "e\u0301"],
)
def test_what_people_write_stays(text: str) -> None:
    assert clean(text) == text
    assert json_line([text]) == json.dumps([text], ensure_ascii=False)


def test_lines_end_as_they_do_here() -> None:
    assert clean("SELECT 1,\r\n\t2\n") == "SELECT 1,\n\t2\n"


@given(TEXTS)
def test_no_control_and_no_change_of_direction_is_left(text: str) -> None:
    for shown in (clean(text), json_line(text)):
        shown.encode()
        assert not [char for char in shown if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Zl", "Zp")]
        assert not [char for char in shown if unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF")]


@given(st.recursive(TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_a_reader_of_the_line_gets_the_value(value: object) -> None:
    line = json_line(value)
    assert "\n" not in line
    assert json.loads(line) == value


def test_times_are_written_with_their_zone() -> None:
    when = dt.datetime(2026, 11, 24, 18, 27, 51, tzinfo=dt.UTC)
    assert json_line([when, when.date()]) == '["2026-11-24T18:27:51+00:00", "2026-11-24"]'


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0.0, "0.00 USD"),
        (1234.5, "1,234.50 USD"),
        (0.41, "0.4100 USD"),
        (0.00042, "0.000420 USD"),
        (0.00005, "0.000050 USD"),
    ],
)
def test_money(amount: float, said: str) -> None:
    assert money(amount, "USD") == said


def test_money_of_no_currency() -> None:
    assert money(0.5, None) == "0.5000"
