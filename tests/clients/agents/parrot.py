"""An agent written with MLflow's `ResponsesAgent`: says the last message again, and fails where the message is to fail."""

from collections.abc import Generator
from uuid import uuid4

from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent


class Parrot(ResponsesAgent):
    """`custom_inputs` come back as `custom_outputs`. It calls a tool first where the message says so, and says nothing of its own
    where the answer is to have a form."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        events = list(self.predict_stream(request))
        items = [event.item for event in events if event.type == "response.output_item.done"]
        return ResponsesAgentResponse(output=items, custom_outputs=request.custom_inputs)

    def predict_stream(self, request: ResponsesAgentRequest) -> Generator[ResponsesAgentStreamEvent, None, None]:
        said = str(request.input[-1].content)
        before = "" if request.text else "You said: "
        message = f"msg_{uuid4().hex}"
        if "tool" in said:
            yield from self._call_a_tool()
        for word in (before, said):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(word, message))
        if "fail" in said:
            raise RuntimeError("the parrot flew away")
        item = self.create_text_output_item(before + said, message)
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done", item=item, custom_outputs=request.custom_inputs
        )

    def _call_a_tool(self) -> Generator[ResponsesAgentStreamEvent, None, None]:
        call = f"call_{uuid4().hex}"
        for item in (
            self.create_function_call_item(f"fc_{uuid4().hex}", call, "feather_count", '{"bird": "parrot"}'),
            self.create_function_call_output_item(call, "3000"),
        ):
            yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
