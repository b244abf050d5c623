"""Two sets of answers to the same keys, side by side: how many agree, how outcomes changed, what each side took.

A side is what one run answered, or one endpoint of several, or all that a job has. An outputs table has the best answer so far for
each key: of what a run answered, only what no later run replaced is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rowcall.core import sql
from rowcall.core.records import Column, Outcome


@dataclass(frozen=True, slots=True)
class Side:
    """Answers in an outputs table, quoted. `columns` are those of the table, `fields` those of its answers if they have any;
    `run_id` and `label` choose among its rows. `asked` is how many requests the run asked, if the side is one."""

    name: str
    outputs: str
    columns: tuple[Column, ...]
    fields: tuple[Column, ...] = ()
    run_id: str | None = None
    label: str | None = None
    labelled: bool = False
    asked: int | None = None
    currency: str | None = None

    @property
    def keys(self) -> tuple[Column, ...]:
        """The key columns, without the one that tells endpoints apart."""
        names = [column.name for column in self.columns]
        keys = self.columns[: names.index("answer")]
        return tuple(key for key in keys if not (self.labelled and key.name == sql.ENDPOINT_KEY))

    @property
    def rows(self) -> str:
        """The rows of the side, as a statement."""
        conditions = [f"run_id = {sql.literal(self.run_id)}"] if self.run_id else []
        conditions += [f"{sql.ENDPOINT_KEY} = {sql.literal(self.label)}"] if self.label else []
        return f"SELECT * FROM {self.outputs} WHERE {' AND '.join(conditions) or 'true'}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a side answered and took. `lost` requests were asked by its run and answered again by a later one."""

    name: str
    rows: int
    ok: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    currency: str | None
    mean_latency_ms: float | None
    median_latency_ms: float | None
    p95_latency_ms: float | None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """So many rows that ended one way on one side and another way on the other; None is a row that the side has not."""

    a: str | None
    b: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`answered` rows are ok on both sides; of those `same` have the same answer, and `fields` says so of each field. `compared` is
    False where the answers are of different kinds."""

    a: Taken
    b: Taken
    common: int
    answered: int
    same: int
    compared: bool
    fields: Mapping[str, int]
    changes: tuple[Change, ...]
    examples: tuple[Mapping[str, Any], ...] = field(default=())


_MEASURED = (
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "mean_latency_ms",
    "median_latency_ms",
    "p95_latency_ms",
)


def shared_fields(a: Side, b: Side) -> list[Column]:
    """The fields that the answers of both sides have, of the same type."""
    types = {column.name: column.type for column in b.fields}
    return [column for column in a.fields if types.get(column.name) == column.type]


def comparable(a: Side, b: Side) -> bool:
    """Whether answers can be the same: both are texts, or they share fields."""
    return bool(shared_fields(a, b)) or not (a.fields or b.fields)


def side_statement(texts: sql.SqlTexts, side: Side) -> str:
    return sql.fill(texts, "statements/compare_side", side=side.rows)


def outcomes_statement(texts: sql.SqlTexts, a: Side, b: Side) -> str:
    counts = [
        f"sum(CASE WHEN {_both_ok()} AND {_equal_field(column)} THEN 1 ELSE 0 END) AS field_{index}"
        for index, column in enumerate(shared_fields(a, b))
    ]
    return sql.fill(
        texts,
        "statements/compare_outcomes",
        a=a.rows,
        b=b.rows,
        same=f"{_both_ok()} AND {_equal(a, b)}",
        fields="".join(f",\n  {count}" for count in counts),
        same_key=_same_key(a),
    )


def examples_statement(texts: sql.SqlTexts, a: Side, b: Side, limit: int) -> str:
    keys = sql.quoted_columns(a.keys)
    return sql.fill(
        texts,
        "statements/compare_examples",
        a=a.rows,
        b=b.rows,
        keys=", ".join(f"a.{key} AS {key}" for key in keys),
        answer_a="to_json(a.answer)" if a.fields else "a.answer",
        answer_b="to_json(b.answer)" if b.fields else "b.answer",
        same=_equal(a, b) if comparable(a, b) else "true",
        same_key=_same_key(a),
        order=", ".join(f"a.{key}" for key in keys),
        limit=str(limit),
    )


def taken(side: Side, row: Mapping[str, Any]) -> Taken:
    """Read the row of `sql/statements/compare_side.sql`."""
    measured: dict[str, Any] = {name: row[name] for name in _MEASURED}
    return Taken(
        name=side.name,
        rows=int(row["rows"]),
        ok=int(row["ok"]),
        currency=side.currency if row["cost"] is not None else None,
        lost=0 if side.asked is None else max(0, side.asked - int(row["requests"])),
        **measured,
    )


def comparison(
    sides: tuple[Side, Side],
    took: tuple[Taken, Taken],
    outcomes: Sequence[Mapping[str, Any]],
    examples: Sequence[Mapping[str, Any]],
) -> Comparison:
    """Read the rows of `sql/statements/compare_outcomes.sql` and `compare_examples.sql`."""
    a, b = sides
    common = [row for row in outcomes if row["a"] is not None and row["b"] is not None]
    answered = [row for row in common if row["a"] == row["b"] == Outcome.OK]
    return Comparison(
        a=took[0],
        b=took[1],
        common=sum(int(row["rows"]) for row in common),
        answered=sum(int(row["rows"]) for row in answered),
        same=sum(int(row["same"]) for row in answered),
        compared=comparable(a, b),
        fields={
            column.name: sum(int(row[f"field_{index}"]) for row in answered)
            for index, column in enumerate(shared_fields(a, b))
        },
        changes=tuple(Change(row["a"], row["b"], int(row["rows"])) for row in outcomes if row["a"] != row["b"]),
        examples=tuple(dict(row) for row in examples),
    )


def _both_ok() -> str:
    return "a.outcome = 'ok' AND b.outcome = 'ok'"


def _equal(a: Side, b: Side) -> str:
    """Whether two answers are the same, as SQL: texts but for space around them, structs in the fields that both have."""
    if not comparable(a, b):
        return "false"
    fields = [_equal_field(column) for column in shared_fields(a, b)]
    return f"({' AND '.join(fields)})" if fields else "trim(a.answer) = trim(b.answer)"


def _equal_field(column: Column) -> str:
    """Spark compares no maps, wherever they are in a value; their texts it does."""
    sides = [f"{side}.answer.{sql.identifier(column.name)}" for side in ("a", "b")]
    return " <=> ".join(f"to_json({side})" if "map<" in column.type else side for side in sides)


def _same_key(side: Side) -> str:
    return " AND ".join(f"a.{key} = b.{key}" for key in sql.quoted_columns(side.keys))
