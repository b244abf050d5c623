"""The journal in a volume, apart from what every `Journal` does: a Files API that fails, and how little it is asked."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from http_server import Answer

from rowcall.adapters.auth import WorkspaceLogin
from rowcall.adapters.volume_journal import VolumeJournals
from rowcall.core.errors import JournalError, RunError, SetupError

ROOT = "/Volumes/main/test/rowcall/journal"


@dataclass(slots=True)
class Files:
    """The files of a Files API, when they were written (in whole seconds, as some stores tell it), and what it was asked.
    `failing` are statuses for the requests to come."""

    content: dict[str, bytes] = field(default_factory=dict[str, bytes])
    modified: int = 1_700_000_000_000
    failing: list[int] = field(default_factory=list[int])
    asked: Counter[str] = field(default_factory=Counter[str])

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if not path.startswith("/api/2.0/fs/"):
            return 404, b"{}"
        kind, _, name = path.partition("?")[0].removeprefix("/api/2.0/fs/").partition("/")
        self.asked[f"{method} {kind}"] += 1
        if self.failing:
            return self.failing.pop(0), json.dumps({"error_code": "X", "message": "not now"}).encode()
        if method == "PUT":
            self.content[name] = body
            return 204, b""
        if kind == "files":
            return (200, self.content[name]) if name in self.content else (404, b"{}")
        below = {path: content for path, content in self.content.items() if path.startswith(f"{name}/")}
        entries = [
            {"path": path, "name": path.rpartition("/")[2], "file_size": len(content), "last_modified": self.modified}
            for path, content in below.items()
        ]
        return 200, json.dumps({"contents": entries}).encode()


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def journals(files: Files, serve: Callable[[Answer], str], tmp_path: Path) -> VolumeJournals:
    host = serve(files.answer)
    file = tmp_path / "databricks.cfg"
    file.write_text(f"[here]\nhost = {host}\ntoken = secret\n")
    return VolumeJournals(WorkspaceLogin("here", str(file)), ROOT)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_write_is_tried_again_until_the_service_is_back(journals: VolumeJournals, files: Files, status: int):
    files.failing = [status]
    journals.recipe("job", "run-1")().write_segment("a", pa.table({"request_hash": ["a"]}))
    assert files.asked["PUT files"] == 2
    assert journals.recipe("job", "run-1")().answered_hashes() == {"a"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_a_write_that_is_refused_is_an_os_error_at_once(journals: VolumeJournals, files: Files, status: int):
    files.failing = [status]
    with pytest.raises(JournalError, match=r"run-1/notes/manifest cannot be written: not now") as refused:
        journals.recipe("job", "run-1")().write_note("manifest", "{}")
    assert isinstance(refused.value, OSError)
    assert isinstance(refused.value, RunError)
    assert files.asked["PUT files"] == 1


def test_a_store_that_cannot_be_looked_at_is_a_matter_of_setup(journals: VolumeJournals, files: Files):
    files.failing = [403]
    with pytest.raises(SetupError, match="cannot be listed: not now"):
        journals.runs("job")


def test_polling_gives_up_at_once_and_looks_again_the_next_time(journals: VolumeJournals, files: Files):
    journal = journals.recipe("job", "run-1")()
    journal.write_note("stop", "now")
    files.failing = [500]
    with pytest.raises(OSError, match="cannot be listed"):
        journal.notes("stop")
    assert journal.notes("stop") == {"stop": "now"}


def test_a_note_that_did_not_change_is_read_once(journals: VolumeJournals, files: Files):
    files.modified += 1
    journal = journals.recipe("job", "run-1")()
    journal.write_note("progress-a", "1")
    files.asked.clear()
    for _ in range(10):
        assert journal.notes("progress-") == {"progress-a": "1"}
        assert journal.notes("stop") == {}
    assert files.asked["GET files"] == 1
    assert files.asked["GET directories"] < 20


def test_two_texts_of_one_second_are_told_apart(journals: VolumeJournals):
    writer, reader = (journals.recipe("job", "run-1")() for _ in range(2))
    for text in ("1", "2", "3"):
        writer.write_note("progress-a", text)
        assert reader.notes("progress-") == {"progress-a": text}


@pytest.mark.parametrize("root", ["/tmp/journal", "/Volumes/main/test", "Volumes//x/y/z", ""])
def test_a_journal_elsewhere_is_refused(root: str):
    with pytest.raises(SetupError, match="not a folder of a volume"):
        VolumeJournals(WorkspaceLogin(), root)
