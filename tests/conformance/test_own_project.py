"""A newcomer's path: `rowcall init`, run, edit, run, report, bundle check; and the project passes the tests that come with it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from rowcall import __version__
from rowcall.core.errors import SetupError
from rowcall.project import start_project

pytestmark = pytest.mark.timeout(300)


def call(folder: Path, *arguments: str, code: int = 0) -> str:
    """A command in the project, as somebody without any configuration gives it; what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABRICKS_")}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == code, done.stderr or done.stdout
    return done.stdout


def test_from_nothing_to_a_bundle(tmp_path: Path) -> None:
    assert "wrote my-reviews/jobs/reviews.yml" in call(tmp_path, "rowcall", "init", "my-reviews")
    folder = tmp_path / "my-reviews"
    (folder / ".venv").symlink_to(Path(sys.prefix))

    first = json.loads(call(folder, "rowcall", "run", "jobs/reviews.yml", "--json").splitlines()[-1])
    assert (first["status"], first["ok"], first["outputs_table"]) == ("done", 4, "main.my_reviews.reviews_answered")

    job = folder / "jobs" / "reviews.yml"
    job.write_text(job.read_text().replace("sum it up in one line", "sum it up in five words"))
    again = json.loads(call(folder, "rowcall", "run", "jobs/reviews.yml", "--json").splitlines()[-1])
    assert (again["asked"], again["ok"]) == (4, 4)

    call(folder, "rowcall", "report", again["run_id"], "-o", "report.html")
    assert "reviews" in (folder / "report.html").read_text()

    checked = json.loads(call(folder, "rowcall", "bundle", "check", "--no-wheel", "--json").splitlines()[-1])
    assert checked == {
        "jobs": {"dev": ["reviews"], "prod": ["reviews"]},
        "missing": {"prod": ["service_principal"]},
        "wheels": [],
        "problems": [],
    }


def test_a_project_passes_its_own_tests_at_once(tmp_path: Path) -> None:
    start_project(tmp_path / "mine")
    said = call(tmp_path / "mine", "pytest", "-p", "no:cacheprovider", "-q")
    assert "1 passed" in said


def test_continuous_integration_calls_what_there_is(tmp_path: Path) -> None:
    start_project(tmp_path / "mine")
    steps = yaml.safe_load((tmp_path / "mine" / ".github" / "workflows" / "check.yml").read_text())["jobs"]["check"]
    commands = [step["run"] for step in steps["steps"] if "run" in step]
    assert [command.split()[0] for command in commands[1:]] == [
        ".venv/bin/rowcall",
        ".venv/bin/python",
        ".venv/bin/rowcall",
    ]
    (requirement, *_) = (tmp_path / "mine" / "requirements.txt").read_text().splitlines()
    extras = requirement.partition("[")[2].partition("]")[0].split(",")
    root = Path(__file__).parents[2]
    known = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert requirement.endswith(f"=={__version__}")
    assert set(extras) <= known.keys()


@pytest.mark.parametrize(
    ("folder", "name", "schema"),
    [
        ("Team Reviews!", "team-reviews", "team_reviews"),
        ("2026", "rowcall-2026", "rowcall_2026"),
        ("ünïcode", "n-code", "n_code"),
    ],
)
def test_a_project_is_named_after_its_folder(tmp_path: Path, folder: str, name: str, schema: str) -> None:
    start_project(tmp_path / folder)
    bundle = yaml.safe_load((tmp_path / folder / "databricks.yml").read_text())
    assert bundle["bundle"]["name"] == name
    assert bundle["variables"]["schema"]["default"] == schema
    left = [path for path in (tmp_path / folder).rglob("*") if path.is_file() and "@@" in path.read_text()]
    assert left == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "databricks.yml").write_text("mine")
    with pytest.raises(SetupError, match=r"databricks\.yml exists already; choose another folder"):
        start_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["databricks.yml"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        start_project(tmp_path / "file" / "project")
