"""Asking an agent or a model: on Model Serving by name, by `model` or through the AI gateway, on Databricks Apps at the app's URL.

token ─▶ body ─▶ which agent ─▶ [counted] ─▶ which shape ─▶ too many? ─▶ fault? ─▶ latency ─▶ answer ─▶ JSON or stream ─▶ [counted]
"""

import time
from functools import partial

from aiohttp import web

from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.agents import background_runs, durable_routes
from rowcall.sandbox.agents.calls import PAYLOAD_BYTES, Call, find, forbidden, no_route, read_raw, record, refusal
from rowcall.sandbox.agents.delivery import Outgoing
from rowcall.sandbox.agents.dialects import APP, PATHS, SERVING, Asked, Dialect
from rowcall.sandbox.agents.shapes import CHAT_MODEL, DURABLE, RESPONSES_AGENT, Api, Shape, shape_of
from rowcall.sandbox.agents.wire import Question, RequestError, parse_body
from rowcall.sandbox.error_replies import platform_error
from rowcall.sandbox.state import Hosted, Sandbox

_GATEWAYS = ("/ai-gateway/mlflow/v1", "/ai-gateway/openai/v1")
_TAGS = "Databricks-Ai-Gateway-Request-Tags"
_HOSTED_MODELS = "system.ai."


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.post("/serving-endpoints/responses", partial(_ask, sandbox, SERVING, "responses")),
        web.post("/serving-endpoints/chat/completions", partial(_ask, sandbox, SERVING, "chat")),
        web.post("/serving-endpoints/{name}/invocations", partial(_ask, sandbox, SERVING, "invocations")),
        *(
            web.post(f"{gateway}/{path}", partial(_ask_gateway, sandbox, api))
            for gateway in _GATEWAYS
            for api, path in PATHS.items()
            if api != "invocations"
        ),
        web.post("/apps/{name}/responses", partial(_ask, sandbox, APP, "responses")),
        web.post("/apps/{name}/invocations", partial(_ask, sandbox, APP, "invocations")),
        web.get("/apps/{name}/agent/info", partial(_info, sandbox)),
        web.get("/apps/{name}/health", partial(_health, sandbox)),
        *background_runs.routes(sandbox),
        *durable_routes.routes(sandbox),
        web.route("*", "/apps/{name}/{path:.*}", partial(_no_route, sandbox)),
    ]


async def _ask(sandbox: Sandbox, dialect: Dialect, api: Api, request: web.Request) -> web.StreamResponse:
    if refused := refusal(sandbox, dialect, request):
        return refused
    raw = await read_raw(request)
    name = request.match_info.get("name") or _model(raw)
    if refused := forbidden(sandbox, dialect, name):
        return refused
    return await _ask_named(find(sandbox, dialect, name), name, dialect, api, request, raw)


async def _ask_gateway(sandbox: Sandbox, api: Api, request: web.Request) -> web.StreamResponse:
    """The gateway knows serving endpoints by name, and models that Databricks hosts as `system.ai.…`."""
    if refused := refusal(sandbox, SERVING, request):
        return refused
    tags = parse_json(request.headers.get(_TAGS, "{}"))
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in mapping(tags).values()):
        return platform_error(400, f"Invalid value for header {_TAGS}: expected a JSON object of strings")
    raw = await read_raw(request)
    name = _model(raw)
    plain = name.removeprefix(_HOSTED_MODELS)
    if refused := forbidden(sandbox, SERVING, plain):
        return refused
    hosted = find(sandbox, SERVING, plain)
    if name.startswith(_HOSTED_MODELS) and hosted is not None and hosted.agent.task != CHAT_MODEL:
        hosted = None
    return await _ask_named(hosted, name, SERVING, api, request, raw)


def _model(raw: bytes | None) -> str:
    return str(mapping(parse_json(raw or b"")).get("model"))


async def _ask_named(
    hosted: Hosted | None, name: str, dialect: Dialect, api: Api, request: web.Request, raw: bytes | None
) -> web.StreamResponse:
    if hosted is None:
        return dialect.refuse_name(name)
    record(hosted, request, raw)
    call = Call(hosted, request)
    return await call.count(_reply(call, dialect, api, raw))


async def _reply(call: Call, dialect: Dialect, api: Api, raw: bytes | None) -> web.StreamResponse:
    agent = call.hosted.agent
    if raw is None:
        return await call.send(dialect.error(413, f"Request body is above {PAYLOAD_BYTES} bytes"))
    shape = shape_of(agent.task, api)
    if shape is None:
        return await call.send(dialect.refuse_api(agent.name, agent.task, api))
    try:
        question = shape.read(parse_body(raw))
        call.ask(question)
    except RequestError as wrong:
        return await call.send(dialect.error(400, f"{shape.refusal}{wrong}"))
    except (ValueError, RecursionError) as wrong:
        return await call.send(dialect.error(400, f"Invalid JSON in request body: {wrong}"))
    return await _serve(call, dialect, shape, question)


async def _serve(call: Call, dialect: Dialect, shape: Shape, question: Question) -> web.StreamResponse:
    if refused := call.refusal(question):
        return await call.turn_away(refused)
    agent = call.hosted.agent
    fault = call.hosted.behaviour.fault(question.text)
    unusual = None if fault is None else fault.reply
    asked = Asked(agent.name, shape, call.request.headers, question, time.time_ns(), unusual)
    if dialect.oauth_only and shape.kind == "responses" and question.body.get("background"):
        return await background_runs.begin(call, asked, fault)
    return await call.reply(dialect, fault, partial(_answer, call, dialect, asked))


async def _answer(call: Call, dialect: Dialect, asked: Asked) -> Outgoing:
    try:
        return dialect.answer(asked, await call.think(asked.question))
    except RecursionError:  # The reply repeats what the body held just shallow enough to be read.
        return dialect.error(400, "Invalid JSON in request body: it is nested too deeply")
    except Exception as failure:  # An agent server answers whatever its agent raises with a 500.
        return dialect.error(500, str(failure) or type(failure).__name__)


async def _info(sandbox: Sandbox, request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if refused := _server_refusal(sandbox, request):
        return refused
    info = {"name": name, "use_case": "agent", "mlflow_version": "3.18.0"}
    responses = sandbox.hosted[name].agent.task == RESPONSES_AGENT
    return web.json_response({**info, "agent_api": "responses"} if responses else info)


async def _health(sandbox: Sandbox, request: web.Request) -> web.Response:
    return _server_refusal(sandbox, request) or web.json_response({"status": "healthy"})


async def _no_route(sandbox: Sandbox, request: web.Request) -> web.Response:
    return refusal(sandbox, APP, request) or no_route()


def _server_refusal(sandbox: Sandbox, request: web.Request) -> web.Response | None:
    """The durable server has neither health nor information to tell."""
    if refused := refusal(sandbox, APP, request):
        return refused
    return no_route() if sandbox.hosted[request.match_info["name"]].agent.task == DURABLE else None
