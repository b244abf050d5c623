"""The command line as a person meets it: text, exit codes, no tracebacks. In processes, on a sandbox and a lakehouse of its own."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rowcall.sandbox.process import SandboxProcess
from support import control

GOOD = """
job: greet
prompts: {query: "SELECT id, concat('hello ', id) AS text FROM range(${rows})", key: id}
variables: {rows: 12}
request: {instructions: Be brief., input: "Say: {text}"}
endpoint: {app: echo}
engine: {concurrency: 4}
outputs: {table: main.demo.greet}
"""
BAD = """
job: bad
prompts: {table: main.demo.nope, key: id, wher: x}
request: {input: "{text}"}
endpoint: {app: echo}
engine: {concurrency: many}
outputs: {table: main.demo.bad}
"""
UNFIT = GOOD.replace("{text}", "{txt}").replace("{app: echo}", "{app: ecco}")


@dataclass
class Project:
    folder: Path
    sandbox: SandboxProcess

    def call(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        login = {"DATABRICKS_CONFIG_FILE": self.sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": self.sandbox.profile}
        done = subprocess.run(
            [sys.executable, "-m", "rowcall", *words],
            cwd=self.folder,
            env={**os.environ, **login},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxProcess) -> Project:
    folder = tmp_path_factory.mktemp("project")
    for name, text in (("good", GOOD), ("bad", BAD), ("unfit", UNFIT)):
        (folder / f"{name}.yml").write_text(text.lstrip())
    control(sandbox, "PUT", "behaviour/echo", {})
    return Project(folder, sandbox)


def test_plan_writes_nothing_and_tells_everything(project: Project):
    plan = json.loads(project.call("plan", "good.yml", "--json").stdout)
    assert plan["rows"]["pending"] == 12
    assert [row["key"]["id"] for row in plan["preview"]] == [0, 1, 2]
    assert any(statement["sql"].startswith("-- Publish staged answers") for statement in plan["statements"])
    text = project.call("plan", "good.yml", "--sql").stdout
    assert "MERGE INTO `main`.`demo`.`greet`" in text
    assert "1 × 4 = 4 of at most 4" in text
    assert not (project.folder / ".rowcall" / "journal").exists()
    assert list((project.folder / ".rowcall" / "lakehouse").glob("*/*/*")) == []


def test_run_runs_show_and_failures_tell_one_story(project: Project):
    control(project.sandbox, "PUT", "behaviour/echo", {"faults": [{"match": "hello 3", "status": 422}]})
    first = project.call("run", "good.yml", "--json", code=3)
    row = json.loads(first.stdout.splitlines()[-1])
    assert (row["status"], row["ok"], row["failed"]) == ("done", 11, 1)
    assert f"next: rowcall failures {row['run_id']}" in first.stderr
    assert "asks only the 1 that is left" in first.stderr

    (failed,) = json.loads(project.call("failures", row["run_id"], "--json").stdout)
    assert (failed["id"], failed["outcome"], failed["error"]["kind"]) == (3, "error", "bad_request")
    assert "bad_request" in project.call("failures", row["run_id"]).stdout
    assert json.loads(project.call("show", row["run_id"], "--json").stdout)["ok"] == 11
    (attempt,) = json.loads(project.call("trace", "greet", "3", "--json").stdout)["trace"]["children"]
    assert (attempt["name"], attempt["attributes"]["http.response.status_code"]) == ("attempt 1", 422)
    assert "└── attempt 1 · at " in project.call("trace", "greet", "id=3", "--full").stdout
    assert "has no row with id = '77'" in project.call("trace", "greet", "77", code=1).stderr

    control(project.sandbox, "PUT", "behaviour/echo", {})
    second = project.call("run", "good.yml")
    assert "✔ 1 asked · 1 ok" in second.stdout
    assert second.stdout.count("\x1b") == 0
    listed = json.loads(project.call("runs", "--json").stdout)
    assert [run["asked"] for run in listed] == [1, 12]


def test_variables_come_from_the_command_line(project: Project):
    plan = json.loads(project.call("plan", "good.yml", "--var", "rows=5", "--json").stdout)
    assert plan["rows"]["source"] == 5
    assert "Did you mean" in project.call("plan", "good.yml", "--var", "row=5", code=2).stderr


def test_preview_shows_what_would_be_sent(project: Project):
    shown = project.call("preview", "good.yml", "--limit", "2").stdout
    assert "system: Be brief." in shown
    assert "user: Say: hello 1" in shown
    assert "hello 2" not in shown


def test_a_wrong_definition_is_told_line_by_line(project: Project):
    said = project.call("validate", "bad.yml", "good.yml", code=2)
    assert "good.yml: greet is fine" in said.stdout
    lines = said.stderr.splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "5"]
    assert "Did you mean `where`?" in lines[0]


def test_what_does_not_fit_the_tables_or_the_workspace_is_told_with_its_line(project: Project):
    lines = project.call("run", "unfit.yml", code=2).stderr.splitlines()
    assert lines[0].startswith("unfit.yml:4: request.input: there is no column 'txt'. Did you mean {text}?")
    assert lines[1].startswith("unfit.yml:5: endpoint.app: there is no app 'ecco'")


def test_a_missing_table_and_a_missing_file_are_told(project: Project):
    (project.folder / "missing.yml").write_text(
        GOOD.replace("query: \"SELECT id, concat('hello ', id) AS text FROM range(${rows})\"", "table: main.demo.nope")
        .replace("variables: {rows: 12}\n", "")
        .lstrip()
    )
    said = project.call("run", "missing.yml", code=2).stderr
    assert "missing.yml:2: prompts.table: there is no table 'main.demo.nope'" in said
    assert "there is no such file. There are: bad.yml" in project.call("run", "none.yml", code=2).stderr


def test_a_pat_is_refused_for_an_app_before_anything_is_asked(project: Project):
    said = project.call("run", "good.yml", "--profile", "sandbox-pat", "--var", "rows=40", code=2).stderr
    assert "good.yml:5: endpoint.app: apps take OAuth tokens only" in said


def test_an_unreachable_workspace_is_told_without_a_long_wait(project: Project):
    config = project.folder / "nowhere.cfg"
    config.write_text("[sandbox]\nhost = http://127.0.0.1:9\ntoken = t\n")
    gone = Project(project.folder, SandboxProcess("", str(config), "sandbox", project.sandbox.process))
    assert gone.call("plan", "good.yml", code=1).stderr.startswith("rowcall: ")


def test_runs_of_no_table_and_an_unknown_run_are_told(project: Project):
    project.call("run", "good.yml", "--var", "rows=1")
    assert "there is no table main.demo.none" in project.call("runs", "--table", "main.demo.none", code=1).stderr
    assert "has no run 1999" in project.call("show", "1999", code=1).stderr
    assert "not a table name" in project.call("runs", "--table", "a.b.c.d", code=1).stderr


def test_the_demo_answers_every_text(project: Project, tmp_path: Path):
    shown = Project(tmp_path, project.sandbox).call("demo").stdout
    assert "✔ 240 asked · 240 ok" in shown
    assert "main.demo.text_insight" in shown
    assert "rowcall run" in shown


def test_help_and_version(project: Project):
    assert "failures" in project.call("--help").stdout
    assert project.call("--version").stdout.startswith("rowcall ")


def test_a_pilot_asks_a_few_rows_and_plans_the_rest_with_what_they_told(project: Project):
    (project.folder / "pilot.yml").write_text(GOOD.replace("greet", "pilot").lstrip())
    done = project.call("plan", "pilot.yml", "--pilot", "5", "--no-sql")
    assert "7 left for later" in done.stdout
    assert "rowcall run pilot.yml asks only the 7 that are left" in done.stdout
    given = ("--var", "rows=11", "--only-new", "--home", ".rowcall/../.rowcall")
    more = project.call("run", "pilot.yml", "--limit", "1", *given)
    assert f"next: rowcall run pilot.yml {' '.join(given)} asks only the " in more.stdout
    assert "5 answers to requests as they are now" in done.stdout
    assert "Nothing else was written." in done.stdout
    plan = json.loads(project.call("plan", "pilot.yml", "--pilot", "2", "--json").stdout)
    assert (plan["rows"]["pending"], plan["rows"]["answered"]) == (4, 8)
    tokens = plan["estimate"]["output_tokens"]["interval"]
    assert 0 < tokens["low"] <= tokens["expected"] <= tokens["high"]
    limited = json.loads(project.call("run", "pilot.yml", "--limit", "1", "--json").stdout.splitlines()[-1])
    assert (limited["asked"], limited["context"]["rows_left_for_later"]) == (1, "3")


@pytest.mark.timeout(240)
def test_several_endpoints_are_asked_compared_and_paid_for_by_name(project: Project):
    several = "endpoints: {fast: {serving: echo-model}, careful: {app: echo, price: {input: 2, output: 8}}}"
    (project.folder / "twice.yml").write_text(GOOD.replace("greet", "twice").replace("endpoint: {app: echo}", several))
    control(project.sandbox, "PUT", "behaviour/echo-model", {})
    only = json.loads(project.call("run", "twice.yml", "--endpoint", "careful", "--json").stdout.splitlines()[-1])
    assert (only["endpoint"], only["ok"]) == ("app echo", 12)
    lines = [json.loads(line) for line in project.call("run", "twice.yml", "--json").stdout.splitlines()]
    assert [(row["endpoint"], row["asked"]) for row in lines] == [("serving echo-model", 12), ("app echo", 0)]
    said = project.call("compare", "twice").stdout
    assert "a  twice:careful" in said
    assert "of 12 rows that both answered" in said
    (fast,) = [row for row in json.loads(project.call("costs", "twice", "--json").stdout) if row["currency"] is None]
    assert (fast["endpoint"], fast["ok"]) == ("serving echo-model", 12)
    assert "neither a run nor a job" in project.call("compare", "twice:fast", "nobody", code=1).stderr
    assert "no endpoint 'slow'" in project.call("run", "twice.yml", "--endpoint", "slow", code=2).stderr


def test_a_pilot_that_fails_plans_nothing(project: Project):
    (project.folder / "denied.yml").write_text(GOOD.replace("greet", "denied").lstrip())
    control(project.sandbox, "PUT", "behaviour/echo", {"faults": [{"match": "hello", "status": 403}]})
    try:
        assert "estimate" not in project.call("plan", "denied.yml", "--pilot", "5", "--json", code=1).stdout
    finally:
        control(project.sandbox, "PUT", "behaviour/echo", {})


def test_vacuum_tells_what_would_go_and_removes_it(project: Project):
    assert "job definitions, or --all" in project.call("vacuum", code=2).stderr
    assert "job definitions, or --all" in project.call("vacuum", "good.yml", "--all", code=2).stderr
    assert "expected an hour or more" in project.call("vacuum", "good.yml", "--older-than", "5m", code=2).stderr
    assert "no job was run here yet" in project.call("vacuum", "good.yml", code=1).stderr
    project.call("run", "good.yml")
    notes = project.folder / ".rowcall" / "journal" / "greet" / "20260101-000000-abcd" / "notes"
    notes.mkdir(parents=True)
    (notes / "stop").write_text("now")
    dry = project.call("vacuum", "good.yml", "--dry-run").stdout
    assert re.search(r"greet +journal +20260101-000000-abcd +3 bytes +would go", dry)
    assert "would go: 1 journal · 3 bytes of files" in dry
    assert notes.exists()
    found = json.loads(project.call("vacuum", "--all", "--json", "--no-optimize").stdout)
    assert found == [
        {
            "job": "greet",
            "kind": "journal",
            "name": "20260101-000000-abcd",
            "state": "gone",
            "why": "",
            "rows": None,
            "files": 1,
            "bytes": 3,
        }
    ]
    assert not notes.exists()
    again = project.call("vacuum", "good.yml").stdout
    assert "not here: embedded lakehouse has no OPTIMIZE" in again
    assert again.endswith("nothing goes\n")


def test_failures_say_that_there_are_more(project: Project):
    control(project.sandbox, "PUT", "behaviour/echo", {"faults": [{"match": "hello 1", "status": 422}]})
    (project.folder / "more.yml").write_text(GOOD.replace("greet", "more").lstrip())
    run_id = json.loads(project.call("run", "more.yml", "--json", code=3).stdout.splitlines()[-1])["run_id"]
    every = json.loads(project.call("failures", run_id, "--json").stdout)
    some = project.call("failures", run_id, "--limit", "2", "--json")
    assert len(every) == 3
    assert (len(json.loads(some.stdout)), some.stderr) == (2, "There are more than these 2; --limit lists more.\n")
    assert project.call("failures", run_id, "--limit", "2").stdout.endswith("--limit lists more.\n")
    whole = project.call("failures", run_id, "--limit", str(len(every)))
    assert "There are more" not in whole.stdout + whole.stderr
