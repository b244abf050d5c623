"""Where spans go and what they carry."""

import re
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from rowcall.core.collector import SECRET_PLACE
from rowcall.core.definition.fields import Days, Model, TableName
from rowcall.core.span_row import Content

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET = re.compile(r"(?i)auth|cookie|credential|key|password|secret|token")


class Otlp(Model):
    """A collector that gets the spans, too."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] = Field(
        description="Where spans are posted, the whole address: http://collector:4318/v1/traces."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers of each post. Secrets are named, never written: env:NAME, or Bearer env:NAME.",
    )

    @field_validator("endpoint")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if "@" in value or "?" in value or "#" in value:
            raise ValueError(
                "expected an address without a user, a query or a fragment; a key goes into headers: env:NAME"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, said in value.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a header")
            if not said.isprintable():
                raise ValueError(f"the value of {name} is not one line of printable text")
            if _SECRET.search(name) and not SECRET_PLACE.fullmatch(said):
                raise ValueError(
                    f"{name} looks like a secret; say where it is, not what it is: env:NAME or Bearer env:NAME"
                )
        return value


class Traces(Model):
    table: TableName | None = Field(default=None, description="Default: rowcall.traces in the catalog of the outputs.")
    content: Content = Field(
        default="full",
        description="How much prompt and answer text spans carry; `none` leaves it in the outputs alone.",
    )
    keep: Days | None = Field(
        default=None, description="How long the spans of this job's calls are kept, 90d; default: for ever."
    )
    otlp: Otlp | None = Field(default=None, description="An OpenTelemetry collector that gets the spans, too.")
