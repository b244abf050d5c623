"""Constants of a job, written as SQL for a statement with `ai_query`. Column values are never written so."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import exp

from rowcall.core.prompt import to_sql


def literal_text(text: str) -> str:
    """A text as a SQL literal; backslashes as well as quotes are escaped (FACTS 1.8)."""
    return to_sql(exp.Literal.string(text))


def quoted(name: str) -> str:
    """A field's name in backticks."""
    return "`" + name.replace("`", "``") + "`"


def sql_value(value: object) -> str:
    """A constant as SQL: objects as `named_struct`, lists as `array`, fractions cast to DOUBLE (FACTS 1.1)."""
    match value:
        case bool() | int():
            return json.dumps(value)
        case float():
            return f"CAST({value!r} AS DOUBLE)"
        case Mapping():
            fields = cast("Mapping[str, object]", value).items()
            return (
                f"named_struct({', '.join(f'{literal_text(str(name))}, {sql_value(each)}' for name, each in fields)})"
            )
        case list() | tuple():
            return f"array({', '.join(map(sql_value, cast('Sequence[object]', value)))})"
        case _:
            return "CAST(NULL AS STRING)" if value is None else literal_text(str(value))
