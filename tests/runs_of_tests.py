"""Plans and rows of runs that nobody made, for tests of how runs are shown."""

from dataclasses import replace
from typing import Any

from rowcall.adapters.packaged import sql_texts
from rowcall.core import report
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, RowCounts
from rowcall.core.report import RunRow, Tally

STARTED = 1_795_387_458_000_000


def made_plan(pending: int = 7) -> RunPlan:
    job = {
        "job": "triage",
        "prompts": {"table": "main.sales.reviews", "key": "id"},
        "request": {"input": "{text}"},
        "endpoint": {"app": "agent"},
        "engine": {"concurrency": 4, "tasks": 1},
        "outputs": {"table": "main.sales.answers"},
    }
    definition = JobDefinition.model_validate(job)
    columns = (Column("id", "bigint"), Column("text", "string"))
    facts = Facts(columns, None, EndpointFacts("https://agent.test"), "Spark", executors=True, parallel=True)
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
    counts = RowCounts(source=pending, pending=pending, input_chars=10 * pending)
    return make_plan(definition, bind(definition, facts, sql_texts(), options), facts, counts, options)


def over(ok: int = 7, failures: dict[str, int] | None = None, **changes: Any) -> RunRow:
    """The row of a run that went to its end."""
    asked = ok + sum((failures or {}).values())
    begun = report.started(made_plan(asked), STARTED, "1.0", {"host": "h"})
    ended = report.ended(begun, "done", None, Tally(asked, ok, failures=failures or {}), STARTED + 2_500_000)
    return replace(ended, **changes)
