"""A job definition from YAML text, or every problem in it: key, line, what was expected and the likely fix.

text → `tree` (data and places) → `variables` (filled in) → `unknown_keys` (told, set aside) → `several` (one for each endpoint)
→ Pydantic, whose complaints `complaints` puts into words.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.complaints import Complaints
from rowcall.core.job_file.schema import job_schema, job_shape
from rowcall.core.job_file.several import each_endpoint
from rowcall.core.job_file.tree import MAX_CHARACTERS, Tree, key_text, read_yaml
from rowcall.core.job_file.unknown_keys import set_aside_unknown_keys
from rowcall.core.job_file.variables import Filled, fill_variables, variables_of

__all__ = ["MAX_CHARACTERS", "job_schema", "locate", "parse_job", "parse_jobs", "variables_in"]


def parse_jobs(text: str, file: str, variables: Mapping[str, str] | None = None) -> tuple[JobDefinition, ...]:
    """The definition in `text`, once for each endpoint. `file` is only for messages; `variables` are the command line's.

    Raises `DefinitionError` with every problem, by line.
    """
    tree = read_yaml(text, file)
    filled = fill_variables(tree, variables or {})
    set_aside_unknown_keys(tree, job_shape())
    definitions = [_validated(one, filled) for one in each_endpoint(tree)]
    found = tuple(definition for definition in definitions if definition is not None)
    if tree.problems:
        problems = dict.fromkeys(tree.problems)
        raise DefinitionError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return found


def parse_job(text: str, file: str, variables: Mapping[str, str] | None = None) -> JobDefinition:
    """The definition of a job that asks one endpoint. Raises as `parse_jobs` does, and `ValueError` where it asks several."""
    (definition,) = parse_jobs(text, file, variables)
    return definition


def variables_in(text: str, file: str) -> set[str]:
    """The variables that a definition has a default for, or refers to. Raises `DefinitionError` where it is no YAML."""
    return variables_of(read_yaml(text, file).data)


def locate(problems: Sequence[Problem], text: str, file: str, endpoint: str | None = None) -> list[Problem]:
    """Problems found later, by their keys, with the places of those keys in the file; `endpoint` is the name of the one asked."""
    tree = read_yaml(text, file)
    paths = {key_text(path): path for path in tree.places}
    named = f"endpoints.{endpoint}"
    for problem in problems:
        whole = re.sub(r"^endpoint(?=\.|$)", named, problem.key) if named in paths else problem.key
        key = whole
        while key and key not in paths:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        place = tree.places.get(paths.get(key, ()))
        line, column = (place.value_line, place.value_column) if place else (0, 0)
        tree.problems.append(replace(problem, key=whole, file=file, line=line, column=column))
    return sorted(tree.problems, key=lambda problem: (problem.line, problem.column))


def _validated(tree: Tree, filled: Filled) -> JobDefinition | None:
    """The definition, or None with what is wrong added to the tree's problems."""
    try:
        return JobDefinition.model_validate(tree.data)
    except ValidationError as error:
        complaints = Complaints(tree, filled, error)
    if complaints.take_as_text():
        return _validated(tree, filled)
    complaints.tell()
    return None
