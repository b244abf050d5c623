"""A job definition: the words a user writes, as data. Checked on its own here; against the tables and the workspace in `plan`.

`JobDefinition.model_validate` takes what YAML gives; `job_file` adds files, lines and suggestions to its complaints.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition.deployment import (
    Compute,
    Notifications,
    Permission,
    RunAs,
    Schedule,
    Trigger,
    compute_in_short,
)
from rowcall.core.definition.endpoint import AppEndpoint, Endpoint, ServingEndpoint, UrlEndpoint
from rowcall.core.definition.engine import AiQueryEngine, AutoEngine, Engine, ResponsesEngine, engine_in_short
from rowcall.core.definition.fields import Days, Model, TableName, Whole
from rowcall.core.definition.limits import Limits, Money
from rowcall.core.definition.request import Prompts, Request
from rowcall.core.definition.traces import Traces
from rowcall.core.names import table_parts

__all__ = [
    "AiQueryEngine",
    "Answer",
    "AppEndpoint",
    "AutoEngine",
    "JobDefinition",
    "Money",
    "Prompts",
    "Request",
    "ResponsesEngine",
    "ServingEndpoint",
    "UrlEndpoint",
]


DEPLOYMENT = {"schedule", "trigger", "compute", "notifications", "run_as", "tags", "permissions"}
"""Keys that a run does not read: a bundle makes a Databricks job of them."""


class Answer(Model):
    """A structured answer: field names to SQL types, nested mappings for structs, a list of texts for a choice."""

    fields: dict[str, Any] = Field(
        alias="schema", min_length=1, description="e.g. {sentiment: [good, bad], score: double}"
    )

    corrections: Whole = Field(
        default=1,
        ge=0,
        le=10,
        description="How often a row whose answer breaks the schema is asked again, with what was wrong.",
    )

    @field_validator("fields")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        parse_answer_schema(value)
        return value


class Outputs(Model):
    table: TableName


class Runs(Model):
    table: TableName | None = Field(default=None, description="Default: rowcall.runs in the catalog of the outputs.")
    keep: Days | None = Field(
        default=None,
        description="How long the rows of this job's runs are kept, 365d, no shorter than traces.keep; default: for ever.",
    )


def _same(table: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in table_parts(table))


class JobDefinition(Model):
    """One batch job: a prompt table, what to ask about each row, whom to ask, and where the answers go."""

    job: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")] = Field(
        description="The job's name."
    )
    description: str = ""
    variables: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Defaults for ${name}; the command line overrides them."
    )
    prompts: Prompts
    request: Request
    endpoint: Endpoint
    engine: Annotated[Engine, BeforeValidator(engine_in_short)] = Field(
        default_factory=AutoEngine, description="How the rows are asked: auto, or a mapping."
    )
    answer: Literal["text"] | Answer = Field(default="text", description="text, or a schema for typed columns.")
    outputs: Outputs
    traces: Traces = Field(default_factory=Traces)
    runs: Runs = Field(default_factory=Runs)
    limits: Limits = Field(default_factory=Limits)
    journal: str | None = Field(
        default=None,
        description="Folder for answers not yet published; default: a volume `rowcall` beside the outputs, or .rowcall/journal.",
    )
    schedule: Schedule | None = Field(default=None, description="When the Databricks job runs.")
    trigger: Trigger | None = Field(default=None, description="What makes the Databricks job run.")
    compute: Annotated[Compute, BeforeValidator(compute_in_short)] = Field(
        default_factory=Compute, description="What the Databricks job runs on: serverless, or a mapping."
    )
    notifications: Notifications = Field(default_factory=Notifications)
    run_as: RunAs | None = Field(default=None, description="Whose rights the Databricks job has.")
    tags: dict[str, str] = Field(default_factory=dict, description="Of the Databricks job.")
    permissions: list[Permission] = Field(
        default_factory=list[Permission], description="Who may do what with the Databricks job."
    )

    @property
    def fingerprint(self) -> str:
        """A text that stands for what a run does; how the job is deployed, and how long what it left is kept, are no part of it."""
        kept: dict[str, Any] = {"traces": {"keep"}, "runs": {"keep"}}
        return self.model_dump_json(exclude={**dict.fromkeys(DEPLOYMENT, True), **kept})

    @model_validator(mode="after")
    def _one_start(self) -> "JobDefinition":
        if self.schedule is not None and self.trigger is not None:
            raise ValueError("give a schedule or a trigger, not both")
        return self

    @model_validator(mode="after")
    def _tables_differ(self) -> "JobDefinition":
        outputs = _same(self.outputs.table)
        if self.prompts.table is not None and _same(self.prompts.table) == outputs:
            raise ValueError("prompts.table and outputs.table are the same table; answers would become prompts")
        named = [
            _same(table) for table in (self.outputs.table, self.traces.table, self.runs.table) if table is not None
        ]
        if len(set(named)) < len(named):
            raise ValueError("outputs.table, traces.table and runs.table must be different tables")
        return self

    @model_validator(mode="after")
    def _runs_outlive_their_traces(self) -> "JobDefinition":
        traces, runs = self.traces.keep, self.runs.keep
        if runs is not None and (traces is None or traces > runs):
            raise ValueError("runs.keep needs a traces.keep that is no longer: the rows of runs lead to their traces")
        return self

    @model_validator(mode="after")
    def _money_needs_a_price(self) -> "JobDefinition":
        budget, price = self.limits.max_cost, self.endpoint.price
        if budget is not None and price is None:
            raise ValueError("limits.max_cost needs endpoint.price: {input: …, output: …} per million tokens")
        if budget is not None and price is not None and budget.currency != price.currency:
            raise ValueError(f"limits.max_cost is in {budget.currency} but endpoint.price in {price.currency}")
        return self
