"""A run cut into shards: processes of their own that share its rows and its limits, and are started by somebody else.

    rowcall run JOB --shards 8     coordinates: prepares, says that it is open, publishes, asks what no shard asks
    rowcall shard JOB 3/8          waits for that, and asks its part of the rows

What the coordinator says to its shards is a note in the journal of the run, JSON. A part of the rows is what a task is on Spark:
one attempt at it has its seat (`core.seats`), and which rows are of it their request hashes decide.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from string import Template
from typing import Any

from rowcall.core.limits import MOST_SHARDS, split
from rowcall.core.loose import count, mapping, parse_json, text
from rowcall.core.rates import Rates
from rowcall.core.seats import Claim, State
from rowcall.core.sql import SqlTexts, fill

SHARDS_NOTE = "shards"
PATIENCE_SECONDS = 900.0
_SHARD = re.compile(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True)
class Cut:
    """Into how many shards a run is cut, what it and they have in common (the id of the Databricks job run), rowcall's version, and
    for how many seconds they wait for one another."""

    shards: int
    job_run: str
    version: str
    patience: float = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` shards; `number` counts from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def part(self) -> int:
        """The part of the rows that it asks, counted from 0."""
        return self.number - 1


def read_shard(said: str) -> Shard:
    """`3/8`. Raises ValueError for what is none."""
    match = _SHARD.fullmatch(said.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MOST_SHARDS:
        raise ValueError(f"expected a shard such as 3/8, of at most {MOST_SHARDS}, not {said!r}")
    return Shard(int(match[1]), int(match[2]))


def shards_of(count: int) -> list[Shard]:
    return [Shard(number, count) for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class Share:
    """What each of the first `shards` shards may have in flight and use in a minute; the others have nothing to do."""

    shards: int
    concurrency: int
    rates: Rates


def share_of(concurrency: int, rates: Rates, shards: int) -> Share:
    """How a run of very many rows is shared out. With fewer calls than shards not every shard has one."""
    made = split(concurrency, shards, rows=shards)
    return Share(made.tasks, made.share, rates.share(made.tasks))


@dataclass(frozen=True, slots=True)
class FetchPart:
    """The statement that reads a part of the rows, but for which part. `pending` is their quoted table."""

    text: str
    pending: str

    def sql(self, part: int, parts: int) -> str:
        """The rows of a part, counted from 0: the same for whoever asks for it."""
        slots = {"pending": self.pending, "part": str(part), "parts": str(parts)}
        return Template(self.text).substitute(slots).rstrip()


def fetch_part(texts: SqlTexts, pending: str) -> FetchPart:
    return FetchPart(texts["statements/fetch_part"], pending)


def run_of_job_run(texts: SqlTexts, runs: str) -> str:
    """Takes the parameters `job`, `job_run` and `endpoint`, empty for the only one."""
    return fill(texts, "statements/run_of_job_run", runs=runs)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a coordinator says to its shards. `parts` is what the rows are cut into, fewer than `shards` where there are fewer rows
    or calls; `pending` is the quoted table that they are in, `recipe` how they are asked (`engines.recipe`); `endpoint` names the
    one of several that is asked. `closed` says that nothing is left to ask."""

    job_run: str
    shards: int
    parts: int
    definition_hash: str
    version: str
    pending: str
    endpoint: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])
    closed: bool = False

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    def is_for(self, job_run: str, endpoint: str) -> bool:
        return (self.job_run, self.endpoint) == (job_run, endpoint)

    def misfit(self, shard: Shard, definition_hash: str, version: str) -> str | None:
        """Why a shard is none of this run's; None where it is one."""
        if self.version != version:
            return f"the coordinator runs rowcall {self.version}, and this is {version}"
        if self.definition_hash != definition_hash:
            return "the coordinator runs another version of the job, or was given other variables"
        if self.shards != shard.of:
            return f"the coordinator has cut the run into {self.shards} shards, not {shard.of}"
        return None


def read_opening(said: str | None) -> Opening | None:
    """What the note says; None where there is none, or none that can be read."""
    note = mapping(parse_json(said or ""))
    names = ("job_run", "definition_hash", "version", "pending", "endpoint")
    texts = {name: found for name in names if (found := text(note.get(name))) is not None}
    shards, parts = count(note.get("shards")), count(note.get("parts"))
    if len(texts) < len(names) or not shards or not parts:
        return None
    return Opening(
        **texts, shards=shards, parts=parts, recipe=mapping(note.get("recipe")), closed=note.get("closed") is True
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Parts by what becomes of them: all asked, or somebody is at them. The others are `left`."""

    parts: int
    done: frozenset[int]
    taken: frozenset[int]

    @property
    def left(self) -> frozenset[int]:
        return frozenset(range(self.parts)) - self.done - self.taken

    @property
    def over(self) -> bool:
        """Whether all is asked, and nobody waits for a seat either."""
        return len(self.done) == self.parts and not self.taken


def standing(claims: Collection[Claim], parts: int) -> Standing:
    """By the claims of those that live."""
    done = frozenset(part_of(claim.name) for claim in claims if claim.state is State.DONE)
    taken = frozenset(part_of(claim.name) for claim in claims if claim.here)
    return Standing(parts, done & frozenset(range(parts)), taken)


def part_of(claim: str) -> int:
    """The part that a claim is at, by the name of its note: `seat-3-…`."""
    number = claim.split("-")[1]
    return int(number) if number.isdecimal() else -1
