"""A bundle for each of its targets: lists and references as the Databricks CLI has them, and who may write to production."""

from typing import Any

import pytest

from rowcall.core.bundle.config import target_problems, targets_of

OWN = "/Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}"


def problems(target: dict[str, Any], **bundle: Any) -> list[str]:
    config = {"bundle": {"name": "b"}, **bundle, "targets": {"prod": {"mode": "production", **target}}}
    (found,) = targets_of(config)
    return [str(problem) for problem in target_problems(config, found)]


@pytest.mark.parametrize(
    "folder", ["/Workspace/Shared/b", "/Shared/b", "/Workspace/Shared", "${var.start}/${bundle.target}"]
)
def test_what_everybody_may_change_is_not_for_production(folder: str) -> None:
    variables = {"start": {"default": "/Workspace/Shared/x"}}
    (told,) = problems({"workspace": {"root_path": folder}}, variables=variables)
    assert told.startswith("databricks.yml: targets.prod.workspace.root_path: everybody in the workspace may change")
    assert OWN in told
    assert "permissions" in told
    (told,) = problems({}, variables=variables, workspace={"file_path": folder})
    assert told.startswith("databricks.yml: workspace.file_path: ")


def test_permissions_do_not_close_the_shared_folder() -> None:
    shared = {"workspace": {"root_path": "/Workspace/Shared/b"}}
    assert problems({**shared, "permissions": [{"level": "CAN_VIEW", "group_name": "users"}]})
    assert problems(shared, permissions=[{"level": "CAN_MANAGE", "group_name": "deployers"}])


def test_who_says_that_everybody_may_change_it_means_it() -> None:
    shared = {"workspace": {"root_path": "/Workspace/Shared/b"}}
    everybody = [{"level": "CAN_MANAGE", "group_name": "users"}]
    assert problems(shared, permissions=everybody) == problems({**shared, "permissions": everybody}) == []


@pytest.mark.parametrize(
    "target",
    [
        {"workspace": {"root_path": OWN}},
        {"workspace": {"root_path": "/Workspace/SharedByUs/b"}},
        {"workspace": {"root_path": "/Workspace/Shared/b"}, "mode": "development"},
        {},
    ],
)
def test_other_folders_and_targets_are_left_alone(target: dict[str, Any]) -> None:
    assert problems(target) == []


def test_lists_of_a_target_are_added_and_what_has_a_name_is_merged() -> None:
    tasks = [{"task_key": "a", "timeout_seconds": 1, "depends_on": [{"task_key": "b"}]}, {"task_key": "b"}]
    more = [{"task_key": "b", "timeout_seconds": 2}, {"task_key": "c"}]
    config = {
        "bundle": {"name": "b"},
        "sync": {"exclude": ["x"]},
        "resources": {"jobs": {"j": {"tasks": tasks}}},
        "targets": {"dev": {"sync": {"exclude": ["y"]}, "resources": {"jobs": {"j": {"tasks": more}}}}, "prod": {}},
    }
    dev, prod = targets_of(config)
    assert dev.config["sync"] == {"exclude": ["x", "y"]}
    assert dev.config["resources"]["jobs"]["j"]["tasks"] == [tasks[0], more[0], more[1]]
    assert prod.config["resources"]["jobs"]["j"]["tasks"] == tasks


def test_variables_may_refer_to_variables() -> None:
    variables = {
        "name": {"default": "n"},
        "whole": {"default": {"list": ["${var.name}", 2], "flag": True}},
        "part": {"default": "${var.whole.list[0]}-${var.whole.flag}-${var.whole.list}"},
        "copy": {"default": "${var.whole}"},
        "ring": {"default": "${var.other}"},
        "other": {"default": "${var.ring}"},
        "later": {"default": "${workspace.current_user.userName} ${var.given}"},
        "given": {},
    }
    config = {"bundle": {"name": "b"}, "variables": variables, "targets": {"dev": {}}}
    (dev,) = targets_of(config)
    assert dev.variables == {
        "name": "n",
        "whole": {"list": ["n", 2], "flag": True},
        "part": "n-true-${var.whole.list}",
        "copy": {"list": ["n", 2], "flag": True},
        "ring": "${var.other}",
        "other": "${var.ring}",
        "later": "${workspace.current_user.userName} ${var.given}",
    }
    assert dev.missing == ("given",)
