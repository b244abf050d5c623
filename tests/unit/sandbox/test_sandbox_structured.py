"""Structured answers: whatever the schema, the answer fits it, and fields with a meaning get their value."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.sandbox.agents.structured import fit_schema
from rowcall.sandbox.agents.text_insight import analyse

COMPLAINT = "I found glass in my bread and called you twice. Nobody answered. When will you call me back? I am furious!"
PRAISE = "The croissants are wonderful. Delivery was quick and the driver was friendly, thank you."


def field(name: str, schema: dict[str, Any], text: str) -> Any:
    whole = {"type": "object", "properties": {name: schema}, "required": [name]}
    answer = fit_schema(analyse(text), whole)
    jsonschema.validate(answer, whole)
    assert isinstance(answer, dict)
    return answer[name]


@pytest.mark.parametrize(
    ("name", "schema", "complaint", "praise"),
    [
        ("sentiment", {"type": "string"}, "negative", "positive"),
        ("sentiment", {"enum": ["POSITIVE", "NEGATIVE"]}, "NEGATIVE", "POSITIVE"),
        ("sentiment", {"enum": ["pos", "neu", "neg"]}, "neg", "pos"),
        ("mood", {"enum": ["delighted", "fine", "angry"]}, "angry", "delighted"),
        ("urgent", {"type": "boolean"}, True, False),
        ("priority", {"enum": ["low", "medium", "high"]}, "high", "low"),
        ("priority", {"type": "integer", "minimum": 1, "maximum": 5}, 5, 1),
        ("is_question", {"type": "boolean"}, True, False),
        ("is_complaint", {"type": "boolean"}, True, False),
        ("happy", {"type": ["boolean", "null"]}, False, True),
        ("word_count", {"type": "integer"}, 21, 14),
        ("sentences", {"type": "number"}, 4, 2),
        ("language", {"type": "string"}, "English", "English"),
        ("topic", {"enum": ["staff", "delivery", "other"]}, "other", "delivery"),
        ("summary", {"type": "string", "maxLength": 7}, "I found", "The cro"),
        ("version", {"const": 2}, 2, 2),
        ("note", {"type": "null"}, None, None),
    ],
)
def test_a_field_gets_what_its_name_asks_for(name: str, schema: dict[str, Any], complaint: Any, praise: Any) -> None:
    assert field(name, schema, COMPLAINT) == complaint
    assert field(name, schema, PRAISE) == praise


def test_scores_are_spread_over_their_range() -> None:
    stars = {"type": "integer", "minimum": 1, "maximum": 5}
    assert field("stars", stars, COMPLAINT) < 3 < field("stars", stars, PRAISE)
    assert field("stars", stars, "The shop opens at eight.") == 3
    assert field("score", {"type": "number"}, PRAISE) == analyse(PRAISE).score


def test_keywords_are_a_list_of_the_length_asked_for() -> None:
    names = {"type": "array", "items": {"type": "string"}}
    assert field("keywords", names, PRAISE) == list(analyse(PRAISE).keywords)
    assert field("tags", {**names, "maxItems": 2}, PRAISE) == list(analyse(PRAISE).keywords)[:2]
    assert len(field("tags", {**names, "minItems": 8}, PRAISE)) == 8


def test_nested_and_referenced_schemas_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {
            "review": {"$ref": "#/$defs/Review"},
            "aspects": {"type": "array", "items": {"$ref": "#/$defs/Review"}},
            "topic": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "required": ["review", "aspects", "topic"],
        "additionalProperties": False,
        "$defs": {
            "Review": {
                "type": "object",
                "properties": {"sentiment": {"enum": ["good", "bad"]}, "parent": {"$ref": "#/$defs/Review"}},
                "required": ["sentiment"],
            }
        },
    }
    answer = fit_schema(analyse(COMPLAINT), schema)
    jsonschema.validate(answer, schema)
    assert isinstance(answer, dict)
    assert answer["review"]["sentiment"] == "bad"
    assert answer["topic"] == analyse(COMPLAINT).keywords[0]


NAMES = st.sampled_from(
    ["sentiment", "urgent", "keywords", "summary", "language_level", "readability", "x", "score", "words"]
)
LEAVES = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("string", "number", "integer", "boolean", "null")]),
    st.lists(st.text(max_size=8), min_size=1, max_size=4).map(lambda members: {"type": "string", "enum": members}),
    st.tuples(st.integers(-9, 9), st.integers(0, 9)).map(
        lambda ends: {"type": "integer", "minimum": ends[0], "maximum": ends[0] + ends[1]}
    ),
    st.integers(0, 20).map(lambda most: {"type": "string", "maxLength": most}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=4).map(
            lambda fields: {
                "type": "object",
                "properties": fields,
                "required": list(fields),
                "additionalProperties": False,
            }
        )
        | st.tuples(inner, st.integers(0, 3)).map(lambda it: {"type": "array", "items": it[0], "maxItems": it[1]})
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(SCHEMAS, st.sampled_from([COMPLAINT, PRAISE, "", "🥐"]))
def test_every_answer_fits_its_schema(schema: dict[str, Any], text: str) -> None:
    jsonschema.validate(fit_schema(analyse(text), schema), schema)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["type", "enum", "$ref", "anyOf", "items", "properties", "required", "minimum", "maxLength"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda it: st.lists(it, max_size=3)
        ),
    )
)
def test_no_schema_breaks_it(schema: dict[str, Any]) -> None:
    fit_schema(analyse("ok"), schema)
