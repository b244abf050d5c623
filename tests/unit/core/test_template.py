"""Texts with placeholders: what is a field, what is a brace, and what is a mistake."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.core.template import Field, Part, TemplateError, parse_template


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("plain", ["plain"]),
        ("{a}", [Field("a")]),
        ("{a}{b}", [Field("a"), Field("b")]),
        ("Review of {franchise}: {review}!", ["Review of ", Field("franchise"), ": ", Field("review"), "!"]),
        ("{ a }", [Field("a")]),
        ("{address.city}", [Field("address.city")]),
        ("{order date}", [Field("order date")]),
        ("${a}", ["$", Field("a")]),
    ],
)
def test_fields_and_plain_pieces(text: str, parts: list[Part]) -> None:
    assert parse_template(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{{", ["{"]),
        ("}}", ["}"]),
        ("{{a}}", ["{a}"]),
        ("{{{a}}}", ["{", Field("a"), "}"]),
        ('{{"x": {{}}}}', ['{"x": {}}']),
        ("{{{{", ["{{"]),
    ],
)
def test_doubled_braces_are_plain(text: str, parts: list[Part]) -> None:
    assert parse_template(text) == parts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{`a.b`}", "a.b"),
        ("{`odd``name`}", "odd`name"),
        ("{`a}b{c`}", "a}b{c"),
        ("{` a `}", " a "),
        ("{````}", "`"),
        ("{`a\nb`}", "a\nb"),
    ],
)
def test_a_name_in_backticks_is_taken_as_it_is(text: str, name: str) -> None:
    assert parse_template(text) == [Field(name, quoted=True)]


@pytest.mark.parametrize(
    "text", ["{", "}", "a { b", "a } b", "{}", "{ }", "{{{", "}}}", "{a", "a}", "{`a}", "{``}", "{a{b}"]
)
def test_a_single_brace_is_a_mistake(text: str) -> None:
    with pytest.raises(TemplateError, match=r"a single '[{}]"):
        parse_template(text)


def test_the_mistake_shows_its_surroundings_only() -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template("x" * 1000 + " an open { brace " + "y" * 1000)
    assert " an open { brace y" in str(caught.value)
    assert len(str(caught.value)) < 60


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back_once_its_braces_are_doubled(text: str) -> None:
    assert parse_template(text.replace("{", "{{").replace("}", "}}")) == [text]


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_name_can_be_a_field(name: str) -> None:
    assert parse_template(f"a{{`{name.replace('`', '``')}`}}b") == ["a", Field(name, quoted=True), "b"]


@settings(deadline=None)
@given(st.text(alphabet="{}`a. \n"))
def test_every_text_is_read_or_refused(text: str) -> None:
    try:
        parts = parse_template(text)
    except TemplateError:
        return
    plain = [index for index, part in enumerate(parts) if isinstance(part, str)]
    assert all(after - before > 1 for before, after in pairwise(plain))
    assert all(part.name for part in parts if isinstance(part, Field))
