"""From the type of what `ai_query` returned to the SQL that reads it.

With `failOnError => false` the documents say STRUCT<result, errorMessage>, STRUCT<response, errorStatus> and more, and some
endpoints were seen to give a plain STRING all the same (FACTS 1.2). Whatever it is was stored as it came; this reads the column.
"""

import re
from dataclasses import dataclass
from typing import Literal

from rowcall.core.ai_query.sql_value import quoted
from rowcall.core.prompt import struct_fields

Speech = Literal["responses", "chat"]
RESULTS = ("result", "response")
ERRORS = ("errormessage", "errorstatus", "error")
_NONE = "CAST(NULL AS STRING)"
_PARTS = re.compile(r"(struct|array|map)\b|variant$")


@dataclass(frozen=True, slots=True)
class Reading:
    """SQL over the column `reply`: the answer as text, the error as text; either is NULL. `speech` says which API's reply the
    answer is, where its type tells."""

    answer: str
    error: str
    speech: Speech | None = None


def reading_of(type_: str) -> Reading:
    """How to read a reply of this SQL type. Total: a type of no known shape is an answer and no error."""
    fields = struct_fields(type_.strip().lower()) or {}
    results = [name for name in RESULTS if name in fields]
    errors = [name for name in ERRORS if name in fields]
    if len(fields) == 2 and len(results) == len(errors) == 1:
        return Reading(
            _as_text(f"reply.{quoted(results[0])}", fields[results[0]]),
            _as_text(f"reply.{quoted(errors[0])}", fields[errors[0]]),
            _speech(fields[results[0]]),
        )
    return Reading(_as_text("reply", type_), _NONE, _speech(type_))


def _speech(type_: str) -> Speech | None:
    fields = struct_fields(type_.strip().lower()) or {}
    if fields.get("output", "").startswith("array"):
        return "responses"
    return "chat" if any(fields.get(name, "").startswith("array") for name in ("messages", "choices")) else None


def _as_text(value: str, type_: str) -> str:
    """Text as it is, parts as JSON, other values as SQL writes them."""
    plain = type_.strip().lower()
    if plain == "string":
        return value
    return f"to_json({value})" if _PARTS.match(plain) else f"CAST({value} AS STRING)"
