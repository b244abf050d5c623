"""`rowcall vacuum`: lists what runs have left, has `core.vacuum` decide what may go, and removes that.

Interrupted, it does the rest the next time. Nothing is removed through a link, and nothing that has no name which rowcall gives.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rowcall import lock, retention
from rowcall.adapters.packaged import sql_texts
from rowcall.api import load_job
from rowcall.core import sql
from rowcall.core.asking import ASKED_ROWS
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RowcallError, RunError, SetupError, SqlError, reason_of
from rowcall.core.plan import retention_of, tables_beside
from rowcall.core.ports import Journal, JournalStore, Row, SqlSession
from rowcall.core.retention import OldRows, Retention, named_long_texts, runs_left, runs_named
from rowcall.core.sql_failure import unknown
from rowcall.core.vacuum import (
    Found,
    Item,
    Kind,
    KnownRun,
    LeftJournal,
    LeftRows,
    age_of,
    decide,
    is_asked_rows,
    started,
)
from rowcall.facts import LoadedJob
from rowcall.publishing import repeated
from rowcall.recovery import told
from rowcall.tables import GoneError, reading
from rowcall.wiring import Archive, Options, archive

Job = str | Path | JobDefinition | LoadedJob
_NOT_OURS = "what is left in its folder cannot be removed, or is none of rowcall's"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to tidy up: what is younger than so many seconds stays; `dry` removes nothing; `optimize` and `delta` have the platform
    OPTIMIZE and VACUUM the tables."""

    older_than: float
    dry: bool = False
    optimize: bool = True
    delta: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """The journals of a job, and the tables that its runs have written, quoted; `rows` are those of its runs. `sees_all` says
    that a journal that is not seen where it was is gone."""

    job: str
    journals: JournalStore
    outputs: Sequence[str]
    traces: Sequence[str]
    runs: str
    rows: Sequence[Row]
    sees_all: bool
    retention: Retention | None = None


def vacuum(
    jobs: Job | Sequence[Job] | None = None,
    *,
    table: str = "main.rowcall.runs",
    variables: Mapping[str, str] | None = None,
    older_than: str = "7d",
    dry_run: bool = False,
    optimize: bool = True,
    delta: bool = False,
    options: Options | None = None,
) -> list[Row]:
    """Remove what runs have left and nobody needs: journals that are published, long texts that no span names, rows of
    `rowcall.ask`, tables of runs that are over, and what `traces.keep` and `runs.keep` of a job no longer keep.

    Without `jobs`, of every job in the runs table `table`. What is younger than `older_than` stays, as does whatever may be needed:
    answers that are not published, runs that go on. `dry_run` only says what would go. `optimize` has the platform compact the
    tables; `delta` has it remove the files of their old versions, too. Returns a row for each thing that was found, with its
    `state` and `why`. Raises `DefinitionError`, and `RunError` where no job was run.
    """
    wanted, where = Wanted(age_of(older_than), dry_run, optimize, delta), options or Options()
    if jobs is None:
        found = _all(table, wanted, where)
    else:
        given = jobs if isinstance(jobs, Sequence) and not isinstance(jobs, str) else [jobs]
        found = _named([load_job(job, variables).definition for job in given], wanted, where)
    return [item.as_json() for item in found]


def vacuum_here(definition: JobDefinition, found: Archive, journals: JournalStore, wanted: Wanted) -> list[Item]:
    """What `vacuum` does for one job, in an archive that is open."""
    place = _place_of(definition, found, journals)
    return [*_tidied(place, found.session, wanted), *_maintained([place], found, wanted)]


def _named(definitions: Sequence[JobDefinition], wanted: Wanted, options: Options) -> Iterator[Item]:
    tables = [name for each in definitions for name in (sql.quote_table(each.outputs.table), *tables_beside(each))]
    with archive(tables, options) as found:
        places = [_place_of(each, found, found.journals_of(each, options)) for each in definitions]
        for place in places:
            yield from _tidied(place, found.session, wanted)
        yield from _maintained(places, found, wanted)


def _all(table: str, wanted: Wanted, options: Options) -> Iterator[Item]:
    runs = sql.quote_table(table)
    with archive([runs], options) as found:
        with reading(found.session, runs, "runs"):
            rows = found.session.query(runs_left(sql_texts(), runs), {"job": ""})
        places = list(_places(runs, rows, found))
        for place in places:
            yield from _tidied(place, found.session, wanted)
        yield from _maintained(places, found, wanted)


def _place_of(definition: JobDefinition, found: Archive, journals: JournalStore) -> _Place:
    """Where a job is now, and the tables that earlier versions of it have written to."""
    job, (traces, runs) = definition.job, tables_beside(definition)
    rows: list[Row] = []
    with suppress(GoneError), reading(found.session, runs, "runs"):
        rows = found.session.query(runs_left(sql_texts(), runs), {"job": job})
    outputs = sql.quote_table(definition.outputs.table)
    return _Place(
        job,
        journals,
        _quoted([outputs, *(str(row["outputs_table"]) for row in rows)]),
        _quoted([traces, *(str(row["traces_table"]) for row in rows)]),
        runs,
        rows,
        found.is_here or journals.recipe(job, "any")().place.startswith("/Volumes/"),
        retention_of(definition, sql_texts(), datetime.now(UTC).date()),
    )


def _places(runs: str, rows: Sequence[Row], found: Archive) -> Iterator[_Place]:
    """Where the jobs of a runs table have had their journals, as the rows of their runs say, the last place of each job first.
    Only there, where its runs may go on, are its tables looked at."""
    by_job: dict[str, list[Row]] = {}
    for row in rows:
        by_job.setdefault(str(row["job"]), []).append(row)
    for job, own in by_job.items():
        roots = dict.fromkeys(root for row in reversed(own) if (root := _root(row)) is not None)
        for number, root in enumerate(roots):
            with suppress(SetupError):  # no place in which rowcall would keep a journal
                yield _Place(
                    job,
                    found.journals_at(root),
                    _quoted(str(row["outputs_table"]) for row in own) if number == 0 else (),
                    _quoted(str(row["traces_table"]) for row in own),
                    runs,
                    own,
                    found.is_here or root.startswith("/Volumes/"),
                )


def _root(row: Row) -> str | None:
    """The folder of all journals, by where the row of a run says that its own was; None for what is no such place."""
    place = str(row["journal"] or "")
    root = place.removesuffix(f"/{row['job']}/{row['run_id']}")
    return root if root.startswith("/") and root != place and ".." not in root.split("/") else None


def _quoted(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(sql.quote_table, names)))


def _tidied(place: _Place, session: SqlSession, wanted: Wanted) -> Iterator[Item]:
    """What becomes of each thing that a job has left. Its old spans go before the long texts that they name, and those before the
    rows of runs that lead to them."""
    try:
        left = decide(_found(place, session), time.time(), wanted.older_than)
    except (RowcallError, OSError) as error:
        yield Item(place.job, "journal", "every journal", "failed", _why(error))
        return
    old = place.retention
    spans = None if old is None else _old("spans", place.job, old.spans, session, wanted)
    if spans is not None:
        yield spans
    if spans is not None and spans.state == "failed":
        left = [_kept_with_its_spans(item) for item in left]
    yield from _checked([_done(item, partial(_remove, item, place, session), wanted) for item in left], place)
    if old is not None and old.runs is not None:
        yield _old("runs", place.job, old.runs, session, wanted)


def _kept_with_its_spans(item: Item) -> Item:
    if item.kind != "long texts" or not item.is_due:
        return item
    return replace(item, state="stays", why="the spans that name them could not be deleted")


def _checked(items: Sequence[Item], place: _Place) -> list[Item]:
    """What is gone, as far as it is. Folders are removed as far as they can be."""
    job, journals = place.job, place.journals
    there: dict[Kind, Callable[[], list[str]]] = {
        "journal": partial(journals.runs, job),
        "long texts": partial(journals.overflows, job),
        "asked rows": partial(journals.runs, f"{job}.{ASKED_ROWS}"),
    }
    gone = {item.kind for item in items if item.state == "gone"}
    left = {(kind, name) for kind, names in there.items() if kind in gone for name in names()}
    return [
        replace(item, state="failed", why=_NOT_OURS)
        if item.state == "gone" and (item.kind, item.name) in left
        else item
        for item in items
    ]


def _old(kind: Kind, job: str, old: OldRows, session: SqlSession, wanted: Wanted) -> Item:
    item = Item(job, kind, sql.bare_name(old.table), "stays", "none is old enough", rows=0)
    try:
        count = retention.count(old, session)
    except SqlError as error:
        return item if error.missing else replace(item, state="failed", why=error.reason)
    if not count:
        return item
    return _done(replace(item, state="goes", why="", rows=count), partial(retention.delete, old, session), wanted)


def _found(place: _Place, session: SqlSession) -> Found:
    """List what there is; changes nothing."""
    job, journals = place.job, place.journals
    there = [run_id for run_id in journals.runs(job) if started(run_id) is not None]
    long_texts = {run_id: journals.recipe(job, run_id)().overflow_size() for run_id in journals.overflows(job)}
    return Found(
        job=job,
        journals=[_left_journal(run_id, journals.recipe(job, run_id)()) for run_id in there],
        asked_rows=list(_left_rows(f"{job}.{ASKED_ROWS}", journals)),
        long_texts=long_texts,
        runs={str(row["run_id"]): _known(row, place, there) for row in place.rows},
        named=_runs_named(place, session) if long_texts else set(),
        tables=_tables(place, session) if place.rows else {},
    )


def _left_journal(run_id: str, journal: Journal) -> LeftJournal:
    """What it says is read before its answers are counted: whoever brings some late brings them before it is removed."""
    said, when = told(run_id, journal)
    return LeftJournal(
        run_id=run_id,
        told=said,
        segments=len(journal.segments()),
        last=when if said == "over" else max(when, started(run_id) or 0.0),
        here=lock.goes_on_here(run_id, journal),
        size=journal.size(),
    )


def _left_rows(job: str, journals: JournalStore) -> Iterator[LeftRows]:
    for name in filter(is_asked_rows, journals.runs(job)):
        kept = journals.recipe(job, name)()
        yield LeftRows(name, kept.noted_at(ASKED_ROWS), kept.size())


def _known(row: Row, place: _Place, there: Collection[str]) -> KnownRun:
    run_id = str(row["run_id"])
    ours = started(run_id) is not None and place.journals.recipe(place.job, run_id)().place == row["journal"]
    return KnownRun(str(row["status"]), gone=ours and place.sees_all and run_id not in there)


def _runs_named(place: _Place, session: SqlSession) -> set[str] | None:
    """The runs whose long texts are named by the spans that stay; None where a table does not tell."""
    found: set[str] = set()
    for traces in place.traces:
        old = place.retention
        mine = old is not None and old.spans.table == traces
        statement = old.named if old is not None and mine else named_long_texts(sql_texts(), traces)
        try:
            found |= runs_named(session.query(statement))
        except SqlError as error:
            if not error.missing:
                return None
    return found


def _tables(place: _Place, session: SqlSession) -> dict[str, list[str]]:
    """The names of the tables beside each outputs table. A schema that cannot be listed has none to drop."""
    found: dict[str, list[str]] = {}
    for outputs in place.outputs:
        schema = sql.schema_of(outputs)
        with suppress(SqlError):
            rows = session.query(f"SHOW TABLES{f' IN {schema}' if schema else ''}")
            found[outputs] = [str(row["tableName"]) for row in rows]
    return found


def _remove(item: Item, place: _Place, session: SqlSession) -> None:
    """Raises `RunError` for what does not go."""
    journals = place.journals
    match item.kind:
        case "journal":
            _remove_journal(place.job, item.name, journals)
        case "asked rows" if is_asked_rows(item.name):
            _remove_journal(f"{place.job}.{ASKED_ROWS}", item.name, journals)
        case "long texts":
            journals.recipe(place.job, item.name)().remove_overflow()
        case _:
            session.drop_table(sql.quote_table(item.name))


def _remove_journal(job: str, name: str, journals: JournalStore) -> None:
    journal = journals.recipe(job, name)()
    if journal.segments():
        raise RunError("answers came meanwhile; the next run of the job publishes them")
    journal.remove()


def _maintained(places: Sequence[_Place], found: Archive, wanted: Wanted) -> Iterator[Item]:
    """Have the platform look after the tables, where it does that."""
    jobs = {table: place.job for place in places for table in (*place.outputs, *place.traces, place.runs)}
    there = [table for table in jobs if _is_there(table, found.session)]
    kinds: list[Kind] = [*(["optimize"] if wanted.optimize else []), *(["vacuum"] if wanted.delta else [])]
    for kind in kinds:
        for table in there:
            item = Item(jobs[table], kind, sql.bare_name(table), "to do")
            work = partial(found.session.execute, f"{kind.upper()} {table}")
            done = item if found.is_here else _done(item, partial(repeated, found.session, work), wanted)
            if found.is_here or (done.state == "failed" and unknown(done.why)):
                yield replace(
                    item, name="every table", state="not here", why=f"{found.session.kind} has no {kind.upper()}"
                )
                break
            yield done


def _is_there(table: str, session: SqlSession) -> bool:
    try:
        session.columns(f"SELECT * FROM {table}")
    except SqlError as error:
        return not error.missing
    return True


def _done(item: Item, work: Callable[[], object], wanted: Wanted) -> Item:
    """The item with what came of it."""
    if wanted.dry or not item.is_due:
        return item
    try:
        work()
    except (RowcallError, OSError) as error:
        return replace(item, state="failed", why=_why(error))
    return replace(item, state="done" if item.state == "to do" else "gone")


def _why(error: RowcallError | OSError) -> str:
    return reason_of(error) if isinstance(error, RowcallError) else str(error)
