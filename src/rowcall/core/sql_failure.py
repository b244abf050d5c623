"""What an engine's error message says, told by its words: Databricks and Apache Spark give error classes, Sail plain text."""

import re

_CONFLICT = (
    "DELTA_CONCURRENT",
    "ConcurrentAppend",
    "ConcurrentDelete",
    "ConcurrentWrite",
    "MetadataChanged",
    "ProtocolChanged",
    "ConcurrentTransaction",
    "Failed to commit transaction",
    "Missing commit file",
    "Delta table already exists",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",  # of CREATE … IF NOT EXISTS, while another makes the table
    "TABLE_OR_VIEW_ALREADY_EXISTS",  # of CREATE … IF NOT EXISTS
    "SCHEMA_ALREADY_EXISTS",
    "VOLUME_ALREADY_EXISTS",
)
_MISSING = (
    "TABLE_OR_VIEW_NOT_FOUND",
    "SCHEMA_NOT_FOUND",
    "REQUIRES_SINGLE_PART_NAMESPACE",  # Apache Spark, of a catalog it has not
    "NO_SUCH_CATALOG",
    "DELTA_TABLE_NOT_FOUND",
    "PATH_NOT_FOUND",
    "No commit files found in _delta_log",  # Sail, of a table whose CREATE was cancelled
)
_REFUSED = re.compile(
    r"INSUFFICIENT_PERMISSIONS|INSUFFICIENT_PRIVILEGES|PERMISSION_DENIED|does not have \w+", re.IGNORECASE
)
_UNKNOWN = re.compile(
    r"PARSE_SYNTAX_ERROR|expected something else|UNSUPPORTED|NOT_SUPPORTED|not supported|not implemented", re.IGNORECASE
)
_DETAILS = ("JVM stacktrace:", "== SQL")


def missing(text: str) -> bool:
    """Whether a statement failed because it named no existing relation."""
    return any(word in text for word in _MISSING)


def conflict(text: str) -> bool:
    """Whether a statement failed because another writer was faster, so that it may succeed now."""
    return any(word in text for word in _CONFLICT)


def refused(text: str) -> bool:
    """Whether a statement failed because of a right that is missing. The words are those of Databricks' error conditions, and of
    Unity Catalog's exceptions as people quote them."""
    return _REFUSED.search(text) is not None


def unknown(text: str) -> bool:
    """Whether a statement failed because the engine does not know it."""
    return _UNKNOWN.search(text) is not None


def shorten(text: str, limit: int = 600) -> str:
    """The message without stack traces and echoes of the statement, `limit` characters at most."""
    for details in _DETAILS:
        text = text.split(details, maxsplit=1)[0]
    said = text.strip()
    return said if len(said) <= limit else f"{said[:limit]} …"
