"""With `traces.content: none` prompts and answers are in the outputs alone: not in traces, runs, journals, logs or messages."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leaks import files, leaks
from rowcall.core.definition import JobDefinition
from rowcall.core.report import RunRow
from rowcall.testing import RecordingReporter
from support import Bench, make_job

PROMPT, ANSWER = "amber-otter-4711", "violet-heron-2342"
MARKS = {"prompt": PROMPT.encode(), "answer": ANSWER.encode()}
ROWS = [{"id": n, "text": f"{PROMPT} {n}"} for n in range(6)]
RESPONSES = {"concurrency": 4, "flush_seconds": 0.05}
WAVES = {"kind": "ai_query"}
QUOTED = {"status": 400, "body": {"error_code": f"NO {PROMPT}", "message": f"cannot answer {PROMPT}"}}
REFUSED = {"status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": f"not about {PROMPT}"}}
SCHEMA = {"schema": {"mood": ["good", "bad"]}, "corrections": 1}
TRACE = {"input": "{text}", "databricks_options": {"return_trace": True}}
SERVING, MODEL = {"serving": "echo"}, {"serving": "echo-model"}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "responses": ({"endpoint": {"app": "echo"}}, {}),
    "stream": ({"endpoint": {"app": "echo", "stream": True}}, {}),
    "chat": ({"endpoint": MODEL}, {}),
    "agent trace": ({"endpoint": SERVING, "request": TRACE}, {}),
    "corrections": ({"endpoint": SERVING, "answer": SCHEMA}, {}),
    "errors": ({"endpoint": SERVING}, {"faults": [{"every": 2, **QUOTED}]}),
    "all alike": ({"endpoint": SERVING}, {"faults": [QUOTED]}),
    "refused": ({"endpoint": SERVING}, {"faults": [REFUSED]}),
    "waves": ({"endpoint": SERVING, "engine": WAVES}, {}),
    "waves of a model": ({"endpoint": MODEL, "engine": WAVES, "answer": SCHEMA}, {}),
    "waves with corrections": ({"endpoint": SERVING, "engine": WAVES, "answer": SCHEMA}, {}),
    "waves that stop": ({"endpoint": SERVING, "engine": WAVES, "answer": SCHEMA, "limits": {"max_failures": 0}}, {}),
    "waves with errors": ({"endpoint": SERVING, "engine": WAVES}, {"faults": [{"every": 2, **QUOTED}]}),
    "waves refused": ({"endpoint": SERVING, "engine": WAVES}, {"faults": [REFUSED]}),
}


class Said(RecordingReporter):
    """Everything a run says on the way."""

    @property
    def text(self) -> bytes:
        return repr((self.steps, self.seen, [plan.bound.statements for plan in self.plans])).encode()


def run(bench: Bench, name: str, content: str, shape: str) -> tuple[JobDefinition, RunRow, list[tuple[str, bytes]]]:
    """Run a job, twice where it may be asked again; what it says and leaves behind, its outputs left out."""
    changes, behaviour = SHAPES[shape]
    traces = {"table": f"main.test.{name}_traces", "content": content}
    job = make_job(name, **{"engine": RESPONSES, "traces": traces, **changes})
    bench.fill(name, ROWS)
    agent = "echo-model" if job.endpoint == make_job("x", endpoint=MODEL).endpoint else "echo"
    bench.behave(agent, **behaviour, **({} if behaviour else {"answer": ANSWER}))
    try:
        said = Said()
        row = bench.run(job, reporter=said)
    finally:
        bench.behave(agent)
    left = [("said", said.text), ("row", json.dumps(row.as_json(), default=str).encode())]
    for table in (job.traces.table, job.runs.table):
        left.append((f"rows of {table}", repr(bench.session.query(f"SELECT * FROM {table}")).encode()))
        left += files(Path(bench.delta_folder(str(table))))
    journal = bench.volume.parent / "files" / f"journal-{bench.folder.name}" if bench.volume else Path(bench.journal)
    return job, row, [*left, *files(journal)]


@pytest.fixture(params=["lakehouse", "warehouse"])
def place(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue("bench" if request.param == "lakehouse" else "warehouse_bench")


@pytest.mark.parametrize("shape", list(SHAPES))
def test_none_leaves_text_in_the_outputs_alone(place: Bench, caplog: pytest.LogCaptureFixture, shape: str):
    caplog.set_level(logging.DEBUG)
    name = f"none_{shape.replace(' ', '_')}_{'wh' if place.volume else 'lake'}"
    job, row, left = run(place, name, "none", shape)
    logs = [(f"log of {record.name}", record.getMessage().encode()) for record in caplog.records]
    assert set(leaks(MARKS, [*left, *logs])) == set()
    outputs = place.outputs(job)
    assert row.asked
    if job.answer == "text":
        assert (PROMPT if SHAPES[shape][1] else ANSWER) in repr(outputs)
    else:
        assert {out["outcome"] for out in outputs} == {"invalid"}
    spans = place.session.query(f"SELECT * FROM {job.traces.table}")
    assert len({span["trace_id"] for span in spans}) == row.asked


def test_full_says_it_all(bench: Bench):
    for shape, mark in {"responses": ANSWER, "errors": PROMPT, "all alike": PROMPT, "agent trace": PROMPT}.items():
        _, _, left = run(bench, f"full_{shape.replace(' ', '_')}", "full", shape)
        assert any(mark.encode() in content for place, content in left if place.startswith("rows of"))


LOUD = """
import logging
logging.basicConfig(level=logging.DEBUG)
from rowcall.cli import main
main()
"""
JOB = """
job: quiet
variables: {said: nothing}
prompts:
  query: SELECT id, concat('${said}', 'otter-4711 ', id) AS text FROM range(6)
  key: id
request: {input: "{text}"}
endpoint: {serving: echo}
engine: {kind: responses, concurrency: 2}
traces: {content: none}
outputs: {table: main.demo.quiet}
"""


@pytest.mark.timeout(120)
def test_the_logs_of_the_command_line_have_none_either(bench: Bench, tmp_path: Path):
    bench.behave(faults=[{"every": 3, **QUOTED}])
    (tmp_path / "quiet.yml").write_text(JOB)
    login = {"DATABRICKS_CONFIG_FILE": bench.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": bench.sandbox.profile}
    command = [sys.executable, "-c", LOUD, "run", "quiet.yml", "--json", "--var", "said=amber-"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **login}, capture_output=True, timeout=90, check=False
    )
    assert done.returncode == 3, done.stderr.decode()[-2000:]
    home = tmp_path / ".rowcall"
    left = [place for place in files(home) if "/quiet/" not in place[0]]
    assert any("/traces/" in place for place, _ in left)
    (hint,) = (line for line in done.stderr.decode().splitlines() if "next: " in line)
    assert "quiet.yml --var 'said=…' asks" in hint
    assert leaks(MARKS, [("output", done.stdout), ("logs", done.stderr), *left]) == []
    assert any(PROMPT.encode() in content for place, content in files(home) if "/quiet/" in place)
