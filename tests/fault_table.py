"""tests/faults/faults.yml, read: how each fault is staged and what must come of it, and the same as the table of the README."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "faults" / "faults.yml"
PASSES, STAYS = "passes", "stays"
ROWS = 6
ATTEMPTS = {PASSES: 7, STAYS: 3}


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number of which the least and the most are known."""

    least: int
    most: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.least <= number <= self.most

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}–{self.most}"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault that passes, or that stays. `fault_for` is how long one below HTTP lasts, in seconds."""

    fault: str
    lasts: str
    meaning: str
    calls: Bounds
    ok: int = 0
    errors: Mapping[str, Bounds] = field(default_factory=dict[str, Bounds])
    run: str = "done"
    retries: int | None = None
    rows: int = ROWS
    endpoint: Mapping[str, Any] = field(default_factory=lambda: {"app": "echo"})
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    behaviour: Mapping[str, Any] = field(default_factory=dict[str, Any])
    below: str | None = None
    fault_for: float | None = None

    def __str__(self) -> str:
        return f"{self.fault} {self.lasts}"

    def cell(self) -> str:
        """How rows end, calls, and what it means: for a person."""
        ends = [f"{self.ok} ok"] if self.ok else []
        ends += [f"{count} `{kind}`" for kind, count in self.errors.items()]
        ends += ["run stops"] if self.run == "stopped" else []
        return f"{', '.join(ends)} · {self.calls} calls: {self.meaning}"


def read_cases() -> list[Case]:
    entries: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [_case(entry, lasts) for entry in entries for lasts in (PASSES, STAYS) if lasts in entry]


def readme_rows(cases: Sequence[Case]) -> list[list[str]]:
    """The rows of the README's table: the fault, what comes of it where it passes, and where it stays."""
    cells = {(case.fault, case.lasts): case.cell() for case in cases}
    faults = dict.fromkeys(case.fault for case in cases)
    return [[fault, *(cells.get((fault, lasts), "–") for lasts in (PASSES, STAYS))] for fault in faults]


def _case(entry: Mapping[str, Any], lasts: str) -> Case:
    """What is said of this case, over what is said of the fault, over what holds for all."""
    said = {**entry.get("job", {}), **entry[lasts]}
    first = said.pop("first", None)
    if "does" in entry:
        said["behaviour"] = {"faults": [entry["does"] if first is None else {"first": first, **entry["does"]}]}
    said["limits"] = {
        "attempts": ATTEMPTS[lasts],
        **entry.get("job", {}).get("limits", {}),
        **entry[lasts].get("limits", {}),
    }
    said["errors"] = {kind: _bounds(count) for kind, count in said.get("errors", {}).items()}
    said["calls"] = _bounds(said["calls"])
    return Case(fault=entry["fault"], lasts=lasts, below=entry.get("below"), **said)


def _bounds(given: int | list[int]) -> Bounds:
    return Bounds(given, given) if isinstance(given, int) else Bounds(*given)
