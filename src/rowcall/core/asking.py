"""`rowcall.ask` as a job: its arguments become a definition, and what is wrong with them is told by their names."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, cast

from pydantic import ValidationError

from rowcall.core import sql
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.complaints import Complaints
from rowcall.core.job_file.schema import job_shape
from rowcall.core.job_file.tree import Tree
from rowcall.core.job_file.unknown_keys import set_aside_unknown_keys
from rowcall.core.job_file.variables import Filled
from rowcall.core.names import some, table_parts
from rowcall.core.plan import RunPlan
from rowcall.core.template import Field, TemplateError, parse_template

CALL = "rowcall.ask"
MADE_KEY = "content_hash"
"""The key of rows that have none: what the prompt reads of a row stands for it, wherever in a frame it is."""
SCHEMA = "rowcall"
ASKED_ROWS = "rows"
"""What the folder of the rows of calls has after its job's name, and what a note in it says when they were written."""
_ROWS_OF = "__rowcall_rows_"
_ARGUMENTS = {
    "request.instructions": "instructions",
    "request.input": "prompt",
    "request": "prompt",
    "prompts.key": "key",
    "prompts": "data",
    "answer.schema": "answer",
    "outputs.table": "outputs",
    "engine.concurrency": "concurrency",
    "job": "name",
}
_NOT_IN_JOB = frozenset(
    ("job", "prompts", "request", "endpoint", "engine", "answer", "outputs", "limits", "endpoints", "variables")
)


@dataclass(frozen=True, slots=True)
class Asking:
    """What `rowcall.ask` is told beside the rows; each field as a job's key of that name has it. `others` are further keys."""

    request: Mapping[str, Any]
    endpoint: Mapping[str, Any]
    key: tuple[str, ...] = ()
    answer: object = "text"
    engine: object = "auto"
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])
    name: str | None = None
    outputs: str | None = None

    @property
    def job(self) -> str:
        """The job's name: the one given, or one that stands for what is asked, of whom, and where the answers go."""
        if self.name is not None:
            return self.name
        said = [self.request, self.endpoint, self.key, self.answer, self.outputs]
        return f"asked_{digest(said)[:12]}"

    def table(self, catalog: str) -> str:
        """Where the answers go."""
        return self.outputs or ".".join(sql.bare_identifier(part) for part in (catalog, SCHEMA, self.job))


def digest(value: object) -> str:
    """A SHA-256 that stands for plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()


def wrong(argument: str, message: str, hint: str = "") -> DefinitionError:
    return DefinitionError([Problem(CALL, argument, message, hint=hint)])


def request_of(prompt: str | Mapping[str, Any], instructions: str | None) -> dict[str, Any]:
    """`prompt` is the user's message, or all of a job's `request`."""
    request = {"input": prompt} if isinstance(prompt, str) else _mapping("prompt", prompt)
    if instructions is None:
        return request
    if "instructions" in request:
        raise wrong("instructions", "stand in prompt as well", "Give them once.")
    return {"instructions": instructions, **request}


def endpoint_of(endpoint: str | Mapping[str, Any]) -> dict[str, Any]:
    """`serving:NAME`, `app:NAME`, a URL, or all of a job's `endpoint`."""
    if not isinstance(endpoint, str):
        return _mapping("endpoint", endpoint)
    if re.match(r"https?://", endpoint):
        return {"url": endpoint}
    kind, colon, name = endpoint.partition(":")
    if colon and kind in ("serving", "app"):
        return {kind: name.strip()}
    hint = f"Did you mean serving:{endpoint} or app:{endpoint}?" if endpoint and not colon else ""
    raise wrong("endpoint", f"is {endpoint!r}; expected serving:NAME, app:NAME, a URL or a mapping.", hint)


def engine_of(engine: str | Mapping[str, Any], concurrency: int | str | None) -> dict[str, Any]:
    said = {"kind": engine} if isinstance(engine, str) else _mapping("engine", engine)
    if concurrency is not None and "concurrency" in said:
        raise wrong("concurrency", "stands in engine as well", "Give it once.")
    return said if concurrency is None else {**said, "concurrency": concurrency}


def key_of(key: str | Sequence[str] | None) -> tuple[str, ...]:
    if key is None:
        return ()
    names = (key,) if isinstance(key, str) else tuple(_sequence(key))
    if not all(isinstance(name, str) for name in names):
        raise wrong("key", f"is {key!r}; expected the name of a column, or several.")
    return names


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, Sequence) else (value,)


def _mapping(argument: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(argument, f"is {value!r}; expected a text or a mapping.")
    return dict(cast("Mapping[str, Any]", value))


def columns_read(asking: Asking, names: Sequence[str]) -> list[str]:
    """The columns of a frame that its prompt names, and its key: only these are sent. Raises `DefinitionError` for what is not
    there."""
    by_name = {name.lower(): name for name in reversed(names)}
    problems: list[Problem] = []
    found: dict[str, None] = {}
    for wanted in asking.key:
        if wanted.lower() not in by_name:
            problems.append(_no_column("key", wanted, names))
        else:
            found[by_name[wanted.lower()]] = None
    for placeholder in dict.fromkeys(_placeholders(asking.request)):
        name = _column_of(placeholder, by_name)
        if name is None:
            problems.append(_no_column("prompt", placeholder.name, names))
        else:
            found[name] = None
    problems += _alike(found, names)
    if problems:
        raise DefinitionError(problems)
    return list(found)


def check_names(names: Sequence[str], prefix: str) -> None:
    """Raises `DefinitionError` where a frame has columns that its answers would be called."""
    there = {name.lower() for name in names}
    taken = [column for column in answer_columns(prefix) if column.lower() in there]
    if taken:
        hint = f'Give the answers names of their own: prefix="{prefix or "new"}_".'
        raise wrong("data", f"has {'a column' if len(taken) == 1 else 'columns'} {some(taken)} already", hint)


def answer_columns(prefix: str) -> list[str]:
    return [f"{prefix}{name}" for name in sql.OUTPUT_COLUMNS]


def free_name(name: str, taken: Iterable[str]) -> str:
    """A name that none of those is, whatever their case."""
    there = {other.lower() for other in taken}
    while name.lower() in there:
        name += "_"
    return name


def _check_others(others: Mapping[str, Any]) -> None:
    """Raises `DefinitionError` where `job` has keys that are arguments, or that a call cannot have."""
    taken = [name for name in others if name in _NOT_IN_JOB]
    if taken:
        raise wrong(
            "job", f"has {some(taken)}", "Give arguments by their own names; a call has no variables and one endpoint."
        )


def definition(asking: Asking, prompts: Mapping[str, Any], table: str) -> JobDefinition:
    """The job. Raises `DefinitionError` with everything that is wrong, by the names of the arguments."""
    _check_others(asking.others)
    data: dict[str, Any] = {
        **asking.others,
        "job": asking.job,
        "prompts": dict(prompts),
        "request": dict(asking.request),
        "endpoint": dict(asking.endpoint),
        "engine": asking.engine,
        "answer": asking.answer if isinstance(asking.answer, str) else {"schema": asking.answer},
        "outputs": {"table": table},
        "limits": dict(asking.limits),
    }
    tree = Tree(CALL, "", data)
    set_aside_unknown_keys(tree, job_shape())
    try:
        made = JobDefinition.model_validate(tree.data)
    except ValidationError as error:
        Complaints(tree, Filled(tree.data), error).tell()
        made = None
    if made is None or tree.problems:
        raise as_asked(DefinitionError(list(dict.fromkeys(tree.problems))))
    return made


def as_asked(error: DefinitionError) -> DefinitionError:
    """Problems of the job by the names of the arguments that they come of."""
    return DefinitionError([_as_asked(problem) for problem in error.problems])


def _as_asked(problem: Problem) -> Problem:
    hint = "Change it in the data first." if "prompts.query" in problem.hint else problem.hint
    for key, argument in _ARGUMENTS.items():
        if problem.key == key or problem.key.startswith((f"{key}.", f"{key}[")):
            return replace(problem, file=CALL, key=argument + problem.key[len(key) :], hint=hint)
    return replace(problem, file=CALL, hint=hint)


def read_back(texts: sql.SqlTexts, rows: str, plan: RunPlan, shown: str, prefix: str, *, only_new: bool) -> str:
    """The relation of the rows in `rows` (SQL) with their answers, whose columns' names get a prefix. An answer to what a row asked
    earlier counts with `only_new`. `shown` is what is taken of a row `r`."""
    label, keys = plan.endpoint_label, list(plan.bound.keys)
    own = sql.quoted_columns(keys[:-1] if label else keys)  # the endpoint's name comes last, and no row has it
    same_key = [f"o.{name} = r.{name}" for name in own]
    return sql.fill(
        texts,
        "statements/answered_rows",
        rows=rows,
        rendered=plan.bound.rendered,
        outputs=plan.bound.tables.outputs,
        shown=shown,
        answers=",\n  ".join(f"o.{name} AS {sql.identifier(prefix + name)}" for name in sql.OUTPUT_COLUMNS),
        asked_key=" AND ".join(f"asked.key.{name} = r.{name}" for name in own),
        same_key=" AND ".join([*same_key, f"o.{sql.ENDPOINT_KEY} = {sql.literal(label)}"] if label else same_key),
        same_request="" if only_new else " AND o.request_hash = asked.request_hash",
    )


def _placeholders(value: object) -> Iterator[Field]:
    """What stands in braces anywhere in a request; a text that is no template is for the plan to complain of."""
    match value:
        case str():
            try:
                yield from (part for part in parse_template(value) if isinstance(part, Field))
            except TemplateError:
                return
        case Mapping():
            for each in cast("Mapping[str, object]", value).values():
                yield from _placeholders(each)
        case list() | tuple():
            for each in cast("Sequence[object]", value):
                yield from _placeholders(each)
        case _:
            return


def _column_of(placeholder: Field, by_name: Mapping[str, str]) -> str | None:
    """The column that a placeholder names, or has a field of."""
    whole = by_name.get(placeholder.name.lower())
    if whole is not None or placeholder.quoted:
        return whole
    first, dot, _ = placeholder.name.partition(".")
    return by_name.get(first.lower()) if dot else None


def _no_column(argument: str, name: str, names: Sequence[str]) -> Problem:
    close = difflib.get_close_matches(name, names, n=1)
    shown = f"{{{close[0]}}}" if close and argument == "prompt" else f"{close[0]!r}" if close else ""
    guess = f"Did you mean {shown}? " if shown else ""
    brace = "" if shown or argument == "key" else " For a plain brace write {{ or }}."
    return Problem(CALL, argument, f"there is no column {name!r}", hint=f"{guess}There are: {some(names)}.{brace}")


def _alike(found: Iterable[str], names: Sequence[str]) -> Iterator[Problem]:
    """SQL does not tell columns apart whose names differ by case."""
    for name in found:
        same = [other for other in names if other.lower() == name.lower()]
        if len(same) > 1:
            yield Problem(
                CALL, "data", f"has {len(same)} columns {some(same)}: SQL takes them for one", hint="Rename them."
            )


def rows_table(outputs: str, day: date, token: str) -> str:
    """The table for the rows of one call: another call's rows are no business of what this one gave back."""
    return sql.bare_name(sql.table_beside(outputs, suffix=f"{_ROWS_OF}{day:%Y%m%d}_{token}"))


def old_rows_tables(outputs: str, names: Iterable[str], before: date) -> list[str]:
    """Those of `names`, tables beside the outputs, that hold the rows of calls before a day."""
    return [name for name, day in rows_tables(outputs, names).items() if day < f"{before:%Y%m%d}"]


def rows_tables(outputs: str, names: Iterable[str]) -> dict[str, str]:
    """Those of `names`, tables beside the outputs, that hold the rows of calls, each with the day of its call: `20261130`."""
    *_, own = table_parts(outputs)
    pattern = re.compile(re.escape(f"{own}{_ROWS_OF}") + r"(\d{8})_[0-9a-f]+", re.IGNORECASE)
    found = ((name, pattern.fullmatch(name)) for name in names)
    return {name: match[1] for name, match in found if match}
