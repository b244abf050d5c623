"""`rowcall bundle check`: a bundle looked at whole, with no workspace and no Databricks CLI.

It is built for each target as the CLI builds it, the resources are checked by the classes of `databricks-bundles`, and everything
that they refer to is looked for. So what the bundle brings is run: its Python, and the commands that build its wheels.
"""

import sys
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial, reduce
from importlib.metadata import entry_points as installed
from pathlib import Path
from typing import Any

from rowcall.adapters.bundle_build import Built, build
from rowcall.adapters.git import ignored_by
from rowcall.bundle.wheels import Wheels, wheel_artifacts, wheels_of
from rowcall.core.bundle.checks import Around, resource_problems
from rowcall.core.bundle.config import Target, merged, root_problems, target_problems, targets_of
from rowcall.core.bundle.folder import Folder
from rowcall.core.bundle.paths import from_root
from rowcall.core.errors import DefinitionError, Problem, SetupError
from rowcall.core.job_file.tree import Tree, read_yaml
from rowcall.core.loose import mapping, sequence

FILE = "databricks.yml"
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it: the resources by target, variables that its deployment has to give, what the wheels said of themselves, and
    what is wrong."""

    resources: Mapping[str, Json] = field(default_factory=dict[str, Json])
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    wheels: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def check(
    root: Path,
    refuses: Callable[[list[str]], str | None],
    *,
    wheel: bool = True,
    step: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Look at the bundle in a folder. `refuses` says what is wrong with arguments of the command line; without `wheel` no wheel is
    built and tried. Raises `SetupError` where it cannot be looked at."""
    tree = _read(root, FILE)
    if tree.problems:
        return Checked(problems=tuple(tree.problems))
    included, problems = _included(root, mapping(tree.data).get("include"))
    whole = _whole([tree, *included])
    problems += root_problems([tree, *included], whole)
    targets, places = targets_of(whole), _places(included)
    wheels = wheels_of(root, whole, targets, places, step) if wheel else {}
    problems += (problem for one in wheels.values() for problem in one.problems)
    python = _python(root, whole)
    resources: dict[str, Json] = {}
    for target in targets:
        step(f"building for {target.name}")
        built = build(python, root, _as_the_cli(target, mapping(whole.get("variables"))))
        resources[target.name] = built.config.get("resources", {})
        problems += _told(built)
        built = replace(built, places={**places, **built.places})
        problems += resource_problems(
            built.config, _around(root, target, whole, built, refuses, wheels.get(target.name))
        )
        problems += target_problems(whole, target)
    missing = {target.name: target.missing for target in targets if target.missing}
    versions = tuple(dict.fromkeys(said for one in wheels.values() for said in one.said))
    return Checked(resources, missing, versions, tuple(dict.fromkeys(_placed(tree, one) for one in problems)))


def _read(root: Path, file: str, *, may_be_empty: bool = False) -> Tree:
    path = root / file
    try:
        text = path.read_text(encoding="utf-8")
        if may_be_empty and not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            return Tree(file, text, {})
        return read_yaml(text, file)
    except FileNotFoundError:
        raise SetupError(f"there is no {path}; a bundle starts with it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error
    except DefinitionError as error:
        return Tree(file, "", problems=list(error.problems))


def _included(root: Path, patterns: object) -> tuple[list[Tree], list[Problem]]:
    """The files that `include` names, each once. A pattern may match none, a file that is named in full must be there (CLI 1.13,
    `ProcessRootIncludes`)."""
    trees: dict[str, Tree] = {}
    problems: list[Problem] = []
    for pattern in map(str, sequence(patterns)):
        if pattern.startswith("/"):
            said = f"{pattern!r} is no path within the bundle; write it as it is from the bundle's root"
            problems.append(Problem(FILE, "include", said))
            continue
        files = [path.relative_to(root).as_posix() for path in sorted(root.glob(pattern))]
        if not files and not set(pattern) & set("*?["):
            problems.append(Problem(FILE, "include", f"no file matches {pattern!r}"))
        trees |= {file: _read(root, file, may_be_empty=True) for file in files if file != FILE and file not in trees}
    problems += (problem for tree in trees.values() for problem in tree.problems)
    return list(trees.values()), problems


def _whole(trees: Sequence[Tree]) -> Json:
    """What all files of a bundle say; paths in it are those from the bundle's root. Without targets it has one, `default` (CLI
    1.13, `DefineDefaultTarget`)."""
    said = [from_root(mapping(tree.data), tree.file) for tree in trees]
    whole: Json = reduce(merged, said)
    rest = {key: value for key, value in whole.items() if key != "include"}
    return {**rest, "targets": mapping(whole.get("targets")) or {"default": {}}}


def _places(trees: Sequence[Tree]) -> dict[str, tuple[str, int]]:
    """The file and line of each resource and artifact that an included file has."""
    resources = [
        (tree, ("resources", kind, name))
        for tree in trees
        for kind, named in mapping(mapping(tree.data).get("resources")).items()
        for name in mapping(named)
    ]
    artifacts = [(tree, ("artifacts", name)) for tree in trees for name in mapping(mapping(tree.data).get("artifacts"))]
    return {".".join(path): (tree.file, tree.places[path].line) for tree, path in [*resources, *artifacts]}


def _python(root: Path, config: Json) -> Path:
    """The interpreter that the CLI would call; where the bundle has no Python, this one, to check its resources."""
    venv = mapping(config.get("python")).get("venv_path")
    if not venv:
        return Path(sys.executable)
    python = root / str(venv) / "bin" / "python"
    if not python.exists():
        raise SetupError(
            f"python.venv_path is {venv}, and there is no {python}\n"
            f"  Make it: python -m venv {venv} && {venv}/bin/pip install 'rowcall[bundle]'"
        )
    return python.absolute()


def _as_the_cli(target: Target, declared: Json) -> Json:
    """With all variables; those that are looked up, or given with `--var`, have no value yet."""
    known = target.variables
    return {**target.config, "variables": {name: {"value": known[name]} if name in known else {} for name in declared}}


def _told(built: Built) -> Iterator[Problem]:
    """What Databricks' package says is wrong."""
    for one in built.diagnostics:
        place = one.get("location") or {}
        yield Problem(
            str(place.get("file") or FILE),
            str(one.get("path") or ""),
            str(one.get("summary")),
            int(place.get("line") or 0),
            int(place.get("column") or 0),
            str(one.get("detail") or "").strip().splitlines()[-1] if one.get("detail") else "",
        )


def _around(
    root: Path,
    target: Target,
    config: Json,
    built: Built,
    refuses: Callable[[list[str]], str | None],
    wheels: Wheels | None,
) -> Around:
    """Without `wheels` none was built."""
    here = {
        "rowcall": frozenset(one.name for one in installed(group="console_scripts") if one.value.startswith("rowcall"))
    }
    # Its notebook calls nothing but commands (CLI 1.13, `TransformWheelTask`).
    wrapped = mapping(config.get("experimental")).get("python_wheel_wrapper") is True
    declares_wheels = bool(wheel_artifacts(target.config))
    return Around(
        variables={name: target.variables.get(name) for name in mapping(config.get("variables"))},
        folder=_folder(root, mapping(target.config.get("sync"))),
        timezones=frozenset(zoneinfo.available_timezones()),
        refuses=refuses,
        entry_points={**here, **(wheels.entry_points if wheels else {})},
        builds_wheels=declares_wheels,
        modules=wheels.modules if wheels and not wrapped else {},
        unbuilt=declares_wheels and (wheels is None or bool(wheels.problems)),
        places=built.places,
    )


def _folder(root: Path, sync: Json) -> Folder:
    def found(pattern: str) -> list[str]:
        if not pattern or pattern.startswith("/"):
            return []
        try:
            paths = [root / pattern] if (root / pattern).is_file() else sorted(root.glob(pattern))
        except (ValueError, OSError):
            # No pattern, or no name of a file.
            return []
        return [path.relative_to(root).as_posix() for path in paths if path.is_file()]

    def read(path: str) -> str | None:
        try:
            return (root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    given = {key: tuple(map(str, sequence(sync[key]))) for key in ("paths", "include", "exclude") if key in sync}
    return Folder(found, read, cache(partial(ignored_by, root)), **given)


def _placed(tree: Tree, problem: Problem) -> Problem:
    """With the line in `databricks.yml` where it stands, as far as it stands there."""
    if problem.line or problem.file != FILE:
        return problem
    tree.say(_path(problem.key), problem.message, problem.hint)
    told = tree.problems.pop()
    return replace(problem, line=told.line, column=told.column)


def _path(key: str) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    for part in key.split("."):
        name, *indexes = part.replace("]", "").split("[")
        parts += [name, *(int(index) for index in indexes)]
    return tuple(parts)
