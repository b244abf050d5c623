"""Where `ai_query` asks, and what it returns."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """What `failOnError => false` returns, on which Databricks' documents disagree: the names of the two fields, or with `bare`
    the plain type, NULL for a failed row (FACTS 1.2)."""

    result: str = "result"
    error: str = "errorMessage"
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """Where serving endpoints are asked, and with which token."""

    host: str
    token: str = field(repr=False)
    shape: ReplyShape = field(default_factory=ReplyShape)
