"""What the workspace answered when it was asked for something."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """`status` is 200, 401, 403 or 404, and 0 for whatever else came of it, or nothing; then `reason` says what. `date` is the
    Date header."""

    status: int
    body: Mapping[str, object]
    reason: str = ""
    date: str = ""
