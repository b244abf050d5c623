"""One row's story, read from the tables: its output and the spans of the call that brought it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from rowcall.core import sql
from rowcall.core.errors import RunError
from rowcall.core.loose import json_text, mapping, parse_json, text
from rowcall.core.ports import Journal, Row, SqlSession
from rowcall.core.span_row import OVERFLOW
from rowcall.core.trace_tree import Node, trace_tree
from rowcall.tables import in_utc, key_columns, reading

_TRACE_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RowStory:
    """What happened to a row. `output` is None where the outputs have a later answer, `tree` where no call was made; `currency` is
    that of its cost."""

    trace_id: str
    output: Row | None
    tree: Node | None
    currency: str | None = None

    def as_json(self) -> dict[str, object]:
        return {"trace_id": self.trace_id, "output": self.output, "trace": self.tree and self.tree.as_json()}


def read_story(
    session: SqlSession, texts: sql.SqlTexts, run: Row, key: str, journal_of: Callable[[str], Journal] | None
) -> RowStory:
    """The story of the row of a run's outputs that has a key, or of the call that has a trace id. `journal_of` opens the journal of
    a run for what is too long for the spans; without one they stay cut. Raises `RunError` where there is no such row."""
    outputs, traces = (sql.quote_table(str(run[name])) for name in ("outputs_table", "traces_table"))
    spans_of = sql.fill(texts, "statements/list_spans", traces=traces)

    def spans_with(trace_id: str) -> list[Row]:
        with reading(session, traces, "traces"):
            return session.query(spans_of, {"trace_id": trace_id})

    keys = [column.name for column in key_columns(session, outputs)]
    found, spans, trace_id = [], [], key
    if _TRACE_ID.fullmatch(key):
        found = session.query(_find(texts, outputs, "trace_id = :trace_id"), {"trace_id": key})
        spans = spans_with(key)
    if not found and not spans:  # a key may look like a trace id
        found = _by_key(session, texts, outputs, keys, key)
        trace_id = str(found[0]["trace_id"])
        spans = spans_with(trace_id)
    whole = _whole_texts(spans, trace_id, journal_of) if journal_of is not None else ()
    return RowStory(trace_id, in_utc(found[0]) if found else None, trace_tree(spans, whole), text(run["currency"]))


def _find(texts: sql.SqlTexts, outputs: str, condition: str) -> str:
    return sql.fill(texts, "statements/find_output", outputs=outputs, condition=condition)


def _by_key(session: SqlSession, texts: sql.SqlTexts, outputs: str, names: Sequence[str], key: str) -> list[Row]:
    values = key_values(key, names)
    same = " AND ".join(f"CAST({sql.identifier(name)} AS STRING) = :key_{n}" for n, name in enumerate(names))
    found = session.query(_find(texts, outputs, same), {f"key_{n}": values[name] for n, name in enumerate(names)})
    if not found:
        said = ", ".join(f"{name} = {value!r}" for name, value in values.items())
        raise RunError(f"{sql.bare_name(outputs)} has no row with {said}. A row that was not asked yet has no trace.")
    return found


def key_values(key: str, names: Sequence[str]) -> Mapping[str, str]:
    """The values of key columns, written as `a=1,b=2` or as JSON, or as the value alone where there is one column. Raises
    `RunError`."""
    said = _json_key(key)
    if len(names) == 1 and set(said) != set(names):
        return {names[0]: key.removeprefix(f"{names[0]}=")}
    given = said or _written_key(key, names)
    if set(given) != set(names):
        example = ",".join(f"{name}=…" for name in names)
        raise RunError(f"the key has the columns {', '.join(names)}; write {example}, or as JSON, each of them once")
    return {name: given[name] for name in names}


def _json_key(key: str) -> Mapping[str, str]:
    """`{"a": 1, "b": "2,c=3"}`, for values that look like another column."""
    return {
        name: value if isinstance(value, str) else json_text(value) or ""
        for name, value in mapping(parse_json(key)).items()
    }


def _written_key(key: str, names: Sequence[str]) -> Mapping[str, str]:
    """`a=1,b=2`; nothing where a column is named twice."""
    begins = "|".join(re.escape(f"{name}=") for name in names)
    before, *parts = re.split(rf"(?:^|,\s*)({begins})", key)
    given = dict(zip((name.removesuffix("=") for name in parts[::2]), parts[1::2], strict=True))
    return given if not before and len(given) == len(parts) // 2 else {}


def _whole_texts(spans: Sequence[Row], trace_id: str, journal_of: Callable[[str], Journal]) -> Sequence[Row]:
    said = [mapping(parse_json(str(span["attributes"]))) for span in spans]
    roots = [own for span, own in zip(spans, said, strict=True) if span["parent_span_id"] is None]
    run_id = next((cast("str", own["rowcall.run_id"]) for own in roots if "rowcall.run_id" in own), None)
    cut = any(OVERFLOW in attributes for attributes in said)
    return journal_of(run_id).overflowed(trace_id) if cut and run_id else ()
