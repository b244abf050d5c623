"""The definitions of a bundle, and the Databricks jobs that they become."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rowcall import __version__
from rowcall.adapters.git import commit_here
from rowcall.api import load_job
from rowcall.core.bundle.job import Deployment, databricks_job
from rowcall.core.bundle.variables import values_for, with_references
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.reader import variables_in

JOBS = "jobs"
REQUIREMENT = "rowcall"
"""The bundle's variable that says how rowcall is installed."""
NOTIFICATIONS = "notifications"


@dataclass(frozen=True, slots=True)
class BundleJob:
    """A Databricks job, `settings`, of the definition in `file`."""

    file: Path
    settings: Any


def jobs_of(variables: Mapping[str, object], root: Path = Path()) -> tuple[dict[str, BundleJob], list[Problem]]:
    """The Databricks jobs of all files in `jobs/` by their names, and what is wrong with the files."""
    jobs: dict[str, BundleJob] = {}
    problems: list[Problem] = []
    for path in sorted([*root.glob(f"{JOBS}/*.yml"), *root.glob(f"{JOBS}/*.yaml")]):
        try:
            name, job = _job(path, root, variables)
        except DefinitionError as error:
            problems += error.problems
            continue
        if name in jobs:
            problems.append(Problem(str(path), "job", f"another file of {JOBS}/ has a job {name!r} as well"))
        jobs[name] = BundleJob(path, job)
    if not jobs and not problems:
        problems.append(Problem(str(root / JOBS), "", "there is no job definition", hint=f"Write {JOBS}/<name>.yml."))
    return jobs, problems


def _job(path: Path, root: Path, variables: Mapping[str, object]) -> tuple[str, Any]:
    used = variables_in(_text(path), str(path)) & variables.keys()
    loaded = load_job(path, values_for(used, variables))
    definition = loaded.definition
    at = Deployment(
        file=path.relative_to(root).as_posix(),
        requirement=str(variables.get(REQUIREMENT) or f"rowcall=={__version__}"),
        variables=frozenset(used),
        commit=commit_here(root),
        on_failure=_people(variables.get(NOTIFICATIONS)),
        endpoints=len(loaded.each()),
    )
    return definition.job, with_references(databricks_job(definition, at))


def _text(path: Path) -> str:
    """What the file says; of one that cannot be read nothing, and loading it tells why."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "{}"


def _people(said: object) -> tuple[str, ...]:
    """A list of addresses and destinations, or a text with commas between them."""
    listed = cast("list[object]", said) if isinstance(said, list) else str(said or "").split(",")
    return tuple(name for one in listed if (name := str(one).strip()))
