"""What a vacuum may remove, whatever is found: never what somebody may still need."""

from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rowcall.adapters.packaged import sql_texts
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError
from rowcall.core.plan import definition_hash, retention_of
from rowcall.core.records import Size
from rowcall.core.retention import runs_named
from rowcall.core.vacuum import (
    Found,
    Item,
    KnownRun,
    LeftJournal,
    LeftRows,
    Told,
    age_of,
    decide,
    long_texts_to_go,
    started,
)
from support import make_job

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
DAY = 86400.0
ODD = [
    "",
    ".",
    "..",
    "overflow",
    "run-1",
    "2026",
    "20260101-000000-abcd.part",
    "20269999-999999-abcd",
    "20260101-000000-ABCD",
]

run_ids = st.builds(
    lambda days, tail: f"{datetime.fromtimestamp(NOW - days * DAY, UTC):%Y%m%d-%H%M%S}-{tail:04x}",
    st.floats(0, 30),
    st.integers(0, 3),
)
names = st.sampled_from(ODD) | run_ids
journals = st.builds(
    LeftJournal,
    run_id=names,
    told=st.sampled_from(get_args(Told)),
    segments=st.integers(0, 2),
    last=st.floats(NOW - 30 * DAY, NOW),
    here=st.booleans(),
    size=st.just(Size(1, 1)),
)
known = st.builds(KnownRun, st.sampled_from(["running", "done", "stopped", "failed", "interrupted"]), st.booleans())
rows_left = st.builds(
    LeftRows,
    st.sampled_from(["rowcall_rows_0123abcd", "rowcall_rows_", "mine"]),
    st.none() | st.floats(NOW - 30 * DAY, NOW),
    st.just(Size(1, 1)),
)


def table_of(run_id: str, kind: str) -> str:
    return f"answers__{kind}_{run_id.replace('-', '_')}"


tables = st.lists(
    st.builds(table_of, names, st.sampled_from(["pending", "replies", "other"]))
    | st.builds("answers__rowcall_rows_{:%Y%m%d}_0a1b2c3d".format, st.dates(date(2026, 11, 1), date(2026, 11, 30)))
    | st.sampled_from(["answers", "answers__pending_", "others__pending_20260101_000000_abcd"]),
    max_size=5,
)
found = st.builds(
    Found,
    job=st.just("job"),
    journals=st.lists(journals, max_size=5, unique_by=lambda left: left.run_id),
    asked_rows=st.lists(rows_left, max_size=2),
    long_texts=st.dictionaries(names, st.just(Size(1, 1)), max_size=4),
    runs=st.dictionaries(run_ids, known, max_size=5),
    named=st.none() | st.sets(run_ids, max_size=3),
    tables=st.fixed_dictionaries({"`main`.`test`.`answers`": tables}),
)
ages = st.floats(3600, 20 * DAY)


def going(there: Found, older_than: float) -> list[Item]:
    return [item for item in decide(there, NOW, older_than) if item.state == "goes"]


@given(found, ages)
def test_a_journal_goes_only_once_its_run_is_over_and_all_of_it_is_published(there: Found, age: float) -> None:
    by_id = {left.run_id: left for left in there.journals}
    for item in going(there, age):
        if item.kind == "journal":
            left = by_id[item.name]
            assert (left.segments, left.here) == (0, False)
            assert left.told in ("over", "nothing")
            assert left.last < NOW - age


@given(found, ages)
def test_long_texts_go_only_where_their_run_is_known_and_over_and_no_span_names_them(there: Found, age: float) -> None:
    for item in going(there, age):
        if item.kind == "long texts":
            assert there.named is not None
            assert item.name in there.runs
            assert item.name not in {*there.named, *there.needed}


@given(found, ages)
def test_a_table_of_a_run_that_may_be_recovered_stays(there: Found, age: float) -> None:
    gone = {item.name for item in going(there, age)}
    for run_id in {
        *there.needed,
        *(run_id for run_id, run in there.runs.items() if run.status == "running" and not run.gone),
    }:
        assert not gone & {f"main.test.{table_of(run_id, kind)}" for kind in ("pending", "replies")}


@given(found, ages)
def test_rows_of_calls_stay_while_a_run_goes_on(there: Found, age: float) -> None:
    if there.needed:
        assert not [item for item in going(there, age) if item.kind == "asked rows"]


@given(found, ages)
def test_what_has_no_name_of_rowcalls_is_not_even_looked_at(there: Found, age: float) -> None:
    for item in decide(there, NOW, age):
        if item.kind in ("journal", "long texts"):
            assert started(item.name) is not None
        else:
            assert item.name.startswith(("rowcall_rows_0", "main.test.answers__"))
            assert "other" not in item.name


@given(found, ages, ages)
def test_whoever_waits_longer_removes_no_more(there: Found, one: float, other: float) -> None:
    less, more = max(one, other), min(one, other)
    assert {item.name for item in going(there, less)} <= {item.name for item in going(there, more)}


@given(found, ages)
def test_a_reason_is_given_for_all_that_stays_and_for_nothing_that_goes(there: Found, age: float) -> None:
    assert all(bool(item.why) == (item.state == "stays") for item in decide(there, NOW, age))


def test_what_is_due_goes() -> None:
    run, other = "20261101-060000-0a1b", "20261102-060000-0a1b"
    there = Found(
        "job",
        journals=[LeftJournal(run, "over", 0, NOW - 8 * DAY, here=False, size=Size(2, 20))],
        asked_rows=[LeftRows("rowcall_rows_0123abcd", NOW - 8 * DAY, Size(1, 10))],
        long_texts={run: Size(3, 30), other: Size(1, 1)},
        runs={run: KnownRun("stopped", gone=False), other: KnownRun("running", gone=True)},
        named={other},
        tables={
            "main.test.answers": [
                table_of(run, "pending"),
                table_of(other, "replies"),
                "answers__rowcall_rows_20261120_0a1b",
            ]
        },
    )
    assert [(item.kind, item.name) for item in going(there, 7 * DAY)] == [
        ("journal", run),
        ("long texts", run),
        ("asked rows", "rowcall_rows_0123abcd"),
        ("asked rows", "main.test.answers__rowcall_rows_20261120_0a1b"),
        ("table", f"main.test.{table_of(run, 'pending')}"),
        ("table", f"main.test.{table_of(other, 'replies')}"),
    ]
    assert long_texts_to_go(there) == [run]


@pytest.mark.parametrize(("text", "seconds"), [("7d", 7 * DAY), ("12h", 12 * 3600), (" 1 h ", 3600)])
def test_ages(text: str, seconds: float) -> None:
    assert age_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "0h", "7", "30m", "-1d", "1.5d", "week"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(DefinitionError, match="expected an hour or more, such as 12h or 7d"):
        age_of(text)


def test_the_runs_that_spans_name_are_known_wherever_their_folder_was() -> None:
    places = ["/a/journal/job/overflow/20260101-000000-abcd", "/b/overflow/20260102-000000-abcd/", None]
    assert runs_named([{"place": place} for place in places]) == {"20260101-000000-abcd", "20260102-000000-abcd"}


# The keys of a job


def kept(traces: Any = None, runs: Any = None) -> JobDefinition:
    tables = {name: f"main.test.kept_{name}" for name in ("traces", "runs")}
    return make_job(
        "kept", traces={"table": tables["traces"], "keep": traces}, runs={"table": tables["runs"], "keep": runs}
    )


def test_how_long_things_are_kept_is_no_part_of_what_is_asked() -> None:
    assert definition_hash(kept("90d", "365d")) == definition_hash(kept()) == definition_hash(kept("1d"))


def test_days() -> None:
    assert kept("90d").traces.keep == kept(90).traces.keep == kept("90 d").traces.keep == 90
    assert retention_of(kept(), sql_texts(), date(2026, 11, 30)) is None
    made = retention_of(kept("90d"), sql_texts(), date(2026, 11, 30))
    assert made is not None
    assert (made.before, made.runs) == (date(2026, 9, 1), None)


@pytest.mark.parametrize("days", ["0d", "90", "12h", "3w", "d", True, 0, 1.5, -1])
def test_what_is_no_number_of_days(days: Any) -> None:
    with pytest.raises(ValidationError):
        kept(days)


@pytest.mark.parametrize(("traces", "runs"), [(None, "365d"), ("90d", "30d")])
def test_rows_of_runs_are_kept_as_long_as_the_traces_that_they_lead_to(traces: str | None, runs: str) -> None:
    with pytest.raises(ValidationError, match=r"runs\.keep needs a traces\.keep that is no longer"):
        kept(traces, runs)
