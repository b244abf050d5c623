"""The neutral request of a row: messages however a column says them, objects that are texts, and what cannot be sent."""

import json
from typing import Any

import pytest

from rowcall.core.endpoints import RequestError, Wire, build_body, corrected

CHAT = Wire("chat", None)
RESPONSES = Wire("responses", None)
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "hi"}
AGENT = {"role": "assistant", "content": "hello"}
EXAMPLE = '[{"role": "user", "content": "…"}]'
MESSAGE = EXAMPLE[1:-1]


def messages(*items: object, wire: Wire = CHAT) -> object:
    body = build_body({"messages": list(items)}, wire)
    return body["messages" if wire.shape == "chat" else "input"]


def refusal(request: dict[str, Any], wire: Wire = CHAT) -> str:
    with pytest.raises(RequestError) as caught:
        build_body(request, wire)
    return str(caught.value)


class TestMessages:
    def test_a_column_that_is_an_array_is_taken_apart_in_its_place(self) -> None:
        assert messages(SYSTEM, [USER, AGENT], USER) == [SYSTEM, USER, AGENT, USER]

    def test_a_column_that_is_a_text_holds_a_list_or_one_message(self) -> None:
        assert messages(SYSTEM, json.dumps([USER, AGENT]), json.dumps(USER)) == [SYSTEM, USER, AGENT, USER]

    def test_what_is_null_counts_as_nothing(self) -> None:
        assert messages(None, [None, USER], json.dumps([None, AGENT]), []) == [USER, AGENT]

    def test_fields_that_are_null_are_left_out(self) -> None:
        typed = {**USER, "name": None, "tool_calls": None, "content": [{"type": "text", "text": "hi", "x": None}, None]}
        assert messages(typed) == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]

    def test_roles_are_passed_as_they_are(self) -> None:
        assert messages({"role": "developer", "content": "x"}) == [{"role": "developer", "content": "x"}]

    def test_a_message_that_calls_tools_needs_no_content(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        assert messages({"role": "assistant", "content": None, "tool_calls": [call]}) == [
            {"role": "assistant", "tool_calls": [call]}
        ]

    def test_items_of_a_responses_history_are_untouched(self) -> None:
        history = [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
        ]
        assert messages(history, USER, wire=RESPONSES) == [*history, USER]
        assert refusal({"messages": [history]}) == (
            "messages: an item of type reasoning is for the Responses API; a chat takes messages with a role"
        )

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            ([USER, 5], f"messages[1]: expected a JSON array of messages such as {EXAMPLE}, got 5"),
            ([USER, "hi"], f'messages[1]: expected a JSON array of messages such as {EXAMPLE}, got "hi"'),
            ([""], f'messages[0]: expected a JSON array of messages such as {EXAMPLE}, got ""'),
            (
                [[USER, [USER]]],
                f'messages[0][1]: expected a message such as {MESSAGE}, got [{{"role":"user","content":"hi"}}]',
            ),
            (
                ['[{"content": "hi"}]'],
                f'messages[0][0]: expected a message such as {MESSAGE}, got {{"content":"hi"}}',
            ),
            ([{"role": 3}], f'messages[0]: expected a message such as {MESSAGE}, got {{"role":3}}'),
            ([{"role": "user"}], "messages[0].content: expected a text or a list of parts, got null"),
            ([{"role": "user", "content": 7}], "messages[0].content: expected a text or a list of parts, got 7"),
            ([{"role": "user", "content": {}}], "messages[0].content: expected a text or a list of parts, got {}"),
            (
                [{"role": "user", "content": ["a"]}],
                'messages[0].content: expected a text or a list of parts, got ["a"]',
            ),
            ([], f"messages: expected at least one message, such as {EXAMPLE}, got none"),
            ([None, []], f"messages: expected at least one message, such as {EXAMPLE}, got none"),
        ],
    )
    def test_what_makes_no_messages_is_refused_with_its_place(self, items: list[object], message: str) -> None:
        assert refusal({"messages": items}) == message

    def test_a_long_value_is_shown_in_part(self) -> None:
        assert len(refusal({"messages": ["x" * 10_000]})) < 200


class TestParts:
    IMAGE = "data:image/png;base64,AA=="

    def test_the_parts_of_a_chat_are_renamed_for_the_responses_api(self) -> None:
        content = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": self.IMAGE, "detail": "low"}},
            {"type": "image_url", "image_url": self.IMAGE},
        ]
        assert messages({"role": "user", "content": content}, wire=RESPONSES) == [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": self.IMAGE, "detail": "low"},
                    {"type": "input_image", "image_url": self.IMAGE},
                ],
            }
        ]

    def test_the_parts_of_the_responses_api_are_renamed_for_a_chat(self) -> None:
        item = {
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": self.IMAGE, "detail": "low"},
                {"type": "input_image", "image_url": self.IMAGE},
            ],
        }
        said = {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "A cat."}],
        }
        assert messages([item, said]) == [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": self.IMAGE, "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": self.IMAGE}},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        ]

    def test_each_shape_keeps_its_own_parts_and_those_nobody_knows(self) -> None:
        file = {"type": "input_file", "file_id": "f1"}
        said = {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "A cat."}],
        }
        assert messages({"role": "user", "content": [file]}, said, wire=RESPONSES) == [
            {"role": "user", "content": [file]},
            said,
        ]
        audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
        assert messages({"role": "user", "content": [audio]}) == [{"role": "user", "content": [audio]}]

    def test_what_an_assistant_said_is_output_to_the_responses_api(self) -> None:
        said = {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}
        assert messages(said, wire=RESPONSES) == [
            {"role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]}
        ]


class TestObjects:
    def test_columns_that_are_texts_hold_objects(self) -> None:
        request = {
            "messages": [USER],
            "parameters": '{"temperature": 0.2}',
            "custom_inputs": '{"id": 5, "note": null}',
            "databricks_options": '{"return_trace": true}',
        }
        for wire in (CHAT, RESPONSES):
            body = build_body(request, wire)
            assert (body["temperature"], body["custom_inputs"], body["databricks_options"]) == (
                0.2,
                {"id": 5, "note": None},
                {"return_trace": True},
            )

    def test_a_null_is_nothing_and_so_is_a_parameter_that_is_null(self) -> None:
        request = {"messages": [USER], "custom_inputs": None, "parameters": {"temperature": None}}
        assert build_body(request, CHAT) == {"messages": [USER]}

    @pytest.mark.parametrize("key", ["parameters", "custom_inputs", "databricks_options", "inputs"])
    @pytest.mark.parametrize(("value", "shown"), [("", '""'), ("x", '"x"'), ([1], "[1]"), (False, "false")])
    def test_what_is_no_object_is_refused(self, key: str, value: object, shown: str) -> None:
        assert refusal({"messages": [USER], key: value}) == f"{key}: expected a JSON object, got {shown}"


class TestStreaming:
    def test_a_stream_is_asked_for_in_the_body_and_by_no_parameter(self) -> None:
        request = {"messages": [USER], "parameters": {"stream": False}}
        assert build_body(request, Wire("chat", "m", stream=True)) == {"model": "m", "messages": [USER], "stream": True}
        assert build_body(request, Wire("responses", "m", stream=True)) == {
            "model": "m",
            "input": [USER],
            "stream": True,
        }

    def test_a_run_in_the_background_is_asked_for_in_the_body(self) -> None:
        wire = Wire("responses", None, run="background")
        request = {"messages": [USER], "parameters": {"background": False}}
        assert build_body(request, wire) == {"input": [USER], "background": True}


class TestCorrected:
    def test_the_answer_and_the_complaint_follow_what_was_asked(self) -> None:
        request = {"messages": [SYSTEM, json.dumps([USER])], "custom_inputs": {"id": 5}}
        again = corrected(request, '{"score": "x"}', '$.score: expected double, got "x"')
        body = build_body(again, CHAT)
        assert body["custom_inputs"] == {"id": 5}
        *asked, answer, complaint = body["messages"]
        assert asked == [SYSTEM, USER]
        assert answer == {"role": "assistant", "content": '{"score": "x"}'}
        assert complaint["role"] == "user"
        assert '$.score: expected double, got "x"' in complaint["content"]
        assert "JSON object" in complaint["content"]

    def test_the_request_itself_stays_as_it_is(self) -> None:
        request: dict[str, Any] = {"messages": [USER]}
        corrected(request, "a", "b")
        assert request == {"messages": [USER]}
