"""The demo, a real job from end to end on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rowcall import api
from rowcall.adapters.packaged import packaged
from rowcall.core.ports import Reporter, Row, SqlSession
from rowcall.core.report import RunRow
from rowcall.sandbox.texts import real_texts
from rowcall.wiring import Options, surroundings

JOB = "jobs/text_insight.yml"
SQL_JOB = "jobs/text_insight_sql.yml"
TEXTS_VIEW = "rowcall_demo_texts"
ROWS = 240
WAREHOUSE = "sandbox"


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did: the runs of both engines, how many answers they agree on, some answers, rows per table, and where the
    tables are."""

    row: RunRow
    sql_row: RunRow
    alike: int
    sample: Sequence[Row]
    counts: Mapping[str, int]
    folder: Path
    job_file: Path
    sql_job_file: Path
    in_checkout: bool


def run_demo(home: Path, reporter: Reporter) -> Demo:
    """Fill `main.demo.texts` with real texts, unless it is there, and have them answered by both engines: by HTTP calls from
    Spark tasks, and by `ai_query` on a SQL warehouse."""
    job_file, sql_job_file = _sample(JOB), _sample(SQL_JOB)
    loaded, sql_job = api.load_job(job_file), api.load_job(sql_job_file)
    with surroundings(loaded.definition, Options(home=home, sandbox=True)) as here:
        fill_texts(here.session, reporter)
        row = api.run_here(loaded, here, reporter=reporter)
    with surroundings(sql_job.definition, Options(home=home, sandbox=True, warehouse=WAREHOUSE)) as here:
        sql_row = api.run_here(sql_job, here, reporter=reporter)
        answers = row.outputs_table
        alike = here.session.query(
            f"SELECT count(*) AS n FROM {answers} AS a JOIN {sql_row.outputs_table} AS b "
            "ON a.text_id = b.text_id AND to_json(a.answer) = to_json(b.answer)"
        )
        sample = here.session.query(
            f"SELECT o.text_id, o.answer.sentiment, o.answer.keywords, o.answer.summary FROM {answers} AS o "
            "WHERE o.outcome = 'ok' ORDER BY sha2(o.text_id, 256) LIMIT 5"
        )
        tables = ("main.demo.texts", answers, sql_row.outputs_table, row.traces_table, "main.rowcall.runs")
        counts = {table: int(str(here.session.query(f"SELECT count(*) AS n FROM {table}")[0]["n"])) for table in tables}
    agreed = int(str(alike[0]["n"]))
    found = row, sql_row, agreed, sample, counts
    return Demo(*found, home / "lakehouse", job_file, sql_job_file, in_checkout=job_file == Path(JOB))


def _sample(name: str) -> Path:
    """A sample job: of the checkout, or as it came with rowcall."""
    return Path(name) if Path(name).is_file() else packaged("jobs") / Path(name).name


def fill_texts(session: SqlSession, reporter: Reporter) -> None:
    """Make the prompt table of the demo: summaries, docstrings and help topics found on this machine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    session.create_schema("`main`.`demo`")
    if any(row["tableName"] == "texts" for row in session.query("SHOW TABLES IN main.demo")):
        return
    reporter.step(f"filling main.demo.texts with {ROWS} texts from this machine")
    with TemporaryDirectory() as folder:
        path = f"{folder}/texts.parquet"
        pq.write_table(pa.Table.from_pylist(list(real_texts(limit=ROWS))), path)
        session.view_of_files(TEXTS_VIEW, [path])
        session.execute(f"CREATE TABLE main.demo.texts USING DELTA AS SELECT * FROM {TEXTS_VIEW}")
