"""One row's story, from the endpoint to the tree: waits and attempts add up to the call, the agent's spans are under the
attempt that got them, and the view tells the same in SQL.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rowcall import history
from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.errors import RunError
from rowcall.core.span_row import MAX_CONTENT
from rowcall.core.trace_tree import Node
from rowcall.row_trace import RowStory
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.wiring import Options
from support import Bench, make_job

LIMITED = {"first": 1, "status": 429, "headers": {"Retry-After": "1"}}
TRACED = {"input": "{text}", "databricks_options": {"return_trace": True}}


def story_of(house: Lakehouse, name: str, key: str, *, full: bool = False) -> RowStory:
    return history.trace(f"main.test.{name}_runs", name, key, full=full, options=Options(spark=house.spark))


def tree_of(story: RowStory) -> Node:
    assert story.tree is not None
    return story.tree


@pytest.fixture
def turned_away_once(bench: Bench) -> str:
    """A job of one row, whose first attempt met a rate limit; the name of the job."""
    name = f"story_{uuid4().hex}"
    job = make_job(name, endpoint={"serving": "text-insight"}, request=TRACED)
    bench.fill(name, [{"id": 1, "text": "The bread was stale and the staff was rude."}])
    bench.behave("text-insight", latency_ms=300, faults=[LIMITED])
    assert bench.run(job).ok == 1
    bench.behave("text-insight")
    return name


def test_waits_and_attempts_add_up_to_the_time_of_the_call(
    house: Lakehouse, bench: Bench, turned_away_once: str
) -> None:
    story = story_of(house, turned_away_once, "1")
    call = tree_of(story)
    attempts = [node for node in call.children if node.kind == "attempt"]
    assert [node.attributes["http.response.status_code"] for node in attempts] == [429, 200]
    assert attempts[0].attributes["rowcall.retry_after_seconds"] == 1.0
    assert attempts[0].error is not None
    assert attempts[1].error is None
    waits = [node for node in call.children if node.kind == "wait"]
    told = sum(float(str(node.attributes.get("rowcall.waited_seconds", 0))) for node in attempts)
    assert sum(node.duration_ms for node in waits) >= 1000
    assert sum(node.duration_ms for node in waits) == pytest.approx(told * 1000, rel=0.05)
    assert sum(node.duration_ms for node in call.children) == pytest.approx(call.duration_ms, rel=0.05)
    assert all(one.offset_ms + one.duration_ms <= two.offset_ms + 1 for one, two in pairwise(call.children))
    assert story.output is not None
    latency = call.offset_ms + call.duration_ms - attempts[0].offset_ms
    assert story.output["latency_ms"] == pytest.approx(latency, rel=0.05)


def test_what_the_agent_did_is_under_the_attempt_that_got_it(house: Lakehouse, turned_away_once: str) -> None:
    *_, last = tree_of(story_of(house, turned_away_once, "1")).children
    (agent,) = last.children
    assert (agent.kind, agent.attributes["mlflow.spanType"]) == ("agent", "AGENT")
    assert len(agent.children) > 1
    begins, ends = last.offset_ms, last.offset_ms + last.duration_ms
    for span in (agent, *agent.children):
        assert begins <= span.offset_ms <= span.offset_ms + span.duration_ms <= ends
    assert agent.duration_ms == pytest.approx(last.duration_ms, rel=0.2)


@pytest.mark.apache_spark
def test_the_view_tells_the_same(house: Lakehouse, bench: Bench, turned_away_once: str) -> None:
    story = story_of(house, turned_away_once, "1")
    view = f"`main`.`test`.`{turned_away_once}_story`"
    traces = f"main.test.{turned_away_once}_traces"
    bench.session.execute(sql.fill(sql_texts(), "views/row_story", view=view, traces=traces))
    rows = bench.session.query(f"SELECT * FROM {view} WHERE trace_id = '{story.trace_id}' ORDER BY step")

    def lines(node: Node) -> Iterator[tuple[object, ...]]:
        yield node.kind, node.name, node.span_id, node.offset_ms, node.duration_ms, node.error is not None
        for child in node.children:
            yield from lines(child)

    told = [
        (row["kind"], row["name"], row["span_id"], row["offset_ms"], row["duration_ms"], bool(row["failed"]))
        for row in rows
    ]
    for one, other in zip(told, lines(tree_of(story)), strict=True):
        assert one[:3] == other[:3]
        assert one[3:5] == pytest.approx(other[3:5], abs=0.001)
        assert one[5] == other[5]
    assert {row["job"] for row in rows} == {turned_away_once}
    assert [row["http_status"] for row in rows if row["kind"] == "attempt"] == [429, 200]


def test_a_row_is_found_by_its_key_and_its_trace(house: Lakehouse, turned_away_once: str) -> None:
    by_key = story_of(house, turned_away_once, "1")
    assert story_of(house, turned_away_once, "id=1") == by_key
    assert story_of(house, turned_away_once, by_key.trace_id) == by_key
    assert json.loads(json.dumps(by_key.as_json(), default=str))["trace"]["children"][0]["name"] == "attempt 1"
    with pytest.raises(RunError, match="has no row with id = '2'"):
        story_of(house, turned_away_once, "2")
    with pytest.raises(RunError, match=f"has no row with id = '{'0' * 32}'"):
        story_of(house, turned_away_once, "0" * 32)
    with pytest.raises(RunError, match="has no run of job another"):
        history.trace(f"main.test.{turned_away_once}_runs", "another", "1", options=Options(spark=house.spark))


def test_a_key_may_look_like_a_trace(house: Lakehouse, bench: Bench) -> None:
    name, key = f"story_{uuid4().hex}", uuid4().hex
    bench.fill(name, [{"id": key, "text": "hello"}])
    assert bench.run(make_job(name)).ok == 1
    story = story_of(house, name, key)
    assert story.output is not None
    assert (story.output["id"], tree_of(story).kind) == (key, "call")


@pytest.mark.parametrize("engine", ["responses", "ai_query"])
@pytest.mark.apache_spark
def test_what_is_too_long_for_the_table_is_shown_whole(house: Lakehouse, bench: Bench, engine: str) -> None:
    name, text = f"long_story_{engine}", "bread " * (MAX_CONTENT // 5)
    endpoint = {"serving": "echo"}
    job = make_job(name, endpoint=endpoint, engine={"kind": engine} if engine == "ai_query" else {"concurrency": 2})
    bench.fill(name, [{"id": 1, "text": text}, {"id": 2, "text": "short"}])
    assert bench.run(job).ok == 2
    cut = tree_of(story_of(house, name, "1")).attributes
    whole = tree_of(story_of(house, name, "1", full=True)).attributes
    assert len(str(cut["rowcall.request"])) < len(text) < len(str(whole["rowcall.request"]))
    assert json.dumps(text) in str(whole["rowcall.request"])
    assert sorted(file.suffix for file in Path(str(cut["rowcall.overflow"])).iterdir()) == [".parquet"]
    short = tree_of(story_of(house, name, "2", full=True)).attributes
    assert "rowcall.overflow" not in short


class Tracing(BaseHTTPRequestHandler):
    """An agent whose trace is what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"][-1]["content"]
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}
        reply = {"object": "response", "output": [message], "databricks_output": {"trace": json.loads(asked)}}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tracing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tracing)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def odd_traces() -> dict[str, object]:
    """Traces that no agent should send."""
    raw: dict[str, Any] = {"span_id": "AAAAAAAAAAE=", "name": "odd", "start_time_unix_nano": 5, "end_time_unix_nano": 3}
    event = {"name": "e", "time_unix_nano": 2**63 - 1, "attributes": {"deep": [{"a": [None, "\ud800"]}]}}
    return {
        "circle": {"data": {"spans": [{**raw, "parent_span_id": "AAAAAAAAAAE="}]}},
        "ends of time": {"data": {"spans": [{**raw, "start_time_unix_nano": 2**63 - 1, "end_time_unix_nano": 0}]}},
        "twice": {"data": {"spans": [raw, raw, raw]}},
        "event": {"data": {"spans": [{**raw, "events": [event, {}, None]}]}},
        "no trace": {"data": {"spans": "none"}},
        "no attributes": {"data": {"spans": [{**raw, "attributes": [1, {"key": "k", "value": 2}], "name": None}]}},
    }


def test_traces_of_every_generation_and_odd_ones_get_into_the_table(
    house: Lakehouse, bench: Bench, tracing: str, golden: Path
) -> None:
    name = "every_trace"
    good = {path.stem: json.loads(path.read_text("utf-8")) for path in (golden / "traces").glob("*.json")}
    bench.fill(name, [{"id": key, "text": json.dumps(trace)} for key, trace in {**good, **odd_traces()}.items()])
    job = make_job(name, endpoint={"url": tracing, "api": "responses"})
    row = bench.run(job)
    assert (row.ok, row.failed) == (len(good) + len(odd_traces()), 0)
    for key in good:
        (agent,) = tree_of(story_of(house, name, key)).children[-1].children
        think, search = agent.children
        assert (think.name, search.error) == ("think", "LookupError: no such page: crumpets")
        (event,) = search.events
        assert (event.name, event.attributes["exception.type"]) == ("exception", "LookupError")
        assert think.attributes["mlflow.chat.tokenUsage"] == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    counts = {"circle": 1, "ends of time": 1, "twice": 3, "event": 1, "no trace": 0, "no attributes": 1}
    for key, count in counts.items():
        assert len(tree_of(story_of(house, name, key)).children[-1].children) == count
