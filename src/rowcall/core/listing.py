"""Every statement of a run, in the order in which they are sent: what `rowcall plan` and `rowcall sql` show.

Statements that depend on what the run finds are shown as they would be for it: the segments' view by its name, waves by the first
two.
"""

from collections.abc import Iterator

from rowcall.core.ai_query.reading import reading_of
from rowcall.core.ai_query.waves import MEASURED, next_rows
from rowcall.core.engine_plan import TRIAL_ROWS, AiQueryPlan, Way
from rowcall.core.plan import RunPlan

Statement = tuple[str, str]


def statements_of(plan: RunPlan) -> Iterator[Statement]:
    """Each statement with what it is for."""
    statements = plan.bound.statements
    yield "count the rows", statements.count
    if plan.bound.rivals is not None:
        yield "other jobs with these outputs", plan.bound.rivals.jobs
    yield "preview", statements.preview
    for schema in plan.bound.schemas:
        yield "schema", f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for statement in statements.create_tables:
        yield "table", statement
    yield "the row of the run", statements.merge_run
    if plan.rows.pending:
        yield "the rows to ask", statements.pending
        yield from _asking(plan)
    yield "publish answers", statements.insert_outputs
    yield "publish traces", statements.merge_traces
    yield "are there better ones than before", statements.better_outputs
    yield "if so, publish them", statements.update_outputs
    yield "summary", statements.summary
    yield "the row of the run, again", statements.merge_run
    yield "tidy up", f"DROP TABLE IF EXISTS {plan.bound.tables.pending}"
    if plan.engine.kind == "ai_query":
        yield "tidy up", f"DROP TABLE IF EXISTS {plan.bound.tables.replies}"
    if plan.bound.retention is not None:
        for old in filter(None, (plan.bound.retention.spans, plan.bound.retention.runs)):
            yield "what is kept no longer", old.count
            yield "delete it", old.delete


def _asking(plan: RunPlan) -> Iterator[Statement]:
    if plan.engine.kind == "responses":
        yield "read them", plan.bound.statements.fetch
        return
    engine = plan.engine
    yield "count them", count_pending(plan.bound.tables.pending)
    yield "rows that are not asked", engine.null_prompts
    for index, way in enumerate(engine.ways):
        yield from _waves(engine, way, plan.rows.pending, f"{'' if index == 0 else 'if that is refused: '}")
    yield "the type of the replies", type_of_replies(plan.bound.tables.replies)
    returns = next((way.returns for way in engine.ways if way.returns), "string")
    yield "read the replies", engine.read.sql(reading_of(returns), 1)
    if plan.calls.corrections:
        yield "where answers break the schema", engine.correct.text


def _waves(engine: AiQueryPlan, way: Way, pending: int, note: str) -> Iterator[Statement]:
    first = min(TRIAL_ROWS, pending) if engine.tries_ways else next_rows(pending, None, engine.rows_per_statement, None)
    yield f"{note}ask", way.ask.first(first)
    if first < pending:
        rows = engine.rows_per_statement or MEASURED
        yield "ask on, until none is left", way.ask.next(2, min(rows, pending - first), settled=True)


def count_pending(pending: str) -> str:
    return f"SELECT count(*) AS n FROM {pending}"


def type_of_replies(replies: str) -> str:
    return f"SELECT reply FROM {replies}"
