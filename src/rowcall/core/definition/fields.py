"""The kinds of values a job definition holds: durations, names, tables, columns."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticKnownError

from rowcall.core.names import is_table_name

_DURATION = re.compile(r"(?=\d)(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+(?:\.\d+)?)s)?")
_DAYS = re.compile(r"([1-9][0-9]{0,4}) ?d")
_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"


def not_a_flag(value: object) -> object:
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
    return not_a_flag(value)


def _days(value: object) -> object:
    if isinstance(value, str):
        match = _DAYS.fullmatch(value.strip())
        if match is None:
            raise ValueError("expected a number of days such as 90d")
        return int(match[1])
    return not_a_flag(value)


def _table(value: str) -> str:
    if not is_table_name(value):
        raise ValueError("expected a table name such as main.sales.reviews; put odd names in backticks")
    return value.strip()


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
Days = Annotated[
    int,
    BeforeValidator(_days),
    Field(ge=1, le=36500),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^[1-9][0-9]{0,4} ?d$"}, {"type": "integer"}], "examples": ["90d"]}
    ),
]
Whole = Annotated[int, BeforeValidator(not_a_flag)]
TableName = Annotated[str, AfterValidator(_table)]
Name = Annotated[str, StringConstraints(pattern=_NAME)]
ColumnOnly = Annotated[str, StringConstraints(pattern=r"^\{.+\}$")]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)
