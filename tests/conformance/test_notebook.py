"""What a notebook gets of a run: in a real Jupyter kernel, and the run's rows as DataFrames in every kind of session."""

from copy import copy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rowcall.core.errors import RunError
from rowcall.notebook import Run
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.wiring import Options
from support import Bench, make_job, texts

JOB = """
job: noted
prompts:
  query: SELECT id, concat('row ', id) AS text FROM range(40)
  key: id
request: {input: "{text}"}
endpoint: {app: echo}
outputs: {table: main.noted.answers}
"""
CELLS = (
    "import rowcall\nfrom rowcall.wiring import Options\n"
    "run = rowcall.run('job.yml', options=Options(sandbox=True))\nrun",
    "run.outputs.sort_values('id').head(2)[['id', 'answer']]",
    "len(run.outputs), len(run.failures), len(run.traces)",
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of a notebook that was run in a kernel of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "job.yml").write_text(JOB)
    made: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = NotebookClient(made, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute().cells


def shown(output: Any, kind: str = "text/html") -> str:
    return output["data"][kind]


class TestInJupyter:
    def test_a_bar_shows_how_far_a_run_is_in_one_place(self, cells: list[Any]) -> None:
        bar, _ = cells[0]["outputs"]
        assert bar["output_type"] == "display_data"
        assert "40 to ask" in shown(bar)
        assert "40 asked · 40 ok" in shown(bar), "the last of what was shown there"
        assert "publishing" not in shown(bar)

    def test_a_run_is_a_summary(self, cells: list[Any]) -> None:
        *_, summary = cells[0]["outputs"]
        assert summary["output_type"] == "execute_result"
        for said in ("noted", "40 asked · 40 ok", "main.noted.answers", "bound by"):
            assert said in shown(summary)

    def test_its_rows_are_data_frames(self, cells: list[Any]) -> None:
        assert "row 0" in shown(cells[1]["outputs"][0])
        assert shown(cells[2]["outputs"][0], "text/plain") == "(40, 0, 80)"


def finished(bench: Bench, name: str, where: Options, **changes: Any) -> Run:
    bench.fill(name, texts(12))
    return Run(bench.run(make_job(name, **changes)), where)


def test_frames_are_of_the_spark_session_that_was_handed_in(bench: Bench, house: Lakehouse) -> None:
    spark = house.spark
    bench.behave(faults=[{"match": "row 3", "status": 400}])
    run = finished(bench, "frames_of_spark", Options(spark=spark), limits={"attempts": 1})
    assert (run.status, run.ok, run.row.failures) == ("done", 11, {"bad_request": 1})
    assert type(run.outputs).__module__.startswith("pyspark.sql")
    assert run.outputs.count() == 12
    assert [row["id"] for row in run.failures.collect()] == [3]
    assert {row["name"] for row in run.traces.select("name").distinct().collect()} == {"invoke_agent echo", "attempt 1"}

    bench.behave()
    again = Run(bench.run(make_job("frames_of_spark")), Options(spark=spark))
    assert (again.asked, again.failures.count(), again.outputs.count()) == (1, 0, 12)
    assert again.traces.count() == 2, "those of this run alone"


def test_frames_of_a_table_that_is_gone_say_so(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "lakehouse").mkdir()
    run = finished(bench, "frames_of_nothing", Options(home=tmp_path))
    with pytest.raises(RunError, match=r"there is no table main\.test\.frames_of_nothing_out"):
        _ = run.outputs


def test_a_run_has_what_its_row_has(bench: Bench) -> None:
    run = finished(bench, "frames_of_row", Options())
    assert run.check() is run.row
    assert copy(run) == run
    assert run.as_json() == run.row.as_json()
    with pytest.raises(AttributeError):
        _ = run.no_such_thing
