"""Statements: the files of `sql/` with their `$slots` filled.

Names are quoted and values written as literals by sqlglot, for the Databricks dialect; row text never enters a statement.
The files' text comes in as a mapping from name (`statements/count`) to text, read by `adapters.sql_files`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from string import Template

from sqlglot import exp

from rowcall.core.definition import Prompts
from rowcall.core.names import table_parts
from rowcall.core.prompt import DIALECT, RenderedRequest, to_sql
from rowcall.core.records import Column

SqlTexts = Mapping[str, str]
_PLAIN = re.compile(r"[\w-]+")
_NOT_IN_FILES = re.compile(r"[ ,;{}()\n\t=]")
_QUOTED_FIELD = re.compile(r"`((?:[^`]|``)+)`")
ENDPOINT_KEY = "endpoint"
"""The key column that has the endpoint's name, where it has one."""
OUTPUT_COLUMNS = (
    "answer",
    "outcome",
    "error",
    "usage",
    "cost",
    "latency_ms",
    "attempts",
    "custom_outputs",
    "trace_id",
    "request_hash",
    "run_id",
    "answered_at",
)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a run, quoted. `replies` keeps what `ai_query` returned. `staged` is the temporary view over what is being
    published, a name of the run's own: runs may share a session."""

    outputs: str
    traces: str
    runs: str
    pending: str
    replies: str
    staged: str


@dataclass(frozen=True, slots=True)
class Statements:
    """Every statement of a run, in the order in which they are first sent. `clashing_keys` is sent where there are any,
    `update_outputs` where `better_outputs` finds a row, `evidence` only by a plan, where the outputs table is there."""

    count: str
    clashing_keys: str
    preview: str
    create_tables: tuple[str, ...]
    pending: str
    fetch: str
    insert_outputs: str
    better_outputs: str
    update_outputs: str
    merge_traces: str
    merge_run: str
    summary: str
    evidence: str | None = None


def quote_table(name: str) -> str:
    """``main.sales.`my table` `` as it can stand in a statement. Raises `TableNameError`."""
    return _quoted(table_parts(name))


def table_beside(name: str, *, schema: str | None = None, table: str | None = None, suffix: str = "") -> str:
    """The quoted name of another table: in another schema of the same catalog, with another name, or with a suffix."""
    *where, own = table_parts(name)
    if schema is not None:
        where = [*where[: len(where) - 1], schema]
    return _quoted((*where, (table or own) + suffix))


def schema_of(name: str) -> str | None:
    """The quoted schema a table is in, or None where the name does not say."""
    return _quoted(table_parts(name)[:-1]) or None


def catalog_of(name: str) -> str | None:
    """The catalog a table is in, or None where the name does not say."""
    parts = table_parts(name)
    return parts[0] if len(parts) == 3 else None


def volume_beside(name: str) -> tuple[str, str, str] | None:
    """Catalog, schema and name of the volume for journals beside a table, or None where the table's name is not whole."""
    parts = table_parts(name)
    return (parts[0], parts[1], "rowcall") if len(parts) == 3 else None


def create_volume(texts: SqlTexts, volume: tuple[str, str, str]) -> str:
    return fill(texts, "tables/journal_volume", volume=_quoted(volume))


def bare_name(quoted: str) -> str:
    """A quoted name as people write it: backticks only where they are needed."""
    return ".".join(map(bare_identifier, table_parts(quoted)))


def bare_identifier(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else identifier(name)


def literal(text: str) -> str:
    """A text as a SQL literal."""
    return to_sql(exp.Literal.string(text))


def identifier(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect=DIALECT)


def source(texts: SqlTexts, prompts: Prompts, query: str | None, endpoint: str | None = None) -> str:
    """The relation of prompt rows; `query` is the text of `prompts.query` or of `prompts.file`, `endpoint` the name of the endpoint
    where that is a key."""
    where = f"({prompts.where.strip()}\n)" if prompts.where else "true"
    more = f", {literal(endpoint)} AS {ENDPOINT_KEY}" if endpoint else ""
    if prompts.table is not None:
        return fill(texts, "statements/source_table", table=quote_table(prompts.table), where=where, more=more)
    return fill(texts, "statements/source_query", query=(query or "").strip().rstrip(";"), where=where, more=more)


def rendered(
    texts: SqlTexts, source_sql: str, keys: Sequence[Column], request: RenderedRequest, fingerprint: str
) -> str:
    """The relation (key, request, request_hash) of every prompt row."""
    return fill(
        texts,
        "statements/rendered",
        fingerprint=literal(fingerprint),
        key=_key_struct(keys, "p"),
        request=request.json,
        source=source_sql,
        wanted=f"NOT ({request.skip})" if request.skip else "true",
        files_in=f",\n    {request.files} AS files" if request.files else "",
        files_out=",\n  files" if request.files else "",
        files_hash=", coalesce(sha2(files, 256), '')" if request.files else "",
    )


def count(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column], outputs: str | None, *, only_new: bool) -> str:
    """Count the rows by what becomes of them; `outputs` is None while the table does not exist."""
    return fill(
        texts,
        "statements/count",
        rendered=rendered_sql,
        answered=_answered(texts, "SELECT * FROM rendered", keys, outputs),
        key_is_null=" OR ".join(f"by_key.key.{identifier(key.name)} IS NULL" for key in keys),
        same_key=_same_key(keys, "by_key", "answered"),
        same_request="" if only_new else " AND by_key.request_hash = answered.request_hash",
    )


def evidence(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column], outputs: str, cost: str) -> str:
    """Measure earlier answers; `cost` is a SQL expression over `o.usage`."""
    return fill(
        texts,
        "statements/evidence",
        rendered=rendered_sql,
        outputs=outputs,
        cost=cost,
        same_key=" AND ".join(f"o.{identifier(key.name)} = asked.key.{identifier(key.name)}" for key in keys),
    )


def priced(input_price: Decimal, cached_price: Decimal, output_price: Decimal) -> str:
    """What an answer of the outputs table `o` costs at these prices of a million tokens: a SQL expression."""
    terms = {"input": input_price, "output": output_price, "cached": cached_price - input_price}
    paid = (f"coalesce(o.usage.{name}_tokens, 0) * {float(price) / 1_000_000!r}D" for name, price in terms.items())
    return f"CASE WHEN o.usage.input_tokens IS NOT NULL THEN {' + '.join(paid)} END"


def clashing_keys(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column]) -> str:
    return fill(texts, "statements/clashing_keys", rendered=rendered_sql, order=_key_fields(keys))


def preview(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column], limit: int) -> str:
    return fill(texts, "statements/preview", rendered=rendered_sql, order=_key_fields(keys), limit=str(limit))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked: `only_new` ones, no more than `limit`; and whether they have `files`."""

    only_new: bool = False
    limit: int | None = None
    files: bool = False


def pending(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column], tables: Tables, wanted: Wanted) -> str:
    """Write the rows to ask into the pending table. The outputs table must exist. A row without a key may have come since the
    rows were counted; it would be inserted again each time its answer is published. Hashes are as good as drawn by lot: those
    that a limit picks are spread over the table. They are those of the keys, so that rows come in the same order for all endpoints
    of a job."""
    return fill(
        texts,
        "statements/pending",
        pending=tables.pending,
        rendered=rendered_sql,
        answered=_answered(texts, rendered_sql, keys, tables.outputs),
        same_key=_same_key(keys, "rendered", "answered"),
        same_request="" if wanted.only_new else " AND rendered.request_hash = answered.request_hash",
        keys_there=" AND ".join(f"key.{name} IS NOT NULL" for name in quoted_columns(keys)),
        files_once=", max(files) AS files" if wanted.files else "",
        place="" if wanted.limit is None else _place(keys),
        limited="" if wanted.limit is None else f"\nORDER BY place, request_hash\nLIMIT {wanted.limit}",
        mapping=_column_mapping(key.name for key in keys),
    )


def _place(keys: Sequence[Column]) -> str:
    """Where a row stands among those that a limit picks, the same for each endpoint of a job."""
    names = quoted_columns([key for key in keys if key.name != ENDPOINT_KEY] or keys)
    text = ", ".join(f"CAST(rendered.key.{name} AS STRING)" for name in names)
    return f",\n  min(sha2(concat_ws(' ', {text}), 256)) AS place"


def create_tables(
    texts: SqlTexts, tables: Tables, keys: Sequence[Column], answer_type: str, comment: str
) -> tuple[str, ...]:
    definitions = ",\n  ".join(
        f"{identifier(key.name)} {key.type.upper()} COMMENT 'Key of the prompt row'" for key in keys
    )
    return (
        fill(
            texts,
            "tables/outputs",
            outputs=tables.outputs,
            key_definitions=definitions,
            answer_type=answer_type,
            comment=literal(comment),
            mapping=_column_mapping([key.name for key in keys] + _QUOTED_FIELD.findall(answer_type)),
        ),
        fill(texts, "tables/traces", traces=tables.traces),
        fill(texts, "tables/runs", runs=tables.runs),
    )


def fetch(texts: SqlTexts, tables: Tables) -> str:
    return fill(texts, "statements/fetch", pending=tables.pending)


def publish_outputs(
    texts: SqlTexts, tables: Tables, keys: Sequence[Column], answer_type: str, run_id: str
) -> tuple[str, str, str]:
    """Publish the answers of the staged view: insert those whose keys have none, look whether there are better ones than those that
    are there, and update these. Run them as often as you like.

    One MERGE would do, but an engine has to read all of a table that it may update, and an update is rare.
    """
    update, insert = _every_column(keys)
    staged, present = _rank("s.outcome"), _rank("t.outcome")
    slots = {
        "outputs": tables.outputs,
        "answers": _staged_answers(texts, tables, keys, answer_type, run_id),
        "same_key": " AND ".join(f"t.{identifier(key.name)} = s.{identifier(key.name)}" for key in keys),
    }
    better = f"{staged} < {present} OR ({staged} = {present} AND s.answered_at > t.answered_at)"
    return (
        fill(texts, "statements/insert_outputs", **slots, insert=insert),
        fill(texts, "statements/better_outputs", **slots, better=better),
        fill(texts, "statements/update_outputs", **slots, better=better, update=update),
    )


def _staged_answers(texts: SqlTexts, tables: Tables, keys: Sequence[Column], answer_type: str, run_id: str) -> str:
    structured = answer_type != "STRING"
    return fill(
        texts,
        "statements/staged_answers",
        staged=tables.staged,
        rank=_rank("outcome"),
        key_fields=_key_fields(keys),
        keys_out=",\n  ".join(f"key.{identifier(key.name)} AS {identifier(key.name)}" for key in keys),
        answer=f"from_json(answer, {literal(answer_type)})" if structured else "answer",
        run_id=literal(run_id),
    )


def _every_column(keys: Sequence[Column]) -> tuple[str, str]:
    """What a MERGE updates and inserts. Delta Lake does not find a column with a backtick in its name by `*`."""
    if not any("`" in key.name for key in keys):
        return "*", "*"
    names = [*quoted_columns(keys), *OUTPUT_COLUMNS]
    update = ", ".join(f"{name} = s.{name}" for name in names)
    return update, f"({', '.join(names)}) VALUES ({', '.join(f's.{name}' for name in names)})"


def merge_traces(texts: SqlTexts, tables: Tables, *, version: str, resource: str, since: str) -> str:
    """Publish the spans of the staged view; `since` is the day of the run's start in UTC (`2026-11-23`), `resource` JSON text.

    Spans are looked for from the day before: a session west of UTC dates the first ones so.
    """
    day_before = date.fromisoformat(since) - timedelta(days=1)
    return fill(
        texts,
        "statements/merge_traces",
        traces=tables.traces,
        staged=tables.staged,
        version=literal(version),
        resource=literal(resource),
        since=f"DATE {literal(day_before.isoformat())}",
    )


def merge_run(texts: SqlTexts, tables: Tables) -> str:
    return fill(texts, "statements/merge_run", runs=tables.runs, staged=tables.staged)


def summary(texts: SqlTexts, tables: Tables) -> str:
    return fill(texts, "statements/summary", staged=tables.staged)


def list_runs(texts: SqlTexts, runs: str, limit: int) -> str:
    """Takes the parameters `job`, empty for all, and `run_id`, the beginning of an id."""
    return fill(texts, "statements/list_runs", runs=runs, limit=str(limit))


def costs(texts: SqlTexts, runs: str) -> str:
    """Takes the parameter `job`, empty for all."""
    return fill(texts, "statements/costs", runs=runs)


def list_failures(texts: SqlTexts, outputs: str, limit: int) -> str:
    """Takes the parameter `run_id`."""
    return fill(texts, "statements/list_failures", outputs=outputs, limit=str(limit))


def of_run(texts: SqlTexts, statement: str, table: str, run_id: str, since: str) -> str:
    """A statement on the outputs or the traces of a run, which may be read later: it takes no parameters. `since` is the day of
    the run's start."""
    slots = {
        "run_outputs": ("outputs",),
        "run_failures": ("outputs", "run_id"),
        "run_spans": ("traces", "run_id", "since"),
    }
    given = {"outputs": table, "traces": table, "run_id": literal(run_id), "since": literal(since)}
    return fill(texts, f"statements/{statement}", **{name: given[name] for name in slots[statement]})


def _rank(outcome: str) -> str:
    return f"CASE {outcome} WHEN 'ok' THEN 0 WHEN 'truncated' THEN 1 ELSE 2 END"


def quoted_columns(columns: Sequence[Column]) -> list[str]:
    return [identifier(column.name) for column in columns]


def column_names(create_table: str) -> list[str]:
    """The columns of one of the files under `sql/tables/`, which have one a line."""
    return list(column_definitions(create_table))


def column_definitions(create_table: str) -> dict[str, str]:
    """The columns of such a file, each with its type: `cost` → `cost DOUBLE`."""
    found: dict[str, str] = {}
    for line in create_table.splitlines():
        if line.startswith("  ") and line.strip()[0] != "$":
            definition = re.sub(r"( COMMENT '.*')?,?$", "", line.strip())
            found[definition.split()[0]] = definition
    return found


def _quoted(parts: Sequence[str]) -> str:
    return ".".join(identifier(part) for part in parts)


def fill(texts: SqlTexts, name: str, **slots: str) -> str:
    """A file's statement without its leading comment lines' final newline; every slot must be given, and no other."""
    return Template(texts[name]).substitute(slots).rstrip()


def _column_mapping(names: Iterable[str]) -> str:
    """What a table needs, some of whose columns or fields have names that Delta Lake does not take in its files."""
    odd = any(_NOT_IN_FILES.search(name) for name in names)
    return "\nTBLPROPERTIES ('delta.columnMapping.mode' = 'name')" if odd else ""


def _answered(texts: SqlTexts, rendered_sql: str, keys: Sequence[Column], outputs: str | None) -> str:
    if outputs is None:
        return fill(texts, "statements/answered_none", rendered=rendered_sql)
    return fill(texts, "statements/answered", key=_key_struct(keys, "o"), outputs=outputs)


def _key_struct(keys: Sequence[Column], alias: str) -> str:
    return f"named_struct({', '.join(f'{literal(key.name)}, {alias}.{identifier(key.name)}' for key in keys)})"


def _key_fields(keys: Sequence[Column]) -> str:
    return ", ".join(f"key.{name}" for name in quoted_columns(keys))


def _same_key(keys: Sequence[Column], left: str, right: str) -> str:
    return " AND ".join(f"{left}.key.{identifier(key.name)} = {right}.key.{identifier(key.name)}" for key in keys)
