"""The tasks of endpoints, and the wire shape that a call takes: by the task, and by the API it is asked through (FACTS 2.2).

task                 invocations     responses     chat/completions     app
agent/v1/responses   Responses       Responses                          yes
agent/v2/chat        ChatAgent                     ChatAgent            yes, without /responses
agent/v1/chat        ChatModel                     ChatModel
llm/v1/chat          chat            Responses     chat
none (custom model)  rows
durable                                                                 /api/invocations alone (see `durable_routes`)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from rowcall.sandbox.agents import chat_wire, model_wire, responses_wire
from rowcall.sandbox.agents.wire import Answer, Json, Question, RequestError

RESPONSES_AGENT = "agent/v1/responses"
CHAT_AGENT = "agent/v2/chat"
CHAT_MODEL_AGENT = "agent/v1/chat"
CHAT_MODEL = "llm/v1/chat"
CUSTOM_MODEL = ""
DURABLE = "durable"
"""No task of Databricks': an app on the durable agent server, which is no serving endpoint."""

Api = Literal["invocations", "responses", "chat"]
Kind = Literal["responses", "chat_agent", "chat", "rows", "durable"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One wire shape.

    `refusal` begins the message for a body that is not of this shape, `output` is the key of a reply that holds the answer,
    `events` the stream of a reply, if there are streams. Only the kind `responses` has events with names and an app's trace ids.
    """

    kind: Kind
    refusal: str
    reader: Callable[[object], Question]
    reply: Callable[[str, Question, Answer], Json]
    output: str
    events: Callable[[Json], Iterator[Json]] | None = None
    databricks_options: bool = True

    def read(self, body: object) -> Question:
        """Read a parsed body; raises `RequestError` where it is not of this shape."""
        question = self.reader(body)
        if not self.databricks_options and "databricks_options" in question.body:
            raise RequestError("databricks_options: Extra inputs are not permitted")
        return question


_RESPONSES = Shape(
    "responses",
    "Invalid parameters for ResponsesAgent: ",
    responses_wire.read_question,
    responses_wire.make_reply,
    "output",
    responses_wire.stream_events,
)
_CHAT_AGENT = Shape(
    "chat_agent",
    "Invalid parameters for ChatAgent: ",
    chat_wire.read_chat_agent,
    chat_wire.make_agent_reply,
    "messages",
    chat_wire.agent_chunks,
)
_CHAT_MODEL = Shape(
    "chat",
    "Invalid parameters for ChatModel: ",
    chat_wire.read_chat_model,
    chat_wire.make_chat_model_reply,
    "choices",
    chat_wire.completion_chunks,
)
_CHAT = Shape(
    "chat",
    "Invalid parameters for the model: ",
    chat_wire.read_chat,
    chat_wire.make_completion,
    "choices",
    chat_wire.completion_chunks,
    databricks_options=False,
)
_ROWS = Shape("rows", "", model_wire.read_rows, model_wire.make_predictions, "predictions")

_SHAPES: Mapping[tuple[str, Api], Shape] = {
    (RESPONSES_AGENT, "invocations"): _RESPONSES,
    (RESPONSES_AGENT, "responses"): _RESPONSES,
    (CHAT_AGENT, "invocations"): _CHAT_AGENT,
    (CHAT_AGENT, "chat"): _CHAT_AGENT,
    (CHAT_MODEL_AGENT, "invocations"): _CHAT_MODEL,
    (CHAT_MODEL_AGENT, "chat"): _CHAT_MODEL,
    (CHAT_MODEL, "invocations"): _CHAT,
    (CHAT_MODEL, "chat"): _CHAT,
    (CHAT_MODEL, "responses"): replace(_RESPONSES, refusal=_CHAT.refusal, databricks_options=False),
    (CUSTOM_MODEL, "invocations"): _ROWS,
}


def shape_of(task: str, api: Api) -> Shape | None:
    """The shape of a call, None where endpoints of this task don't have the API."""
    return _SHAPES.get((task, api))
