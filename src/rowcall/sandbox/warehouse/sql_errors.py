"""Errors of SQL as a SQL warehouse words them: `[ERROR_CLASS] What is wrong. SQLSTATE: 12345`.

The lakehouse's own messages (Sail 0.7) are told by their words; the first rule that matches decides. Error classes and states
are those of Databricks' list of error conditions. Pure and total: whatever came, a failure comes out.
"""

import re

_WHOLE = re.compile(r"\[([A-Z][A-Z0-9_.]*)\]\s+(.*?)\s*SQLSTATE:\s*([0-9A-Z]{5})", re.DOTALL)
_CLASS = re.compile(r"\[([A-Z][A-Z0-9_.]*)\]\s+(.+)", re.DOTALL)
_UNSUPPORTED = "UnsupportedOperationException"
_LONGEST = 2000


class SqlFailedError(Exception):
    """Why a statement failed."""

    def __init__(self, error_class: str, sqlstate: str, message: str) -> None:
        super().__init__(error_class, sqlstate, message)
        self.error_class = error_class
        self.sqlstate = sqlstate
        self.message = message

    @property
    def text(self) -> str:
        return f"[{self.error_class}] {self.message} SQLSTATE: {self.sqlstate}"

    def __str__(self) -> str:
        return self.text


TIMED_OUT = "QUERY_EXECUTION_TIMEOUT_EXCEEDED"

_TABLE = ("TABLE_OR_VIEW_NOT_FOUND", "42P01")
_COLUMN = ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703")
_EXISTS = ("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07")
_SYNTAX = ("PARSE_SYNTAX_ERROR", "42601")
_CAST = ("CAST_INVALID_INPUT", "22018")
_ARITY = "INSERT_COLUMN_ARITY_MISMATCH"
_APPEND = ("DELTA_CONCURRENT_APPEND", "2D521")

_NO_TABLE = r"The table or view `\1` cannot be found. Verify the spelling and correctness of the schema and catalog."
_NO_COLUMN = r"A column, variable, or function parameter with name `\1` cannot be resolved."
_NO_SCHEMA = r"The schema `\1` cannot be found. Verify the spelling and correctness of the schema and catalog."
_IS_TABLE = r"Cannot create table or view `\1` because it already exists."
_RULES: tuple[tuple[str, tuple[str, str], str], ...] = (
    (r"Table or view not found: ([^\n]+)", _TABLE, _NO_TABLE),
    (r"\[TABLE_OR_VIEW_NOT_FOUND\] The table or view ([^\n]+?) cannot be found", _TABLE, _NO_TABLE),
    (r"(?:Table|View|Temporary View) not found: ([^\n]+)", _TABLE, _NO_TABLE),
    (r"Database not found: ([^\n]+)", ("SCHEMA_NOT_FOUND", "42704"), _NO_SCHEMA),
    (r"ambiguous attribute: ([^\n]+)", ("AMBIGUOUS_REFERENCE", "42704"), r"Reference `\1` is ambiguous."),
    (r"attribute ([^\n]+?) is missing from the schema", _COLUMN, _NO_COLUMN),
    (r"cannot resolve attribute:? ?([^\n]*)", _COLUMN, _NO_COLUMN),
    (r"column not found in target table: ([^\n]+)", _COLUMN, _NO_COLUMN),
    (r"No field named ([^\n]+)\.", _COLUMN, _NO_COLUMN),
    (r"unknown (?:table )?function: ([^\n]+)", ("UNRESOLVED_ROUTINE", "42883"), r"Cannot resolve routine `\1`."),
    (r"Temporary View already exists: ([^\n]+)", ("TEMP_TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"), _IS_TABLE),
    (r"(?:Table|View) already exists: ([^\n]+)", _EXISTS, _IS_TABLE),
    (r"listing table path already exists: (?:\S*/)?([^/\s]+)", _EXISTS, _IS_TABLE),
    (r"Database already exists: ([^\n]+)", ("SCHEMA_ALREADY_EXISTS", "42P06"), r"Schema `\1` already exists."),
    (
        r"Cannot drop non-empty database '([^']*)'",
        ("SCHEMA_NOT_EMPTY", "2BP01"),
        r"Cannot drop schema `\1`: it is not empty. Use DROP SCHEMA … CASCADE.",
    ),
    (
        r"Failed to commit transaction|Missing commit file|[Cc]oncurrent(?:Append|Delete|Transaction)",
        _APPEND,
        "Files were added or changed by a concurrent update. Please try the operation again.",
    ),
    (r"Delta table already exists", _EXISTS, "Cannot create table or view because it already exists."),
    (r"No commit files found in _delta_log", _TABLE, "The table or view cannot be found: its files are gone."),
    (r"(?i)divide by zero|division by zero", ("DIVIDE_BY_ZERO", "22012"), "Division by zero."),
    (
        r"Cannot cast string '(.*?)' to value of (\S+)",
        _CAST,
        r"""The value '\1' of the type "STRING" cannot be cast to "\2" because it is malformed.""",
    ),
    (
        r"Can't cast value (\S+) to type (\S+)",
        ("CAST_OVERFLOW", "22003"),
        r"""The value \1 cannot be cast to "\2" due to an overflow.""",
    ),
    (r"Cast error: ([^\n]+)|Error parsing timestamp from ([^\n]+)", _CAST, r"\1\2."),
    (r"(\w+)Value \{", ("INVALID_TYPED_LITERAL", "42604"), r"The value of the typed literal \1 is invalid."),
    (r"found end of input expected ([^\n]+)", _SYNTAX, r"Syntax error at or near end of input: expected \1."),
    (r"found (.+?) at \d+:\d+ expected", _SYNTAX, r"Syntax error at or near '\1'."),
    (r"expected one statement", ("PARSE_EMPTY_STATEMENT", "42617"), "Syntax error, expected one statement."),
    (
        r"input schema for INSERT has (\d+) fields, but table schema has (\d+) fields",
        (_ARITY, "21S01"),
        r"Cannot write: the table has \2 columns, the data has \1.",
    ),
    (
        r"Placeholder ':?([^']+)' was not provided a value",
        ("UNBOUND_SQL_PARAMETER", "42P02"),
        r"Found the unbound parameter: \1.",
    ),
    (
        r"\[DELTA_NOT_NULL_CONSTRAINT_VIOLATED\] ([^\n]+)",
        ("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502"),
        r"\1.",
    ),
    (
        r"element_at: the index is out of bounds",
        ("INVALID_ARRAY_INDEX_IN_ELEMENT_AT", "22003"),
        "The index is out of bounds.",
    ),
    (r"\[INVALID_ARRAY_INDEX\] ([^\n]+)", ("INVALID_ARRAY_INDEX", "22003"), r"\1"),
    (r"operation not found: [0-9a-f-]+", ("OPERATION_CANCELED", "HY008"), "Operation has been canceled."),
)
_COMPILED = tuple((re.compile(pattern), names, message) for pattern, names, message in _RULES)
_IDENTIFIERS = re.compile(r'ObjectName\(\[(.*?)\]\)|Identifier\("(.*?)"\)')
_TYPES = {
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INT",
    "Int64": "BIGINT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "Boolean": "BOOLEAN",
    "Date32": "DATE",
}
_TYPE = re.compile(rf"\b({'|'.join(_TYPES)})\b")


def failure_of(text: str, kind: str = "") -> SqlFailedError:
    """What a message says. `kind` is the name of the exception it came in, which tells what is not supported."""
    if whole := _WHOLE.search(text):
        return SqlFailedError(whole[1], whole[3], whole[2])
    for pattern, (error_class, sqlstate), message in _COMPILED:
        if found := pattern.search(text):
            return SqlFailedError(error_class, sqlstate, _worded(found.expand(message)))
    said = text.strip()[:_LONGEST] or "no message"
    if kind == _UNSUPPORTED or kind.startswith("NotImplemented"):
        return SqlFailedError("UNSUPPORTED_FEATURE", "0A000", f"Not supported here: {said}.")
    if classed := _CLASS.match(said):
        return SqlFailedError(classed[1], "XX000", classed[2])
    return SqlFailedError("INTERNAL_ERROR", "XX000", said)


def canceled() -> SqlFailedError:
    """A statement that was canceled before it had a result."""
    return SqlFailedError("OPERATION_CANCELED", "HY008", "Operation has been canceled.")


def timed_out(seconds: float) -> SqlFailedError:
    """A statement that ran longer than STATEMENT_TIMEOUT allows."""
    return SqlFailedError(
        TIMED_OUT, "57KD0", f"Query execution was cancelled due to exceeding the timeout ({seconds:g}s)."
    )


def _worded(message: str) -> str:
    """Names and types as SQL has them, where Sail wrote its own."""
    names = _IDENTIFIERS.sub(lambda found: _dotted(found[1]) if found[1] is not None else found[2], message)
    return _TYPE.sub(lambda found: _TYPES[found[1]], names.replace("``", "`"))


def _dotted(identifiers: str) -> str:
    return "`.`".join(re.findall(r'Identifier\("(.*?)"\)', identifiers))
