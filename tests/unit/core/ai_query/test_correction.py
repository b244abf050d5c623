"""A request asked again in SQL, with what was wrong with its answer."""

import json

import pytest

from rowcall.core.ai_query.correction import corrected_text

REQUEST = json.dumps(
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How good?"}]}
)
WRONG = '$.score: expected double, got "high"'


def test_a_prompt_stays_as_many_messages_as_its_form_was_made_for() -> None:
    made = json.loads(corrected_text(REQUEST, '{"score": "high"}', WRONG, "prompt") or "")
    system, user = made["messages"]
    assert system["content"] == "Be brief."
    assert user["role"] == "user"
    question, answer, complaint = user["content"].split("\n\n")
    assert (question, answer) == ("How good?", 'You answered:\n{"score": "high"}')
    assert WRONG in complaint


@pytest.mark.parametrize("form", ["responses", "chat"])
def test_a_conversation_goes_on(form: str) -> None:
    made = json.loads(corrected_text(REQUEST, "high", WRONG, form) or "")  # type: ignore[arg-type]
    assert [message["role"] for message in made["messages"]] == ["system", "user", "assistant", "user"]


def test_a_custom_model_has_no_place_for_it() -> None:
    assert corrected_text(json.dumps({"inputs": {"x": 1}}), "high", WRONG, "columns") is None
