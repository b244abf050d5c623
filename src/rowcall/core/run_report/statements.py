"""The statements of a report. They take the parameters `run_id`, `since` and `until`: the days between which its spans are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rowcall.core.records import Column
from rowcall.core.run_report.timeline import Clock
from rowcall.core.sql import SqlTexts, fill, quote_table, quoted_columns

SLOWEST = 6
WAVES = 200
_DAY = timedelta(days=1)
_EVER = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Statements:
    """What is asked of a traces table about one run."""

    texts: SqlTexts
    traces: str

    @property
    def outcomes(self) -> str:
        return self._over_calls("outcomes")

    @property
    def exchanges(self) -> str:
        return self._over_attempts("exchanges")

    @property
    def latencies(self) -> str:
        return self._over_calls("latencies")

    @property
    def slowest(self) -> str:
        return self._over_calls("slowest", traces=self.traces, limit=str(SLOWEST))

    @property
    def waves(self) -> str:
        return self._over_attempts("waves", limit=str(WAVES))

    def timeline(self, clock: Clock) -> str:
        return self._over_attempts("timeline", origin=str(clock.origin_ns), width=str(clock.width_ns))

    def _over_calls(self, name: str, **slots: str) -> str:
        calls = fill(self.texts, "statements/report_calls", traces=self.traces)
        return fill(self.texts, f"statements/report_{name}", calls=calls, **slots)

    def _over_attempts(self, name: str, **slots: str) -> str:
        return self._over_calls(
            name, attempts=fill(self.texts, "statements/report_attempts", traces=self.traces), **slots
        )


def run_row(texts: SqlTexts, runs: str) -> str:
    """Takes the parameter `run_id`."""
    return fill(texts, "statements/report_run", runs=quote_table(runs))


def keys_of_traces(texts: SqlTexts, outputs: str, keys: Sequence[Column]) -> str:
    """Takes the parameters `run_id` and `trace_ids`, with commas between."""
    return fill(texts, "statements/report_keys", outputs=outputs, keys=", ".join(quoted_columns(keys)))


def parameters(run: Mapping[str, Any]) -> dict[str, str]:
    """For a row of `run_row`. A session may date spans by a time zone of its own, so there is a day to spare at both ends."""
    started, ended = _when(run["started_us"]), run["ended_us"]
    until = (_when(ended) + _DAY).date().isoformat() if ended is not None else _EVER
    return {"run_id": str(run["run_id"]), "since": (started - _DAY).date().isoformat(), "until": until}


def origin_ns(run: Mapping[str, Any]) -> int:
    """When the run began, in Unix nanoseconds."""
    return int(run["started_us"]) * 1000


def _when(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
