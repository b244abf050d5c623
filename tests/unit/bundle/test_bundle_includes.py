"""A bundle in several files: what one declares the others may use, and paths are relative to the file where they stand."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import found_in, write

from rowcall.bundle.check import check

TASK = {"task_key": "own", "existing_cluster_id": "a"}


def in_files(folder: Path, config: dict[str, Any], **files: Any) -> Path:
    """A bundle with `resources/<name>.yml` of these contents."""
    write(folder, {"bundle": {"name": "b"}, "include": ["resources/*.yml", "resources/*/*.yml"], **config})
    (folder / "resources").mkdir()
    for name, said in files.items():
        (folder / "resources" / f"{name}.yml").write_text(yaml.safe_dump(said, sort_keys=False))
    return folder


def with_task(**task: Any) -> dict[str, Any]:
    return {"resources": {"jobs": {"own": {"name": "own", "tasks": [{**TASK, **task}]}}}}


def test_paths_are_relative_to_the_file_where_they_stand(tmp_path: Path) -> None:
    for name in ("src/n.ipynb", "src/d.lvdash.json", "dist/tiny-1.0-py3-none-any.whl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    said = with_task(
        notebook_task={"notebook_path": "../src/n.ipynb"},
        libraries=[{"whl": "../dist/*.whl"}],
    )
    wheel = {"package_name": "tiny", "entry_point": "tiny"}
    said["resources"]["jobs"]["own"]["tasks"].append(
        {
            "task_key": "w",
            "existing_cluster_id": "a",
            "python_wheel_task": wheel,
            "libraries": [{"whl": "../dist/*.whl"}],
        }
    )
    said["resources"]["dashboards"] = {"d": {"display_name": "d", "file_path": "../src/d.lvdash.json"}}
    folder = in_files(tmp_path, {"targets": {"dev": {}}}, own=said)
    assert found_in(folder) == []
    for name in ("src/n.ipynb", "src/d.lvdash.json", "dist/tiny-1.0-py3-none-any.whl"):
        (tmp_path / name).unlink()
    told = "\n".join(found_in(folder))
    assert (
        "resources/own.yml:3: resources.jobs.own.tasks[0].notebook_task.notebook_path: there is no notebook src/n"
        in told
    )
    assert "resources.dashboards.d.file_path: there is no file src/d.lvdash.json" in told
    assert "resources.jobs.own.tasks[0].libraries[0]: nothing makes ./dist/*.whl" in told


def test_a_notebook_in_another_repository_is_not_looked_for(tmp_path: Path) -> None:
    said = with_task(notebook_task={"notebook_path": "src/n"})
    said["resources"]["jobs"]["own"]["git_source"] = {
        "git_url": "https://a.example.com/b",
        "git_provider": "gitHub",
        "git_branch": "main",
    }
    assert found_in(in_files(tmp_path, {"targets": {"dev": {}}}, own=said)) == []


def test_variables_and_targets_may_be_declared_in_any_file(tmp_path: Path) -> None:
    folder = in_files(
        tmp_path,
        {"targets": {"prod": {"variables": {"zone": "b"}}}},
        variables={"variables": {"zone": {"default": "a"}}},
        targets={"targets": {"dev": {"variables": {"zone": "c"}}}},
        own=with_task(notebook_task={"notebook_path": "/Workspace/${var.zone}"}),
    )
    checked = check(folder, lambda _: None, wheel=False)
    assert ([str(one) for one in checked.problems], sorted(checked.resources)) == ([], ["dev", "prod"])


def test_targets_may_all_be_declared_elsewhere(tmp_path: Path) -> None:
    assert found_in(in_files(tmp_path, {}, targets={"targets": {"dev": {"default": True}}})) == []


def test_mistakes_in_a_target_are_told_in_its_file(tmp_path: Path) -> None:
    folder = in_files(
        tmp_path,
        {"variables": {"zone": {"default": "a"}}},
        targets={"targets": {"dev": {"varables": {}, "variables": {"zon": "c"}}}},
    )
    assert found_in(folder) == [
        "resources/targets.yml:3: targets.dev.varables: is no key of a bundle. Did you mean `variables`?",
        "resources/targets.yml:5: targets.dev.variables.zon: is no variable of the bundle. Did you mean `zone`?",
    ]


def test_a_file_is_included_once(tmp_path: Path) -> None:
    tasks = with_task(notebook_task={"notebook_path": "/Workspace/n"})
    folder = in_files(tmp_path, {"targets": {"dev": {}}}, own=tasks)
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    write(folder, {**config, "include": ["resources/own.yml", "*/*.yml", "*.yml"]})
    checked = check(folder, lambda _: None, wheel=False)
    assert checked.problems == ()
    assert len(checked.resources["dev"]["jobs"]["own"]["tasks"]) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [("own.yml", "no file matches 'own.yml'"), ("/a/*.yml", "'/a/*.yml' is no path within the bundle")],
)
def test_a_file_that_is_named_must_be_there(tmp_path: Path, name: str, said: str) -> None:
    (told,) = found_in(in_files(tmp_path, {"include": [name], "targets": {"dev": {}}}))
    assert told.startswith("databricks.yml:")
    assert f"include: {said}" in told


def test_a_file_that_says_nothing_yet_may_be_included(tmp_path: Path) -> None:
    folder = in_files(tmp_path, {"targets": {"dev": {}}})
    (folder / "resources" / "later.yml").write_text("# resources:\n\n#   jobs: {}\n")
    assert found_in(folder) == []


def test_a_bundle_without_targets_has_one(tmp_path: Path) -> None:
    folder = in_files(tmp_path, {}, own=with_task(notebook_task={"notebook_path": "n"}))
    assert list(check(folder, lambda _: None, wheel=False).resources) == ["default"]
    (told,) = found_in(folder)
    assert "there is no notebook resources/n" in told
