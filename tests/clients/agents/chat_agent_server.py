"""The chatterer on MLflow's `AgentServer` without an agent type: /invocations only, streams of chat agent chunks."""

from collections.abc import AsyncIterator
from typing import Any

import mlflow
from chatterer import Chatterer
from listening import serve
from mlflow.genai.agent_server import AgentServer, invoke, stream
from mlflow.types.agent import ChatAgentChunk, ChatAgentResponse

agent = Chatterer()


@invoke()
def answer(request: dict[str, Any]) -> ChatAgentResponse:
    return agent.predict(request)


@stream()
async def answer_in_pieces(request: dict[str, Any]) -> AsyncIterator[ChatAgentChunk]:
    for chunk in agent.predict_stream(request):
        yield chunk


if __name__ == "__main__":
    mlflow.set_experiment("agents")
    serve(AgentServer().app)
