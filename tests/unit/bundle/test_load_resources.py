"""The Databricks jobs of the sample definitions, built as the Databricks CLI builds them; goldens are in tests/golden/bundle."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "bundle"
VARIABLES: dict[str, Any] = {
    "rowcall": "./dist/*.whl",
    "catalog": "main",
    "schema": "demo_${workspace.current_user.short_name}",
    "warehouse": None,
    "notifications": ["data@example.com"],
}


def build(folder: Path, variables: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The jobs, and what the CLI would tell of mistakes."""
    given = {
        "bundle": {"name": "rowcall", "target": "dev"},
        "variables": {name: {"value": value} for name, value in variables.items()},
        "python": {"resources": ["rowcall.bundle:load_resources"]},
    }
    (folder / "input.json").write_text(json.dumps(given))
    files = [f"--{name}={name}.json" for name in ("input", "output", "diagnostics", "locations")]
    command = [sys.executable, "-m", "databricks.bundles.build", "--phase=load_resources", *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in (folder / "diagnostics.json").read_text().splitlines()]
    assert done.returncode == (1 if told else 0), done.stderr
    return json.loads((folder / "output.json").read_text()).get("resources", {}).get("jobs", {}), told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sample jobs in a folder that is no repository: a commit would be another one each time."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    return tmp_path


def test_the_sample_jobs(folder: Path) -> None:
    jobs, told = build(folder, VARIABLES)
    assert told == []
    assert jobs.keys() == {"summaries", "text_insight", "text_insight_sql"}
    for name, job in jobs.items():
        text = json.dumps(job, indent=2) + "\n"
        path = GOLDEN / f"{name}.json"
        if os.environ.get("ROWCALL_UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), name


def test_another_file_is_another_job_with_the_commit_it_is_of(folder: Path) -> None:
    job = (folder / "jobs" / "text_insight.yml").read_text().replace("job: text_insight", "job: again")
    (folder / "jobs" / "again.yml").write_text(job)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    jobs, _ = build(folder, VARIABLES)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()
    assert f"git_commit={commit}" in jobs["again"]["tasks"][0]["python_wheel_task"]["parameters"]


def test_a_mistake_in_a_definition_is_told_with_its_line(folder: Path) -> None:
    path = folder / "jobs" / "text_insight.yml"
    path.write_text(path.read_text().replace("key: text_id", "kye: text_id"))
    _, told = build(folder, VARIABLES)
    (error,) = told
    line = path.read_text().splitlines().index("  kye: text_id") + 1
    assert (error["severity"], error["location"]["file"], error["location"]["line"]) == (
        "error",
        str(Path("jobs", path.name)),
        line,
    )
    assert "Did you mean `key`?" in error["detail"]


def test_two_files_of_one_job_are_refused(folder: Path) -> None:
    shutil.copy(folder / "jobs" / "text_insight.yml", folder / "jobs" / "zz.yml")
    _, told = build(folder, VARIABLES)
    assert ["another file of jobs/ has a job 'text_insight' as well" in one["summary"] for one in told] == [True]


def test_a_bundle_without_jobs_is_a_mistake(tmp_path: Path) -> None:
    _, told = build(tmp_path, VARIABLES)
    assert ["there is no job definition" in one["summary"] for one in told] == [True]
