"""Invocations of the durable agent server, as its templates' agents read and write them.

{"id": UUID, "session_id": text, "input": messages | {"messages": messages, …}, "background": false, "stream": false}
{"output": [{"role": "assistant", "content": "…"}], "status": "completed"}
"""

from collections.abc import Iterator
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents.wire import (
    Answer,
    Json,
    Question,
    RequestError,
    content_text,
    count_input_tokens,
    last_user_content,
    new_id,
    pieces,
)


class Invocation(BaseModel):
    """The body of a request. The client chooses the id: the same again is the same invocation."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    session_id: str | None = Field(default=None, min_length=1)
    input: JsonValue = Field(default_factory=list)
    background: bool = False
    stream: bool = False

    @property
    def request(self) -> Json:
        """What must be the same where the id is: not how the answer is waited for."""
        return {"session_id": self.session_id, "input": self.input}


def read_question(invocation: Invocation) -> Question:
    """Read what the agent is asked; raises `RequestError` for what it cannot read."""
    given: object = invocation.input
    payload = {"messages": given} if isinstance(given, list) else mapping(given)
    messages = payload.get("messages") or []
    if not isinstance(given, list | dict):
        raise RequestError("input must be a message list or an object")
    if not isinstance(messages, list):
        raise RequestError("messages must be a list")
    if invocation.session_id is None:
        raise RequestError("session_id must be provided as a top-level invocation field")
    said = sequence(messages)
    text = content_text(last_user_content(said))
    return Question(text, payload, {"messages": said}, count_input_tokens(said))


def make_output(answer: Answer) -> Json:
    return {"output": [{"role": "assistant", "content": answer.text}], "status": "completed"}


def output_events(output: Json) -> Iterator[Json]:
    """The events that tell an output: pieces of its texts, then each message whole, and what interrupts it."""
    for message in sequence(output.get("output")):
        said = mapping(message)
        if said.get("type") == "interrupt":
            yield dict(said)
            continue
        content, item_id = said.get("content"), new_id("msg")
        for piece in pieces(content) if isinstance(content, str) and said.get("role") == "assistant" else ():
            yield {"type": "delta", "content": piece, "id": item_id}
        yield {"type": "message", "message": message}
