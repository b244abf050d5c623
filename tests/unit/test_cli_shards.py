"""The commands for runs that are cut into shards, as far as they need no workspace."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rowcall import cli

JOB = """
job: greet
prompts: {table: main.demo.texts, key: id}
request: {input: "{text}"}
endpoint: {serving: an-agent}
engine: ENGINE
outputs: {table: main.demo.greet}
"""


def call(folder: Path, *words: str, engine: str = "{concurrency: 20, requests_per_minute: 600}") -> Result:
    job = folder / "job.yml"
    job.write_text(JOB.replace("ENGINE", engine).lstrip())
    return CliRunner().invoke(cli.app, [words[0], str(job), *words[1:]])


def test_the_inputs_of_a_loop_and_the_share_of_each_limit_are_shown(tmp_path: Path):
    done = call(tmp_path, "shards", "8")
    assert done.exit_code == 0
    inputs, head, calls, requests = (line.rstrip() for line in done.stdout.splitlines())
    assert json.loads(inputs.removeprefix("inputs: ")) == [f"{number}/8" for number in range(1, 9)]
    assert head.split("  ")[0] == "limit"
    assert calls.split()[-2:] == ["20", "2"]
    assert requests.split()[-2:] == ["600", "75"]


def test_a_machine_gets_them_as_json(tmp_path: Path):
    said = json.loads(call(tmp_path, "shards", "30", "--json").stdout)
    assert said.pop("inputs") == [f"{number}/30" for number in range(1, 31)]
    assert said == {"shards_with_calls": 20, "calls_in_flight": 1, "requests_per_minute": 30}


def test_shards_without_a_call_are_told(tmp_path: Path):
    assert "The other 10 have nothing to do" in call(tmp_path, "shards", "30").stdout


@pytest.mark.parametrize("words", [("shards", "4"), ("shard", "1/4", "--job-run", "1")])
def test_ai_query_is_refused_with_the_line(tmp_path: Path, words: tuple[str, ...]):
    done = call(tmp_path, *words, engine="{kind: ai_query}")
    assert done.exit_code == 2
    assert "job.yml:5: engine.kind: how much ai_query asks at once" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shard", "9/8", "--job-run", "1"), "expected a shard such as 3/8"),
        (("shard", "1/8"), "need one"),
        (("run", "--shards", "8"), "need one"),
        (("run", "--shards", "8", "--job-run", "1", "--patience", "soon"), "expected a time such as 90s"),
        (("run", "--shards", "1"), "--shards"),
        (("run", "--shards", "101"), "--shards"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], said: str):
    done = call(tmp_path, *words)
    assert done.exit_code == 2
    assert said in done.stderr
