"""What the traces of a run say, counted by the SQL side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rowcall.core.records import Outcome
from rowcall.core.run_report.latency import Latencies
from rowcall.core.run_report.timeline import Timeline
from rowcall.core.run_report.trouble import failure_name

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of the statements of the same names; `timeline` and `latencies` are of calls over HTTP, `waves` of `ai_query`."""

    outcomes: Rows
    exchanges: Rows
    slowest: Rows = ()
    keys: Rows = ()
    waves: Rows = ()
    timeline: Timeline | None = None
    latencies: Latencies | None = None

    @property
    def calls(self) -> int:
        return sum(row["calls"] for row in self.outcomes)

    @property
    def lost(self) -> Mapping[str, int]:
        """Calls without an ok answer, as the runs table counts them."""
        counted: dict[str, int] = {}
        for row in self.outcomes:
            if row["outcome"] != Outcome.OK:
                counted[failure_name(row)] = counted.get(failure_name(row), 0) + row["calls"]
        return counted

    @property
    def last_ended(self) -> int:
        return max(row["last_ended"] for row in self.outcomes)

    @property
    def seconds(self) -> float:
        """From the first call to the last answer."""
        return max(self.last_ended - min(row["first_started"] for row in self.outcomes), 1) / 1e9

    @property
    def attempts(self) -> int:
        return sum(row["attempts"] for row in self.exchanges)

    @property
    def attempt_seconds(self) -> float:
        return sum(row["seconds"] for row in self.exchanges)
