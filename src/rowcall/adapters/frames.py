"""The frames that `rowcall.ask` takes: pandas, Arrow, a list of mappings, Spark; read, and given back with columns added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from rowcall.core.asking import wrong
from rowcall.core.frame_table import plain_table

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["pandas", "arrow", "list"]
_EXPECTED = "a DataFrame of Spark or pandas, an Arrow table, a list of mappings or the name of a table"


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """Rows in this process; `labels` are its columns by the names they are called by in a prompt."""

    kind: Kind
    data: Any
    labels: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        return list(self.labels)

    def __len__(self) -> int:
        return self.data.num_rows if self.kind == "arrow" else len(self.data)

    def table(self, names: Sequence[str]) -> "pa.Table":
        """Those columns. Raises `DefinitionError` where a column cannot be read."""
        import pyarrow as pa

        try:
            columns = [self._column(name) for name in names]
            return plain_table(pa.Table.from_arrays(columns, names=list(names)))
        except ValueError as error:
            raise wrong("data", str(error)) from error

    def _column(self, name: str) -> "pa.Array[Any] | pa.ChunkedArray[Any]":
        import pyarrow as pa

        label = self.labels[name]
        if self.kind == "arrow":
            return self.data.column(label)
        try:
            if self.kind == "list":
                return pa.array([row.get(label) for row in self.data], from_pandas=True)
            return pa.Array.from_pandas(_spelt_out(self.data[label]))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            said = f"column {name!r} cannot be read: {error}"
            raise wrong("data", said, "Make its values all of one kind, for instance texts.") from error

    def joined(self, added: "pa.Table") -> Any:
        """The frame, as it is, with those columns added; they have a row for each of its rows, in its order."""
        if self.kind == "list":
            return [{**row, **more} for row, more in zip(self.data, added.to_pylist(), strict=True)]
        if self.kind == "arrow":
            return _appended(self.data, added)
        import pandas as pd
        import pyarrow as pa

        whole = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
        columns = added.to_pandas(types_mapper=cast("Any", whole.get))
        columns.index = self.data.index
        return pd.concat([self.data, columns], axis=1)


@dataclass(frozen=True, slots=True)
class SparkFrame:
    """A DataFrame of Spark, classic or Connect: a plan, which may make other rows each time it is read."""

    data: Any

    @property
    def names(self) -> list[str]:
        return list(self.data.columns)

    @property
    def session(self) -> Any:
        return self.data.sparkSession

    def view(self, name: str) -> None:
        """Makes it a temporary view of its session."""
        self.data.createOrReplaceTempView(name)


def frame_of(data: Any) -> LocalFrame | SparkFrame:
    """Raises `DefinitionError` for what is none."""
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _list_of(cast("Sequence[Any]", data))
    given: Any = cast("Any", data)
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(data).__mro__}
    if ("pandas", "DataFrame") in kinds:
        return LocalFrame("pandas", data, _labels(list(given.columns)))
    if ("pyarrow", "Table") in kinds:
        return LocalFrame("arrow", data, _labels(given.column_names, by_place=True))
    if ("pyspark", "DataFrame") in kinds and hasattr(data, "sparkSession"):
        return SparkFrame(data)
    hints = {"polars": "Give its .to_arrow().", "pyspark": "Give its .to_spark()."}
    hint = next((said for package, said in hints.items() if package in dict(kinds)), "")
    raise wrong("data", f"is a {type(data).__name__}; expected {_EXPECTED}.", hint)


def _list_of(rows: Sequence[Any]) -> LocalFrame:
    odd = next((row for row in rows if not isinstance(row, Mapping)), None)
    if odd is not None:
        raise wrong("data", f"is a list with a {type(odd).__name__} in it; expected {_EXPECTED}.")
    return LocalFrame("list", rows, _labels(list(dict.fromkeys(label for row in rows for label in row))))


def _labels(labels: Sequence[Any], *, by_place: bool = False) -> dict[str, Any]:
    """Columns by their names as texts. Those whose names are alike could not be told apart in a prompt."""
    odd = next((label for label in labels if isinstance(label, tuple)), None)
    if odd is not None:
        raise wrong("data", f"has a column {odd!r} of several levels", "Give each column one name.")
    names = [str(label) for label in labels]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise wrong("data", f"has more than one column {twice!r}", "Rename them.")
    return {name: place if by_place else label for place, (name, label) in enumerate(zip(names, labels, strict=True))}


def _spelt_out(column: Any) -> Any:
    """Periods and intervals as texts: Arrow would keep their bare numbers."""
    return column.astype("string") if type(column.dtype).__name__ in ("PeriodDtype", "IntervalDtype") else column


def _appended(table: "pa.Table", added: "pa.Table") -> "pa.Table":
    for name in added.column_names:
        table = table.append_column(name, added.column(name))
    return table
