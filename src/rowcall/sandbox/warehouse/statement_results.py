"""What statements return besides the rows of a query: the counts of DML, nothing for DDL.

The columns are a SQL warehouse's. Sail counts the rows it wrote, which for UPDATE, DELETE and MERGE are not those changed, so the
counts of these are read from the commit (Delta's operation metrics, in Sail's names).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rowcall.core.loose import mapping, parse_json

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = {
    "UPDATE": {"num_affected_rows": "numUpdatedRows"},
    "DELETE": {"num_affected_rows": "numDeletedRows"},
    "MERGE": {
        "num_updated_rows": "numTargetRowsUpdated",
        "num_deleted_rows": "numTargetRowsDeleted",
        "num_inserted_rows": "numTargetRowsInserted",
    },
}
CHANGES = ("INSERT", *_COUNTS)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a statement returned; `modified` is the count of rows that DML changed."""

    table: "pa.Table"
    modified: int | None = None


def described(volume: Sequence[str]) -> Ran:
    """What DESCRIBE VOLUME tells."""
    import pyarrow as pa

    names = ("catalog", "database", "name")
    return Ran(
        pa.table({**{name: [part] for name, part in zip(names, volume, strict=True)}, "volumeType": ["MANAGED"]})
    )


def nothing() -> Ran:
    """What DDL returns: no columns."""
    return Ran(_table({}))


def inserted(table: "pa.Table") -> Ran:
    """What INSERT returns, from Sail's count."""
    count = int(table.column(0)[0].as_py()) if table.num_rows else 0
    return Ran(_table({"num_affected_rows": [count], "num_inserted_rows": [count]}), count)


def created(table: "pa.Table") -> Ran:
    """What CREATE TABLE returns: counts, if it came with rows."""
    return Ran(inserted(table).table) if table.column_names == ["count"] else nothing()


def changed(log: Path, before: Collection[str], operation: str) -> Ran:
    """What UPDATE, DELETE and MERGE return: the counts of the newest commit of this kind that was not there before."""
    counts = _counts(log, before, operation)
    affected = sum(counts.values())
    shown = {"num_affected_rows": affected, **counts}
    return Ran(_table({name: [count] for name, count in shown.items()}), affected)


def settings(values: Mapping[str, str]) -> Ran:
    """What SET shows."""
    import pyarrow as pa

    names, texts = pa.array([*values], pa.string()), pa.array([*values.values()], pa.string())
    return Ran(pa.table({"key": names, "value": texts}))


def commits(log: Path) -> frozenset[str]:
    """The names of the commits in a `_delta_log`; none where there is no table."""
    return frozenset(path.name for path in log.glob("*.json"))


def _counts(log: Path, before: Collection[str], operation: str) -> dict[str, int]:
    names = _COUNTS[operation]
    for commit in sorted(commits(log).difference(before), reverse=True):
        for line in (log / commit).read_text().splitlines():
            done = mapping(mapping(parse_json(line)).get("commitInfo"))
            if done.get("operation") == operation:
                metrics = mapping(done.get("operationMetrics"))
                return {name: int(str(metrics.get(metric) or 0)) for name, metric in names.items()}
    return dict.fromkeys(names, 0)


def _table(columns: Mapping[str, list[int]]) -> "pa.Table":
    import pyarrow as pa

    return pa.table(dict(columns))
