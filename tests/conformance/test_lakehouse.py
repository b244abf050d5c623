"""The embedded lakehouse keeps its tables for the next process, wherever its folder is."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.errors import SetupError, SqlError
from rowcall.sandbox.lakehouse import KIND, MOST_FILES, Lakehouse, open_lakehouse


@pytest.mark.parametrize("folder", ["plain", "with space é %20"])
def test_tables_are_found_again_and_gone_when_dropped(tmp_path: Path, folder: str):
    home = tmp_path / folder
    first = open_lakehouse(home, ["other"])
    try:
        session = SparkSqlSession(first.spark, KIND, first)
        for schema in ("`main`.`plain`", "`other`.`s-1`"):
            session.create_schema(schema)
            session.execute(f"CREATE TABLE {schema}.t USING DELTA AS SELECT 7 AS n")
        session.execute("CREATE TABLE main.plain.gone USING DELTA AS SELECT 1 AS n")
        session.drop_table("`main`.`plain`.`gone`")
    finally:
        first.stop()
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    (home / "main" / "plain" / "junk").mkdir()
    (home / "main" / "plain" / "half" / "_delta_log").mkdir(parents=True)
    (home / "not a catalog").mkdir()

    second = open_lakehouse(home)
    try:
        session = SparkSqlSession(second.spark, KIND, second)
        for name in ("main.plain.t", "other.`s-1`.t"):
            assert [row["n"] for row in session.query(f"SELECT n FROM {name}")] == [7]
        assert [row["tableName"] for row in session.query("SHOW TABLES IN main.plain")] == ["t"]
    finally:
        second.stop()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"cannot be kept in .*file"):
        open_lakehouse(tmp_path / "file" / "lakehouse")


def test_a_program_of_the_command_line_opens_it(tmp_path: Path):
    program = f"""
import pathlib
from rowcall.sandbox.lakehouse import open_lakehouse
house = open_lakehouse(pathlib.Path({str(tmp_path)!r}))
print(house.spark.sql("SELECT 7").collect()[0][0])
house.stop()
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (found.stdout, found.stderr, found.returncode) == ("7\n", "", 0)


@pytest.mark.parametrize("name", ["`main`.`test`.`my table`", "`main`.`é`.`t`", "`main`.`..`.`t`"])
def test_names_it_cannot_keep_are_refused(house: Lakehouse, name: str):
    with pytest.raises(SetupError, match="plain letters"):
        house.check_table(name)
    with pytest.raises(SetupError, match="plain letters"):
        house.forget(name)


def files_of(folder: Path, count: int) -> list[str]:
    paths = [str(folder / f"{n}.parquet") for n in range(count)]
    for n, path in enumerate(paths):
        parquet.write_table(pa.table({"n": [n, None], "nested": [[{"text": f"{n}"}], []]}), path)
    return paths


def gathered(house: Lakehouse) -> list[Path]:
    return list(house.folder.glob(".gathered-*/*"))


def test_many_files_are_read_as_one_which_goes_with_the_view(house: Lakehouse, tmp_path: Path):
    session, paths, others = SparkSqlSession(house.spark, KIND, house), files_of(tmp_path, 45), gathered(house)
    for some in (paths, paths[2:], paths[:1], paths, paths[3:5]):
        session.view_of_files("many_files", some)
        found = session.query("SELECT n, nested[0].text AS text FROM many_files WHERE n IS NOT NULL ORDER BY n")
        assert [(row["n"], row["text"]) for row in found] == [(n, f"{n}") for n in map(paths.index, some)]
        assert session.query("SELECT count(*) AS n FROM many_files") == [{"n": 2 * len(some)}]
        assert len(gathered(house)) == len(others) + (len(some) > 40)


def test_of_very_many_files_only_the_columns_that_are_needed_are_put_together(house: Lakehouse, tmp_path: Path):
    session, paths, others = (
        SparkSqlSession(house.spark, KIND, house),
        files_of(tmp_path, MOST_FILES + 1),
        gathered(house),
    )
    session.view_of_files("very_many_files", paths)
    assert gathered(house) == others
    session.view_of_files("very_many_files", paths, ["n"])
    assert session.query("SELECT max(n) AS n FROM very_many_files") == [{"n": MOST_FILES}]
    (made,) = set(gathered(house)) - set(others)
    assert parquet.read_schema(made).names == ["n"]
    session.view_of_files("very_many_files", paths[:1])


@pytest.mark.parametrize("place", [0, 30])
def test_a_file_that_cannot_be_read_is_told(house: Lakehouse, tmp_path: Path, place: int):
    session, paths, others = SparkSqlSession(house.spark, KIND, house), files_of(tmp_path, 45), gathered(house)
    Path(paths[place]).write_text("no Parquet")
    with pytest.raises(SqlError, match=r"(?i)parquet"):  # noqa: PT012 (now, or when it is read)
        session.view_of_files("bad_files", paths)
        session.query("SELECT max(nested) FROM bad_files")
    assert gathered(house) == others


def test_files_whose_columns_differ_in_what_they_allow_are_read_all_the_same(house: Lakehouse, tmp_path: Path):
    session, others = SparkSqlSession(house.spark, KIND, house), gathered(house)
    paths = [str(tmp_path / f"{n}.parquet") for n in range(41)]
    for n, path in enumerate(paths):
        schema = pa.schema([pa.field("n", pa.int64(), nullable=n < 40)])
        parquet.write_table(pa.table({"n": [7]}, schema=schema), path)
    session.view_of_files("nullable_or_not", paths)
    assert session.query("SELECT sum(n) AS n FROM nullable_or_not") == [{"n": 287}]
    assert gathered(house) == others


def test_what_a_killed_process_has_gathered_goes_after_a_day(tmp_path: Path):
    old, new = tmp_path / ".gathered-old", tmp_path / ".gathered-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "rows.parquet").touch()
    os.utime(old, (1_700_000_000, 1_700_000_000))
    open_lakehouse(tmp_path).stop()
    assert [path.name for path in tmp_path.glob(".gathered-*")] == [".gathered-new"]
