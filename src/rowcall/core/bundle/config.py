"""`databricks.yml` as the Databricks CLI understands it: what it includes, and for each target its variables and resources.

Sources: the bundle configuration reference, and the schema that `databricks bundle schema` prints (CLI 1.13).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rowcall.core.bundle.variables import resolved
from rowcall.core.errors import Problem
from rowcall.core.job_file.tree import Path, Tree
from rowcall.core.job_file.unknown_keys import closest
from rowcall.core.loose import mapping, sequence

Json = Mapping[str, Any]

_SHARED_KEYS = (
    "artifacts",
    "bundle",
    "permissions",
    "presets",
    "resources",
    "run_as",
    "sync",
    "variables",
    "workspace",
)
ROOT_KEYS = frozenset({*_SHARED_KEYS, "environments", "experimental", "include", "python", "scripts", "targets"})
TARGET_KEYS = frozenset({*_SHARED_KEYS, "cluster_id", "compute_id", "default", "git", "mode"})
_VALUES = {"default", "lookup"}
_ITEM_KEYS = ("task_key", "job_cluster_key", "name")
_FOLDERS = ("root_path", "file_path", "artifact_path", "state_path", "resource_path")


@dataclass(frozen=True, slots=True)
class Target:
    """The bundle for one target. `variables` are those whose value is known; of the others `missing` have to be given with `--var`,
    and the rest the CLI looks up."""

    name: str
    config: Json
    variables: Mapping[str, object] = field(default_factory=dict[str, object])
    missing: tuple[str, ...] = ()


def root_problems(trees: Sequence[Tree], config: Json) -> Iterator[Problem]:
    """What is wrong with the files themselves, of which the first is `databricks.yml`. `config` is what all of them say: a variable
    or a target may be declared in any."""
    root, declared = trees[0], mapping(config.get("variables"))
    for tree in trees:
        yield from _unknown(tree, (), mapping(tree.data), ROOT_KEYS)
        for name, target in mapping(mapping(tree.data).get("targets")).items():
            yield from _unknown(tree, ("targets", name), mapping(target), TARGET_KEYS)
            for variable in mapping(mapping(target).get("variables")):
                if variable not in declared:
                    path = ("targets", name, "variables", variable)
                    yield _at(tree, path, "is no variable of the bundle", _guess(variable, declared))
    if not mapping(config.get("bundle")).get("name"):
        yield _at(root, ("bundle",), "has no name", "Write bundle: {name: …}.")
    targets = mapping(config.get("targets"))
    defaults = [name for name, target in targets.items() if mapping(target).get("default") is True]
    if len(defaults) > 1:
        yield _at(root, ("targets", defaults[1], "default"), f"{' and '.join(defaults)} are both the default target")


def targets_of(config: Json) -> list[Target]:
    """The bundle as each target has it."""
    return [_target(config, name, mapping(said)) for name, said in mapping(config.get("targets")).items()]


def target_problems(config: Json, target: Target) -> Iterator[Problem]:
    """What is wrong with a target. Whoever deploys to production, everybody may write to /Workspace/Shared, whatever `permissions`
    say: the CLI does not set them there, and takes CAN_MANAGE for the group `users` as a sign that this is meant."""
    meant = {"level": "CAN_MANAGE", "group_name": "users"}
    if mapping(target.config["bundle"]).get("mode") != "production" or meant in sequence(
        target.config.get("permissions")
    ):
        return
    own = mapping(mapping(mapping(config.get("targets")).get(target.name)).get("workspace"))
    for key in _FOLDERS:
        folder = mapping(target.config.get("workspace")).get(key)
        if isinstance(folder, str) and f"{folder}/".startswith(("/Workspace/Shared/", "/Shared/")):
            place = f"targets.{target.name}.workspace.{key}" if key in own else f"workspace.{key}"
            yield Problem(
                "databricks.yml",
                place,
                f"everybody in the workspace may change what is in {folder}, and so what {target.name} runs",
                hint="Write /Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}, or a "
                "folder of the service principal, and permissions for those who are to see it.",
            )


def merged(below: Any, above: Any) -> Any:
    """Mappings are merged, key by key, and so are items of lists that have the same name; other items are added. Of anything else
    the upper counts."""
    if isinstance(below, list) and isinstance(above, list):
        return _merged_lists(cast("list[object]", below), cast("list[object]", above))
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    lower, upper = cast("Json", below), cast("Json", above)
    return {
        name: merged(lower[name], upper[name]) if name in lower and name in upper else upper.get(name, lower.get(name))
        for name in (*lower, *(name for name in upper if name not in lower))
    }


def _merged_lists(below: list[object], above: list[object]) -> list[object]:
    found = list(below)
    names = [_item_name(item) for item in below]
    for item in above:
        name = _item_name(item)
        if name is not None and name in names:
            found[names.index(name)] = merged(found[names.index(name)], item)
        else:
            found.append(item)
    return found


def _item_name(item: object) -> tuple[str, object] | None:
    named = mapping(item)
    return next(((key, named[key]) for key in _ITEM_KEYS if key in named), None)


def _target(config: Json, name: str, said: Json) -> Target:
    own = {key: value for key, value in said.items() if key not in ("variables", "default", "mode")}
    rest = {key: value for key, value in config.items() if key not in ("targets", "variables")}
    whole = merged(rest, own)
    whole["bundle"] = {
        **mapping(whole.get("bundle")),
        "target": name,
        **({"mode": said["mode"]} if "mode" in said else {}),
    }
    declared = {key: mapping(value) for key, value in mapping(config.get("variables")).items()}
    overrides = {
        key: value if isinstance(value, dict) and value.keys() & _VALUES else {"default": value}
        for key, value in mapping(said.get("variables")).items()
    }
    variables = {key: {**value, **overrides.get(key, {})} for key, value in declared.items()}
    values = {key: value["default"] for key, value in variables.items() if "default" in value}
    known = {"var": values, "bundle": whole["bundle"], "workspace": whole.get("workspace")}
    whole |= {key: resolved(whole[key], known) for key in ("workspace", "sync", "artifacts") if key in whole}
    missing = tuple(key for key, value in variables.items() if not value.keys() & _VALUES)
    return Target(name, whole, resolved(values, known), missing)


def _unknown(tree: Tree, path: Path, config: Json, known: frozenset[str]) -> Iterator[Problem]:
    for name in config:
        if name not in known:
            yield _at(tree, (*path, name), "is no key of a bundle", _guess(name, known))


def _guess(name: str, known: Any) -> str:
    near = closest(name, sorted(known))
    return f"Did you mean `{near}`?" if near else ""


def _at(tree: Tree, path: Path, message: str, hint: str = "") -> Problem:
    tree.say(path, message, hint)
    return tree.problems.pop()
