"""Paths in the files of a bundle: each is relative to the file where it stands.

Source: the Databricks CLI 1.13, `NormalizePaths`, the visitors in `bundle/config/mutator/paths`, `RewriteSyncPaths` and
`artifacts.Prepare`. It makes them relative to the bundle's root before Python sees the resources.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any, cast

from rowcall.core.bundle.packages import is_local
from rowcall.core.loose import mapping

Json = Mapping[str, Any]

_TASK = (
    "notebook_task.notebook_path",
    "spark_python_task.python_file",
    "dbt_task.project_directory",
    "sql_task.file.path",
    "alert_task.workspace_path",
    "ai_runtime_task.deployments.*.command_path",
    "libraries.*.requirements",
)
_TASK_WHEELS = ("libraries.*.whl", "libraries.*.jar")
_PLACES = ("resources.jobs.*.tasks.*.", "resources.jobs.*.tasks.*.for_each_task.task.")
_PATHS = (
    *(place + key for place in _PLACES for key in _TASK),
    "resources.apps.*.source_code_path",
    "resources.alerts.*.file_path",
    "resources.dashboards.*.file_path",
    "resources.genie_spaces.*.file_path",
    "resources.pipelines.*.libraries.*.notebook.path",
    "resources.pipelines.*.libraries.*.file.path",
    "resources.pipelines.*.libraries.*.glob.include",
    "resources.pipelines.*.root_path",
    "artifacts.*.path",
    "artifacts.*.files.*.source",
    "sync.paths.*",
    "sync.include.*",
    "sync.exclude.*",
)
_INSTALLS = (
    *(place + key for place in _PLACES for key in _TASK_WHEELS),
    "resources.jobs.*.environments.*.spec.dependencies.*",
    "resources.pipelines.*.environment.dependencies.*",
)
_FLAG = re.compile(r"(-[re] +)(.+)")
_FILE = re.compile(r"\..*|.+\.(?:whl|jar)(?:\[[^\]]*\])?")


def from_root(config: Json, file: str) -> Json:
    """What a file of a bundle says, and each of its targets, with paths from the bundle's root. `file` is the file's own path from
    there. What begins with a reference, is absolute or a URL stays as it is, and so does a job with `git_source`, whose paths are
    those of its repository."""
    folder = str(PurePosixPath(file).parent)
    moved = _moved(config, folder)
    targets = {
        name: _moved(mapping(one), folder) if one else one for name, one in mapping(config.get("targets")).items()
    }
    return {**moved, "targets": targets} if targets else moved


def _moved(config: Json, folder: str) -> Json:
    moved: Any = config
    for patterns, move in ((_PATHS, _path), (_INSTALLS, _install)):
        for pattern in patterns:
            moved = _changed(moved, pattern.split("."), lambda text, move=move: move(folder, text))
    return moved


def _changed(value: object, keys: Sequence[str], change: Callable[[str], str]) -> Any:
    """The same with the texts changed that are at `keys`, of which `*` is every one."""
    if not keys:
        return change(value) if isinstance(value, str) else value
    key, *rest = keys
    if isinstance(value, list) and key == "*":
        return [_changed(item, rest, change) for item in cast("list[object]", value)]
    if not isinstance(value, dict) or "git_source" in value:
        return value
    return {
        name: _changed(item, rest, change) if key in ("*", name) else item
        for name, item in cast("Mapping[str, object]", value).items()
    }


def _path(folder: str, path: str) -> str:
    return path if path.startswith("${") or not is_local(path) else normpath(f"{folder}/{path}")


def _install(folder: str, install: str) -> str:
    """A file keeps a dot before it, which tells it from a package."""
    if flag := _FLAG.fullmatch(install):
        return flag[1] + _path(folder, flag[2])
    if not _FILE.fullmatch(install) or (path := _path(folder, install)) == install:
        return install
    return path if path.startswith(".") else f"./{path}"
