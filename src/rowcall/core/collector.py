"""The OpenTelemetry collector of a job: where it is, and what it is sent with. Names where secrets are, and holds none."""

import re
from dataclasses import dataclass

SECRET_PLACE = re.compile(r"(?:(Bearer|Basic) )?env:([A-Za-z_][A-Za-z0-9_]*)")
"""A header's value that is looked up where it is sent, with or without a scheme before it."""


@dataclass(frozen=True, slots=True)
class Collector:
    """`version` is rowcall's own, which the spans tell."""

    endpoint: str
    headers: tuple[tuple[str, str], ...]
    version: str
