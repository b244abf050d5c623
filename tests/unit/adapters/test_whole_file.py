"""Files that a person names to be written."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rowcall import cli
from rowcall.adapters.whole_file import write_whole
from rowcall.core.errors import SetupError


def test_a_file_replaces_an_earlier_one_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    for text in ("one", "twö"):
        write_whole(place, text)
        assert place.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text("earlier", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_whole(place, "half of it \ud83d")
    assert place.read_text(encoding="utf-8") == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is a folder; name a file in it"):
        write_whole(tmp_path, "")
    with pytest.raises(SetupError, match="make it first"):
        write_whole(tmp_path / "not" / "there.html", "")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="without /proc there is no folder that refuses even root")
def test_a_place_that_refuses_files_is_told() -> None:
    with pytest.raises(SetupError, match=r"report\.html cannot be written: .+ Name another place with -o"):
        write_whole(Path("/proc/self/report.html"), "")


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, real = tmp_path / "link.html", tmp_path / "there" / "real.html"
    link.symlink_to(real)
    for text in ("one", "two"):
        write_whole(link, text)
        assert (link.is_symlink(), real.read_text(encoding="utf-8")) == (True, text)


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link):
        with pytest.raises(SetupError, match="is no file; name another place with -o"):
            write_whole(place, "")
    assert pipe.is_fifo()


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(SetupError, match=r"leads nowhere|cannot be written"):
        write_whole(link, "")
    assert link.is_symlink()


@pytest.mark.parametrize("command", ["schema", "dashboard"])
def test_commands_say_where_nothing_can_be_written(command: str, tmp_path: Path) -> None:
    for place, said in ((tmp_path, "is a folder"), (tmp_path / "not" / "there", "make it first")):
        done = CliRunner().invoke(cli.app, [command, "-o", str(place)])
        assert (done.exit_code, said in done.stderr, type(done.exception)) == (1, True, SystemExit)
    file = tmp_path / "written"
    assert CliRunner().invoke(cli.app, [command, "-o", str(file)]).exit_code == 0
    assert file.read_text(encoding="utf-8") == CliRunner().invoke(cli.app, [command]).stdout
