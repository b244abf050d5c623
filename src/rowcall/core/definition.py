"""A job definition: the words a user writes, as data. Checked on its own here; against the tables and the workspace in `plan`.

`JobDefinition.model_validate` takes what YAML gives; `job_file` adds files, lines and suggestions to its complaints.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StringConstraints,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from rowcall.core.answer import parse_answer_schema
from rowcall.core.names import is_table_name, table_parts

_DURATION = re.compile(r"(?=\d)(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+(?:\.\d+)?)s)?")
_MONEY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Z]{3})")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"


def _not_a_flag(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


def _seconds(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError("expected a duration such as 90s, 10m, 2h or 1h30m")
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    return _not_a_flag(value)


def _table(value: str) -> str:
    if not is_table_name(value):
        raise ValueError("expected a table name such as main.sales.reviews; put odd names in backticks")
    return value.strip()


def _same(table: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in table_parts(table))


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[0-9.hms ]+$"}, {"type": "number"}],
            "examples": ["90s", "2h"],
        }
    ),
]
Whole = Annotated[int, BeforeValidator(_not_a_flag)]
TableName = Annotated[str, AfterValidator(_table)]
Name = Annotated[str, StringConstraints(pattern=_NAME)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class Prompts(_Model):
    """The rows to ask: a table, a query, or a file with a query under sql/prompts/."""

    table: TableName | None = Field(default=None, description="The prompt table.")
    query: str | None = Field(default=None, description="A SELECT whose rows are the prompt table.")
    file: str | None = Field(
        default=None, description="A file with such a SELECT, for instance sql/prompts/reviews.sql."
    )
    key: tuple[str, ...] = Field(min_length=1, description="The column, or columns, that identify a row.")
    where: str | None = Field(default=None, description="A SQL condition; only rows that meet it are asked.")

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("key")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({column.lower() for column in value}) != len(value):
            raise ValueError("names a column twice")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "Prompts":
        if sum(source is not None for source in (self.table, self.query, self.file)) != 1:
            raise ValueError("give exactly one of table, query and file")
        return self


class Message(_Model):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Request(_Model):
    """What is sent for one row. `{column}` stands for that row's value anywhere in a text; `{{` and `}}` are plain braces."""

    instructions: str | None = Field(default=None, description="The system prompt.")
    input: str | None = Field(default=None, description="The user's message.")
    messages: tuple[Message, ...] | None = Field(
        default=None, min_length=1, description="A whole conversation instead of input."
    )
    inputs: dict[str, Any] | None = Field(
        default=None,
        min_length=1,
        description="For a custom model: its input columns by name, instead of input; `{column}` alone keeps the column's type.",
    )
    files: Annotated[str, StringConstraints(pattern=r"^\{.+\}$")] | None = Field(
        default=None, description="A BINARY column with an image for each row, as `{photo}`; ai_query only."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Body fields such as temperature, max_output_tokens."
    )
    custom_inputs: dict[str, Any] = Field(default_factory=dict, description="Passed to the agent as custom_inputs.")
    databricks_options: dict[str, Any] = Field(
        default_factory=dict, description="Model Serving only, e.g. return_trace: true."
    )
    nulls: Literal["empty", "error", "skip"] = Field(
        default="empty",
        description="A NULL in a text is an empty string (empty); makes the row a null_prompt error, not asked (error); leaves "
        "the row out (skip). A row whose every placeholder is NULL is never asked.",
    )

    @model_validator(mode="after")
    def _one_prompt(self) -> "Request":
        if sum(given is not None for given in (self.input, self.messages, self.inputs)) != 1:
            raise ValueError("give exactly one of input, messages and inputs")
        if self.inputs is not None and self.instructions is not None:
            raise ValueError("instructions go with input or messages; a custom model has inputs only")
        return self


class Price(_Model):
    """What a million tokens cost."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = "USD"


class _Endpoint(_Model):
    api: Literal["auto", "responses"] = Field(
        default="auto", description="The wire shape; auto picks it from the endpoint."
    )
    stream: bool = Field(
        default=False, description="Ask for a stream and assemble it; keeps proxies from cutting long answers."
    )
    price: Price | None = Field(default=None, description="Price of a million tokens, for costs and max_cost.")


class AppEndpoint(_Endpoint):
    """An agent on Databricks Apps. Needs an OAuth login."""

    app: Name


class ServingEndpoint(_Endpoint):
    """An agent or model on Model Serving."""

    serving: Name


class UrlEndpoint(_Endpoint):
    """Any OpenAI-compatible server; `url` ends before `/responses`."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
    model: str | None = None

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if "@" in value or "?" in value or "#" in value:
            raise ValueError(
                "expected an address without a user, a query or a fragment; a key goes in api_key: env:NAME"
            )
        return value.rstrip("/").removesuffix("/responses")

    api_key: Annotated[str, StringConstraints(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="Where the key is, never the key: env:NAME."
    )


def _endpoint_kind(value: object) -> str | None:
    """The one key of app, serving and url that a mapping has, or that a made endpoint has as a field."""
    keys = type(value).model_fields if isinstance(value, BaseModel) else value if isinstance(value, dict) else ()
    kinds = [kind for kind in ("app", "serving", "url") if kind in keys]
    return kinds[0] if len(kinds) == 1 else None


Endpoint = Annotated[
    Annotated[AppEndpoint, Tag("app")]
    | Annotated[ServingEndpoint, Tag("serving")]
    | Annotated[UrlEndpoint, Tag("url")],
    Discriminator(
        _endpoint_kind,
        custom_error_type="endpoint",
        custom_error_message="expected a mapping with exactly one of app, serving and url",
    ),
]


class _Publishing(_Model):
    publish_seconds: Seconds = Field(
        default=60.0, description="How often durable answers are merged into the outputs while the run goes on."
    )


class _Calls(_Model):
    concurrency: Whole = Field(
        default=16, ge=1, le=4096, description="Most calls in flight at once, over all tasks together."
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


class _Waves(_Model):
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


def _engine(value: object) -> object:
    """`engine: auto` for short; a mapping that does not say its kind is auto."""
    if isinstance(value, str):
        if value not in ("auto", "responses", "ai_query"):
            raise ValueError("expected auto, responses, ai_query or a mapping")
        return {"kind": value}
    return {"kind": "auto", **cast("dict[str, object]", value)} if isinstance(value, dict) else value


Engine = Annotated[ResponsesEngine | AiQueryEngine | AutoEngine, Field(discriminator="kind")]


class Answer(_Model):
    """A structured answer: field names to SQL types, nested mappings for structs, a list of texts for a choice."""

    fields: dict[str, Any] = Field(
        alias="schema", min_length=1, description="e.g. {sentiment: [good, bad], score: double}"
    )

    @field_validator("fields")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        parse_answer_schema(value)
        return value


class Outputs(_Model):
    table: TableName


class Traces(_Model):
    table: TableName | None = Field(default=None, description="Default: rowcall.traces in the catalog of the outputs.")
    content: Literal["full", "preview", "none"] = Field(
        default="full", description="How much prompt and answer text spans carry."
    )


class Runs(_Model):
    table: TableName | None = Field(default=None, description="Default: rowcall.runs in the catalog of the outputs.")


def _money(value: object) -> object:
    if isinstance(value, str):
        match = _MONEY.fullmatch(value.strip())
        if match is None:
            raise ValueError("expected an amount and a currency, such as 20 USD")
        return {"amount": match[1], "currency": match[2]}
    return value


class Money(_Model):
    amount: Decimal = Field(gt=0)
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def _share_or_count(value: object) -> object:
    if isinstance(value, str):
        match = _SHARE.fullmatch(value.strip())
        if match is None or float(match[1]) > 100:
            raise ValueError("expected a share such as 5% or a number of rows")
        return float(match[1]) / 100
    return _not_a_flag(value)


MaxFailures = Annotated[
    Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, le=1)],
    BeforeValidator(_share_or_count),
    PlainSerializer(lambda value: value if isinstance(value, int) else f"{value:.4%}"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[0-9.]+ ?%$"}, {"type": "integer", "minimum": 0}],
            "examples": ["5%", 100],
        }
    ),
]


class Limits(_Model):
    """When a call, a row or the run is given up. Answers already given are kept and the next run goes on from them."""

    timeout: Seconds = Field(default=120.0, description="One HTTP exchange.")
    attempts: Whole = Field(default=6, ge=1, le=100, description="HTTP exchanges for one row.")
    deadline: Seconds | None = Field(default=None, description="The run: no call starts after it.")
    max_failures: MaxFailures | None = Field(
        default=None, description="Failed rows after which the run stops: a number or a share."
    )
    max_cost: Annotated[Money, BeforeValidator(_money)] | None = Field(
        default=None, description="Stops the run; needs endpoint.price."
    )
    max_tokens: Annotated[int, Field(ge=1), BeforeValidator(_not_a_flag)] | None = Field(
        default=None, description="Input and output tokens after which the run stops."
    )


class JobDefinition(_Model):
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
    engine: Annotated[Engine, BeforeValidator(_engine)] = Field(
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
    def _money_needs_a_price(self) -> "JobDefinition":
        budget, price = self.limits.max_cost, self.endpoint.price
        if budget is not None and price is None:
            raise ValueError("limits.max_cost needs endpoint.price: {input: …, output: …} per million tokens")
        if budget is not None and price is not None and budget.currency != price.currency:
            raise ValueError(f"limits.max_cost is in {budget.currency} but endpoint.price in {price.currency}")
        return self
