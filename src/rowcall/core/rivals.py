"""Jobs that write the same outputs table, ask for the same keys and ask otherwise: each takes the other's answers for those to an
earlier version of its requests, asks again and replaces them, for ever, and pays each time. Jobs may share a table, though, whose
keys are different, and a job may go on under another name: a run says which answers of other jobs it replaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rowcall.core import sql
from rowcall.core.errors import Problem
from rowcall.core.records import Column


@dataclass(frozen=True, slots=True)
class Rivals:
    """Statements: the other jobs that have asked, and whether in turn with this one; how many of its rows each has answered
    otherwise."""

    jobs: str
    taken: str


def rivals(texts: sql.SqlTexts, rendered: str, keys: Sequence[Column], tables: sql.Tables, job: str) -> Rivals:
    """The outputs and the runs table must exist."""
    runs, own, outputs_name = tables.runs, sql.literal(job), sql.literal(sql.bare_name(tables.outputs))
    return Rivals(
        sql.fill(texts, "statements/other_jobs", runs=runs, outputs_name=outputs_name, job=own),
        sql.fill(
            texts,
            "statements/taken_rows",
            rendered=rendered,
            outputs=tables.outputs,
            same_key=" AND ".join(f"rendered.key.{name} = o.{name}" for name in sql.quoted_columns(keys)),
            runs=runs,
            job=own,
        ),
    )


def rivalry(taken: Sequence[Mapping[str, Any]], table: str) -> list[Problem]:
    """What is wrong where other jobs have taken rows in turn with this one."""
    if not taken:
        return []
    said = f"{_said(taken)} in {table} since this job did: each would ask again what the other has asked"
    hint = "Give each job an outputs table of its own, or keep what is there with --only-new."
    return [Problem("", "outputs.table", said, hint=hint)]


def takeover(taken: Sequence[Mapping[str, Any]]) -> str:
    """What a run replaces of other jobs' answers; empty where that is nothing."""
    return f"{_said(taken)}: this job asks otherwise, and replaces those answers" if taken else ""


def _said(taken: Sequence[Mapping[str, Any]]) -> str:
    return " and ".join(f"job {row['job']} has answered {row['taken']:,} of these rows" for row in taken)
