"""Every way to ask that a client of Databricks or OpenAI has: as the client does it, and as a job says it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from databricks_openai import AsyncDatabricksOpenAI, DatabricksOpenAI
from openai import OpenAI
from pydantic import BaseModel

from rowcall.sandbox.process import SandboxProcess


class answer(BaseModel):  # noqa: N801 (the schema has the name of the class)
    sentiment: Literal["positive", "neutral", "negative"]
    urgent: bool


USER = {"role": "user", "content": "hello"}
TRACE_ID = {"x-mlflow-return-trace-id": "true"}
TAGS = {"Databricks-Ai-Gateway-Request-Tags": '{"team": "birds"}'}
SCHEMA = "{schema: {sentiment: [positive, neutral, negative], urgent: boolean}}"
SAYS_HELLO = '{input: "{text}"}'


@dataclass(frozen=True, slots=True)
class Clients:
    """Databricks' own clients, logged in to the sandbox. None retries: a request is to be seen once."""

    sandbox: SandboxProcess
    workspace: WorkspaceClient

    def databricks(self, **how: Any) -> DatabricksOpenAI:
        return DatabricksOpenAI(workspace_client=self.workspace, max_retries=0, **how)

    def databricks_at_once(self, **how: Any) -> AsyncDatabricksOpenAI:
        return AsyncDatabricksOpenAI(workspace_client=self.workspace, max_retries=0, **how)

    def plain(self) -> OpenAI:
        return OpenAI(
            base_url=f"{self.sandbox.host}/serving-endpoints", api_key=self.sandbox.serving().token, max_retries=0
        )

    def of_the_sdk(self) -> OpenAI:
        return self.workspace.serving_endpoints.get_open_ai_client(max_retries=0)


@dataclass(frozen=True, slots=True)
class Case:
    """A way to ask `agent`, as a client does it and as a job says it."""

    name: str
    agent: str
    ask: Callable[[Clients], object]
    endpoint: str
    request: str = SAYS_HELLO
    answer: str = "text"


def said(*roles: str) -> list[ChatMessage]:
    return [ChatMessage(content="hello", role=ChatMessageRole(role)) for role in roles]


def in_pieces(client: Clients, **what: Any) -> None:
    async def read() -> None:
        async for _ in await client.databricks_at_once().responses.create(stream=True, **what):
            pass

    asyncio.run(read())


CASES = [
    Case(
        "app",
        "echo",
        lambda c: c.databricks().responses.create(
            model="apps/echo", input=[USER], extra_headers=TRACE_ID, extra_body={"custom_inputs": {"number": 5}}
        ),
        "{app: echo}",
        '{input: "{text}", custom_inputs: {number: 5}}',
    ),
    Case(
        "app streamed",
        "echo",
        lambda c: list(
            c.databricks().responses.create(model="apps/echo", input=[USER], stream=True, extra_headers=TRACE_ID)
        ),
        "{app: echo, stream: true}",
    ),
    Case(
        "app asynchronously",
        "echo",
        lambda c: asyncio.run(
            c.databricks_at_once().responses.create(
                model="apps/echo",
                input=[{"role": "system", "content": "Repeat."}, USER],
                temperature=0.5,
                max_output_tokens=50,
                extra_headers=TRACE_ID,
            )
        ),
        "{app: echo}",
        '{instructions: Repeat., input: "{text}", parameters: {temperature: 0.5, max_output_tokens: 50}}',
    ),
    Case(
        "app streamed asynchronously",
        "echo",
        lambda c: in_pieces(c, model="apps/echo", input=[USER], extra_headers=TRACE_ID),
        "{app: echo, stream: true}",
    ),
    Case(
        "app with a schema",
        "text-insight",
        lambda c: c.databricks(base_url=f"{c.sandbox.host}/apps/text-insight").responses.parse(
            model="apps/text-insight", input=[USER], text_format=answer, extra_headers=TRACE_ID
        ),
        "{app: text-insight}",
        answer=SCHEMA,
    ),
    Case(
        "app in the background",
        "echo",
        lambda c: c.databricks().responses.create(
            model="apps/echo", input=[USER], background=True, extra_headers=TRACE_ID
        ),
        "{app: echo, background: true}",
    ),
    Case(
        "serving responses",
        "echo",
        lambda c: c.databricks().responses.create(
            model="echo",
            input=[USER],
            extra_body={"custom_inputs": {"number": 5}, "databricks_options": {"return_trace": True}},
        ),
        "{serving: echo}",
        '{input: "{text}", custom_inputs: {number: 5}, databricks_options: {return_trace: true}}',
    ),
    Case(
        "serving responses streamed",
        "echo",
        lambda c: list(c.databricks().responses.create(model="echo", input=[USER], stream=True)),
        "{serving: echo, stream: true}",
    ),
    Case(
        "serving responses with a schema",
        "text-insight",
        lambda c: c.databricks().responses.parse(model="text-insight", input=[USER], text_format=answer),
        "{serving: text-insight}",
        answer=SCHEMA,
    ),
    Case(
        "serving responses by the client of the databricks-sdk",
        "echo",
        lambda c: c.of_the_sdk().responses.create(model="echo", input=[USER]),
        "{serving: echo}",
    ),
    Case(
        "serving responses by invocations",
        "echo",
        lambda c: c.workspace.serving_endpoints.query("echo", input=[USER]),
        "{serving: echo, api: invocations}",
    ),
    Case(
        "chat agent",
        "echo-chat-agent",
        lambda c: c.databricks().chat.completions.create(
            model="echo-chat-agent", messages=[USER], extra_body={"custom_inputs": {"number": 5}}
        ),
        "{serving: echo-chat-agent}",
        '{input: "{text}", custom_inputs: {number: 5}}',
    ),
    Case(
        "chat agent streamed",
        "echo-chat-agent",
        lambda c: list(c.databricks().chat.completions.create(model="echo-chat-agent", messages=[USER], stream=True)),
        "{serving: echo-chat-agent, stream: true}",
    ),
    Case(
        "chat agent by invocations",
        "echo-chat-agent",
        lambda c: c.workspace.serving_endpoints.query("echo-chat-agent", messages=said("user")),
        "{serving: echo-chat-agent, api: invocations}",
    ),
    Case(
        "model",
        "echo-model",
        lambda c: c.databricks().chat.completions.create(
            model="echo-model", messages=[{"role": "system", "content": "Repeat."}, USER], max_tokens=50
        ),
        "{serving: echo-model}",
        '{instructions: Repeat., input: "{text}", parameters: {max_tokens: 50}}',
    ),
    Case(
        "model streamed",
        "echo-model",
        lambda c: list(c.databricks().chat.completions.create(model="echo-model", messages=[USER], stream=True)),
        "{serving: echo-model, stream: true}",
    ),
    Case(
        "model with a schema",
        "text-insight-model",
        lambda c: c.databricks().chat.completions.parse(
            model="text-insight-model", messages=[USER], response_format=answer
        ),
        "{serving: text-insight-model}",
        answer=SCHEMA,
    ),
    Case(
        "model by responses",
        "echo-model",
        lambda c: c.databricks().responses.create(model="echo-model", input=[USER]),
        "{serving: echo-model, api: responses}",
    ),
    Case(
        "model by invocations",
        "echo-model",
        lambda c: c.workspace.serving_endpoints.query("echo-model", messages=said("user"), max_tokens=50),
        "{serving: echo-model, api: invocations}",
        '{input: "{text}", parameters: {max_tokens: 50}}',
    ),
    Case(
        "custom model by records",
        "text-scores",
        lambda c: c.workspace.serving_endpoints.query("text-scores", dataframe_records=[{"text": "hello"}]),
        "{serving: text-scores}",
        '{inputs: {text: "{text}"}}',
    ),
    Case(
        "custom model by inputs",
        "text-scores",
        lambda c: c.workspace.serving_endpoints.query("text-scores", inputs={"text": ["hello"]}),
        "{serving: text-scores, shape: inputs}",
        '{inputs: {text: "{text}"}}',
    ),
    Case(
        "gateway chat",
        "echo-model",
        lambda c: c.databricks(use_ai_gateway=True).chat.completions.create(
            model="echo-model", messages=[USER], extra_headers=TAGS
        ),
        "{serving: echo-model, gateway: mlflow, request_tags: {team: birds}}",
    ),
    Case(
        "gateway chat streamed",
        "echo-model",
        lambda c: list(
            c.databricks(use_ai_gateway=True).chat.completions.create(model="echo-model", messages=[USER], stream=True)
        ),
        "{serving: echo-model, gateway: mlflow, stream: true}",
    ),
    Case(
        "gateway responses",
        "echo",
        lambda c: c.databricks(use_ai_gateway=True).responses.create(model="echo", input=[USER]),
        "{serving: echo, gateway: mlflow, api: responses}",
    ),
    Case(
        "gateway of the provider's own API",
        "echo-model",
        lambda c: list(
            c.databricks(use_ai_gateway_native_api=True).responses.create(
                model="echo-model", input=[USER], stream=True, extra_headers=TAGS
            )
        ),
        "{serving: echo-model, gateway: openai, api: responses, stream: true, request_tags: {team: birds}}",
    ),
    Case(
        "gateway chat of the provider's own API",
        "echo-model",
        lambda c: c.databricks(use_ai_gateway_native_api=True).chat.completions.create(
            model="echo-model", messages=[USER]
        ),
        "{serving: echo-model, gateway: openai}",
    ),
    Case(
        "any server by responses",
        "echo",
        lambda c: c.plain().responses.create(model="echo", input=[USER], extra_headers=TRACE_ID),
        "{url: HOST/serving-endpoints, model: echo, api_key: 'env:SAME_WIRE_KEY'}",
    ),
    Case(
        "any server by chat streamed",
        "echo-model",
        lambda c: list(c.plain().chat.completions.create(model="echo-model", messages=[USER], stream=True)),
        "{url: HOST/serving-endpoints, model: echo-model, api: chat, stream: true, api_key: 'env:SAME_WIRE_KEY'}",
    ),
]
