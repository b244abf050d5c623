"""Recorded replies of every shape (tests/golden/replies), each with what it says."""

from pathlib import Path

import pytest

from rowcall.core.endpoints import Wire, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
RUN = "550e8400-e29b-41d4-a716-446655440000"
BACKGROUND = Wire("responses", None, run="background")
RESPONSES = Wire("responses", None, stream=True)
CHAT = Wire("chat", None, stream=True)
RECORDS = Wire("records", None)
DURABLE = Wire("durable", None)


def agent_error(message: str, code: str | None = None) -> CallError:
    return CallError(ErrorKind.AGENT_ERROR, message, code=code)


EXPECTED: dict[str, tuple[Wire, Reply]] = {
    "background.json": (
        BACKGROUND,
        Reply(Outcome.EMPTY, response_id="resp_7", finish_reason="in_progress", running="resp_7"),
    ),
    "background_polled.json": (
        BACKGROUND,
        Reply(Outcome.EMPTY, response_id="resp_7", finish_reason="in_progress", running="resp_7"),
    ),
    "background_pending.json": (
        BACKGROUND,
        Reply(Outcome.EMPTY, response_id="resp_7", finish_reason="pending", running="resp_7"),
    ),
    "background_completed.json": (
        BACKGROUND,
        Reply(Outcome.OK, "It was shipped.", response_id="resp_7", finish_reason="completed", trace_id="tr-77"),
    ),
    "background_silent.json": (BACKGROUND, Reply(Outcome.EMPTY, response_id="resp_7", finish_reason="completed")),
    "background_timeout.json": (
        BACKGROUND,
        Reply(
            Outcome.ERROR,
            error=CallError(ErrorKind.TIMEOUT, "Task timed out", code="task_timeout"),
            response_id="resp_7",
            finish_reason="failed",
        ),
    ),
    "long_running_stream_timeout.sse": (
        RESPONSES,
        Reply(Outcome.ERROR, error=CallError(ErrorKind.TIMEOUT, "Task timed out", code="task_timeout")),
    ),
    "openai_stream_refusal.sse": (
        RESPONSES,
        Reply(
            Outcome.REFUSED,
            "I can't help with that.",
            model="m",
            response_id="resp_5",
            finish_reason="completed",
        ),
    ),
    "chat_stream.sse": (
        CHAT,
        Reply(
            Outcome.OK,
            "Grüße 👩‍🍳",
            usage=Usage(12, None, 3, None, 15),
            model="llama-4",
            response_id="chatcmpl-1",
            finish_reason="stop",
        ),
    ),
    "chat_stream_parts.sse": (
        CHAT,
        Reply(
            Outcome.OK,
            "Fourteen.",
            usage=Usage(3, None, 5, None, 8),
            model="claude",
            response_id="msg_1",
            finish_reason="stop",
        ),
    ),
    "chat_stream_refusal.sse": (
        CHAT,
        Reply(
            Outcome.REFUSED,
            "I can't help with that.",
            model="gpt-5",
            response_id="chatcmpl-4",
            finish_reason="stop",
        ),
    ),
    "chat_stream_tool_calls.sse": (
        CHAT,
        Reply(Outcome.EMPTY, model="gpt-5", response_id="chatcmpl-6", finish_reason="tool_calls"),
    ),
    "chat_stream_truncated.sse": (
        CHAT,
        Reply(Outcome.TRUNCATED, "The first half of", model="llama-4", finish_reason="length"),
    ),
    "chat_stream_error.sse": (
        CHAT,
        Reply(Outcome.ERROR, error=agent_error("The model broke down.", "internal_error"), model="llama-4"),
    ),
    "chat_stream_cut.sse": (CHAT, Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, "the stream was cut"))),
    "chat_agent_stream.sse": (
        CHAT,
        Reply(
            Outcome.OK,
            "Let me look. It was shipped on Montag früh.",
            usage=Usage(20, None, 9, None, 29),
            finish_reason="stop",
            custom_outputs='{"order":5}',
            trace_id="tr-cc33",
            trace='{"info":{"trace_id":"tr-cc33"},"data":{"spans":[]}}',
        ),
    ),
    "chat_agent_stream_app.sse": (CHAT, Reply(Outcome.OK, "It was shipped.", trace_id="tr-beef")),
    "chat_agent_stream_interleaved.sse": (
        CHAT,
        Reply(Outcome.OK, "One, two, three, four.", finish_reason="stop"),
    ),
    "chat_agent_stream_cut.sse": (
        CHAT,
        Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, "the stream was cut")),
    ),
    "chat_agent_stream_error.sse": (
        CHAT,
        Reply(Outcome.ERROR, error=agent_error("the tool failed", "INTERNAL_ERROR")),
    ),
    "predictions_text.json": (RECORDS, Reply(Outcome.OK, "positive")),
    "predictions_row.json": (
        RECORDS,
        Reply(Outcome.OK, '{"label":"positiv für alle","score":0.25,"tags":[]}'),
    ),
    "predictions_number.json": (RECORDS, Reply(Outcome.OK, "0.5")),
    "predictions_empty.json": (RECORDS, Reply(Outcome.EMPTY)),
    "predictions_chat_agent.json": (
        RECORDS,
        Reply(Outcome.OK, "It was shipped.", usage=Usage(5, None, 4, None, 9), finish_reason="stop"),
    ),
    "predictions_responses.json": (RECORDS, Reply(Outcome.OK, "It was shipped.", custom_outputs='{"order":5}')),
    "predictions_error.json": (
        RECORDS,
        Reply(
            Outcome.ERROR,
            error=agent_error("Failed to enforce schema: Model is missing inputs ['text'].", "BAD_REQUEST"),
        ),
    ),
    "durable_queued.json": (DURABLE, Reply(Outcome.EMPTY, response_id=RUN, running=RUN)),
    "durable_active.json": (DURABLE, Reply(Outcome.EMPTY, response_id=RUN, running=RUN)),
    "durable_text.json": (DURABLE, Reply(Outcome.OK, "Hello.", response_id=RUN)),
    "durable_answer.json": (
        DURABLE,
        Reply(Outcome.OK, "Hello.", usage=Usage(input_tokens=3, output_tokens=2), response_id=RUN),
    ),
    "durable_object.json": (DURABLE, Reply(Outcome.OK, '{"sentiment":"good","urgent":false}', response_id=RUN)),
    "durable_openai.json": (
        DURABLE,
        Reply(Outcome.OK, "It was shipped on Monday.", response_id=RUN, finish_reason="completed"),
    ),
    "durable_langgraph.json": (
        DURABLE,
        Reply(
            Outcome.OK,
            "Let me look. It was shipped on Monday.",
            usage=Usage(30, None, 12, None, 42),
            response_id=RUN,
            finish_reason="completed",
        ),
    ),
    "durable_interrupted.json": (
        DURABLE,
        Reply(
            Outcome.ERROR,
            error=agent_error("the agent waits for an approval, which a batch cannot give"),
            response_id=RUN,
            finish_reason="interrupted",
        ),
    ),
    "durable_failed.json": (
        DURABLE,
        Reply(Outcome.ERROR, error=CallError(ErrorKind.SERVER_ERROR, "agent invocation failed"), response_id=RUN),
    ),
    "durable_refused.json": (
        DURABLE,
        Reply(
            Outcome.ERROR,
            error=agent_error(
                "Request-user execution does not survive failure recovery yet", "MCP_USER_AUTH_RECOVERY_UNSUPPORTED"
            ),
            response_id=RUN,
        ),
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_reply_says_what_it_says(name: str) -> None:
    wire, expected = EXPECTED[name]
    content_type = "text/event-stream" if name.endswith(".sse") else "application/json"
    assert read_body((REPLIES / name).read_bytes(), content_type, wire) == expected
