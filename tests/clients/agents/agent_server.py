"""The parrot on MLflow's `AgentServer`: /responses, /invocations, streams, trace ids."""

from collections.abc import AsyncIterator

import mlflow
from listening import serve
from mlflow.genai.agent_server import AgentServer, invoke, stream
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent
from parrot import Parrot

agent = Parrot()


@invoke()
def answer(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    return agent.predict(request)


@stream()
async def answer_in_pieces(request: ResponsesAgentRequest) -> AsyncIterator[ResponsesAgentStreamEvent]:
    for event in agent.predict_stream(request):
        yield event


if __name__ == "__main__":
    mlflow.set_experiment("agents")
    serve(AgentServer("ResponsesAgent").app)
