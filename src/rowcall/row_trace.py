"""One row's story, read from the tables: its output and the spans of the call that brought it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from rowcall.core import sql
from rowcall.core.errors import RunError
from rowcall.core.loose import mapping, parse_json
from rowcall.core.ports import Journal, Row, SqlSession
from rowcall.core.span_row import OVERFLOW
from rowcall.core.trace_tree import Node, trace_tree

_TRACE_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RowStory:
    """What happened to a row. `output` is None where the outputs have a later answer, `tree` where no call was made."""

    trace_id: str
    output: Row | None
    tree: Node | None

    def as_json(self) -> dict[str, object]:
        return {"trace_id": self.trace_id, "output": self.output, "trace": self.tree and self.tree.as_json()}


def read_story(
    session: SqlSession, texts: sql.SqlTexts, run: Row, key: str, journal_of: Callable[[str], Journal] | None
) -> RowStory:
    """The story of the row of a run's outputs that has a key, or of the call that has a trace id. `journal_of` opens the journal of
    a run for what is too long for the spans; without one they stay cut. Raises `RunError` where there is no such row."""
    outputs, traces = (sql.quote_table(str(run[name])) for name in ("outputs_table", "traces_table"))
    list_spans, found, trace_id = sql.fill(texts, "statements/list_spans", traces=traces), [], key
    if _TRACE_ID.fullmatch(key):
        found = session.query(_find(texts, outputs, "trace_id = :trace_id"), {"trace_id": key})
    spans = session.query(list_spans, {"trace_id": trace_id}) if _TRACE_ID.fullmatch(key) else []
    if not found and not spans:  # a key may look like a trace id
        found = _by_key(session, texts, outputs, key)
        trace_id = str(found[0]["trace_id"])
        spans = session.query(list_spans, {"trace_id": trace_id})
    whole = _whole_texts(spans, trace_id, journal_of) if journal_of is not None else ()
    return RowStory(trace_id, found[0] if found else None, trace_tree(spans, whole))


def _find(texts: sql.SqlTexts, outputs: str, condition: str) -> str:
    return sql.fill(texts, "statements/find_output", outputs=outputs, condition=condition)


def _by_key(session: SqlSession, texts: sql.SqlTexts, outputs: str, key: str) -> list[Row]:
    columns = [column.name for column in session.columns(f"SELECT * FROM {outputs}")]
    names = columns[: columns.index("answer")]
    values = key_values(key, names)
    same = " AND ".join(f"CAST({sql.identifier(name)} AS STRING) = :key_{n}" for n, name in enumerate(names))
    found = session.query(_find(texts, outputs, same), {f"key_{n}": values[name] for n, name in enumerate(names)})
    if not found:
        said = ", ".join(f"{name} = {value!r}" for name, value in values.items())
        raise RunError(f"{sql.bare_name(outputs)} has no row with {said}. A row that was not asked yet has no trace.")
    return found


def key_values(key: str, names: Sequence[str]) -> Mapping[str, str]:
    """The values of key columns, written as `a=1,b=2`, or as the value alone where there is one column. Raises `RunError`."""
    begins = [re.escape(f"{name}=") for name in names]
    if len(names) == 1:
        return {names[0]: re.sub(f"^{begins[0]}", "", key)}
    parts = re.split(rf"(?:^|,)({'|'.join(begins)})", key)
    given = dict(zip((name.removesuffix("=") for name in parts[1::2]), parts[2::2], strict=True))
    if parts[0] or set(given) != set(names):
        raise RunError(f"the key has the columns {', '.join(names)}; write {','.join(f'{name}=…' for name in names)}")
    return {name: given[name] for name in names}


def _whole_texts(spans: Sequence[Row], trace_id: str, journal_of: Callable[[str], Journal]) -> Sequence[Row]:
    said = [mapping(parse_json(str(span["attributes"]))) for span in spans]
    roots = [own for span, own in zip(spans, said, strict=True) if span["parent_span_id"] is None]
    run_id = next((cast("str", own["rowcall.run_id"]) for own in roots if "rowcall.run_id" in own), None)
    cut = any(OVERFLOW in attributes for attributes in said)
    return journal_of(run_id).overflowed(trace_id) if cut and run_id else ()
