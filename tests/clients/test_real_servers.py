"""Jobs that ask real agent servers, from YAML to Delta: MLflow's and Databricks' own servers, agents and models."""

import json
from collections.abc import Sequence
from urllib.request import urlopen

import pytest
from agent_servers import TraceStore

from rowcall.core.definition import JobDefinition
from rowcall.core.job_file.reader import parse_job
from rowcall.core.ports import Row
from support import Bench

pytestmark = pytest.mark.timeout(
    300
)  # A test may wait for a server whose imports and tables take long on a busy machine.

TEXTS = ("hello", "a tool, please", "¿Qué tal? 🦜")


def job(name: str, endpoint: str, request: str = '{input: "{text}"}', answer: str = "text") -> JobDefinition:
    """A job over `main.test.<name>`, as its file says it."""
    text = f"""
        job: {name}
        prompts: {{table: main.test.{name}, key: id}}
        request: {request}
        endpoint: {endpoint}
        answer: {answer}
        engine: {{kind: responses, concurrency: 4, flush_seconds: 0.1}}
        outputs: {{table: main.test.{name}_out}}
        traces: {{table: main.test.{name}_traces}}
        runs: {{table: main.test.{name}_runs}}
        limits: {{attempts: 1}}
    """
    return parse_job(text, f"{name}.yml")


def ask(bench: Bench, asked: JobDefinition, texts: Sequence[str] = TEXTS) -> list[Row]:
    """Run a job on these texts; the rows of its outputs."""
    bench.fill(asked.job, [{"id": n, "text": text, "weight": 0.5} for n, text in enumerate(texts)])
    assert bench.run(asked).status == "done"
    return bench.outputs(asked)


def check_agent_traces(bench: Bench, asked: JobDefinition, rows: Sequence[Row], store: TraceStore) -> None:
    """Each row's call has the id of a trace of its own, and MLflow has stored that trace."""
    spans = bench.session.query(f"SELECT trace_id, attributes FROM {asked.traces.table} WHERE parent_span_id IS NULL")
    agents = {span["trace_id"]: json.loads(str(span["attributes"])).get("rowcall.agent_trace_id") for span in spans}
    found = {agents[row["trace_id"]] for row in rows}
    assert len(found) == len(rows)
    assert found <= store.traces()


WAYS = [(api, stream) for api in ("responses", "invocations") for stream in ("false", "true")]


@pytest.mark.parametrize(("api", "stream"), WAYS)
def test_a_responses_agent_on_mlflows_agent_server(
    bench: Bench, trace_store: TraceStore, agent_server: str, api: str, stream: str
):
    asked = job(
        f"real_{api}_{stream}",
        f"{{url: {agent_server}, api: {api}, stream: {stream}}}",
        '{input: "{text}", custom_inputs: {number: "{id}"}}',
    )
    rows = ask(bench, asked)
    assert [(row["outcome"], row["answer"]) for row in rows] == [("ok", f"You said: {text}") for text in TEXTS]
    assert [json.loads(str(row["custom_outputs"])) for row in rows] == [{"number": n} for n in range(len(TEXTS))]
    check_agent_traces(bench, asked, rows, trace_store)


@pytest.mark.parametrize(("stream", "kind"), [("false", "server_error"), ("true", "agent_error")])
def test_an_agent_that_raises_fails_its_row_only(bench: Bench, agent_server: str, stream: str, kind: str):
    asked = job(f"real_raises_{stream}", f"{{url: {agent_server}, api: responses, stream: {stream}}}")
    hello, failed = ask(bench, asked, ["hello", "please fail"])
    assert (hello["outcome"], hello["answer"]) == ("ok", "You said: hello")
    assert (failed["outcome"], failed["error"]["kind"]) == ("error", kind)
    assert "the parrot flew away" in failed["error"]["message"]


def test_an_agent_is_told_the_schema_of_its_answers(bench: Bench, agent_server: str):
    asked = job(
        "real_schema",
        f"{{url: {agent_server}, api: responses}}",
        """{input: '{{"mood": "{text}"}}'}""",
        "{schema: {mood: [calm, cross]}}",
    )
    calm, odd = ask(bench, asked, ["calm", "odd"])
    assert (calm["outcome"], calm["answer"]) == ("ok", {"mood": "calm"})
    assert (odd["outcome"], odd["answer"]) == ("invalid", None)


def test_what_an_agent_server_refuses_is_said_as_it_says_it(bench: Bench, agent_server: str):
    asked = job(
        "real_refused",
        f"{{url: {agent_server}, api: invocations}}",
        '{input: "{text}", parameters: {temperature: hot}}',
    )
    (row,) = ask(bench, asked, ["hello"])
    assert (row["outcome"], row["error"]["kind"], row["error"]["status"]) == ("error", "bad_request", 400)
    assert "temperature" in row["error"]["message"]


def test_runs_in_the_background_are_asked_after(bench: Bench, trace_store: TraceStore, background_server: str):
    asked = job("real_background", f"{{url: {background_server}, api: responses, background: true}}")
    *rows, failed = ask(bench, asked, [*TEXTS, "please fail"])
    assert [(row["outcome"], row["answer"]) for row in rows] == [("ok", f"You said: {text}") for text in TEXTS]
    assert (failed["outcome"], failed["error"]["kind"]) == ("error", "agent_error")
    assert "the parrot flew away" in failed["error"]["message"]
    check_agent_traces(bench, asked, rows, trace_store)


def test_a_durable_run_is_found_again_and_not_paid_twice(bench: Bench, durable_server: str):
    asked = job("real_durable", f"{{url: {durable_server}, api: durable}}")
    texts = [*TEXTS, "slowly, please"]
    first = ask(bench, asked, texts)
    assert [(row["outcome"], row["answer"]) for row in first] == [("ok", f"You said: {text}") for text in texts]
    bench.session.drop_table(str(asked.outputs.table))
    second = ask(bench, asked, texts)
    assert [row["answer"] for row in second] == [row["answer"] for row in first]
    assert sorted(told(durable_server)) == sorted(texts)


def test_a_durable_run_that_failed_is_a_failed_row(bench: Bench, durable_server: str):
    asked = job("real_durable_failed", f"{{url: {durable_server}, api: durable}}")
    (row,) = ask(bench, asked, ["please fail for good"])
    assert (row["outcome"], row["error"]["message"]) == ("error", "agent invocation failed")


def told(server: str) -> list[str]:
    """What the handler of the durable agent server was asked, apart from what was to fail."""
    with urlopen(f"{server}/asked", timeout=10) as reply:
        return [text for text in json.loads(reply.read()) if "fail" not in text]


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_chat_agent_on_mlflows_agent_server(bench: Bench, chat_agent_server: str, stream: str):
    asked = job(
        f"real_chat_agent_{stream}",
        f"{{url: {chat_agent_server}, api: invocations, shape: chat, stream: {stream}}}",
        '{input: "{text}", custom_inputs: {number: "{id}"}}',
    )
    *rows, failed = ask(bench, asked, [*TEXTS, "please fail"])
    assert [(row["outcome"], row["answer"]) for row in rows] == [("ok", f"You said: {text}") for text in TEXTS]
    assert [json.loads(str(row["custom_outputs"])) for row in rows] == [{"number": n} for n in range(len(TEXTS))]
    assert failed["outcome"] == "error"
    assert "the chatterer fell silent" in failed["error"]["message"]


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_chat_agent_as_mlflow_models_serve_serves_it(bench: Bench, chat_model_server: str, stream: str):
    """That server streams nothing: asked for a stream, it answers whole."""
    asked = job(
        f"real_chat_model_{stream}",
        f"{{url: {chat_model_server}, api: invocations, shape: chat, stream: {stream}}}",
        '{input: "{text}", custom_inputs: {number: "{id}"}}',
    )
    *rows, failed = ask(bench, asked, [*TEXTS, "please fail"])
    assert [(row["outcome"], row["answer"]) for row in rows] == [("ok", f"You said: {text}") for text in TEXTS]
    assert [json.loads(str(row["custom_outputs"])) for row in rows] == [{"number": n} for n in range(len(TEXTS))]
    assert (failed["outcome"], failed["error"]["kind"], failed["error"]["code"]) == (
        "error",
        "bad_request",
        "BAD_REQUEST",
    )


@pytest.mark.parametrize("shape", ["records", "inputs"])
def test_a_custom_model_is_asked_by_columns(bench: Bench, custom_model_server: str, shape: str):
    asked = job(
        f"real_scores_{shape}",
        f"{{url: {custom_model_server}, api: invocations, shape: {shape}}}",
        '{inputs: {text: "{text}", weight: "{weight}"}}',
    )
    rows = ask(bench, asked)
    assert [row["outcome"] for row in rows] == ["ok"] * len(TEXTS)
    assert [json.loads(str(row["answer"])) for row in rows] == [
        {"letters": len(text), "score": len(text) * 0.5} for text in TEXTS
    ]


def test_a_custom_model_that_misses_a_column_says_which(bench: Bench, custom_model_server: str):
    asked = job("real_scores_misfit", f"{{url: {custom_model_server}, api: invocations}}", '{inputs: {text: "{text}"}}')
    (row,) = ask(bench, asked, ["hello"])
    assert (row["outcome"], row["error"]["kind"], row["error"]["status"]) == ("error", "bad_request", 400)
    assert "weight" in row["error"]["message"]
