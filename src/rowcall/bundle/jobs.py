"""The definitions of a bundle, and the Databricks jobs that they become."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rowcall import __version__
from rowcall.adapters.git import commit_here
from rowcall.api import load_job
from rowcall.core.bundle.job import Deployment, databricks_job
from rowcall.core.bundle.variables import references, resolved, values_for, with_references
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.reader import variables_in

JOBS = "jobs"
REQUIREMENT = "rowcall"
"""The bundle's variable that says how rowcall is installed."""
NOTIFICATIONS = "notifications"
_FILLED_IN_BEFORE = ("var.", "workspace.", "bundle.")
"""References that the Databricks CLI has filled in when it calls Python; only a look at the bundle still has them."""


@dataclass(frozen=True, slots=True)
class BundleJob:
    """A Databricks job, `settings`, of the definition in `file`."""

    file: Path
    settings: Any


def jobs_of(variables: Mapping[str, object], root: Path = Path()) -> tuple[dict[str, BundleJob], list[Problem]]:
    """The Databricks jobs of all files in `jobs/` by their names, and what is wrong with the files."""
    jobs: dict[str, BundleJob] = {}
    problems: list[Problem] = []
    try:
        people = _people(variables)
    except DefinitionError as error:
        return jobs, list(error.problems)
    for path in sorted([*root.glob(f"{JOBS}/*.yml"), *root.glob(f"{JOBS}/*.yaml")]):
        try:
            name, job = _job(path, root, variables, people)
        except DefinitionError as error:
            problems += error.problems
            continue
        if name in jobs:
            problems.append(Problem(str(path), "job", f"another file of {JOBS}/ has a job {name!r} as well"))
        jobs[name] = BundleJob(path, job)
    if not jobs and not problems:
        problems.append(Problem(str(root / JOBS), "", "there is no job definition", hint=f"Write {JOBS}/<name>.yml."))
    return jobs, problems


def _job(path: Path, root: Path, variables: Mapping[str, object], people: Sequence[str]) -> tuple[str, Any]:
    used = variables_in(_text(path), str(path)) & variables.keys()
    loaded = load_job(path, values_for(used, variables))
    definition = loaded.definition
    at = Deployment(
        file=path.relative_to(root).as_posix(),
        requirement=str(variables.get(REQUIREMENT) or f"rowcall=={__version__}"),
        variables=frozenset(used),
        commit=commit_here(root),
        on_failure=people,
        endpoints=len(loaded.each()),
    )
    return definition.job, with_references(databricks_job(definition, at))


def _text(path: Path) -> str:
    """What the file says; of one that cannot be read nothing, and loading it tells why."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "{}"


def _people(variables: Mapping[str, object]) -> tuple[str, ...]:
    """A list of addresses and destinations, or a text with commas between them; each may refer to other variables. Raises
    `DefinitionError` where it cannot be told which of the two something is."""
    known = {name: value for name, value in variables.items() if value is not None}
    found = tuple(_listed(resolved(variables.get(NOTIFICATIONS), {"var": known})))
    for one in found:
        if not all(name.startswith(_FILLED_IN_BEFORE) for name in references(one)):
            said = f"{one} is known too late to tell an address from the id of a notification destination"
            raise DefinitionError([_of_notifications(said)])
    return found


def _listed(said: object) -> Iterator[str]:
    if isinstance(said, list):
        for one in cast("list[object]", said):
            yield from _listed(one)
    elif isinstance(said, Mapping):
        raise DefinitionError([_of_notifications("is a mapping")])
    else:
        yield from (name for one in str(said or "").split(",") if (name := one.strip()))


def _of_notifications(said: str) -> Problem:
    hint = "Write addresses and ids of notification destinations, or ${var.name} with such a value."
    return Problem("databricks.yml", f"variables.{NOTIFICATIONS}", said, hint=hint)
