"""Comparing what is in the tables: the answers of two runs, of two endpoints of a job, or of two jobs."""

from dataclasses import dataclass

from rowcall.core import sql
from rowcall.core.comparison import (
    Comparison,
    Side,
    Taken,
    comparison,
    examples_statement,
    outcomes_statement,
    side_statement,
    taken,
)
from rowcall.core.errors import RunError
from rowcall.core.loose import count, mapping, text
from rowcall.core.names import some
from rowcall.core.ports import Row, SqlSession
from rowcall.core.records import Column
from rowcall.tables import key_columns, reading


@dataclass(frozen=True, slots=True)
class Tables:
    """Where runs left what they did. `runs` is the runs table as the user names it."""

    session: SqlSession
    texts: sql.SqlTexts
    runs: str


def compare_answers(tables: Tables, one: str, other: str | None, examples: int) -> Comparison:
    """Two sides, each a run id or its beginning, `JOB:ENDPOINT`, or a job; or the two endpoints of one job.

    Raises `RunError` where there is nothing to compare.
    """
    a, b = _endpoints(tables, one) if other is None else (_side(tables, one), _side(tables, other))
    _check_keys(a, b)
    took_a, took_b = _taken(tables, a), _taken(tables, b)
    outcomes = tables.session.query(outcomes_statement(tables.texts, a, b))
    differing = tables.session.query(examples_statement(tables.texts, a, b, examples)) if examples else []
    found = comparison((a, b), (took_a, took_b), outcomes, differing)
    if not found.common:
        raise RunError(f"{a.name} and {b.name} have no key in common")
    return found


def _side(tables: Tables, name: str) -> Side:
    """What a name stands for: a run before a job."""
    job, colon, label = name.partition(":")
    if colon:
        return _of_endpoint(tables, job, label)
    found = _runs(tables, 2, run_id=name) if name else []
    if len(found) == 1:
        return _of_run(tables, found[0])
    if found:
        raise RunError(f"{tables.runs} has more than one run that begins with {name}. See rowcall runs.")
    labels = _labels(tables, name)
    if len(labels) > 1:
        named = " or ".join(f"{name}:{label}" for label in labels[:5])
        raise RunError(f"job {name} has several endpoints; name one to compare: {named}")
    return _described(tables, _newest(tables, name), Side(name, "", ()))


def _endpoints(tables: Tables, job: str) -> tuple[Side, Side]:
    """The two endpoints of a job."""
    if _runs(tables, 1, run_id=job):
        raise RunError(f"compare run {job} with another: rowcall compare {job} RUN")
    name, colon, label = job.partition(":")
    if colon:
        others = [f"{name}:{other}" for other in _labels(tables, name) if other != label] or ["RUN"]
        raise RunError(f"{job} is one endpoint; name another to compare it with: rowcall compare {job} {others[0]}")
    labels = _labels(tables, job)
    if len(labels) != 2:
        them = f"has the endpoints {some(labels)}" if labels else "has no endpoints with names"
        how = f"rowcall compare {job}:{labels[0]} {job}:{labels[1]}" if labels[1:] else "rowcall compare RUN RUN"
        raise RunError(f"job {job} {them}; name the two to compare: {how}")
    first, second = (_of_endpoint(tables, job, label) for label in labels)
    return first, second


def _labels(tables: Tables, job: str) -> list[str]:
    """The names of the endpoints in the outputs of a job."""
    run = _newest(tables, job)
    if not _label(run):
        return []
    key, outputs = sql.ENDPOINT_KEY, sql.quote_table(str(run["outputs_table"]))
    with reading(tables.session, outputs, "outputs"):
        return [str(row[key]) for row in tables.session.query(f"SELECT DISTINCT {key} FROM {outputs} ORDER BY {key}")]


def _of_endpoint(tables: Tables, job: str, label: str) -> Side:
    labels = _labels(tables, job)
    if label not in labels:
        there = f"has the endpoints {some(labels)}" if labels else "has no endpoints with names"
        raise RunError(f"job {job} has no endpoint {label}: it {there}")
    run = next((row for row in _runs(tables, 1000, job=job) if _label(row) == label), _newest(tables, job))
    return _described(tables, run, Side(f"{job}:{label}", "", (), label=label))


def _of_run(tables: Tables, run: Row) -> Side:
    run_id = str(run["run_id"])
    return _described(tables, run, Side(run_id, "", (), run_id=run_id, asked=count(run["asked"])))


def _described(tables: Tables, run: Row, side: Side) -> Side:
    """The side with what its table and a run of it tell."""
    outputs = sql.quote_table(str(run["outputs_table"]))
    key_columns(tables.session, outputs)
    columns = tables.session.columns(f"SELECT * FROM {outputs}")
    answer = next(column for column in columns if column.name == "answer")
    return Side(
        name=side.name,
        outputs=outputs,
        columns=columns,
        fields=_fields(tables, outputs, answer),
        run_id=side.run_id,
        label=side.label,
        labelled=bool(_label(run)),
        asked=side.asked,
        currency=text(run["currency"]),
    )


def _fields(tables: Tables, outputs: str, answer: Column) -> tuple[Column, ...]:
    structured = answer.type.startswith("struct<")
    return tables.session.columns(f"SELECT answer.* FROM {outputs}") if structured else ()


def _taken(tables: Tables, side: Side) -> Taken:
    found = taken(side, tables.session.query(side_statement(tables.texts, side))[0])
    if found.rows:
        return found
    table = sql.bare_name(side.outputs)
    if side.run_id is None:
        raise RunError(f"{table} has no answers of {side.name}")
    if not side.asked:
        raise RunError(f"run {side.run_id} asked nothing")
    raise RunError(
        f"nothing is left of run {side.run_id} in {table}: an outputs table has the best answer so far of each key, and later runs "
        "replaced its own.\n  To keep the answers of two endpoints, name both in endpoints; those of two prompts, give each a job."
    )


def _check_keys(a: Side, b: Side) -> None:
    one, other = ({(key.name, key.type) for key in side.keys} for side in (a, b))
    if one != other:
        said = (f"{side.name} has {', '.join(f'{key.name} {key.type}' for key in side.keys)}" for side in (a, b))
        raise RunError(f"the keys differ: {' and '.join(said)}")


def _newest(tables: Tables, job: str) -> Row:
    found = _runs(tables, 1, job=job) if job else []
    if not found:
        raise RunError(f"{tables.runs} has neither a run nor a job {job}. See rowcall runs.")
    return found[0]


def _runs(tables: Tables, limit: int, *, job: str = "", run_id: str = "") -> list[Row]:
    statement = sql.list_runs(tables.texts, sql.quote_table(tables.runs), limit)
    with reading(tables.session, sql.quote_table(tables.runs), "runs"):
        return tables.session.query(statement, {"job": job, "run_id": run_id})


def _label(run: Row) -> str | None:
    return text(mapping(run["context"]).get("endpoint"))
