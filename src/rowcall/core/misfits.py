"""Whether a definition fits the columns there are: its keys, its placeholders, the tables it writes. Finds every misfit."""

import difflib
import re
from collections.abc import Iterator, Sequence

from rowcall.core import sql
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import Problem
from rowcall.core.names import some
from rowcall.core.prompt import PromptProblemsError, RenderedRequest, render_request
from rowcall.core.records import Column

KEY_TYPES = re.compile(
    r"string|(var)?char(\(\d+\))?|tinyint|smallint|int|bigint|date|timestamp(_ntz)?|boolean|decimal\(\d+,\d+\)"
)


def misfits(definition: JobDefinition, columns: Sequence[Column]) -> list[Problem]:
    """What of a definition does not fit the columns there are."""
    problems: list[Problem] = []
    keys_of(definition, columns, problems)
    request_of(definition, columns, problems)
    return problems


def keys_of(definition: JobDefinition, columns: Sequence[Column], problems: list[Problem]) -> tuple[Column, ...]:
    by_name = {column.name.lower(): column for column in columns}
    names = [column.name for column in columns]
    found: list[Column] = []
    for name in definition.prompts.key:
        column = by_name.get(name.lower())
        if column is None:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean `{close[0]}`? " if close else ""
            problems.append(
                Problem(
                    "",
                    "prompts.key",
                    f"there is no column {name!r}",
                    hint=f"{hint}There are: {some(names)}.",
                )
            )
        elif not KEY_TYPES.fullmatch(column.type):
            expected = "a text, whole number, decimal, date, timestamp or boolean"
            said = f"column {name!r} is {column.type}; a key is {expected}"
            problems.append(Problem("", "prompts.key", said, hint=_as_a_key(column)))
        elif column.name.lower() in sql.OUTPUT_COLUMNS:
            own, other = sql.bare_identifier(column.name), sql.bare_identifier(f"{column.name}_key")
            hint = f"Rename it in prompts.query: SELECT *, {own} AS {other} FROM …"
            problems.append(
                Problem("", "prompts.key", f"the outputs table has a column {column.name!r} of its own", hint=hint)
            )
        else:
            found.append(column)
    if definition.endpoint.label:
        if sql.ENDPOINT_KEY in by_name:
            problems.append(_endpoint_column(by_name[sql.ENDPOINT_KEY]))
        found.append(Column(sql.ENDPOINT_KEY, "string"))
    return tuple(found)


def _endpoint_column(column: Column) -> Problem:
    said = f"the prompt rows have a column {column.name!r}, which the outputs have for the name of the endpoint"
    return Problem("", "endpoint.label", said, hint="Rename it, or leave it out, in prompts.query.")


def _as_a_key(column: Column) -> str:
    """What to do about a column that is no key."""
    name = sql.bare_identifier(column.name)
    if column.type in ("float", "double"):
        made = f"CAST({name} AS DECIMAL(38, 6))"
    else:
        made = f"hex({name})" if column.type == "binary" else f"to_json({name})"
    return f"Make one of it in prompts.query: SELECT *, {made} AS {sql.bare_identifier(f'{column.name}_key')} FROM …"


def request_of(definition: JobDefinition, columns: Sequence[Column], problems: list[Problem]) -> RenderedRequest | None:
    try:
        return render_request(definition.request, columns)
    except PromptProblemsError as errors:
        problems += [
            Problem("", _request_key(definition, error.key), error.message, hint=error.hint)
            for error in errors.problems
        ]
        return None


def _request_key(definition: JobDefinition, key: str) -> str:
    """The key a user wrote, from the place in the neutral request: its messages come from instructions, input or messages."""
    match = re.fullmatch(r"request\.messages\[(\d+)\](\.content)?", key)
    if match is None:
        return key
    index, has_instructions = int(match[1]), definition.request.instructions is not None
    if has_instructions and index == 0:
        return "request.instructions"
    return (
        "request.input"
        if definition.request.input is not None
        else f"request.messages[{index - has_instructions}]{match[2] or ''}"
    )


def outputs_misfits(
    table: str, columns: Sequence[Column], keys: Sequence[Column], answer_type: str
) -> Iterator[Problem]:
    there = {column.name.lower(): column.type for column in columns}
    wanted = {key.name.lower(): key.type for key in keys} | {"answer": answer_type}
    remedy = "Write to another table, or rename this one."
    missing = [name for name in (*wanted, *sql.OUTPUT_COLUMNS) if name not in there]
    if missing:
        said = f"{table} exists but lacks {', '.join(dict.fromkeys(missing))}"
        yield Problem("", "outputs.table", said, hint=remedy)
    for name, type_ in wanted.items():
        if name in there and _plain(there[name]) != _plain(type_):
            said = f"column {name!r} of {table} is {there[name]}, this job writes {type_.lower()}"
            yield Problem("", "outputs.table", said, hint=remedy)
    extra = [name for name in there if name not in wanted and name not in sql.OUTPUT_COLUMNS]
    if extra and not missing:
        yield Problem(
            "",
            "outputs.table",
            f"{table} has columns this job does not fill: {', '.join(extra)}",
            hint=remedy,
        )


def same_tables(outputs: str, traces: str, runs: str) -> list[Problem]:
    """Quoted names that mean the same table, one of them perhaps where it is by default."""
    if len({outputs.lower(), traces.lower(), runs.lower()}) == 3:
        return []
    said = f"outputs.table, traces.table and runs.table must be different tables, and are {outputs}, {traces}, {runs}"
    return [Problem("", "outputs.table", said, hint="Name another one.")]


def shared_misfits(name: str, table: str, columns: Sequence[Column] | None, texts: sql.SqlTexts) -> list[Problem]:
    """A traces or runs table of another kind would be found out only when all is paid for. `table` is quoted."""
    if columns is None:
        return []
    there, wanted = {column.name for column in columns}, sql.column_definitions(texts[f"tables/{name}"])
    lacks = [column for column in wanted if column not in there]
    said = f"the table exists but lacks {', '.join(lacks[:5])}"
    if len(lacks) == len(wanted):
        hint = "Name another table."
    else:
        added = ", ".join(wanted[column] for column in lacks)
        hint = f"If it is an earlier version's: ALTER TABLE {table} ADD COLUMNS ({added}). Else name another table."
    return [Problem("", f"{name}.table", said, hint=hint)] if lacks else []


def _plain(type_: str) -> str:
    return re.sub(r"[\s`]", "", type_).lower()
