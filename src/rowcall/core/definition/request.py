"""The rows to ask, and what is sent for each."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rowcall.core.definition.fields import ColumnOnly, Model, TableName


class Prompts(Model):
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


class Message(Model):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Request(Model):
    """What is sent for one row. `{column}` stands for that row's value anywhere in a text; `{{` and `}}` are plain braces."""

    instructions: str | None = Field(default=None, description="The system prompt.")
    input: str | None = Field(default=None, description="The user's message.")
    messages: tuple[Message | ColumnOnly, ...] | None = Field(
        default=None,
        min_length=1,
        description="A whole conversation instead of input; `{column}` alone stands for the messages in that column.",
    )
    inputs: dict[str, Any] | None = Field(
        default=None,
        min_length=1,
        description="For a custom model: its input columns by name, instead of input; `{column}` alone keeps the column's type.",
    )
    files: ColumnOnly | None = Field(
        default=None, description="A BINARY column with an image for each row, as `{photo}`; ai_query only."
    )
    parameters: dict[str, Any] | ColumnOnly = Field(
        default_factory=dict, description="Body fields such as temperature, max_output_tokens; or a column of them."
    )
    custom_inputs: dict[str, Any] | ColumnOnly = Field(
        default_factory=dict, description="Passed to the agent as custom_inputs; or a column of them."
    )
    databricks_options: dict[str, Any] = Field(
        default_factory=dict, description="Model Serving only, e.g. return_trace: true."
    )
    nulls: Literal["empty", "error", "skip"] = Field(
        default="empty",
        description="A NULL in a text is an empty string (empty); makes the row a null_prompt error, not asked (error); leaves "
        "the row out (skip). A row whose every placeholder is NULL is never asked.",
    )

    @field_validator("messages", mode="before")
    @classmethod
    def _one_column(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_prompt(self) -> "Request":
        if sum(given is not None for given in (self.input, self.messages, self.inputs)) != 1:
            raise ValueError("give exactly one of input, messages and inputs")
        if self.inputs is not None and self.instructions is not None:
            raise ValueError("instructions go with input or messages; a custom model has inputs only")
        return self
