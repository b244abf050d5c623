"""Rows of real text: enough of them, clean, always the same, and nothing imported that has a cost."""

import re
import subprocess
import sys

import pytest

from rowcall.sandbox.texts import LONGEST, SHORTEST, prose, real_texts


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return list(real_texts())


def test_there_are_enough(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 240
    assert {row["source"] for row in rows} == {"package", "topic", "stdlib"}


def test_every_row_has_an_id_of_its_own(rows: list[dict[str, str]]) -> None:
    assert len({row["text_id"] for row in rows}) == len(rows)
    assert len({row["text"] for row in rows}) == len(rows)
    assert all(row["text_id"] == f"{row['source']}:{row['name']}" for row in rows)
    assert {"stdlib:json.loads", "package:pydantic", "topic:lambda"} <= {row["text_id"] for row in rows}


def test_every_text_is_clean_prose(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert SHORTEST <= len(row["text"]) <= LONGEST, row
        assert not re.search(r"[ \t]{2,}|\n{3,}|(?<!\n)\n(?!\n)|```|>>> |<[a-z]+ [a-z]+=", row["text"]), row


def test_the_order_is_the_same_and_a_limit_cuts_it(rows: list[dict[str, str]]) -> None:
    assert list(real_texts()) == rows
    assert list(real_texts(7)) == rows[:7]
    assert list(real_texts(0)) == []


IMPORTED = """
import sys
from rowcall.sandbox.texts import real_texts
list(real_texts())
files = (getattr(module, "__file__", None) or "" for module in sys.modules.values())
print(*(file for file in files if "site-packages" in file))
"""


def test_it_imports_no_package() -> None:
    paths = f"import sys; sys.path[:0] = {sys.path!r}"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"{paths}\n{IMPORTED}"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Title\n=====\n\nThis is a sentence of seven words.", "This is a sentence of seven words."),
        ("Some  words that are\nbroken over two lines.", "Some words that are broken over two lines."),
        ("- a list of things that is not prose.", ""),
        (">>> this looks like code and is left out.", ""),
        ("Run it like this and see what happens:\n    code(1)\n    code(2).", ""),
        ("# A heading that happens to be long enough.", ""),
    ],
)
def test_prose(raw: str, text: str) -> None:
    assert prose(raw) == text


def test_a_long_text_ends_with_a_sentence() -> None:
    text = prose("This sentence is said again and again. " * 100)

    assert 1400 < len(text) <= LONGEST
    assert text.endswith("again.")
