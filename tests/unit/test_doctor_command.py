"""`rowcall doctor` as a person meets it: a table, what to do, exit codes; and a check that breaks."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rowcall.adapters.aside import Aside
from rowcall.console_doctor import print_checks
from rowcall.core.doctor.checks import Check, Found, State, missing, ok
from rowcall.core.errors import DefinitionError, Problem, RunError, SetupError
from rowcall.doctor import Checks
from rowcall.sandbox.process import SandboxProcess

JOB = """
job: examined
prompts: {query: "SELECT id, concat('hello ', id) AS text FROM range(5)", key: id}
request: {input: "{text}"}
endpoint: {app: APP}
outputs: {table: main.demo.examined}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examined")
    jobs = {"good": JOB.replace("APP", "echo"), "lost": JOB.replace("APP", "nowhere"), "bad": "job: bad\n"}
    jobs["unfit"] = jobs["good"].replace("{text}", "{txt}")
    for name, text in jobs.items():
        (made / f"{name}.yml").write_text(text.lstrip())
    return made


def call(folder: Path, sandbox: SandboxProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    login = {"DATABRICKS_CONFIG_FILE": sandbox.config_file, "DATABRICKS_CONFIG_PROFILE": sandbox.profile}
    done = subprocess.run(
        [sys.executable, "-m", "rowcall", "doctor", *words],
        cwd=folder,
        env={**os.environ, **login},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_without_a_job_it_looks_at_the_workspace_alone(folder: Path, sandbox: SandboxProcess) -> None:
    done = call(folder, sandbox, "--json")
    checks = json.loads(done.stdout)
    assert done.returncode == 0
    assert [check["check"] for check in checks] == ["packages", "login", "workspace", "clock"]
    assert {check["state"] for check in checks} == {"ok"}
    assert not (folder / ".rowcall").exists()


def test_a_sandbox_of_its_own_is_called_one(folder: Path, sandbox: SandboxProcess) -> None:
    done = call(folder, sandbox, "--sandbox")
    assert done.returncode == 0
    assert "This is the sandbox on this machine, not Databricks" in done.stdout


@pytest.mark.parametrize(("job", "code", "said"), [("good", 0, "5 rows to ask"), ("lost", 1, "no app nowhere")])
def test_a_job(folder: Path, sandbox: SandboxProcess, job: str, code: int, said: str) -> None:
    done = call(folder, sandbox, f"{job}.yml")
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout
    assert not list((folder / ".rowcall" / "lakehouse").glob("*/*/*"))
    assert not (folder / ".rowcall" / "journal").exists()


@pytest.mark.parametrize(("job", "said"), [("bad", "prompts"), ("unfit", "txt")])
def test_a_wrong_definition(folder: Path, sandbox: SandboxProcess, job: str, said: str) -> None:
    done = call(folder, sandbox, f"{job}.yml")
    assert (done.returncode, said in done.stdout + done.stderr) == (2, True)


def shown(*checks: Check) -> str:
    out = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, soft_wrap=True)
    print_checks(out, checks)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_what_to_do_stands_on_one_line_that_can_be_copied() -> None:
    grant = f"GRANT SELECT ON TABLE main.demo.{'x' * 150} TO `somebody`;"
    text = shown(Check("login", ok("fine")), Check("prompts", missing("no", grant)))
    assert f"\n  {grant}\n" in text
    assert text.rstrip().endswith("1 ok · 1 missing")


def test_what_a_server_says_forges_nothing() -> None:
    text = shown(Check("SQL", missing("\x1b[2J[red]gone[/red]", "\x1b]0;title\x07")))
    assert "\x1b" not in text
    assert "[red]gone[/red]" in text


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (KeyError("x"), Found(State.UNKNOWN, "it could not be checked: KeyError: 'x'")),
        (SetupError("no login"), Found(State.MISSING, "no login")),
        (RunError("gone"), Found(State.UNKNOWN, "gone")),
        (DefinitionError([Problem("", "job", "is wrong")]), Found(State.WRONG, "job: is wrong")),
    ],
)
def test_a_check_that_breaks_hides_no_other(error: Exception, found: Found) -> None:
    def broken() -> Found:
        raise error

    checks = Checks(Aside(60))
    checks.make("broken", broken)
    checks.make("next", lambda: ok("made"))
    assert [check.found for check in checks.checks] == [found, ok("made")]
