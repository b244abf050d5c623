"""How the rows are asked: HTTP calls, `ai_query`, or the one of them that fits."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rowcall.core.definition.fields import Model, Seconds, Whole, not_a_flag
from rowcall.core.limits import MOST_CONCURRENCY


class _Publishing(Model):
    publish_seconds: Seconds = Field(
        default=60.0, description="How often durable answers are merged into the outputs while the run goes on."
    )


Concurrency = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CONCURRENCY), BeforeValidator(not_a_flag)] | Literal["auto"], Field()
]


class _Calls(Model):
    concurrency: Concurrency = Field(
        default=16,
        description="Most calls in flight at once, over all tasks together; auto finds out what the endpoint takes.",
    )
    max_concurrency: Whole = Field(
        default=256,
        ge=1,
        le=MOST_CONCURRENCY,
        description="Most calls in flight that auto tries, over all tasks together.",
    )
    requests_per_minute: Whole | None = Field(
        default=None, ge=1, description="Most calls that start in a minute, over all tasks together."
    )
    input_tokens_per_minute: Whole | None = Field(
        default=None, ge=1, description="Most input tokens in a minute, over all tasks together."
    )
    output_tokens_per_minute: Whole | None = Field(
        default=None,
        ge=1,
        description="Most output tokens in a minute, over all tasks together. A request's own limit is reserved for it.",
    )
    fan_out: Literal["auto", "executors", "driver"] = Field(default="auto", description="Where the calls are made.")
    tasks: Whole | Literal["auto"] = Field(default="auto", description="Spark tasks that share the concurrency.")
    flush_rows: Whole = Field(default=200, ge=1, description="Answers a worker may hold before they are durable.")
    flush_seconds: Seconds = Field(
        default=1.0, description="How long a worker may hold an answer before it is durable."
    )

    @field_validator("tasks")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("expected auto or a number of at least 1")
        return value

    @model_validator(mode="after")
    def _one_way_to_say_how_many(self) -> "_Calls":
        if self.concurrency != "auto" and "max_concurrency" in self.model_fields_set:
            raise ValueError("max_concurrency goes with concurrency: auto")
        return self


class _Waves(Model):
    rows_per_statement: Whole | Literal["auto"] = Field(
        default="auto", description="Rows one ai_query statement asks; auto sizes them to about ten minutes."
    )
    statement_timeout: Seconds = Field(
        default=3600.0,
        description="How long one ai_query statement may take; what it asked is lost if it takes longer.",
    )
    request_form: Literal["auto", "prompt", "responses", "chat", "columns"] = Field(
        default="auto", description="How ai_query is given the request; auto picks what fits the endpoint."
    )
    response_format: Literal["json_schema", "ddl"] = Field(
        default="json_schema", description="How ai_query is told a model's answer schema."
    )

    @field_validator("rows_per_statement")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("expected auto or a number of at least 1")
        return value


class ResponsesEngine(_Calls, _Publishing):
    """HTTP calls fanned out under one limit for the whole run."""

    kind: Literal["responses"] = "responses"


class AiQueryEngine(_Waves, _Publishing):
    """`ai_query` in SQL, run in waves by a SQL warehouse or a Spark of Databricks; how many calls at once is the platform's."""

    kind: Literal["ai_query"] = "ai_query"


class AutoEngine(_Calls, _Waves, _Publishing):
    """The one of the two that fits the endpoint, the rows and the job; `rowcall plan` says which and why."""

    kind: Literal["auto"] = "auto"


def engine_in_short(value: object) -> object:
    """`engine: auto` for short; a mapping that does not say its kind is auto."""
    if isinstance(value, str):
        if value not in ("auto", "responses", "ai_query"):
            raise ValueError("expected auto, responses, ai_query or a mapping")
        return {"kind": value}
    return {"kind": "auto", **cast("dict[str, object]", value)} if isinstance(value, dict) else value


Engine = Annotated[ResponsesEngine | AiQueryEngine | AutoEngine, Field(discriminator="kind")]
