"""The notebooks of jobs/notebooks in Databricks' source format, each written from its .ipynb: `python tests/notebook_source.py`.

A source file begins with `# Databricks notebook source`; `# COMMAND ----------` stands between cells; what is no Python, such as
Markdown, has `# MAGIC` before each line.
"""

import re
from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).parents[1] / "jobs" / "notebooks"
_HEAD = "# Databricks notebook source\n"
_BETWEEN = "\n\n# COMMAND ----------\n\n"
_MAGIC = "# MAGIC"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def source_of(notebook: Any) -> str:
    """The notebook as a source file."""
    return _HEAD + _BETWEEN.join(_cell_source(cell) for cell in notebook.cells) + "\n"


def notebook_of(source: str) -> Any:
    """The notebook that Databricks makes of a source file. Raises `ValueError` for what is none."""
    if not source.startswith(_HEAD):
        raise ValueError("a notebook in source format begins with # Databricks notebook source")
    made: Any = nbformat.v4
    cells = re.split(r"\n+# COMMAND -{10}\n+", source.removeprefix(_HEAD).strip("\n"))
    return made.new_notebook(
        cells=[
            made.new_markdown_cell(_shown(cell)) if cell.startswith(_MAGIC) else made.new_code_cell(cell)
            for cell in cells
        ]
    )


def _cell_source(cell: Any) -> str:
    if cell.cell_type == "code":
        return str(cell.source)
    return "\n".join(f"{_MAGIC} {line}".rstrip() for line in ("%md", *str(cell.source).split("\n")))


def _shown(magic: str) -> str:
    lines = [line.removeprefix(_MAGIC).removeprefix(" ") for line in magic.split("\n")]
    if lines[0] != "%md":
        raise ValueError(f"a cell of {lines[0]}, not of Markdown")
    return "\n".join(lines[1:])


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        path.with_suffix(".py").write_text(source_of(read(path)), encoding="utf-8")
