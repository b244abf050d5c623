"""An agent written with MLflow's `ChatAgent`: says the last message again. A file that `mlflow.pyfunc` makes a model of."""

from collections.abc import Generator
from typing import Any
from uuid import uuid4

import mlflow
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse, ChatContext


class Chatterer(ChatAgent):
    """`custom_inputs` come back as `custom_outputs`; fails where the message is to fail."""

    def predict(
        self,
        messages: list[ChatAgentMessage],
        context: ChatContext | None = None,
        custom_inputs: dict[str, Any] | None = None,
    ) -> ChatAgentResponse:
        said = str(messages[-1].content)
        if "fail" in said:
            raise RuntimeError("the chatterer fell silent")
        message = ChatAgentMessage(role="assistant", content=f"You said: {said}", id=uuid4().hex)
        return ChatAgentResponse(messages=[message], custom_outputs=custom_inputs, finish_reason="stop")

    def predict_stream(
        self,
        messages: list[ChatAgentMessage],
        context: ChatContext | None = None,
        custom_inputs: dict[str, Any] | None = None,
    ) -> Generator[ChatAgentChunk, None, None]:
        said, message = str(messages[-1].content), uuid4().hex
        yield ChatAgentChunk(delta=ChatAgentMessage(role="assistant", content="You said: ", id=message))
        if "fail" in said:
            raise RuntimeError("the chatterer fell silent")
        yield ChatAgentChunk(
            delta=ChatAgentMessage(role="assistant", content=said, id=message),
            custom_outputs=custom_inputs,
            finish_reason="stop",
        )


mlflow.models.set_model(Chatterer())
