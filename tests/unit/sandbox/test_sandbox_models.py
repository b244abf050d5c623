"""The other kinds of endpoints: chat models, ChatAgents and custom models, asked by HTTP and with the real SDK."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole, DataframeSplitInput
from sandbox_user import SECONDS, Workspace

COMPLAINT = "I found glass in my bread. Call me back at once, I am furious!"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(115)
KINDS = ["echo-model", "echo-chat-agent", "echo-chat-model", "text-scores"]


@pytest.fixture
def models(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace; however the models were told to behave is forgotten afterwards."""
    yield workspace
    for name in KINDS:
        workspace.behave(name)


def said_by_user(content: object, **extra: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **extra}


def body_for(name: str, text: str, **extra: Any) -> dict[str, Any]:
    """A body of the shape that the endpoint takes."""
    asked = {"dataframe_records": [{"text": text}]} if name == "text-scores" else said_by_user(text)
    return {**asked, **extra}


def invoke(workspace: Workspace, name: str, body: object) -> requests.Response:
    return workspace.post(f"/serving-endpoints/{name}/invocations", json=body)


def completion(reply: requests.Response) -> str:
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["message"]["content"]


def chat_frames(reply: requests.Response) -> list[Any]:
    """The data of each frame of a stream of bare `data:` lines that ends with `[DONE]`."""
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    *frames, done = [frame.removeprefix("data: ") for frame in reply.content.decode().strip().split("\n\n")]
    assert done == "[DONE]"
    return [json.loads(frame) for frame in frames]


def triage_format(**sentiment: Any) -> dict[str, Any]:
    fields = {"sentiment": {"type": "string", **sentiment}, "urgent": {"type": "boolean"}}
    schema = {"type": "object", "properties": fields, "required": ["sentiment", "urgent"]}
    return {"type": "json_schema", "json_schema": {"name": "triage", "schema": schema, "strict": True}}


def test_endpoints_tell_their_task_and_a_custom_model_has_none(models: Workspace) -> None:
    client = models.client()
    tasks = {endpoint.name: endpoint.task for endpoint in client.serving_endpoints.list()}
    assert tasks == {
        "text-insight": "agent/v1/responses",
        "echo": "agent/v1/responses",
        "echo-chat-agent": "agent/v2/chat",
        "echo-chat-model": "agent/v1/chat",
        "echo-model": "llm/v1/chat",
        "text-insight-model": "llm/v1/chat",
        "text-scores": None,
    }
    one = models.http.get(f"{models.host}/api/2.0/serving-endpoints/text-scores", timeout=SECONDS).json()
    assert "task" not in one


@pytest.mark.parametrize("name", ["echo-model", "echo-chat-model", "text-insight-model", "text-scores"])
def test_models_are_no_apps(models: Workspace, name: str) -> None:
    with pytest.raises(NotFound, match=name):
        models.client().apps.get(name)
    assert models.post(f"/apps/{name}/invocations", json=body_for(name, "hi")).status_code == 404
    assert models.http.get(f"{models.host}/apps/{name}/health", timeout=SECONDS).status_code == 404
    assert models.figures(name)["calls"] == 0


def test_the_sdk_asks_a_chat_model(models: Workspace) -> None:
    messages = [
        ChatMessage(role=ChatMessageRole.SYSTEM, content="y" * 20),
        ChatMessage(role=ChatMessageRole.USER, content="zwölf 🥐"),
        ChatMessage(role=ChatMessageRole.ASSISTANT, content="no"),
        ChatMessage(role=ChatMessageRole.USER, content="x" * 40),
    ]
    query = models.client().serving_endpoints.query
    reply = query("echo-model", messages=messages)
    assert reply.model == "echo-model"
    assert reply.choices is not None
    assert reply.choices[0].message is not None
    assert reply.choices[0].message.content == "x" * 40
    cut = query("echo-model", messages=messages, max_tokens=3)
    assert cut.choices is not None
    assert cut.choices[0].message is not None
    assert cut.choices[0].message.content == "x" * 12
    assert cut.usage is not None
    counts = (cut.usage.prompt_tokens, cut.usage.completion_tokens, cut.usage.total_tokens)
    assert counts == ((20 + 7 + 2 + 40) // 4, 3, (20 + 7 + 2 + 40) // 4 + 3)


def test_max_tokens_end_a_chat_with_the_reason_length(models: Workspace) -> None:
    for limit, content, finish in ((10, "x" * 40, "stop"), (3, "x" * 12, "length"), (0, "x" * 4, "length")):
        body = said_by_user("x" * 40, max_tokens=limit)
        choice = invoke(models, "echo-model", body).json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (content, finish)
        assert invoke(models, "echo-chat-agent", body).json()["finish_reason"] == finish


def test_the_sdk_asks_a_custom_model(models: Workspace) -> None:
    query = models.client().serving_endpoints.query
    records = query("text-scores", dataframe_records=[{"text": COMPLAINT, "id": 1}, {"text": "I love it"}])
    split = query("text-scores", dataframe_split=DataframeSplitInput(columns=["id", "text"], data=[[1, "I love it"]]))
    assert records.predictions is not None
    assert [(one["sentiment"], one["words"]) for one in records.predictions] == [("negative", 14), ("positive", 3)]
    assert records.predictions[0]["score"] < 0
    assert split.predictions == records.predictions[1:]
    with pytest.raises(BadRequest, match=r"Model is missing inputs \['text'\]"):
        query("text-scores", dataframe_records=[{"review": COMPLAINT}])


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": ["I love it", COMPLAINT], "params": {"deep": True}},
        {"inputs": {"text": ["I love it", COMPLAINT]}},
        {"instances": ["I love it", COMPLAINT]},
        {"instances": [{"text": "I love it"}, {"text": COMPLAINT}], "client_request_id": "row 1"},
        {"dataframe_split": {"columns": ["text"], "data": [["I love it"], [COMPLAINT]], "index": [0, 1]}},
    ],
)
def test_a_custom_model_takes_rows_in_every_format(models: Workspace, body: dict[str, Any]) -> None:
    predictions = invoke(models, "text-scores", body).json()["predictions"]
    assert [one["sentiment"] for one in predictions] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "exactly one of the input fields"),
        (["I love it"], "exactly one of the input fields"),
        ({"inputs": ["a"], "instances": ["a"]}, "input fields: inputs, instances"),
        (said_by_user("I love it"), "input fields: messages"),
        ({"inputs": "I love it"}, "inputs must be a list, not str"),
        ({"inputs": {"review": ["I love it"]}}, "Model is missing inputs ['text']"),
        ({"inputs": []}, "Model is missing inputs ['text']"),
        ({"instances": [5]}, "Can not safely convert int to str"),
        ({"dataframe_records": ["I love it"]}, "must be a list of records"),
        ({"dataframe_records": [{"text": "fine"}, {"text": None}]}, "Can not safely convert NoneType to str"),
        ({"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}, "'split' format"),
        ({"dataframe_split": {"data": [["a"]]}}, "'split' format"),
    ],
)
def test_rows_that_a_custom_model_cannot_read_are_refused(models: Workspace, body: object, reason: str) -> None:
    reply = invoke(models, "text-scores", body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "BAD_REQUEST")
    assert reason in reply.json()["message"]


def test_a_chat_agent_says_messages_and_has_no_choices(models: Workspace) -> None:
    question = said_by_user("x" * 40, custom_inputs={"id": 5}, context={"user_id": "u"})
    named = models.post("/serving-endpoints/chat/completions", json={"model": "echo-chat-agent", **question})
    for reply in (named, invoke(models, "echo-chat-agent", question)):
        body = reply.json()
        (message,) = body["messages"]
        assert (message["role"], message["content"], len(message["id"])) == ("assistant", "x" * 40, 36)
        assert body["finish_reason"] == "stop"
        assert body["custom_outputs"] == {"custom_inputs": {"id": 5}}
        assert body["usage"] == {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        assert not {"choices", "databricks_output"} & body.keys()


def test_a_chat_agent_is_an_app_without_the_responses_api(models: Workspace) -> None:
    assert models.client().apps.get("echo-chat-agent").url == f"{models.host}/apps/echo-chat-agent"
    headers = {"x-mlflow-return-trace-id": "true"}
    reply = models.post("/apps/echo-chat-agent/invocations", json=said_by_user("hi"), headers=headers)
    assert reply.json()["messages"][0]["content"] == "hi"
    assert "metadata" not in reply.json()
    other = models.post("/apps/echo-chat-agent/responses", json={"input": [{"role": "user", "content": "hi"}]})
    assert (other.status_code, other.json()) == (404, {"detail": "Not Found"})
    about = models.http.get(f"{models.host}/apps/echo-chat-agent/agent/info", timeout=SECONDS).json()
    assert "agent_api" not in about


def test_a_chat_agents_trace_stands_at_the_top_of_its_reply(models: Workspace) -> None:
    options = {"return_trace": True}
    body = invoke(models, "echo-chat-agent", said_by_user("hi", databricks_options=options)).json()
    trace = body["databricks_output"]["trace"]
    (root,) = trace["data"]["spans"]
    assert "tr-" + base64.b64decode(root["trace_id"]).hex() == trace["info"]["trace_id"]
    assert json.loads(root["attributes"]["mlflow.spanInputs"]) == said_by_user("hi")
    assert json.loads(root["attributes"]["mlflow.spanOutputs"]) == {"messages": body["messages"]}
    usage = json.loads(trace["info"]["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert usage == {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    streamed = invoke(models, "echo-chat-agent", said_by_user("hi", databricks_options=options, stream=True))
    *deltas, last = chat_frames(streamed)
    assert not any("databricks_output" in delta for delta in deltas)
    assert last["databricks_output"]["trace"]["info"]["state"] == "OK"


def test_a_chat_agent_streams_deltas_of_one_message(models: Workspace) -> None:
    text = "a" * 30 + " 🥐 " + "b" * 30
    for path in ("/serving-endpoints/echo-chat-agent/invocations", "/apps/echo-chat-agent/invocations"):
        frames = chat_frames(models.post(path, json=said_by_user(text, stream=True)))
        assert len({frame["delta"]["id"] for frame in frames}) == 1
        assert {frame["delta"]["role"] for frame in frames} == {"assistant"}
        assert "".join(frame["delta"]["content"] for frame in frames) == text
        assert [frame.get("finish_reason") for frame in frames] == [None] * (len(frames) - 1) + ["stop"]
        assert frames[-1]["usage"]["completion_tokens"] == 63 // 4


def test_a_chat_model_agent_says_a_completion_with_outputs_of_its_own(models: Workspace) -> None:
    options = {"return_trace": True}
    question = said_by_user("x" * 40, custom_inputs={"id": 5}, max_tokens=3, databricks_options=options)
    named = models.post("/serving-endpoints/chat/completions", json={"model": "echo-chat-model", **question})
    for reply in (named, invoke(models, "echo-chat-model", question)):
        assert completion(reply) == "x" * 12
        body = reply.json()
        assert (body["object"], body["model"]) == ("chat.completion", "echo-chat-model")
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["custom_outputs"] == {"custom_inputs": {"id": 5}}
        (root,) = body["databricks_output"]["trace"]["data"]["spans"]
        assert json.loads(root["attributes"]["mlflow.spanOutputs"]) == {"choices": body["choices"]}
    *chunks, last = chat_frames(invoke(models, "echo-chat-model", {**question, "stream": True}))
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "x" * 12
    assert not any({"databricks_output", "custom_outputs"} & chunk.keys() for chunk in chunks)
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["custom_outputs"] == {"custom_inputs": {"id": 5}}
    assert last["databricks_output"]["trace"]["info"]["state"] == "OK"


def test_the_sdk_asks_a_chat_model_agent(models: Workspace) -> None:
    message = ChatMessage(role=ChatMessageRole.USER, content="zwölf 🥐")
    reply = models.client().serving_endpoints.query("echo-chat-model", messages=[message])
    assert reply.choices is not None
    assert reply.choices[0].message is not None
    assert reply.choices[0].message.content == "zwölf 🥐"


def test_a_chat_model_streams_chunks_until_done(models: Workspace) -> None:
    body = {"model": "echo-model", **said_by_user("ab" * 100, stream=True, max_tokens=30)}
    frames = chat_frames(models.post("/serving-endpoints/chat/completions", json=body))
    assert {(frame["object"], frame["model"]) for frame in frames} == {("chat.completion.chunk", "echo-model")}
    assert len({frame["id"] for frame in frames}) == 1
    choices = [frame["choices"][0] for frame in frames]
    assert "".join(choice["delta"]["content"] for choice in choices) == "ab" * 60
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["length"]
    assert [choice["delta"].get("role") for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert frames[-1]["usage"] == {"prompt_tokens": 50, "completion_tokens": 30, "total_tokens": 80}


def test_an_answer_without_text_is_a_stream_too(models: Workspace) -> None:
    (chunk,) = chat_frames(invoke(models, "echo-model", said_by_user("", stream=True)))
    assert chunk["choices"][0] == {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}


def test_a_chat_model_answers_in_the_shape_of_a_json_schema(models: Workspace) -> None:
    wanted = triage_format(enum=["positive", "neutral", "negative"])
    reply = invoke(models, "text-insight-model", said_by_user(COMPLAINT, response_format=wanted))
    assert json.loads(completion(reply)) == {"sentiment": "negative", "urgent": True}
    plain = invoke(models, "text-insight-model", said_by_user(COMPLAINT, response_format={"type": "text"}))
    assert completion(plain).startswith("negative · ")


def test_the_last_users_images_are_read(models: Workspace) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    image = {"type": "image_url", "image_url": {"url": url}}
    content = [{"type": "text", "text": "what is this?"}, image, image]
    assert completion(invoke(models, "echo-model", said_by_user(content))) == (
        "what is this? [image/png, 123 bytes] [image/png, 123 bytes]"
    )
    earlier = {"messages": [{"role": "user", "content": [image]}, {"role": "user", "content": "and now?"}]}
    assert completion(invoke(models, "echo-model", earlier)) == "and now?"
    items = [{"type": "input_text", "text": "what is this?"}, {"type": "input_image", "image_url": url}]
    body = {"model": "echo-model", "input": [{"role": "user", "content": items}]}
    told = models.post("/serving-endpoints/responses", json=body).json()
    assert told["output"][0]["content"][0]["text"] == "what is this? [image/png, 123 bytes]"


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("echo-model", {"input": []}, "messages\n  Field required"),
        ("echo-model", {"messages": "hi"}, "valid list"),
        ("echo-model", {"messages": []}, "at least 1 item"),
        ("echo-model", {"messages": ["hi"]}, "messages.0.role"),
        ("echo-model", {"messages": [{"role": "robot", "content": "hi"}]}, "messages.0.role"),
        ("echo-model", said_by_user(5), "messages.0.content"),
        ("echo-model", said_by_user(None), "messages.0.content"),
        ("echo-model", said_by_user(["hi"]), "messages.0.content.0"),
        ("echo-model", said_by_user([{"type": "input_text", "text": "hi"}]), "messages.0.content.0"),
        (
            "echo-model",
            said_by_user([{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]),
            "no other address",
        ),
        (
            "echo-model",
            said_by_user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}]),
            "image_url.url",
        ),
        ("echo-model", said_by_user("hi", response_format={"type": "xml"}), "response_format"),
        ("echo-model", said_by_user("hi", response_format="text"), "response_format"),
        ("echo-model", said_by_user("hi", response_format={"type": "json_schema"}), "response_format"),
        ("echo-model", said_by_user("hi", response_format=triage_format(maxLength=9)), "maxLength is not supported"),
        ("echo-model", said_by_user("hi", databricks_options={"return_trace": True}), "databricks_options"),
        ("echo-chat-agent", {"input": []}, "messages\n  Field required"),
        ("echo-chat-agent", said_by_user([{"type": "text", "text": "hi"}]), "messages.0.content\n  Input should be"),
        ("echo-chat-agent", [], "valid dictionary"),
        ("echo-chat-model", said_by_user([{"type": "text", "text": "hi"}]), "messages.0.content\n  Input should be"),
        ("echo-chat-model", {"messages": []}, "at least 1 item"),
    ],
)
def test_a_body_that_is_no_chat_is_refused(models: Workspace, name: str, body: object, reason: str) -> None:
    reply = invoke(models, name, body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "BAD_REQUEST")
    assert reason in reply.json()["message"]
    assert models.figures(name)["statuses"] == {"400": 1}


def test_an_assistant_that_calls_tools_needs_no_content(models: Workspace) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
    turns = [
        {"role": "user", "content": "where is it?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "nowhere"},
    ]
    assert completion(invoke(models, "echo-model", {"messages": turns})) == "where is it?"
    agent = invoke(models, "echo-chat-agent", {"messages": turns}).json()
    assert agent["messages"][0]["content"] == "where is it?"


def test_models_answer_the_responses_api_by_name_too(models: Workspace) -> None:
    question = {"model": "echo-model", "input": [{"role": "user", "content": "hi"}]}
    reply = models.post("/serving-endpoints/responses", json=question).json()
    assert (reply["object"], reply["output"][0]["content"][0]["text"]) == ("response", "hi")
    refused = models.post("/serving-endpoints/responses", json={**question, "databricks_options": {}})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("api", "name"),
    [
        ("responses", "echo-chat-agent"),
        ("responses", "echo-chat-model"),
        ("responses", "text-scores"),
        ("chat/completions", "echo"),
        ("chat/completions", "text-scores"),
    ],
)
def test_an_endpoint_refuses_the_apis_of_other_tasks(models: Workspace, api: str, name: str) -> None:
    body = {"model": name, "input": [{"role": "user", "content": "hi"}], **said_by_user("hi")}
    reply = models.post(f"/serving-endpoints/{api}", json=body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "BAD_REQUEST")
    assert f"does not support the API {api}" in reply.json()["message"]


@pytest.mark.parametrize("name", KINDS)
def test_faults_strike_by_the_text_that_is_asked(models: Workspace, name: str) -> None:
    models.behave(name, faults=[{"match": "glass", "status": 429, "headers": {"Retry-After": "2"}}])
    struck = invoke(models, name, body_for(name, COMPLAINT))
    assert (struck.status_code, struck.headers["Retry-After"]) == (429, "2")
    assert struck.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert invoke(models, name, body_for(name, "I love it")).status_code == 200
    models.behave(name, faults=[{"drop": "middle"}])
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        invoke(models, name, body_for(name, "I love it"))


@pytest.mark.parametrize("name", KINDS)
def test_figures_tell_repeats_from_other_questions(models: Workspace, name: str) -> None:
    for number, text in enumerate(("a", "b", "b", "b")):
        assert invoke(models, name, body_for(name, text, client_request_id=str(number))).status_code == 200
    figures = models.figures(name)
    assert (figures["calls"], figures["answered"], figures["statuses"]) == (4, 4, {"200": 4})
    assert (figures["distinct_inputs"], figures["distinct_answered"]) == (2, 2)
    recorded = models.http.get(f"{models.host}/sandbox/requests/{name}", timeout=SECONDS).json()
    assert [request["body"]["client_request_id"] for request in recorded] == ["0", "1", "2", "3"]


def test_a_fixed_answer_is_said_in_every_shape(models: Workspace) -> None:
    for name in KINDS:
        models.behave(name, answer='{"score": 1}')
    assert completion(invoke(models, "echo-model", said_by_user("hi"))) == '{"score": 1}'
    agent = invoke(models, "echo-chat-agent", said_by_user("hi")).json()
    assert agent["messages"][0]["content"] == '{"score": 1}'
    assert completion(invoke(models, "echo-chat-model", said_by_user("hi"))) == '{"score": 1}'
    scores = invoke(models, "text-scores", {"inputs": ["a", "b"]})
    assert scores.json() == {"predictions": [{"score": 1}] * 2}
    models.behave("text-scores", answer="fixed")
    assert invoke(models, "text-scores", {"inputs": ["a"]}).json() == {"predictions": ["fixed"]}
