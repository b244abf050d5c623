"""Every `Journal`: whole segments or none, whatever opens it."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.volume_journal import VolumeJournals
from rowcall.core.errors import JournalError
from rowcall.core.ports import Journal, JournalStore
from rowcall.core.records import Size
from rowcall.sandbox.process import SandboxProcess
from rowcall.testing import MemoryJournals


@pytest.fixture(params=["folder", "memory", "volume"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    match request.param:
        case "folder":
            return FolderJournals(tmp_path / "journal")
        case "memory":
            return MemoryJournals()
        case _:
            return request.getfixturevalue("in_volume")


@pytest.fixture
def journal(store: JournalStore) -> Journal:
    return store.recipe("job", "run-1")()


def answers(*hashes: str) -> pa.Table:
    return pa.table({"request_hash": list(hashes), "answer": [f"to {name}" for name in hashes]})


def test_a_probe_leaves_nothing(store: JournalStore, journal: Journal):
    before = store.runs("job")
    store.probe()
    assert store.runs("job") == before
    journal.write_note("stop", "now")
    store.probe()
    assert (store.runs("job"), journal.notes("")) == (["run-1"], {"stop": "now"})


def test_a_probe_says_that_a_folder_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot be written"):
        FolderJournals(tmp_path / "file").probe()


def test_a_probe_removes_the_folder_that_it_made(tmp_path: Path):
    FolderJournals(tmp_path / "journal").probe()
    assert list(tmp_path.iterdir()) == []


def test_a_new_journal_is_empty(journal: Journal):
    assert (journal.segments(), journal.answered_hashes(), journal.notes("")) == ([], set(), {})


def test_segments_come_back_oldest_first(journal: Journal):
    for name in ("c", "a", "b"):
        journal.write_segment(name, answers(name))
    assert [segment.split("-")[1].removesuffix(".parquet") for segment in journal.segments()] == ["c", "a", "b"]
    assert journal.answered_hashes() == {"a", "b", "c"}
    assert len(set(journal.paths(journal.segments()))) == 3


def test_one_task_may_write_many_segments(journal: Journal):
    for number in range(5):
        journal.write_segment("task", answers(f"hash {number}"))
    assert len(journal.segments()) == 5


def test_a_note_is_replaced(journal: Journal):
    journal.write_note("progress-a", "1")
    journal.write_note("progress-a", "2")
    journal.write_note("stop", "now")
    assert journal.notes("progress-") == {"progress-a": "2"}
    assert journal.notes("stop") == {"stop": "now"}


def test_whoever_looks_again_sees_what_another_has_written_since(store: JournalStore):
    open_journal = store.recipe("job", "run-1")
    writer, reader = open_journal(), open_journal()
    for count in range(12):
        writer.write_note("progress-a", f"{count:02d}")
        assert reader.notes("progress-") == {"progress-a": f"{count:02d}"}
    writer.write_note("stop", "now")
    assert reader.notes("progress-") == {"progress-a": "11"}
    assert reader.notes("stop") == {"stop": "now"}


def test_discarded_segments_are_gone_and_the_rest_stays(journal: Journal):
    journal.write_segment("a", answers("a"))
    journal.write_segment("b", answers("b"))
    journal.write_note("manifest", "{}")
    journal.discard(journal.segments()[:1])
    assert journal.answered_hashes() == {"b"}
    assert journal.notes("manifest") == {"manifest": "{}"}


def test_a_segment_is_discarded_but_once(journal: Journal):
    journal.write_segment("a", answers("a"))
    names = journal.segments()
    journal.discard(names)
    journal.discard(names)
    assert journal.segments() == []


def test_a_removed_journal_is_empty_and_may_be_removed_again(journal: Journal):
    journal.write_segment("a", answers("a"))
    journal.write_note("manifest", "{}")
    journal.write_record("run", answers("r"))
    journal.remove()
    journal.remove()
    assert (journal.segments(), journal.notes("")) == ([], {})


def long_text(trace_id: str, text: str) -> pa.Table:
    return pa.table({"trace_id": [trace_id], "span_id": ["s"], "attribute": ["rowcall.answer"], "text": [text]})


def test_long_texts_come_back_by_trace_and_outlive_the_journal(store: JournalStore):
    first, second = store.recipe("job", "run-1")(), store.recipe("job", "run-2")()
    assert first.overflowed("t1") == []
    for text in ("one", "two"):
        first.write_overflow("task", long_text("t1", text))
    first.write_overflow("task", long_text("t2", "three"))
    second.write_note("manifest", "{}")
    first.write_segment("a", answers("a"))
    first.remove()
    assert store.recipe("job", "run-1")().overflowed("t1") == [
        {"trace_id": "t1", "span_id": "s", "attribute": "rowcall.answer", "text": text} for text in ("one", "two")
    ]
    assert second.overflowed("t1") == []


def test_long_texts_are_no_run(durable: JournalStore):
    journal = durable.recipe("job", "run-1")()
    journal.write_overflow("task", long_text("t1", "one"))
    assert durable.runs("job") == []
    assert journal.overflow.endswith("/job/overflow/run-1")


def test_long_texts_are_counted_and_removed_by_run(durable: JournalStore):
    for run_id in ("run-1", "run-2"):
        durable.recipe("job", run_id)().write_overflow("task", long_text("t1", "one"))
    first = durable.recipe("job", "run-1")()
    first.write_segment("a", answers("a"))
    assert durable.overflows("job") == ["run-1", "run-2"]
    assert first.overflow_size().files == 1
    assert first.overflow_size().bytes > 100
    first.remove_overflow()
    first.remove_overflow()
    assert durable.overflows("job") == ["run-2"]
    assert (first.overflow_size(), first.overflowed("t1"), len(first.segments())) == (Size(), [], 1)


def test_a_journal_says_how_much_is_in_it(store: JournalStore, journal: Journal):
    assert journal.size() == Size()
    journal.write_note("manifest", "{}")
    assert journal.size() == Size(1, 2)
    journal.write_segment("a", answers("a"))
    journal.write_record("run", answers("r"))
    assert journal.size().files == 3
    assert store.recipe("job", "run-2")().size() == Size()
    journal.remove()
    assert journal.size().files == 0


def test_what_a_link_leads_to_is_no_run_and_has_no_long_texts(tmp_path: Path):
    elsewhere = FolderJournals(tmp_path / "elsewhere").recipe("job", "run-1")()
    elsewhere.write_segment("a", answers("a"))
    elsewhere.write_overflow("task", long_text("t1", "one"))
    store, folder = FolderJournals(tmp_path / "journal"), tmp_path / "journal" / "job"
    (folder / "overflow").mkdir(parents=True)
    (folder / "run-1").symlink_to(elsewhere.place)
    (folder / "overflow" / "run-1").symlink_to(elsewhere.overflow)
    assert (store.runs("job"), store.overflows("job")) == ([], [])
    store.recipe("job", "run-1")().remove_overflow()
    assert len(elsewhere.overflowed("t1")) == 1


def test_of_a_folder_of_long_texts_only_what_is_written_there_goes(tmp_path: Path):
    journal = FolderJournals(tmp_path).recipe("job", "run-1")()
    journal.write_overflow("task", long_text("t1", "one"))
    mine = Path(journal.overflow) / "notes.txt"
    mine.write_text("mine")
    journal.remove_overflow()
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]


def test_threads_may_share_a_journal(durable: JournalStore):
    journal = durable.recipe("job", "run-1")()

    def work(number: int) -> dict[str, str]:
        journal.write_note(f"progress-{number}", str(number))
        journal.write_segment(f"task{number}", answers(f"hash {number}"))
        return journal.notes(f"progress-{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == [{f"progress-{number}": str(number)} for number in range(8)]
    assert len(journal.notes("progress-")) == len(journal.answered_hashes()) == 8


def test_a_store_knows_the_runs_of_a_job(store: JournalStore):
    for run_id in ("2026-b", "2026-a"):
        store.recipe("job", run_id)().write_note("manifest", "{}")
    store.recipe("another", "2026-c")().write_note("manifest", "{}")
    assert store.runs("job") == ["2026-a", "2026-b"]
    assert store.runs("unknown") == []


def test_a_store_forgets_a_removed_run(durable: JournalStore):
    for run_id in ("2026-a", "2026-b"):
        durable.recipe("job", run_id)().write_segment("a", answers("a"))
    durable.recipe("job", "2026-a")().remove()
    assert durable.runs("job") == ["2026-b"]


def test_a_recipe_opens_the_same_journal_again(store: JournalStore):
    open_journal = store.recipe("job", "run-1")
    open_journal().write_segment("a", answers("a"))
    assert open_journal().answered_hashes() == {"a"}


def test_a_recipe_travels_and_holds_no_secret(durable: JournalStore, sandbox: SandboxProcess):
    durable.recipe("job", "run-1")().write_note("manifest", "{}")
    packed = pickle.dumps(durable.recipe("job", "run-1"))
    secrets = [line.split("=")[1].strip() for line in Path(sandbox.config_file).read_text().splitlines() if "=" in line]
    assert not any(secret.encode() in packed for secret in secrets)
    assert pickle.loads(packed)().notes("manifest") == {"manifest": "{}"}


def test_half_written_files_do_not_exist_for_a_reader(tmp_path: Path):
    journal = FolderJournals(tmp_path).recipe("job", "run-1")()
    journal.write_segment("a", answers("a"))
    (whole,) = journal.paths(journal.segments())
    half = Path(whole).with_name("00000000000000000001-b.parquet.4f2a.part")
    half.write_bytes(Path(whole).read_bytes()[:40])
    note = tmp_path / "job" / "run-1" / "notes" / "progress-b.4f2a.part"
    note.parent.mkdir(exist_ok=True)
    note.write_text('{"asked":')
    assert journal.answered_hashes() == {"a"}
    assert journal.notes("progress-") == {}


def test_a_record_is_a_parquet_file_that_is_replaced(tmp_path: Path):
    journal = FolderJournals(tmp_path).recipe("job", "run-1")()
    journal.write_record("run", answers("old"))
    path = journal.write_record("run", answers("new"))
    assert pq.read_table(path).column("request_hash").to_pylist() == ["new"]
    assert journal.segments() == []


def test_files_in_a_volume_are_where_sql_looks_for_them(in_volume: VolumeJournals, sandbox: SandboxProcess):
    journal = in_volume.recipe("job", "run-1")()
    journal.write_segment("a", answers("a"))
    journal.write_record("run", answers("old"))
    record = journal.write_record("run", answers("new"))
    (segment,) = journal.paths(journal.segments())
    assert segment.startswith(f"{in_volume.root}/job/run-1/segments/")
    home = Path(sandbox.config_file).parent / "volumes"
    for path, request_hash in ((segment, "a"), (record, "new")):
        place = home / path.removeprefix("/Volumes/")
        assert pq.read_table(place).column("request_hash").to_pylist() == [request_hash]


def test_a_store_says_when_a_note_was_written_by_one_clock(store: JournalStore):
    first, second = store.recipe("job", "run-1")(), store.recipe("job", "run-2")()
    assert first.noted_at("alive") is None
    first.write_note("alive", "1")
    second.write_note("alive", "1")
    times = [first.noted_at("alive"), second.noted_at("alive")]
    first.write_note("alive", "2")
    times.append(first.noted_at("alive"))
    assert None not in times
    assert times == sorted(times)
    first.remove()
    assert first.noted_at("alive") is None


def test_notes_of_a_journal_that_is_removed_meanwhile_are_read_or_gone(durable: JournalStore):
    def remove_and_write(journal: Journal) -> None:
        for _ in range(20):
            journal.write_note("alive", "1")
            journal.remove()

    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove_and_write, durable.recipe("job", "run-1")())
        while not removing.done():
            assert durable.recipe("job", "run-1")().notes("alive") in ({}, {"alive": "1"})
        removing.result()
