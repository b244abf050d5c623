"""Every way to query an agent or a model, one job each, from a definition to Delta: the table in the README."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from rowcall import waiting
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, RunError, SetupError
from rowcall.core.spans import Span
from rowcall.testing import RecordingReporter
from support import Bench, control, make_job, texts

CUSTOM = {"tier": "gold", "n": 5}
SERVED, APP = "/serving-endpoints", "/apps"


@dataclass(frozen=True)
class Way:
    """An endpoint, the path its requests are seen at, and whether it streams."""

    endpoint: dict[str, Any]
    path: str
    agent: str = "echo"
    api: str = "auto"
    streams: bool = True
    custom: bool = True
    request: dict[str, Any] = field(default_factory=dict)


WAYS = {
    "app, responses": Way({"app": "echo"}, f"{APP}/echo/responses"),
    "app, invocations": Way({"app": "echo", "api": "invocations"}, f"{APP}/echo/invocations"),
    "app, a chat agent's invocations": Way(
        {"app": "echo-chat-agent", "api": "invocations", "shape": "chat"},
        f"{APP}/echo-chat-agent/invocations",
        "echo-chat-agent",
    ),
    "app, in the background": Way(
        {"app": "echo", "background": True}, f"{APP}/echo/responses", streams=False, custom=False
    ),
    "app, invocations in the background": Way(
        {"app": "echo", "api": "invocations", "background": True},
        f"{APP}/echo/invocations",
        streams=False,
        custom=False,
    ),
    "app, durable": Way(
        {"app": "echo-durable"}, f"{APP}/echo-durable/api/invocations", "echo-durable", streams=False, custom=False
    ),
    "serving, responses": Way({"serving": "echo"}, f"{SERVED}/responses"),
    "serving, ChatAgent": Way({"serving": "echo-chat-agent"}, f"{SERVED}/chat/completions", "echo-chat-agent"),
    "serving, ChatModel": Way({"serving": "echo-chat-model"}, f"{SERVED}/chat/completions", "echo-chat-model"),
    "serving, model": Way({"serving": "echo-model"}, f"{SERVED}/chat/completions", "echo-model", custom=False),
    "serving, model by the Responses API": Way(
        {"serving": "echo-model", "api": "responses"}, f"{SERVED}/responses", "echo-model", custom=False
    ),
    "serving, a Responses agent's invocations": Way(
        {"serving": "echo", "api": "invocations"}, f"{SERVED}/echo/invocations"
    ),
    "serving, a chat agent's invocations": Way(
        {"serving": "echo-chat-agent", "api": "invocations"},
        f"{SERVED}/echo-chat-agent/invocations",
        "echo-chat-agent",
    ),
    "serving, a model's invocations": Way(
        {"serving": "echo-model", "api": "invocations"},
        f"{SERVED}/echo-model/invocations",
        "echo-model",
        custom=False,
    ),
    "gateway, chat": Way(
        {"serving": "echo-model", "gateway": "mlflow", "request_tags": {"team": "a"}},
        "/ai-gateway/mlflow/v1/chat/completions",
        "echo-model",
        custom=False,
    ),
    "gateway, responses": Way(
        {"serving": "echo", "gateway": "mlflow"},
        "/ai-gateway/mlflow/v1/responses",
    ),
    "gateway, the provider's own API": Way(
        {"serving": "echo-model", "gateway": "openai", "api": "responses"},
        "/ai-gateway/openai/v1/responses",
        "echo-model",
        custom=False,
    ),
    "gateway, a model service of Unity Catalog": Way(
        {"serving": "system.ai.echo-model", "gateway": "openai"},
        "/ai-gateway/openai/v1/chat/completions",
        "echo-model",
        custom=False,
    ),
    "url, responses": Way({"url": f"SANDBOX{SERVED}", "model": "echo", "api_key": "env:KEY"}, f"{SERVED}/responses"),
    "url, chat": Way(
        {"url": f"SANDBOX{SERVED}/chat/completions", "model": "echo-model", "api_key": "{{secrets/apps/key}}"},
        f"{SERVED}/chat/completions",
        "echo-model",
        custom=False,
    ),
    "url, invocations": Way(
        {"url": f"SANDBOX{SERVED}/echo", "api": "invocations", "api_key": "env:KEY"}, f"{SERVED}/echo/invocations"
    ),
}


def endpoint_of(way: Way, bench: Bench) -> dict[str, Any]:
    return json.loads(json.dumps(way.endpoint).replace("SANDBOX", bench.sandbox.host))


@pytest.fixture
def keys(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for servers by URL: the sandbox's personal access token, in the driver's environment and as a secret."""
    pat = bench.sandbox.serving().token
    monkeypatch.setenv("KEY", pat)
    control(bench.sandbox, "PUT", "secrets/apps/key", {"value": pat})


def spans_of(bench: Bench, job: JobDefinition) -> list[Span]:
    return [dict(row) for row in bench.session.query(f"SELECT * FROM {job.traces.table}")]


def attributes(span: Span) -> dict[str, Any]:
    return json.loads(span["attributes"])


@pytest.mark.parametrize(
    ("name", "streamed"),
    [(name, streamed) for name, way in WAYS.items() for streamed in (False, True) if way.streams or not streamed],
)
@pytest.mark.usefixtures("keys")
def test_every_row_is_answered(bench: Bench, name: str, streamed: bool):
    way = WAYS[name]
    table = "way_" + "".join(char if char.isalnum() else "_" for char in f"{name} {streamed}")
    request: dict[str, Any] = {"instructions": "Say it again.", "input": "{text} – ü😀"}
    request |= {"custom_inputs": {**CUSTOM, "id": "{id}"}} if way.custom else {}
    engine = {"concurrency": 4, "fan_out": "driver" if way.endpoint.get("api_key") == "env:KEY" else "auto"}
    job = make_job(table, endpoint={**endpoint_of(way, bench), "stream": streamed}, request=request, engine=engine)
    bench.behave(way.agent, packet_bytes=7)
    bench.fill(table, texts(6))
    row = bench.run(job)
    assert (row.status, row.message, row.ok) == ("done", None, 6)
    outputs = bench.outputs(job)
    assert [out["answer"] for out in outputs] == [f"row {n} – ü😀" for n in range(6)]
    seen = control(bench.sandbox, "GET", f"requests/{way.agent}")
    posted = [one for one in seen if one["body"] is not None]
    assert {one["path"] for one in posted} == {way.path}
    assert len(posted) == 6
    assert all(one["body"].get("stream", False) is streamed for one in posted)
    if way.custom:
        given = [json.loads(out["custom_outputs"])["custom_inputs"] for out in outputs]
        assert given == [{**CUSTOM, "id": n} for n in range(6)]
    roots = [span for span in spans_of(bench, job) if span["parent_span_id"] is None]
    waits = [attributes(span).get("gen_ai.response.time_to_first_chunk") for span in roots]
    assert len(waits) == 6
    assert all((wait is not None and wait > 0) is streamed for wait in waits)
    assert bench.run(job).asked == 0


@pytest.mark.parametrize(
    ("endpoint", "path", "key"),
    [
        ({"serving": "text-scores"}, "/serving-endpoints/text-scores/invocations", "dataframe_records"),
        ({"serving": "text-scores", "shape": "inputs"}, "/serving-endpoints/text-scores/invocations", "inputs"),
    ],
)
def test_a_custom_model_is_asked_with_its_columns(bench: Bench, endpoint: dict[str, Any], path: str, key: str):
    table = f"columns_{key}"
    job = make_job(
        table,
        endpoint=endpoint,
        engine={"kind": "responses"},
        request={"inputs": {"text": "{text}"}},
        answer={"schema": {"sentiment": ["positive", "neutral", "negative"], "score": "double", "words": "int"}},
    )
    bench.fill(table, [{"id": 1, "text": "What a lovely day."}, {"id": 2, "text": "A horrible, awful mess."}])
    row = bench.run(job)
    assert (row.status, row.message, row.ok) == ("done", None, 2)
    good, bad = (out["answer"] for out in bench.outputs(job))
    assert (good["sentiment"], bad["sentiment"], good["words"]) == ("positive", "negative", 4)
    seen = control(bench.sandbox, "GET", "requests/text-scores")
    assert {(one["path"], *one["body"]) for one in seen} == {(path, key)}


def test_a_key_that_is_no_secret_of_the_workspace_fails_at_plan_time(bench: Bench):
    endpoint = {"url": bench.sandbox.host, "api_key": "{{secrets/apps/nobody}}"}
    bench.fill("no_secret", texts(1))
    with pytest.raises(
        SetupError, match=r"names the secret \{\{secrets/apps/nobody\}\}, which the workspace does not have"
    ):
        bench.run(make_job("no_secret", endpoint=endpoint))


def test_request_tags_go_out_as_the_gateways_header(bench: Bench):
    tags = {"team": "växel", "cost centre": "7"}
    endpoint = {"serving": "echo-model", "gateway": "mlflow", "request_tags": tags}
    job = make_job("tags", endpoint=endpoint)
    bench.fill("tags", texts(2))
    assert bench.run(job).ok == 2
    sent = [one["headers"] for one in control(bench.sandbox, "GET", "requests/echo-model")]
    assert [json.loads(headers["databricks-ai-gateway-request-tags"]) for headers in sent] == [tags, tags]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "endpoint", [{"app": "echo"}, {"app": "echo", "api": "invocations"}], ids=["responses", "invocations"]
)
def test_the_trace_id_of_an_app_is_kept(bench: Bench, endpoint: dict[str, Any], stream: bool):
    table = f"trace_id_{endpoint.get('api', 'responses')}_{stream}".lower()
    job = make_job(table, endpoint={**endpoint, "stream": stream})
    bench.fill(table, texts(3))
    assert bench.run(job).ok == 3
    roots = [attributes(span) for span in spans_of(bench, job) if span["parent_span_id"] is None]
    ids = {root["rowcall.agent_trace_id"] for root in roots}
    assert len(ids) == 3
    assert all(one.startswith("tr-") for one in ids)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("agent", ["echo", "echo-chat-agent", "echo-chat-model"])
def test_the_trace_of_a_serving_agent_hangs_under_its_call(bench: Bench, agent: str, stream: bool):
    table = f"trace_{agent}_{stream}".lower().replace("-", "_")
    request = {"input": "{text}", "databricks_options": {"return_trace": True}}
    job = make_job(table, endpoint={"serving": agent, "stream": stream}, request=request)
    bench.fill(table, texts(3))
    assert bench.run(job).ok == 3
    inner = [span for span in spans_of(bench, job) if span["kind"] == "SPAN_KIND_INTERNAL"]
    assert len({span["trace_id"] for span in inner}) == 3


HISTORY = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A thing."}]
ENDPOINTS = {"responses": {"serving": "echo"}, "chat": {"serving": "echo-model"}, "durable": {"app": "echo-durable"}}
ANSWER = {"sentiment": ["positive", "neutral", "negative"], "words": "int"}


class TestConversations:
    def seen(self, bench: Bench, agent: str) -> list[Any]:
        bodies = [one["body"] for one in control(bench.sandbox, "GET", f"requests/{agent}") if one["body"]]
        return [body.get("messages") or body.get("input") for body in bodies]

    @pytest.mark.parametrize("kind", ["array", "text"])
    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    def test_a_column_of_messages_is_the_conversation(self, bench: Bench, endpoint: str, kind: str):
        table = f"history_{endpoint}_{kind}"
        history = HISTORY if kind == "array" else json.dumps(HISTORY)
        request = {"instructions": "Be brief.", "messages": ["{history}", {"role": "user", "content": "And {text}?"}]}
        job = make_job(table, endpoint=ENDPOINTS[endpoint], request=request)
        bench.fill(table, [{"id": 1, "text": "now", "history": history}])
        assert bench.run(job).message is None
        assert [out["answer"] for out in bench.outputs(job)] == ["And now?"]
        agent = next(iter(ENDPOINTS[endpoint].values()))
        (said,) = self.seen(bench, agent)
        said = said["messages"] if isinstance(said, dict) else said
        assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
        assert [message["content"] for message in said][1:3] == ["What is it?", "A thing."]

    def test_a_column_alone_is_the_whole_request(self, bench: Bench):
        job = make_job("whole_history", request={"messages": "{history}"})
        histories = [HISTORY, [{"role": "user", "content": "'\"\\ {x} ${y}"}], [], None]
        bench.fill("whole_history", [{"id": n, "history": history} for n, history in enumerate(histories)])
        row = bench.run(job)
        outputs = bench.outputs(job)
        assert [out["answer"] for out in outputs[:2]] == ["What is it?", "'\"\\ {x} ${y}"]
        assert [out["error"]["kind"] for out in outputs[2:]] == ["bad_request", "null_prompt"]
        assert (row.asked, row.ok) == (4, 2)

    def test_what_is_no_conversation_is_the_rows_error_and_no_other_rows(self, bench: Bench):
        job = make_job("no_history", request={"messages": "{history}"})
        said = ["no JSON", '{"role": "user", "content": "one"}', '[]}, "model": "x"', json.dumps(HISTORY)]
        bench.fill("no_history", [{"id": n, "history": text} for n, text in enumerate(said)])
        bench.run(job)
        outputs = bench.outputs(job)
        assert [out["outcome"] for out in outputs] == ["error", "ok", "error", "ok"]
        assert all("messages" in out["error"]["message"] for out in outputs if out["error"])

    def test_custom_inputs_and_parameters_come_from_columns(self, bench: Bench):
        request = {"input": "{text}", "custom_inputs": "{given}", "parameters": "{settings}"}
        job = make_job("given", endpoint={"serving": "echo"}, request=request)
        rows = [
            {"id": 1, "text": "a", "given": {"tier": "gold", "n": 1}, "settings": '{"temperature": 0.5}'},
            {"id": 2, "text": "b", "given": {"tier": "iron", "n": 2}, "settings": None},
        ]
        bench.fill("given", rows)
        assert bench.run(job).ok == 2
        given = [json.loads(out["custom_outputs"])["custom_inputs"] for out in bench.outputs(job)]
        assert given == [row["given"] for row in rows]
        bodies = [one["body"] for one in control(bench.sandbox, "GET", "requests/echo")]
        assert sorted(str(body.get("temperature")) for body in bodies) == ["0.5", "None"]

    def test_a_column_of_another_type_is_told_before_anything_is_asked(self, bench: Bench):
        job = make_job("wrong_history", request={"messages": "{id}"})
        bench.fill("wrong_history", [{"id": 1}])
        with pytest.raises(DefinitionError, match=r"request.messages\[0\]: column 'id' is bigint"):
            bench.run(job)


class TestStructuredAnswers:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("endpoint", "key"),
        [
            ({"serving": "text-insight"}, "text"),
            ({"serving": "text-insight-model"}, "response_format"),
            ({"serving": "text-insight-model", "api": "invocations"}, "response_format"),
            ({"app": "text-insight", "api": "invocations"}, "text"),
        ],
        ids=["responses", "chat", "invocations", "app"],
    )
    def test_typed_columns_come_out(self, bench: Bench, endpoint: dict[str, Any], key: str, stream: bool):
        table = f"typed_{key}_{'-'.join(endpoint)}_{stream}".lower().replace("-", "_")
        job = make_job(table, endpoint={**endpoint, "stream": stream}, answer={"schema": ANSWER})
        bench.fill(table, [{"id": 1, "text": "A lovely day."}, {"id": 2, "text": "An awful mess."}])
        assert bench.run(job).message is None
        answers = [out["answer"] for out in bench.outputs(job)]
        assert [answer["sentiment"] for answer in answers] == ["positive", "negative"]
        assert all(answer["words"] == 3 for answer in answers)
        agent = endpoint.get("serving") or endpoint["app"]
        assert all(key in one["body"] for one in control(bench.sandbox, "GET", f"requests/{agent}"))

    @pytest.mark.parametrize("endpoint", [{"serving": "echo"}, {"serving": "echo-model"}], ids=["responses", "chat"])
    def test_an_invalid_answer_is_asked_again_with_what_was_wrong(self, bench: Bench, endpoint: dict[str, str]):
        """The echo says again what it is told: after a correction, the complaint, which is no JSON either."""
        table = f"corrected_{endpoint['serving'].replace('-', '_')}"
        answer = {"schema": {"words": "int"}, "corrections": 2}
        job = make_job(table, endpoint=endpoint, answer=answer)
        bench.fill(table, [{"id": 1, "text": '{"words": 3}'}, {"id": 2, "text": "three"}])
        row = bench.run(job)
        outputs = bench.outputs(job)
        assert [(out["outcome"], out["attempts"]) for out in outputs] == [("ok", 1), ("invalid", 3)]
        assert outputs[0]["answer"]["words"] == 3
        assert outputs[1]["usage"]["total_tokens"] > outputs[0]["usage"]["total_tokens"]
        assert row.retries == 2
        bodies = [one["body"] for one in control(bench.sandbox, "GET", f"requests/{endpoint['serving']}")]
        said = [body.get("messages") or body["input"] for body in bodies]
        longest = max(said, key=len)
        assert [message["role"] for message in longest] == ["user", "assistant", "user", "assistant", "user"]
        assert "whole JSON object" in json.dumps(longest[2])


class TestDurable:
    def test_a_run_that_was_begun_and_lost_sight_of_is_found_again(self, bench: Bench):
        """What was asked and not kept, as after a crash: the same question again is answered and not run again."""
        job = make_job("durable_again", endpoint={"app": "echo-durable"})
        bench.fill("durable_again", texts(8))
        assert bench.run(job).ok == 8
        calls = bench.figures("echo-durable")["calls"]
        bench.session.execute(f"DELETE FROM {job.outputs.table}")
        again = bench.run(job)
        assert (again.asked, again.ok) == (8, 8)
        assert (calls, bench.figures("echo-durable")["calls"]) == (8, 8)

    def test_runs_that_fail_are_begun_anew(self, bench: Bench):
        bench.behave("echo-durable", faults=[{"match": "row 3", "first": 2, "status": 500}])
        job = make_job("durable_failing", endpoint={"app": "echo-durable"}, limits={"attempts": 3})
        bench.fill("durable_failing", texts(5))
        row = bench.run(job)
        assert (row.status, row.ok) == ("done", 5)
        assert bench.outputs(job)[3]["attempts"] == 3


@pytest.mark.parametrize(
    ("endpoint", "agent"),
    [({"app": "echo", "background": True}, "echo"), ({"app": "echo-durable"}, "echo-durable")],
    ids=["background", "durable"],
)
def test_runs_that_go_on_in_the_background_count_for_the_limit(bench: Bench, endpoint: dict[str, Any], agent: str):
    bench.behave(agent, latency_ms=100)
    name = f"limit_of_{agent.replace('-', '_')}"
    job = make_job(name, endpoint=endpoint, engine={"kind": "responses", "concurrency": 3, "flush_seconds": 0.1})
    bench.fill(name, texts(12))
    assert bench.run(job).ok == 12
    assert bench.figures(agent)["max_in_flight"] == 3


class TestReadiness:
    def test_an_endpoint_that_is_updated_is_waited_for(self, bench: Bench, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
        control(
            bench.sandbox, "PUT", "lookup/echo", {"ready": "NOT_READY", "config_update": "IN_PROGRESS", "lookups": 3}
        )
        job = make_job("updating", endpoint={"serving": "echo"})
        bench.fill("updating", texts(2))
        reporter = RecordingReporter()
        row = bench.run(job, reporter=reporter)
        assert (row.status, row.ok) == ("done", 2)
        waits = [step for step in reporter.steps if "waiting for serving echo: it is being updated" in step]
        assert len(waits) == 3

    @pytest.mark.parametrize("limit", ["warm_up", "deadline"])
    def test_a_wait_has_an_end_and_nothing_is_asked(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: str):
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)
        control(bench.sandbox, "PUT", "lookup/echo", {"ready": "NOT_READY"})
        job = make_job(f"never_ready_{limit}", endpoint={"serving": "echo"}, limits={limit: "0.1s"})
        bench.fill(f"never_ready_{limit}", texts(2))
        try:
            with pytest.raises(RunError, match=rf"serving echo was not ready within limits.{limit} \(0.1 s\)"):
                bench.run(job)
        finally:
            control(bench.sandbox, "PUT", "lookup/echo", {})
        assert bench.figures()["calls"] == 0

    def test_an_app_that_starts_is_asked_then_how_it_is_asked(self, bench: Bench, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
        control(bench.sandbox, "PUT", "lookup/echo-durable", {"compute": "STARTING", "lookups": 2})
        job = make_job("starting_durable", endpoint={"app": "echo-durable"})
        bench.fill("starting_durable", texts(2))
        reporter = RecordingReporter()
        assert bench.run(job, reporter=reporter).ok == 2
        assert "waiting for app echo-durable: its compute is STARTING" in reporter.steps[0]
        assert reporter.plans[0].bound.endpoint.api == "durable"

    @pytest.mark.parametrize(
        ("state", "said"),
        [({"compute": "STOPPED"}, "its compute is STOPPED"), ({"app": "CRASHED"}, "it is CRASHED")],
    )
    def test_an_app_that_will_not_answer_fails_at_plan_time(self, bench: Bench, state: dict[str, str], said: str):
        control(bench.sandbox, "PUT", "lookup/echo", state)
        job = make_job("stopped")
        bench.fill("stopped", texts(1))
        try:
            with pytest.raises(DefinitionError, match=said):
                bench.run(job)
        finally:
            control(bench.sandbox, "PUT", "lookup/echo", {})

    @pytest.mark.parametrize("endpoint", [{"serving": "nobody"}, {"app": "nobody"}])
    def test_one_that_is_not_there_fails_at_plan_time(self, bench: Bench, endpoint: dict[str, str]):
        bench.fill("nobody", texts(1))
        with pytest.raises(DefinitionError, match=r"there is no (serving endpoint|app) 'nobody'"):
            bench.run(make_job("nobody", endpoint=endpoint))

    @pytest.mark.parametrize("status", [503, 404])
    def test_one_that_is_scaled_to_zero_is_woken_and_no_row_is_lost(self, bench: Bench, status: int):
        bench.behave(cold={"seconds": 1.0, "status": status})
        table = f"cold_{status}"
        job = make_job(table, endpoint={"serving": "echo"}, limits={"attempts": 1})
        bench.fill(table, texts(20))
        row = bench.run(job)
        assert (row.status, row.message, row.ok) == ("done", None, 20)


def test_a_request_above_four_megabytes_is_refused_before_it_is_sent(bench: Bench):
    job = make_job("too_large", endpoint={"serving": "echo"})
    bench.fill("too_large", [{"id": 0, "text": "x" * (4 * 1024 * 1024)}, {"id": 1, "text": "small"}])
    row = bench.run(job)
    assert (row.status, row.ok, dict(row.failures)) == ("done", 1, {"too_large": 1})
    assert "takes at most 4,194,304" in bench.outputs(job)[0]["error"]["message"]
    assert bench.figures()["calls"] == 1
