"""The notebooks that come with rowcall: well formed, without outputs, and the same in both formats."""

from pathlib import Path

import nbformat
import pytest

import rowcall
from notebook_source import FOLDER, notebook_of, read, source_of

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
IDS = [path.stem for path in NOTEBOOKS]


def cells(notebook: object) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]  # type: ignore[attr-defined]


def test_there_is_one_for_ad_hoc_scoring_and_one_for_jobs() -> None:
    assert IDS == ["adhoc_scoring", "run_job"]
    assert len([kind for kind, _ in cells(read(FOLDER / "adhoc_scoring.ipynb")) if kind == "code"]) == 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_notebook_is_valid_and_holds_no_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells if not cell.id.replace("-", "").isalpha()] == [], (
        "ids that stay as they are"
    )
    assert [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_the_source_file_says_what_the_notebook_says(path: Path) -> None:
    """`python tests/notebook_source.py` writes the source files again."""
    notebook, source = read(path), path.with_suffix(".py").read_text(encoding="utf-8")
    assert source == source_of(notebook)
    assert cells(notebook_of(source)) == cells(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_notebook_says_how_this_rowcall_is_installed(path: Path) -> None:
    first = read(path).cells[0]
    assert f"%pip install /Volumes/main/default/wheels/rowcall-{rowcall.__version__}-py3-none-any.whl\n" in first.source
    assert "dbutils.library.restartPython()" in first.source


def test_what_is_no_source_file_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        notebook_of("print(1)\n")
    with pytest.raises(ValueError, match="a cell of %sql"):
        notebook_of("# Databricks notebook source\n# MAGIC %sql\n# MAGIC SELECT 1\n")
