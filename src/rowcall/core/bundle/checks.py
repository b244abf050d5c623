"""What can be wrong with the resources of a bundle that is built: references to nothing, files that are not there or not brought to
the workspace, tasks that have no compute or call what no wheel has.

Problems name the place as `resources.jobs.<name>.tasks[0]…`; `file` is the one that the resource came from, where that is known.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from rowcall.core.bundle.folder import Folder
from rowcall.core.bundle.packages import is_local, may_bring, normalised
from rowcall.core.bundle.variables import is_later, values_for
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.tree import read_yaml
from rowcall.core.job_file.variables import fill_variables, variables_of
from rowcall.core.loose import mapping

Json = Mapping[str, Any]
Place = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\{([A-Za-z_][^{}\s]*)\}")
_PARAMETER = re.compile(r"\{\{\s*job\.parameters\.([^{}\s]+)\s*\}\}")
_KNOWN_TO_THE_CLI = ("bundle", "workspace", "artifacts", "environments")
_SYNCED = "${workspace.file_path}/"
_SOURCES = ("", ".py", ".ipynb", ".sql", ".scala", ".r")
_REMOTE = ("/Workspace/", "/Volumes/", "/dbfs/")


@dataclass(frozen=True, slots=True)
class Around:
    """What a bundle's resources are held against. `entry_points` are those of each package that the bundle builds or that is
    installed, by its normalised name; `modules` are those of its wheels, with what is in them: what is no entry point is called as
    `package_name.entry_point()` (Jobs API, `PythonWheelTask`); `unbuilt` says that there are wheels which were not built; `refuses`
    says what is wrong with the arguments of rowcall's command line; `places` leads from a resource to the file and line that it
    came from."""

    variables: Mapping[str, object]
    folder: Folder
    timezones: frozenset[str]
    refuses: Callable[[list[str]], str | None]
    entry_points: Mapping[str, frozenset[str]]
    builds_wheels: bool
    modules: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    unbuilt: bool = False
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])


def resource_problems(config: Json, around: Around) -> Iterator[Problem]:
    """What is wrong with a bundle that is built for a target."""
    resources = mapping(config.get("resources"))
    for kind, named in resources.items():
        for name, resource in mapping(named).items():
            file, line = around.places.get(f"resources.{kind}.{name}", ("databricks.yml", 0))
            at = _Place(file, ("resources", kind, name), line)
            yield from _references(resource, at, resources, around)
            if kind == "jobs":
                yield from _job(mapping(resource), at, around)
            if kind == "dashboards":
                yield from _dashboard(mapping(resource), at, around)
    for key in ("workspace", "run_as", "permissions", "artifacts", "presets"):
        yield from _references(config.get(key), _Place("databricks.yml", (key,)), resources, around)


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    path: Place
    line: int = 0

    def __truediv__(self, part: str | int) -> "_Place":
        return _Place(self.file, (*self.path, part), self.line)

    def says(self, message: str, hint: str = "") -> Problem:
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return Problem(self.file, text, message, self.line, hint=hint)


def _references(value: object, at: _Place, resources: Json, around: Around) -> Iterator[Problem]:
    for inner, text in _texts(value, at):
        for match in _REFERENCE.finditer(text):
            if said := _dangling(match[1], resources, around):
                yield inner.says(f"${{{match[1]}}}: {said}")


def _dangling(reference: str, resources: Json, around: Around) -> str | None:
    kind, _, rest = reference.partition(".")
    if kind == "var":
        name = rest.partition(".")[0]
        return None if name in around.variables else f"there is no variable {name!r}; {_there(around.variables)}"
    if kind == "resources":
        type_, _, rest = rest.partition(".")
        name = rest.partition(".")[0]
        there = mapping(resources.get(type_))
        return None if name in there else f"there is no {type_}.{name} in resources; {_there(there)}"
    return None if kind in _KNOWN_TO_THE_CLI else "refers to nothing; a variable is written ${var.name}"


def _there(names: Iterable[str]) -> str:
    return f"there are {', '.join(sorted(names))}" if names else "there are none"


def _texts(value: object, at: _Place) -> Iterator[tuple[_Place, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            yield from _texts(item, at / name)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _texts(item, at / index)


def _dashboard(dashboard: Json, at: _Place, around: Around) -> Iterator[Problem]:
    path = dashboard.get("file_path")
    if isinstance(path, str) and "${" not in path and not around.folder.has(path):
        yield (at / "file_path").says(f"there is no file {path}")


def _job(job: Json, at: _Place, around: Around) -> Iterator[Problem]:
    yield from _schedule(job, at, around)
    yield from _webhooks(job, at, around)
    parameters = {str(one.get("name")) for one in _listed(job.get("parameters"))}
    for inner, text in _texts(job, at):
        for match in _PARAMETER.finditer(text):
            if match[1] not in parameters:
                yield inner.says(
                    f"{{{{job.parameters.{match[1]}}}}}: the job has no such parameter; {_there(parameters)}"
                )
    for index, environment in enumerate(_listed(job.get("environments"))):
        here = at / "environments" / index / "spec" / "dependencies"
        yield from _installs(mapping(environment.get("spec")).get("dependencies"), here, around)
    tasks = [mapping(task) for task in _listed(job.get("tasks"))]
    keys = [str(task.get("task_key")) for task in tasks]
    for index, task in enumerate(tasks):
        here = at / "tasks" / index
        if keys.index(keys[index]) != index:
            yield (here / "task_key").says(f"another task is called {keys[index]!r}, too")
        for other in _listed(task.get("depends_on")):
            if other.get("task_key") not in keys:
                yield (here / "depends_on").says(f"there is no task {other.get('task_key')!r}; {_there(keys)}")
        yield from _task(task, job, here, around)


def _schedule(job: Json, at: _Place, around: Around) -> Iterator[Problem]:
    zone = mapping(job.get("schedule")).get("timezone_id")
    if isinstance(zone, str) and "${" not in zone and zone not in around.timezones:
        yield (at / "schedule" / "timezone_id").says(f"there is no time zone {zone!r}", "Such as Europe/Berlin.")


def _webhooks(job: Json, at: _Place, around: Around) -> Iterator[Problem]:
    """Each is one destination, and no variable makes it several."""
    for event, hooks in mapping(job.get("webhook_notifications")).items():
        for index, hook in enumerate(_listed(hooks)):
            named = re.fullmatch(r"\$\{var\.([\w-]+)\}", str(hook.get("id")))
            if named and isinstance(around.variables.get(named[1]), list | dict):
                yield (at / "webhook_notifications" / event / index).says(
                    f"${{var.{named[1]}}} is not the id of one notification destination",
                    "Name each of them, or write them in the bundle's variable `notifications` and none here.",
                )


def _task(task: Json, job: Json, at: _Place, around: Around) -> Iterator[Problem]:
    if "for_each_task" in task:
        inner = mapping(mapping(task["for_each_task"]).get("task"))
        yield from _task(inner, job, at / "for_each_task" / "task", around)
        return
    environments = {str(one.get("environment_key")) for one in _listed(job.get("environments"))}
    clusters = {str(one.get("job_cluster_key")) for one in _listed(job.get("job_clusters"))}
    for key, there in (("environment_key", environments), ("job_cluster_key", clusters)):
        if key in task and task[key] not in there:
            yield (at / key).says(f"the job has no {key.removesuffix('_key')} {task[key]!r}; {_there(there)}")
    on_its_own = {"environment_key", "job_cluster_key", "existing_cluster_id", "new_cluster"} & task.keys()
    if "python_wheel_task" in task:
        if not on_its_own:
            yield at.says("has no compute", "A wheel task needs an environment_key, or a cluster.")
        yield from _wheel_task(
            mapping(task["python_wheel_task"]), list(_installed(task, job)), at / "python_wheel_task", around
        )
    for index, library in enumerate(_listed(task.get("libraries"))):
        yield from _installs([library.get("whl")], at / "libraries" / index, around)
    notebook = mapping(task.get("notebook_task")).get("notebook_path")
    in_git = "git_source" in job
    if isinstance(notebook, str) and "${" not in notebook and not notebook.startswith("/") and not in_git:
        there = [found for ending in _SOURCES for found in around.folder.found(f"{notebook}{ending}")]
        if not there:
            yield (at / "notebook_task" / "notebook_path").says(f"there is no notebook {notebook}")
        elif said := around.folder.kept_back(there[0]):
            yield (at / "notebook_task" / "notebook_path").says(said)


def _installed(task: Json, job: Json) -> Iterator[str]:
    """What a task says is installed for it: requirements, wheels, files of requirements."""
    for library in _listed(task.get("libraries")):
        for one in (library.get("whl"), mapping(library.get("pypi")).get("package")):
            if isinstance(one, str):
                yield one
        if "requirements" in library:
            yield f"-r {library['requirements']}"
    for environment in _listed(job.get("environments")):
        if environment.get("environment_key") == task.get("environment_key"):
            yield from map(str, _any_list(mapping(environment.get("spec")).get("dependencies")))


def _wheel_task(task: Json, installs: list[str], at: _Place, around: Around) -> Iterator[Problem]:
    package, entry_point = str(task.get("package_name")), str(task.get("entry_point"))
    known = around.entry_points.get(normalised(package))
    if known is None:
        unknown = around.unbuilt and any(one.endswith(".whl") and is_local(one) for one in installs)
        if not unknown and not any(may_bring(one, package, around.folder.found) for one in installs):
            yield (at / "package_name").says(f"no wheel of the bundle is {package!r}; {_there(around.entry_points)}")
    elif entry_point not in known and not {entry_point.partition(".")[0], "*"} & around.modules.get(
        package, frozenset()
    ):
        yield (at / "entry_point").says(
            f"{package} has no command {entry_point!r}, and no function {package}.{entry_point}; {_there(known)}"
        )
    arguments = [str(one) for one in _any_list(task.get("parameters"))]
    for index, argument in enumerate(arguments):
        if argument.startswith(_SYNCED):
            yield from _synced(argument.removeprefix(_SYNCED), at / "parameters" / index, around)
    if (normalised(package), entry_point) == ("rowcall", "rowcall") and (said := around.refuses(arguments)):
        yield (at / "parameters").says(f"rowcall would refuse this command line: {said}")


def _synced(path: str, at: _Place, around: Around) -> Iterator[Problem]:
    """A file that the CLI is to bring to the workspace, and what it names itself where it is a definition."""
    if not around.folder.has(path):
        yield at.says(f"there is no file {path}")
    elif said := around.folder.kept_back(path):
        yield at.says(said)
    if path.endswith((".yml", ".yaml")) and (text := around.folder.read(path)) is not None:
        yield from _prompt_file(path, text, around)


def _prompt_file(path: str, text: str, around: Around) -> Iterator[Problem]:
    """The file with a definition's query, which is looked for beside the definition and in the two folders above."""
    try:
        tree = read_yaml(text, path)
    except DefinitionError as error:
        yield from error.problems
        return
    fill_variables(tree, values_for(variables_of(tree.data), around.variables))
    tree.problems.clear()
    named, key = mapping(mapping(tree.data).get("prompts")).get("file"), ("prompts", "file")
    if not isinstance(named, str) or is_later(named) or named.startswith(_REMOTE):
        return
    places = [str(folder / named) for folder in list(PurePosixPath(path).parents)[:3]]
    there = [place for place in places if around.folder.has(place)]
    if named.startswith("/"):
        tree.say(
            key, f"{named} is no path in the workspace", "Write it as it is from the bundle's root.", of_value=True
        )
    elif not there:
        tree.say(key, f"there is no file {named!r}", f"Looked for {', '.join(places)}.", of_value=True)
    elif said := around.folder.kept_back(there[0]):
        tree.say(key, said, of_value=True)
    yield from tree.problems


def _installs(requirements: object, at: _Place, around: Around) -> Iterator[Problem]:
    for one in _any_list(requirements):
        is_file_here = isinstance(one, str) and one.endswith(".whl") and one.startswith(".")
        if is_file_here and not around.builds_wheels and not around.folder.has(str(one)):
            yield at.says(f"nothing makes {one}", "Declare the wheel under artifacts, or name one that is there.")


def _any_list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _listed(value: object) -> list[Json]:
    return [mapping(one) for one in _any_list(value)]
