"""`databricks.yml` as the Databricks CLI understands it: what it includes, and for each target its variables and resources.

Sources: the bundle configuration reference, and the schema that `databricks bundle schema` prints (CLI 1.13).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rowcall.core.errors import Problem
from rowcall.core.job_file.tree import Path, Tree
from rowcall.core.job_file.unknown_keys import closest
from rowcall.core.loose import mapping

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


@dataclass(frozen=True, slots=True)
class Target:
    """The bundle for one target. `variables` are those whose value is known; of the others `missing` have to be given with `--var`,
    and the rest the CLI looks up."""

    name: str
    config: Json
    variables: Mapping[str, object] = field(default_factory=dict[str, object])
    missing: tuple[str, ...] = ()


def root_problems(tree: Tree) -> Iterator[Problem]:
    """What is wrong with the file itself."""
    config = cast("Json", tree.data)
    yield from _unknown(tree, (), config, ROOT_KEYS)
    if not isinstance(config.get("bundle"), dict) or not config["bundle"].get("name"):
        yield _at(tree, ("bundle",), "has no name", "Write bundle: {name: …}.")
    targets = mapping(config.get("targets"))
    for name, target in targets.items():
        yield from _unknown(tree, ("targets", name), mapping(target), TARGET_KEYS)
        for variable in mapping(mapping(target).get("variables")):
            if variable not in mapping(config.get("variables")):
                yield _at(
                    tree,
                    ("targets", name, "variables", variable),
                    "is no variable of the bundle",
                    _guess(variable, mapping(config.get("variables"))),
                )
    defaults = [name for name, target in targets.items() if mapping(target).get("default") is True]
    if len(defaults) > 1:
        yield _at(tree, ("targets", defaults[1], "default"), f"{' and '.join(defaults)} are both the default target")
    if not targets:
        yield _at(tree, ("targets",), "there is no target", "Write targets: {dev: {default: true}}.")


def targets_of(config: Json) -> list[Target]:
    """The bundle as each target has it."""
    return [_target(config, name, mapping(said)) for name, said in mapping(config.get("targets")).items()]


def merged(below: Any, above: Any) -> Any:
    """Mappings are merged, key by key; of anything else the upper counts."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    lower, upper = cast("Json", below), cast("Json", above)
    return {
        name: merged(lower[name], upper[name]) if name in lower and name in upper else upper.get(name, lower.get(name))
        for name in (*lower, *(name for name in upper if name not in lower))
    }


def _target(config: Json, name: str, said: Json) -> Target:
    own = {key: value for key, value in said.items() if key not in ("variables", "default", "mode")}
    rest = {key: value for key, value in config.items() if key not in ("targets", "variables")}
    whole = merged(rest, own)
    whole["bundle"] = {**mapping(whole.get("bundle")), "target": name}
    declared = {key: mapping(value) for key, value in mapping(config.get("variables")).items()}
    overrides = {
        key: value if isinstance(value, dict) and value.keys() & _VALUES else {"default": value}
        for key, value in mapping(said.get("variables")).items()
    }
    variables = {key: {**value, **overrides.get(key, {})} for key, value in declared.items()}
    return Target(
        name,
        whole,
        {key: value["default"] for key, value in variables.items() if "default" in value},
        tuple(key for key, value in variables.items() if not value.keys() & _VALUES),
    )


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
