"""The call of `ai_query` as SQL text."""

from rowcall.core.ai_query.form import Form
from rowcall.core.ai_query.sql_value import literal_text


def call(endpoint: str, form: Form, *, files: bool = False) -> str:
    """`ai_query` for one row of a relation with the parsed request `r`, and with `files`, an image, where there is one.

    The endpoint is a literal, as Databricks demands; its name was checked when the job was read. With `failOnError => false` a
    row that fails is data.
    """
    named = [("failOnError", "false"), *form.arguments, *([("files", "files")] if files else [])]
    arguments = [literal_text(endpoint), form.request, *(f"{name} => {value}" for name, value in named)]
    return f"ai_query({', '.join(arguments)})"
