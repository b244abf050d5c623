"""What one running sandbox holds: folder, address, logins, secrets, the agents it hosts and its SQL warehouse."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rowcall.sandbox.agents.agents import Agent, make_agents
from rowcall.sandbox.agents.behaviour import Behaviour
from rowcall.sandbox.agents.figures import Figures
from rowcall.sandbox.agents.runs import Runs
from rowcall.sandbox.lookups import Lookups
from rowcall.sandbox.oauth import Logins
from rowcall.sandbox.rights import Rights
from rowcall.sandbox.warehouse.warehouse import Warehouse

MOST_REQUESTS = 1_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came, without its Authorization. Bodies above 64 KB are not kept."""

    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(slots=True)
class Hosted:
    """An agent with how it behaves, what it did, what it was last asked and what lookups of it say.

    `serving` is how many calls it is at, whatever their behaviour: one that replaces another has those before it, too.
    """

    agent: Agent
    behaviour: Behaviour = field(default_factory=Behaviour)
    figures: Figures = field(default_factory=Figures)
    runs: Runs = field(default_factory=Runs)
    requests: deque[Recorded] = field(default_factory=lambda: deque[Recorded](maxlen=MOST_REQUESTS))
    lookups: Lookups = field(default_factory=Lookups)
    serving: int = 0


@dataclass(slots=True)
class Clock:
    """How far the sandbox's clock, as its replies tell it, is ahead of the machine's, in seconds."""

    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that listens at `host` (`http://127.0.0.1:PORT`) and keeps its files under `home`.

    `secrets` are by scope and key.
    """

    home: Path
    host: str
    logins: Logins
    hosted: Mapping[str, Hosted]
    warehouse: Warehouse
    secrets: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    rights: Rights = field(default_factory=Rights)
    clock: Clock = field(default_factory=Clock)


def make_sandbox(
    home: Path, host: str, upstream: str | None = None, token_ttl: float = 3600.0, lakehouse: Path | None = None
) -> Sandbox:
    """`lakehouse` is the folder of the warehouse's tables, `HOME/lakehouse` unless given."""
    logins = Logins(token_ttl)
    hosted = {name: Hosted(agent) for name, agent in make_agents(upstream).items()}
    warehouse = Warehouse(lakehouse or home / "lakehouse", home / "volumes", host, logins.pat)
    return Sandbox(home, host, logins, hosted, warehouse)
