"""What may go of all that runs have left: decided from what is listed.

    journals     those whose run is over, all of it published and told; never one with answers, one that the next run of its job
                 will end, or one of a run that goes on
    long texts   where the run's row is in the runs table, its journal is not needed, and no span names them any more
    asked rows   of calls of `rowcall.ask`, while no run of the job goes on
    tables       of runs that are over: the rows they were to ask, what `ai_query` replied
    spans, runs  what a job says with `traces.keep` and `runs.keep`

Journals, rows and tables go once they are old enough. What has another name than rowcall gives is never looked at.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

from rowcall.core import sql
from rowcall.core.asking import old_rows_tables, rows_tables
from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.names import table_parts
from rowcall.core.records import Size

Kind = Literal["journal", "long texts", "asked rows", "table", "spans", "runs", "optimize", "vacuum"]
State = Literal["goes", "stays", "gone", "failed", "to do", "done", "not here"]
Told = Literal["nothing", "unreadable", "open", "over"]
"""What a journal's manifest says of its run: there is none, or none that can be read; it is to be published; all is published."""

LEAST_SECONDS = 3600.0
"""The shortest age at which anything goes: a task that a run lost sight of has stopped by then, and clocks are not as wrong."""
_RUN_ID = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{4}")
_ROWS_ID = re.compile(r"rowcall_rows_[0-9a-f]{8}")
_AGE = re.compile(r"(\d{1,5}) ?([dh])")
_GOES_ON = "its run goes on"
_STILL_NEEDED = "the next run of the job ends its run"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that was found, and what becomes of it: what `goes` or is `to do` is next `gone`, `done`, `failed` or `not here`.
    `rows` counts spans or runs."""

    job: str
    kind: Kind
    name: str
    state: State
    why: str = ""
    size: Size | None = None
    rows: int | None = None

    @property
    def is_due(self) -> bool:
        return self.state in ("goes", "to do")

    def as_json(self) -> dict[str, object]:
        """As plain values."""
        size: Mapping[str, object] = {"files": None, "bytes": None} if self.size is None else asdict(self.size)
        values = {name: getattr(self, name) for name in ("job", "kind", "name", "state", "why", "rows")}
        return {**values, **size}


@dataclass(frozen=True, slots=True)
class LeftJournal:
    """The journal of a run: what its manifest says, how many files of answers it has, when its run last gave a sign, in seconds
    since 1970, and whether a process here goes on with it."""

    run_id: str
    told: Told
    segments: int
    last: float
    here: bool
    size: Size


@dataclass(frozen=True, slots=True)
class LeftRows:
    """The rows of a call of `rowcall.ask`, beside the journals, and when they were written, in seconds."""

    name: str
    written: float | None
    size: Size


@dataclass(frozen=True, slots=True)
class KnownRun:
    """What the row of a run says. `gone` says that its journal would be seen if it were there, and is not."""

    status: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Found:
    """All that was listed of a job. `runs` are those of its runs table, by id; `named` the runs whose long texts spans name, None
    where that is not known; `tables` the names of the tables beside each of its outputs tables."""

    job: str
    journals: Sequence[LeftJournal] = ()
    asked_rows: Sequence[LeftRows] = ()
    long_texts: Mapping[str, Size] = field(default_factory=dict[str, Size])
    runs: Mapping[str, KnownRun] = field(default_factory=dict[str, KnownRun])
    named: Collection[str] | None = None
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    @property
    def needed(self) -> set[str]:
        """Runs whose journals hold something, or may yet."""
        return {
            left.run_id for left in self.journals if left.here or left.segments or left.told in ("open", "unreadable")
        }


def age_of(text: str) -> float:
    """`7d` or `12h` in seconds. Raises `DefinitionError`."""
    match = _AGE.fullmatch(text.strip())
    seconds = int(match[1]) * (86400.0 if match[2] == "d" else 3600.0) if match else 0.0
    if seconds < LEAST_SECONDS:
        raise DefinitionError([Problem("", "older_than", f"is {text!r}; expected an hour or more, such as 12h or 7d")])
    return seconds


def started(run_id: str) -> float | None:
    """When a run began, in seconds since 1970, as its id says; None for what is no run id."""
    match = _RUN_ID.fullmatch(run_id)
    try:
        return datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp() if match else None
    except ValueError:
        return None


def is_asked_rows(name: str) -> bool:
    """Whether a folder among those of calls of `rowcall.ask` is one of theirs."""
    return _ROWS_ID.fullmatch(name) is not None


def decide(found: Found, now: float, older_than: float) -> list[Item]:
    """What becomes of each thing that was found; times in seconds."""
    before = now - older_than
    return [
        *(_journal(found.job, left, before) for left in found.journals if started(left.run_id) is not None),
        *_long_texts(found),
        *_asked_rows(found, before),
        *_tables(found, before),
    ]


def long_texts_to_go(found: Found) -> list[str]:
    """The runs whose long texts may go."""
    return [item.name for item in _long_texts(found) if item.is_due]


def _journal(job: str, left: LeftJournal, before: float) -> Item:
    why = _journal_stays(left, before)
    return Item(job, "journal", left.run_id, "stays" if why else "goes", why, left.size)


def _journal_stays(left: LeftJournal, before: float) -> str:
    if left.here:
        return _GOES_ON
    if left.segments:
        return "it has answers that are not published; the next run of the job publishes them"
    if left.told == "unreadable":
        return "its manifest cannot be read"
    if left.told == "open":
        return _STILL_NEEDED
    return "" if left.last < before else "too young"


def _long_texts(found: Found) -> Iterator[Item]:
    there = found.needed | {left.run_id for left in found.journals if left.told != "over"}
    for run_id, size in found.long_texts.items():
        if started(run_id) is None:
            continue
        why = _long_texts_stay(found, run_id, there)
        yield Item(found.job, "long texts", run_id, "stays" if why else "goes", why, size)


def _long_texts_stay(found: Found, run_id: str, there: Collection[str]) -> str:
    if run_id in there:
        return "their run is not over"
    if run_id not in found.runs:
        return "the runs table has no such run"
    if found.named is None:
        return "whether spans name them is not known"
    return "spans name them" if run_id in found.named else ""


def _asked_rows(found: Found, before: float) -> Iterator[Item]:
    busy = _busy(found, before)
    for left in found.asked_rows:
        if is_asked_rows(left.name):
            young = left.written is None or left.written >= before
            why = "a run of the job may read them" if busy else "too young" if young else ""
            yield Item(found.job, "asked rows", left.name, "stays" if why else "goes", why, left.size)
    day = datetime.fromtimestamp(before, UTC).date()
    for outputs, names in found.tables.items():
        old = old_rows_tables(outputs, names, day)
        for name in rows_tables(outputs, names):
            why = "a run of the job may read them" if busy else "" if name in old else "too young"
            yield Item(found.job, "asked rows", _beside(outputs, name), "stays" if why else "goes", why)


def _busy(found: Found, before: float) -> bool:
    """Whether a run of the job may go on."""
    return bool(found.needed) or any(left.told == "nothing" and left.last >= before for left in found.journals)


def _tables(found: Found, before: float) -> Iterator[Item]:
    needed = dict.fromkeys(found.needed, _STILL_NEEDED) | {
        left.run_id: _GOES_ON for left in found.journals if left.here
    }
    for outputs, names in found.tables.items():
        for name, run_id in _working_tables(outputs, names):
            why = needed.get(run_id) or _table_stays(found.runs.get(run_id), run_id, before)
            yield Item(found.job, "table", _beside(outputs, name), "stays" if why else "goes", why)


def _table_stays(run: KnownRun | None, run_id: str, before: float) -> str:
    if run is None:
        return "the runs table has no such run"
    if run.status == "running" and not run.gone:
        return "its run has no end yet"
    began = started(run_id)
    return "" if began is not None and began < before else "too young"


def _working_tables(outputs: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The tables that runs make beside an outputs table, each with the id of its run."""
    *_, own = table_parts(outputs)
    made = re.compile(re.escape(own) + r"__(?:pending|replies)_(\d{8})_(\d{6})_([0-9a-f]{4})", re.IGNORECASE)
    for name in names:
        match = made.fullmatch(name)
        if match and started(run_id := "-".join(match.groups()).lower()) is not None:
            yield name, run_id


def _beside(outputs: str, name: str) -> str:
    return sql.bare_name(sql.table_beside(outputs, table=name))
