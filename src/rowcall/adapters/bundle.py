"""The Python package of Databricks' bundles, `databricks-bundles`."""

from collections.abc import Mapping, Sequence
from typing import Any

from databricks.bundles.core import Bundle, Location, Resources
from databricks.bundles.jobs import Job

from rowcall.core.errors import Problem

__all__ = ["Bundle", "Resources", "made_resources"]


def made_resources(jobs: Mapping[str, tuple[str, Any]], problems: Sequence[Problem]) -> Resources:
    """Jobs, each with its file, checked by the classes of the package; and mistakes with the places where they stand."""
    resources = Resources()
    for name, (file, settings) in jobs.items():
        location = Location(file=file, line=1, column=1)
        try:
            resources.add_job(name, Job.from_dict(settings), location=location)
        except (TypeError, ValueError) as error:
            resources.add_diagnostic_error(f"job {name}: {error}", location=location)
    for problem in problems:
        place = Location(file=problem.file, line=problem.line or None, column=problem.column or None)
        if problem.file == "databricks.yml":
            path = tuple(problem.key.split("."))
            resources.add_diagnostic_error(problem.message, detail=problem.hint or None, location=place, path=path)
            continue
        said = ": ".join(part for part in (problem.key, problem.message) if part)
        resources.add_diagnostic_error(said, detail=problem.hint or None, location=place)
    return resources
