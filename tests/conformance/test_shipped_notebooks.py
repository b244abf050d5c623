"""The notebooks that come with rowcall, in both formats, run in a real kernel against the sandbox."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from notebook_source import FOLDER, notebook_of, read
from support import Bench

pytestmark = pytest.mark.timeout(300)
LOOK = "print(answered.to_json(orient='records', default_handler=str))"
JOB = """
job: from_widgets
variables: {catalog: nowhere}
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range(12)
  key: id
request: {input: "{text}"}
endpoint: {app: echo}
outputs: {table: "${catalog}.test.from_widgets"}
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that knows of no workspace."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DATABRICKS_", "SPARK_"))} | {
        "HOME": str(tmp_path)
    }


@pytest.fixture
def with_warehouse(elsewhere: dict[str, str], warehouse_bench: Bench) -> dict[str, str]:
    """The sandbox as the workspace that is configured, and its SQL warehouse."""
    login = warehouse_bench.sandbox
    return {
        **elsewhere,
        "DATABRICKS_CONFIG_FILE": login.config_file,
        "DATABRICKS_CONFIG_PROFILE": login.profile,
        "DATABRICKS_WAREHOUSE_ID": "sandbox",
    }


def executed(notebook: Any, folder: Path, environment: Mapping[str, str], *more: str) -> list[Any]:
    """What each cell of code showed, those of `more` added at the end."""
    made: Any = nbformat.v4
    notebook.cells += [made.new_code_cell(text) for text in more]
    client = NotebookClient(notebook, timeout=110, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    cells = client.execute(env=dict(environment)).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


def rows_of(outputs: list[Any]) -> list[dict[str, Any]]:
    return json.loads("".join(output["text"] for output in outputs if output["output_type"] == "stream"))


def html_of(outputs: list[Any]) -> str:
    return "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)


def test_ad_hoc_scoring_as_it_comes(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    shown = executed(read(FOLDER / "adhoc_scoring.ipynb"), tmp_path, elsewhere, LOOK)
    rows = rows_of(shown[-1])
    assert [(row["text_id"], row["outcome"]) for row in rows] == [("bread", "ok"), ("cake", "ok"), ("oven", "ok")]
    assert [row["answer"].split(" · ")[0] for row in rows] == ["positive", "negative", "neutral"]
    assert "3 asked · 3 ok" in html_of(shown[2])
    assert "<iframe sandbox srcdoc=" in html_of(shown[4])


def test_ad_hoc_scoring_of_a_table_with_widgets_filled(
    tmp_path: Path, with_warehouse: dict[str, str], warehouse_bench: Bench
) -> None:
    warehouse_bench.fill("reviews", [{"id": 1, "said": "fine"}, {"id": 2, "said": "awful"}])
    warehouse_bench.behave(faults=[{"match": "awful", "status": 400}])
    filled = {"TABLE": "main.test.reviews", "KEY": "id", "PROMPT": "Judge {said}", "ENDPOINT": "app:echo"}
    environment = {**with_warehouse, **{f"ROWCALL_{name}": value for name, value in filled.items()}}
    source = (FOLDER / "adhoc_scoring.py").read_text(encoding="utf-8")
    shown = executed(notebook_of(source), tmp_path, environment, LOOK)
    rows = {row["id"]: row for row in rows_of(shown[-1])}
    assert (rows[1]["answer"], rows[1]["outcome"]) == ("Judge fine", "ok")
    assert (rows[2]["answer"], rows[2]["outcome"], rows[2]["error"]["kind"]) == (None, "error", "bad_request")
    assert "bad_request" in html_of(shown[3]), "the failures"
    assert "adhoc_scoring" in html_of(shown[4]), "the report"


@pytest.mark.parametrize("ending", ["ipynb", "py"])
def test_a_job_is_run_with_variables_from_widgets(
    tmp_path: Path, with_warehouse: dict[str, str], warehouse_bench: Bench, ending: str
) -> None:
    (tmp_path / "job.yml").write_text(JOB)
    path = FOLDER / f"run_job.{ending}"
    notebook = read(path) if ending == "ipynb" else notebook_of(path.read_text(encoding="utf-8"))
    environment = {**with_warehouse, "ROWCALL_JOB": "job.yml", "ROWCALL_CATALOG": "main"}
    shown = executed(notebook, tmp_path, environment)
    assert "from_widgets" in html_of(shown[1])
    assert "<iframe sandbox srcdoc=" in html_of(shown[3])
    found = warehouse_bench.session.query("SELECT id, answer FROM main.test.from_widgets ORDER BY id")
    assert [row["answer"] for row in found] == [f"row {number}" for number in range(12)]
    assert warehouse_bench.figures()["calls"] <= 12
