"""`rowcall bundle check`: this repository's own bundle is right, and each of many mistakes is told where it stands."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from rowcall import cli
from rowcall.bundle.check import check
from rowcall.cli_bundle import refused
from rowcall.core.errors import SetupError

ROOT = Path(__file__).parents[3]
COMMANDS: Any = typer.main.get_command(cli.app)
Change = Callable[[Path, dict[str, Any]], None]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The repository's bundle, for one target: each takes some seconds to build."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    config = yaml.safe_load((ROOT / "databricks.yml").read_text())
    config["targets"] = {"prod": config["targets"]["prod"]}
    write(tmp_path, config)
    return tmp_path


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "databricks.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def found_in(folder: Path, **options: Any) -> list[str]:
    checked = check(folder, lambda given: refused(COMMANDS, given), **{"wheel": False, **options})
    return [str(problem) for problem in checked.problems]


def in_config(*path: str, value: Any) -> Change:
    def change(_: Path, config: dict[str, Any]) -> None:
        *parents, last = path
        for part in parents:
            config = config[part]
        config[last] = value

    return change


def in_job(old: str, new: str) -> Change:
    def change(folder: Path, _: dict[str, Any]) -> None:
        path = folder / "jobs" / "text_insight.yml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def without(name: str) -> Change:
    def change(folder: Path, _: dict[str, Any]) -> None:
        (folder / name).unlink()

    return change


def own_job(**task: Any) -> Change:
    """A job that is written in the bundle's own file."""
    job = {"name": "own", "tasks": [{"task_key": "own", **task}]}
    return in_config("resources", "jobs", value={"own": job})


WHEEL = {"package_name": "rowcall", "entry_point": "rowcall", "parameters": ["--version"]}

MISTAKES: dict[str, tuple[Change, str, str]] = {
    "a key that is none": (
        in_config("resuorces", value={}),
        "resuorces: is no key of a bundle",
        "Did you mean `resources`?",
    ),
    "a variable that is not declared": (
        in_config("resources", "schemas", "answers", "catalog_name", value="${var.catalgo}"),
        "resources.schemas.answers.catalog_name: ${var.catalgo}: there is no variable 'catalgo'",
        "catalog",
    ),
    "a variable of a target that the bundle has not": (
        in_config("targets", "prod", "variables", value={"catlog": "x"}),
        "targets.prod.variables.catlog: is no variable of the bundle",
        "Did you mean `catalog`?",
    ),
    "a resource that is not there": (
        in_config("resources", "volumes", "journal", "schema_name", value="${resources.schemas.anwers.name}"),
        "resources.volumes.journal.schema_name: ${resources.schemas.anwers.name}: there is no schemas.anwers",
        "answers",
    ),
    "a field that the resource has not": (
        in_config("resources", "volumes", "journal", "volume_kind", value="MANAGED"),
        "resources.volumes.journal",
        "volume_kind",
    ),
    "a value that is none of those allowed": (
        in_config("resources", "volumes", "journal", "volume_type", value="MANGED"),
        "resources.volumes.journal",
        "MANGED",
    ),
    "a dashboard without its file": (
        without("sql/dashboards/rowcall.lvdash.json"),
        "resources.dashboards.rowcall.file_path: there is no file sql/dashboards/rowcall.lvdash.json",
        "databricks.yml:",
    ),
    "a definition with a mistake": (
        in_job("key: text_id", "kye: text_id"),
        "jobs/text_insight.yml:9: ",
        "Did you mean `key`?",
    ),
    "a function that is not there": (
        in_config("python", "resources", value=["rowcall.bundle:load_resource"]),
        "Name 'load_resource' not found in module 'rowcall.bundle'",
        "rowcall/bundle/__init__.py",
    ),
    "a job that is not brought to the workspace": (
        in_config("sync", "exclude", value=["jobs/**"]),
        "jobs/text_insight.yml is not brought to the workspace: sync.exclude has 'jobs/**'",
        "resources.jobs.text_insight.tasks[0].python_wheel_task.parameters[1]",
    ),
    "a wheel that nothing makes": (
        in_config("artifacts", value={}),
        "resources.jobs.text_insight.environments[0].spec.dependencies: nothing makes ./dist/*.whl",
        "artifacts",
    ),
    "a time zone that is none": (
        in_job("Europe/Berlin", "Europe/Berln"),
        "resources.jobs.text_insight.schedule.timezone_id: there is no time zone 'Europe/Berln'",
        "jobs/text_insight.yml",
    ),
    "a command that the wheel has not": (
        own_job(existing_cluster_id="a", python_wheel_task={**WHEEL, "entry_point": "rowcal"}),
        "resources.jobs.own.tasks[0].python_wheel_task.entry_point: rowcall has no command 'rowcal'",
        "rowcall",
    ),
    "a package that is not there": (
        own_job(existing_cluster_id="a", python_wheel_task={**WHEEL, "package_name": "rowcal"}),
        "resources.jobs.own.tasks[0].python_wheel_task.package_name: no wheel of the bundle is 'rowcal'",
        "rowcall",
    ),
    "a command line that would be refused": (
        own_job(existing_cluster_id="a", python_wheel_task={**WHEEL, "parameters": ["run", "jobs/a.yml", "--jsn"]}),
        "resources.jobs.own.tasks[0].python_wheel_task.parameters: rowcall would refuse this command line",
        "--jsn",
    ),
    "a task without compute": (
        own_job(python_wheel_task=WHEEL),
        "resources.jobs.own.tasks[0]: has no compute",
        "environment_key",
    ),
    "a task on an environment that the job has not": (
        own_job(python_wheel_task=WHEEL, environment_key="job"),
        "resources.jobs.own.tasks[0].environment_key: the job has no environment 'job'",
        "there are none",
    ),
    "a task after one that is not there": (
        own_job(existing_cluster_id="a", python_wheel_task=WHEEL, depends_on=[{"task_key": "before"}]),
        "resources.jobs.own.tasks[0].depends_on: there is no task 'before'",
        "own",
    ),
    "a parameter that the job has not": (
        own_job(
            existing_cluster_id="a",
            python_wheel_task={**WHEEL, "parameters": ["validate", "{{job.parameters.file}}"]},
        ),
        "{{job.parameters.file}}: the job has no such parameter",
        "resources.jobs.own.tasks[0].python_wheel_task.parameters[1]",
    ),
    "a notebook that is not there": (
        own_job(existing_cluster_id="a", notebook_task={"notebook_path": "jobs/notebooks/none.ipynb"}),
        "resources.jobs.own.tasks[0].notebook_task.notebook_path: there is no notebook jobs/notebooks/none.ipynb",
        "databricks.yml:",
    ),
    "a file to include that is not there": (
        in_config("include", value=["resources/*.yml"]),
        "include: no file matches 'resources/*.yml'",
        "databricks.yml:",
    ),
}


def test_this_bundle_is_right(bundle: Path) -> None:
    assert found_in(bundle) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_where_it_stands(bundle: Path, mistake: str) -> None:
    change, said, also = MISTAKES[mistake]
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    change(bundle, config)
    write(bundle, config)
    told = [one for one in found_in(bundle) if said in one]
    assert told, found_in(bundle)
    assert also in told[0]


def test_what_a_target_needs_is_named(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    config["targets"]["other"] = {"variables": {"service_principal": "1234"}}
    write(bundle, config)
    assert check(bundle, lambda _: None, wheel=False).missing == {"prod": ("service_principal",)}


def project(folder: Path, **artifact: Any) -> Path:
    """A small package, which a bundle builds."""
    (folder / "src" / "tiny").mkdir(parents=True)
    (folder / "src" / "tiny" / "__init__.py").write_text("def main() -> None:\n    print('tiny 1.0')\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "tiny"\nversion = "1.0"\n[project.scripts]\ntiny = "tiny:main"\n'
    )
    build = f"{sys.executable} -m hatchling build -t wheel"
    write(
        folder,
        {
            "bundle": {"name": "tiny"},
            "artifacts": {"tiny": {"type": "whl", "path": ".", "build": build, **artifact}},
            "targets": {"dev": {"default": True}},
        },
    )
    return folder


def test_a_wheel_is_built_and_runs_by_itself(tmp_path: Path) -> None:
    checked = check(project(tmp_path), lambda _: None)
    assert (checked.wheels, checked.problems) == (("tiny 1.0",), ())


def test_a_wheel_that_cannot_be_built_is_a_mistake(tmp_path: Path) -> None:
    (told,) = found_in(project(tmp_path, build="echo no such thing >&2; exit 3"), wheel=True)
    assert told.startswith("databricks.yml:")
    assert "artifacts.tiny: `echo no such thing >&2; exit 3` did not work: no such thing" in told


def test_a_wheel_that_does_not_run_is_a_mistake(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "src" / "tiny" / "__init__.py").write_text("import no_such_module_anywhere\n")
    (told,) = found_in(folder, wheel=True)
    assert "artifacts.tiny: tiny --version did not work" in told
    assert "no_such_module_anywhere" in told


@pytest.mark.parametrize(("text", "said"), [("a: [", "databricks.yml:1"), ("- a", "a list"), ("", "is empty")])
def test_what_is_no_bundle_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "databricks.yml").write_text(text)
    (told, *_) = found_in(tmp_path)
    assert said in told


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="a bundle starts with it"):
        found_in(tmp_path)


def test_the_environment_that_the_cli_would_use_must_be_there(bundle: Path) -> None:
    (bundle / ".venv").unlink()
    with pytest.raises(SetupError, match=r"python -m venv \.venv"):
        found_in(bundle)


def test_the_command(bundle: Path) -> None:
    said = CliRunner().invoke(cli.app, ["bundle", "check", str(bundle), "--no-wheel", "--json"])
    told = json.loads(said.stdout.splitlines()[-1])
    assert (said.exit_code, told["problems"]) == (0, [])
    assert told["jobs"] == {"prod": ["summaries", "text_insight", "text_insight_sql"]}
    shutil.rmtree(bundle / "sql" / "dashboards")
    said = CliRunner().invoke(cli.app, ["bundle", "check", str(bundle), "--no-wheel"])
    assert said.exit_code == 1
    assert "1 mistake" in said.stdout
    assert "there is no file sql/dashboards/rowcall.lvdash.json" in said.stderr
