"""Paths in a bundle's files are relative to the file where they stand, and then to the bundle's root."""

from typing import Any

import pytest

from rowcall.core.bundle.paths import from_root


def job(task: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resources": {"jobs": {"j": {"tasks": [{"task_key": "t", **task}], **more}}}}


@pytest.mark.parametrize(("file", "path"), [("resources/jobs.yml", "../src/n"), ("databricks.yml", "./src/n")])
def test_paths_of_tasks_are_those_from_the_root(file: str, path: str) -> None:
    def tasks(path: str) -> list[dict[str, Any]]:
        plain: list[dict[str, Any]] = [
            {"notebook_task": {"notebook_path": path}},
            {"spark_python_task": {"python_file": path}},
            {"sql_task": {"file": {"path": path}}},
            {"libraries": [{"requirements": path}, {"pypi": {"package": "a.b"}}]},
        ]
        return plain + [{"for_each_task": {"task": one}} for one in plain]

    for said, moved in zip(tasks(path), tasks("src/n"), strict=True):
        assert from_root(job(said), file) == job(moved)


def test_wheels_keep_a_dot_before_them_and_packages_stay() -> None:
    installs = [
        "../dist/*.whl",
        "dist/a-1-py3-none-any.whl[x]",
        "../../a.whl",
        "-r ../req.txt",
        "a.b==1.0",
        "a @ https://b/c.whl",
    ]
    moved = ["./dist/*.whl", "./resources/dist/a-1-py3-none-any.whl[x]", "../a.whl", "-r req.txt", *installs[4:]]
    installs += ["/Volumes/a/b.whl", "dbfs:/a.whl", "${var.wheel}", "--pre"]
    moved += installs[6:]
    config = job({"libraries": [{"whl": "../dist/*.whl"}]}, environments=[{"spec": {"dependencies": installs}}])
    got = from_root(config, "resources/jobs.yml")["resources"]["jobs"]["j"]
    assert got["tasks"][0]["libraries"] == [{"whl": "./dist/*.whl"}]
    assert got["environments"] == [{"spec": {"dependencies": moved}}]


def test_other_paths_of_a_file_and_of_its_targets() -> None:
    said: dict[str, Any] = {
        "artifacts": {"a": {"path": "..", "files": [{"source": "../dist/a.whl"}]}},
        "sync": {"paths": ["../src"], "include": ["*.sql"], "exclude": ["../docs/"]},
        "resources": {"dashboards": {"d": {"file_path": "d.lvdash.json"}}, "jobs": None},
    }
    moved: dict[str, Any] = {
        "artifacts": {"a": {"path": ".", "files": [{"source": "dist/a.whl"}]}},
        "sync": {"paths": ["src"], "include": ["conf/*.sql"], "exclude": ["docs"]},
        "resources": {"dashboards": {"d": {"file_path": "conf/d.lvdash.json"}}, "jobs": None},
    }
    targets = {"dev": said, "none": None}
    assert from_root({**said, "targets": targets}, "conf/a.yml") == {**moved, "targets": {"dev": moved, "none": None}}


@pytest.mark.parametrize("path", ["/Workspace/n", "${var.folder}/n", "https://a/b", "dbfs:/n"])
def test_what_is_no_path_of_the_bundle_stays(path: str) -> None:
    config = job({"notebook_task": {"notebook_path": path}})
    assert from_root(config, "resources/jobs.yml") == config


def test_paths_in_another_repository_stay() -> None:
    config = job({"notebook_task": {"notebook_path": "src/n"}}, git_source={"git_url": "https://a/b"})
    assert from_root(config, "resources/jobs.yml") == config
