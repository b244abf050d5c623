"""`rowcall bundle check`: this repository's own bundle is right, and each of many mistakes is told where it stands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import COMMANDS, Change, found_in, in_config, own_job, write
from typer.testing import CliRunner

from rowcall import cli
from rowcall.bundle.check import check
from rowcall.cli_bundle import refused
from rowcall.core.errors import SetupError

ROOT = Path(__file__).parents[3]


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


def in_job(old: str, new: str) -> Change:
    def change(folder: Path, _: dict[str, Any]) -> None:
        path = folder / "jobs" / "text_insight.yml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def ignored(pattern: str) -> Change:
    """In a repository whose .gitignore has the pattern; that a file is committed all the same does not help."""

    def change(folder: Path, _: dict[str, Any]) -> None:
        (folder / ".gitignore").write_text(f"{pattern}\n")
        for command in (["init", "-q"], ["add", "-f", "jobs"]):
            subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)

    return change


def without(name: str) -> Change:
    def change(folder: Path, _: dict[str, Any]) -> None:
        (folder / name).unlink()

    return change


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
    "a query that is not there": (
        without("sql/prompts/long_texts.sql"),
        "jobs/summaries.yml:8: prompts.file: there is no file 'sql/prompts/long_texts.sql'",
        "Looked for jobs/sql/prompts/long_texts.sql, sql/prompts/long_texts.sql.",
    ),
    "a query that is a folder": (
        lambda folder, _: (folder / "jobs" / "summaries.yml").write_text(
            (folder / "jobs" / "summaries.yml").read_text().replace("/long_texts.sql", "")
        ),
        "jobs/summaries.yml:8: prompts.file: there is no file 'sql/prompts'",
        "Looked for",
    ),
    "a query on this machine alone": (
        lambda folder, _: (folder / "jobs" / "summaries.yml").write_text(
            (folder / "jobs" / "summaries.yml").read_text().replace("sql/prompts/", f"{folder}/sql/prompts/")
        ),
        "jobs/summaries.yml:8: prompts.file: /",
        "long_texts.sql is no path in the workspace. Write it as it is from the bundle's root.",
    ),
    "a query that is not brought to the workspace": (
        in_config("sync", "exclude", value=["*.sql"]),
        "jobs/summaries.yml:8: prompts.file: sql/prompts/long_texts.sql is not brought to the workspace",
        "sync.exclude has '*.sql'",
    ),
    "a query that git ignores": (
        ignored("prompts/"),
        "jobs/summaries.yml:8: prompts.file: sql/prompts/long_texts.sql is not brought to the workspace",
        "git ignores it by .gitignore:1:prompts/. Add it to sync.include",
    ),
    "a job that git ignores": (
        ignored("/jobs/text_*.yml"),
        "jobs/text_insight.yml is not brought to the workspace: git ignores it by .gitignore:1:/jobs/text_*.yml",
        "jobs/text_insight.yml:1: resources.jobs.text_insight.tasks[0].python_wheel_task.parameters[1]",
    ),
    "a job that is under no path of the sync": (
        in_config("sync", "paths", value=["./sql"]),
        "jobs/text_insight.yml is not brought to the workspace: it is not under sync.paths",
        "jobs/text_insight.yml:1: ",
    ),
    "a notebook that is not brought to the workspace": (
        lambda folder, config: [
            own_job(existing_cluster_id="a", notebook_task={"notebook_path": "jobs/notebooks/run_job"})(folder, config),
            in_config("sync", "exclude", value=["notebooks"])(folder, config),
        ],
        "resources.jobs.own.tasks[0].notebook_task.notebook_path: jobs/notebooks/run_job.py is not brought",
        "sync.exclude has 'notebooks'",
    ),
    "a folder of production that everybody may change": (
        in_config("targets", "prod", "workspace", value={"root_path": "/Workspace/Shared/.bundle/${bundle.name}"}),
        "targets.prod.workspace.root_path: everybody in the workspace may change what is in /Workspace/Shared/.bundle/rowcall",
        "Write /Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}",
    ),
    "people who are known too late": (
        in_config("variables", "notifications", "default", value=["a@example.com", "${resources.schemas.answers.id}"]),
        "variables.notifications: ${resources.schemas.answers.id} is known too late to tell an address from the id",
        "Write addresses and ids of notification destinations",
    ),
    "several destinations in the place of one": (
        in_job("schedule:", 'notifications: {on_success: "${notifications}"}\nschedule:'),
        "webhook_notifications.on_success[0]: ${var.notifications} is not the id of one notification destination",
        "jobs/text_insight.yml:1: ",
    ),
    "a package that nothing installs": (
        own_job(
            existing_cluster_id="a",
            python_wheel_task={**WHEEL, "package_name": "tiny"},
            libraries=[
                {"pypi": {"package": "tiny-tools"}},
                {"whl": "/Volumes/main/wheels/tinier-1.0-py3-none-any.whl"},
            ],
        ),
        "resources.jobs.own.tasks[0].python_wheel_task.package_name: no wheel of the bundle is 'tiny'",
        "databricks.yml:",
    ),
    "a file to include that is not there": (
        in_config("include", value=["resources/jobs.yml"]),
        "include: no file matches 'resources/jobs.yml'",
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


def test_a_definition_may_use_what_is_looked_up_or_given_when_it_is_deployed(bundle: Path) -> None:
    job = bundle / "jobs" / "text_insight.yml"
    text = job.read_text()
    assert "compute:" not in text
    job.write_text(text + "\ncompute: {warehouse: '${warehouse}'}\ntags: {runs_as: '${service_principal}'}\n")
    checked = check(bundle, lambda given: refused(COMMANDS, given), wheel=False)
    assert [str(one) for one in checked.problems] == []
    made = checked.resources["prod"]["jobs"]["text_insight"]
    assert made["tags"]["runs_as"] == "${var.service_principal}"
    assert {"name": "warehouse", "default": "${var.warehouse}"} in made["parameters"]


def test_what_a_target_needs_is_named(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    config["targets"]["other"] = {"variables": {"service_principal": "1234"}}
    write(bundle, config)
    assert check(bundle, lambda _: None, wheel=False).missing == {"prod": ("service_principal",)}


def test_what_git_ignores_may_be_included(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    ignored("*.yml\n*.sql")(bundle, config)
    config["sync"]["include"] = ["jobs/*.yml", "./sql/**"]
    write(bundle, config)
    assert found_in(bundle) == []


def test_packages_from_elsewhere_are_not_looked_into(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    brought = {
        "My_Pkg": {"pypi": {"package": "my.pkg[spark]>=1,<2"}},
        "of-volume": {"whl": "/Volumes/main/wheels/of_volume-1.0-py3-none-any.whl"},
        "of.workspace": {"whl": "/Workspace/wheels/of_workspace-1.0-py3-none-any.whl"},
        "listed": {"requirements": "/Workspace/requirements.txt"},
        "given": {"pypi": {"package": "${var.rowcall}"}},
    }
    tasks = [
        {
            "task_key": f"t{number}",
            "existing_cluster_id": "a",
            "python_wheel_task": {"package_name": package, "entry_point": "main"},
            "libraries": [library],
        }
        for number, (package, library) in enumerate(brought.items())
    ]
    serverless = {
        "task_key": "serverless",
        "environment_key": "job",
        "python_wheel_task": {"package_name": "served", "entry_point": "main"},
    }
    environment = {"environment_key": "job", "spec": {"environment_version": "4", "dependencies": ["Served~=1.0"]}}
    config["resources"]["jobs"] = {
        "own": {"name": "own", "tasks": [*tasks, serverless], "environments": [environment]},
    }
    write(bundle, config)
    assert found_in(bundle) == []


def test_people_who_are_named_by_variables_are_told_apart(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    config["variables"] |= {
        "mail": {"default": "data@example.com"},
        "hook": {"default": "1234"},
        "team": {"type": "complex", "default": ["${var.mail}", "ops@${bundle.name}.example.com"]},
        "later": {},
    }
    config["targets"]["prod"]["variables"] = {"notifications": ["${var.team}", "${var.hook}", "${var.later}"]}
    write(bundle, config)
    checked = check(bundle, lambda given: refused(COMMANDS, given), wheel=False)
    assert checked.problems == ()
    job = checked.resources["prod"]["jobs"]["text_insight"]
    assert job["email_notifications"] == {"on_failure": ["data@example.com", "ops@rowcall.example.com"]}
    assert job["webhook_notifications"] == {"on_failure": [{"id": "1234"}, {"id": "${var.later}"}]}


def test_a_target_adds_to_lists_as_the_cli_does(bundle: Path) -> None:
    config = yaml.safe_load((bundle / "databricks.yml").read_text())
    task = {**WHEEL, "parameters": ["validate", "jobs/text_insight.yml"]}
    own_job(existing_cluster_id="a", python_wheel_task=task)(bundle, config)
    config["targets"]["prod"]["resources"]["jobs"] = {
        "own": {"tasks": [{"task_key": "own", "max_retries": 1}, {"task_key": "more", "existing_cluster_id": "a"}]}
    }
    config["targets"]["prod"]["sync"] = {"exclude": ["docs"]}
    config["sync"]["exclude"].append("jobs/summaries.yml")
    write(bundle, config)
    checked = check(bundle, lambda given: refused(COMMANDS, given), wheel=False)
    assert ["sync.exclude has 'jobs/summaries.yml'" in str(one) for one in checked.problems] == [True]
    first, second = checked.resources["prod"]["jobs"]["own"]["tasks"]
    assert (first["max_retries"], "python_wheel_task" in first, second["task_key"]) == (1, True, "more")


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
