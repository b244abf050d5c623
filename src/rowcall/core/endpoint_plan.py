"""How an endpoint is asked, and why: the API, the address, what a body looks like, what the platform lets pass.

`api: auto` is decided here, from what the workspace and the server themselves say.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from rowcall.core.answer import AnswerSchema
from rowcall.core.definition import AppEndpoint, JobDefinition, ServingEndpoint, UrlEndpoint
from rowcall.core.definition.endpoint import PATHS
from rowcall.core.endpoints import Run, Shape, Wire
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.login import LoginKind
from rowcall.core.loose import mapping, text
from rowcall.core.readiness import READY, Readiness

Api = Literal["responses", "chat", "invocations", "durable"]
_APIS: tuple[Api, ...] = ("responses", "chat", "invocations", "durable")
AgentServer = Literal["", "responses", "invocations", "durable"]
CHATS = ("llm/v1/chat", "agent/v1/chat", "agent/v2/chat")
_NO_PROMPTS = ("llm/v1/embeddings", "llm/v1/completions")
_MB = 1024 * 1024
_SERVER_SAID: Mapping[AgentServer, str] = {
    "responses": "the app says at /agent/info that it is an agent with the Responses API",
    "invocations": "the app is an agent server without the Responses API; a ChatAgent needs shape: chat",
    "durable": "the app has the invocation API of the durable agent server",
    "": "agents on apps answer the Responses API",
}
REQUEST_TAGS = "Databricks-Ai-Gateway-Request-Tags"
RETURN_TRACE_ID = "x-mlflow-return-trace-id"


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """What was found out about the endpoint. `base` is the URL of the app, the workspace or the server. `task` is what a serving
    endpoint says it serves, `` where it says nothing; `server` is what an app said its agent server is; `login` is the login to the
    workspace that the calls need, None where they need none."""

    base: str
    task: str = ""
    server: AgentServer = ""
    readiness: Readiness = READY
    login: LoginKind | None = None


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """`url` takes the requests; `runs_url` plus `/` and an id tells of a run in the background. `most_bytes` is the largest body
    the platform takes, None where it is not known. `timeout` is in seconds."""

    kind: Literal["app", "serving", "url"]
    name: str
    api: Api
    api_reason: str
    url: str
    runs_url: str
    wire: Wire
    headers: tuple[tuple[str, str], ...] = ()
    most_bytes: int | None = None
    timeout: float = 120.0
    timeout_reason: str = ""
    readiness: Readiness = READY

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def endpoint_plan(definition: JobDefinition, facts: EndpointFacts, answer: AnswerSchema | None) -> EndpointPlan:
    """Decide how the endpoint is asked. Raises `DefinitionError` where it takes no such requests, or will not answer."""
    endpoint = definition.endpoint
    if isinstance(endpoint, AppEndpoint):
        kind, name = "app", endpoint.app
    elif isinstance(endpoint, ServingEndpoint):
        kind, name = "serving", endpoint.serving
    else:
        kind, name = "url", endpoint.base
    _refuse_the_hopeless(endpoint, kind, facts)
    api, reason = _api(definition, facts)
    shape = _shape(definition, facts, api)
    run: Run = "background" if not isinstance(endpoint, ServingEndpoint) and endpoint.background else "direct"
    _refuse_what_cannot_be(definition, api, shape, run)
    url = _url(definition, facts, api)
    timeout, timeout_reason = _timeout(definition, api, run)
    return EndpointPlan(
        kind=kind,
        name=name,
        api=api,
        api_reason=reason,
        url=url,
        runs_url=url if api == "durable" else f"{facts.base}/responses",
        wire=Wire(
            shape=shape,
            model=None if api in ("invocations", "durable") else model_of(definition),
            stream=endpoint.stream,
            answer=answer,
            run="background" if api == "durable" else run,
        ),
        headers=tuple(_headers(definition, api)),
        most_bytes=_most_bytes(definition, facts),
        timeout=timeout,
        timeout_reason=timeout_reason,
        readiness=facts.readiness,
    )


AGENT_INFO = "/agent/info"
NO_INVOCATION = "/api/invocations/00000000-0000-0000-0000-000000000000"
"""An invocation that nobody began: the durable agent server says that it does not know it."""


def agent_server(look: Callable[[str], tuple[int, object] | None]) -> AgentServer:
    """Which agent server an app runs, by what it says at two of its own addresses; empty where it cannot be told."""
    info = look(AGENT_INFO)
    if info is None:
        return ""
    status, said = info
    if status == 200 and "agent_api" in mapping(said):
        return "responses"
    if status == 200 and mapping(said).get("use_case") == "agent":
        return "invocations"
    invocation = look(NO_INVOCATION) if status == 404 else None
    durable = invocation is not None and "invocation" in (text(mapping(invocation[1]).get("detail")) or "")
    return "durable" if durable else ""


def model_of(definition: JobDefinition) -> str | None:
    """The model that a job names, however it is asked."""
    match definition.endpoint:
        case AppEndpoint(app=app):
            return f"apps/{app}"
        case ServingEndpoint(serving=serving):
            return serving
        case UrlEndpoint(model=model):
            return model
        case _:
            assert_never(definition.endpoint)


def _refuse_the_hopeless(endpoint: object, kind: str, facts: EndpointFacts) -> None:
    if facts.readiness.hopeless:
        said = f"{endpoint} cannot answer: {facts.readiness.hopeless}"
        raise DefinitionError([Problem("", f"endpoint.{kind}", said, hint="Start or repair it, then run again.")])


def _refuse_what_cannot_be(definition: JobDefinition, api: Api, shape: Shape, run: Run) -> None:
    """What contradicts the way to ask that was decided on."""
    endpoint = definition.endpoint
    if endpoint.stream and shape in ("records", "inputs", "durable"):
        raise _misfit("endpoint.stream", f"{_said(api, shape)} do not stream", "stream: false")
    if run == "background" and shape not in ("responses", "durable"):
        raise _misfit("endpoint.background", f"{_said(api, shape)} have no runs in the background", "background: false")
    if isinstance(endpoint, ServingEndpoint) and endpoint.gateway and api == "invocations":
        raise _misfit("endpoint.gateway", "the AI gateway has no invocations", "api: responses or chat")
    if isinstance(endpoint, AppEndpoint) and definition.request.databricks_options:
        hint = "custom_inputs; the trace's id is asked for anyway"
        raise _misfit("request.databricks_options", "are for Model Serving; apps do not know them", hint)


def _said(api: Api, shape: Shape) -> str:
    return "runs on the durable agent server" if shape == "durable" else f"{api} with the shape {shape}"


def _api(definition: JobDefinition, facts: EndpointFacts) -> tuple[Api, str]:
    endpoint, inputs = definition.endpoint, definition.request.inputs is not None
    if endpoint.api != "auto":
        api = endpoint.api
        if inputs and api != "invocations":
            raise _misfit(
                "endpoint.api", f"request.inputs are for a custom model, which {api} does not reach", "invocations"
            )
        return api, "as the job says"
    if inputs:
        return "invocations", "request.inputs are for a custom model, which is asked by invocations"
    if endpoint.shape != "auto":
        return "invocations", "endpoint.shape is the shape of an invocation"
    match endpoint:
        case AppEndpoint():
            return facts.server or "responses", _SERVER_SAID[facts.server]
        case ServingEndpoint():
            return _serving_api(endpoint, facts)
        case UrlEndpoint():
            return _url_api(endpoint)
        case _:
            assert_never(endpoint)


def _url_api(endpoint: UrlEndpoint) -> tuple[Api, str]:
    for api in _APIS:
        if PATHS[api] == endpoint.route:
            return api, f"the URL ends in {endpoint.route}"
    return "responses", "where nothing else is said"


def _serving_api(endpoint: ServingEndpoint, facts: EndpointFacts) -> tuple[Api, str]:
    if facts.task in _NO_PROMPTS:
        raise _misfit("endpoint.serving", f"its task is {facts.task}, which answers no messages", "another endpoint")
    if facts.task in CHATS:
        return "chat", f"its task is {facts.task}"
    if facts.task:
        return "responses", f"its task is {facts.task}"
    if endpoint.gateway:
        return "chat", "models behind the AI gateway answer chats"
    return "responses", "it says no task; agents answer the Responses API, a custom model takes request.inputs"


def _shape(definition: JobDefinition, facts: EndpointFacts, api: Api) -> Shape:
    endpoint, inputs = definition.endpoint, definition.request.inputs is not None
    if api != "invocations":
        return api
    if endpoint.shape != "auto":
        if inputs and endpoint.shape in ("responses", "chat"):
            raise _misfit(
                "endpoint.shape",
                f"{endpoint.shape} carries messages, and the job has request.inputs",
                "records or inputs",
            )
        if not inputs and endpoint.shape == "records":
            raise _misfit("endpoint.shape", "records are named columns", "request.inputs, or the shape inputs")
        return endpoint.shape
    if inputs:
        return "records"
    return "chat" if facts.task in CHATS else "responses"


def _url(definition: JobDefinition, facts: EndpointFacts, api: Api) -> str:
    endpoint = definition.endpoint
    if not isinstance(endpoint, ServingEndpoint):
        return facts.base + PATHS[api]
    if endpoint.gateway:
        return f"{facts.base}/ai-gateway/{endpoint.gateway}/v1{PATHS[api]}"
    name = f"/{endpoint.serving}" if api == "invocations" else ""
    return f"{facts.base}/serving-endpoints{name}{PATHS[api]}"


def _headers(definition: JobDefinition, api: Api) -> list[tuple[str, str]]:
    """Agent servers of MLflow tell their trace's id when they are asked to; others don't know the header."""
    endpoint = definition.endpoint
    if isinstance(endpoint, ServingEndpoint):
        tags = endpoint.request_tags
        return [(REQUEST_TAGS, json.dumps(tags))] if tags else []
    return [] if api in ("chat", "durable") else [(RETURN_TRACE_ID, "true")]


def _most_bytes(definition: JobDefinition, facts: EndpointFacts) -> int | None:
    """FACTS 2.4: 4 MB for agents and language models, 16 MB for custom models. What a proxy in front of apps takes is not told."""
    if not isinstance(definition.endpoint, ServingEndpoint):
        return None
    custom = not facts.task and not definition.endpoint.gateway
    return 16 * _MB if custom else 4 * _MB


def _timeout(definition: JobDefinition, api: Api, run: Run) -> tuple[float, str]:
    """A little more than the platform lets an exchange take, so that its own refusal is heard (FACTS 2.4)."""
    endpoint, given = definition.endpoint, definition.limits.timeout
    app = isinstance(endpoint, AppEndpoint)
    if api == "durable" or run == "background":
        timeout, reason = 60.0, "the run itself goes on in the background"
    elif app and endpoint.stream:
        timeout, reason = 305.0, "the proxy in front of apps cuts a stream after about 300 s"
    elif app:
        timeout, reason = 125.0, "the proxy in front of apps cuts an answer after 120 s"
    elif isinstance(endpoint, ServingEndpoint):
        timeout, reason = 300.0, "Model Serving cuts an answer after 297 s"
    else:
        return given or 120.0, "as the job says" if given else "no answer should take longer"
    if given is None:
        return timeout, reason
    return given, f"as the job says, but {reason}" if given > timeout else "as the job says"


def _misfit(key: str, message: str, instead: str) -> DefinitionError:
    return DefinitionError([Problem("", key, message, hint=f"Use {instead}.")])
