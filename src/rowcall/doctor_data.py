"""The checks of a job's SQL and data: the session, the prompts, rights on tables and volumes, the journal, and what the plan of a
run says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from rowcall import api
from rowcall.core.definition import JobDefinition, ResponsesEngine, ServingEndpoint
from rowcall.core.doctor.checks import Found, State, missing, ok, unknown
from rowcall.core.doctor.principal import NOBODY, Principal
from rowcall.core.doctor.rights import Held, Need, Place, Securable, grant, needs, read_held, right_found
from rowcall.core.doctor.told import Told
from rowcall.core.engine_plan import ResponsesPlan
from rowcall.core.errors import JournalError, SqlError
from rowcall.core.loose import text
from rowcall.core.names import table_parts
from rowcall.core.plan import RunPlan, tables_beside
from rowcall.core.sql_failure import refused
from rowcall.facts import LoadedJob, facts, prompt_columns
from rowcall.sandbox.lakehouse import KIND as EMBEDDED
from rowcall.wiring import Surroundings

SQL, PROMPTS, AI_QUERY, JOURNAL, PLAN = "SQL", "prompts", "ai_query", "journal", "plan"
_MOST_PAGES = 50


class Make(Protocol):
    """Makes a check, unless one that it needs found something missing."""

    def __call__(self, name: str, look: Callable[[], Found], needs: Sequence[str] = ()) -> None: ...


@dataclass(slots=True)
class DataChecks:
    """`stands` says why no statement may be sent."""

    make: Make
    here: Surroundings
    principal: Principal
    stands: Found | None = None
    _looked: dict[Securable, Told] = field(default_factory=dict[Securable, Told])

    def sql(self, loaded: LoadedJob, needed: Sequence[str]) -> None:
        """The session, and what it says of the prompts."""
        self.make(SQL, self._session, needed)
        self.make(PROMPTS, partial(self._prompts, loaded), [SQL])

    def rights(self, definition: JobDefinition, needed: Sequence[str]) -> None:
        """The rights on data and the journal, which no SQL is asked for."""
        self._rights(definition, needed)
        volume = _volume(definition, self.here)
        self.make(JOURNAL, partial(self._journal, volume), [*needed, str(volume)] if volume else [])

    def run(self, loaded: LoadedJob, endpoint: Sequence[str]) -> None:
        """What the plan of a run says; `endpoint` are the checks of its endpoint."""
        needed = [*endpoint, SQL, PROMPTS]
        definition = loaded.definition
        label = f" {definition.endpoint.label}" if definition.endpoint.label else ""
        ai_query, plan = f"{AI_QUERY}{label}", f"{PLAN}{label}"
        if isinstance(definition.endpoint, ServingEndpoint) and not isinstance(definition.engine, ResponsesEngine):
            self.make(ai_query, partial(self._ai_query, loaded), needed)
        made: list[RunPlan] = []
        self.make(plan, partial(self._plan, loaded, made), [*needed, ai_query])
        if made and made[0].engine.kind == "responses" and self.here.parallel:
            self.make(f"tasks{label}", partial(_tasks, made[0].engine), [plan])

    def _session(self) -> Found:
        if self.stands is not None:
            return self.stands
        try:
            self.here.session.query("SELECT 1 AS one")
        except SqlError as error:
            return missing(error.reason)
        return ok(self.here.session.kind)

    def _prompts(self, loaded: LoadedJob) -> Found:
        prompts = loaded.definition.prompts
        try:
            columns = prompt_columns(loaded, self.here.session)
        except SqlError as error:
            remedy = ""
            if prompts.table is not None:
                remedy = grant(Need(_table(prompts.table), ("SELECT",)), self.principal)
            if refused(error.reason):
                return missing(error.reason, remedy or "GRANT SELECT on what the query reads.")
            if error.missing:
                return missing(
                    f"there is no table {prompts.table or ''}, or it may not be read: {error.reason}", remedy
                )
            return Found(State.WRONG, error.reason)
        return ok(f"{len(columns)} columns")

    def _rights(self, definition: JobDefinition, needed: Sequence[str]) -> None:
        """One check for each thing in Unity Catalog that a run has to do with."""
        if not self.here.in_catalog:
            self.make("rights", partial(_elsewhere, self.here.session.kind))
            return
        wanted: list[Need] = []

        def look() -> Found:
            places, others = _places(definition, self.here)
            wanted.extend(needs(places, self._there))
            if others:
                return unknown(f"without a catalog in its name nothing can be looked up: {', '.join(others)}")
            return ok(f"on {len(wanted)} things in Unity Catalog, as follows")

        self.make("rights", look, needed)
        for need in wanted:
            self.make(str(need.on), partial(self._right, need), needed)

    def _there(self, securable: Securable) -> bool:
        """What is not shown counts as there."""
        return self._look(securable).status != 404

    def _look(self, securable: Securable) -> Told:
        if securable not in self._looked:
            self._looked[securable] = self.here.workspace.tell(securable.path)
        return self._looked[securable]

    def _right(self, need: Need) -> Found:
        return right_found(need, self._look(need.on), self._held(need.on), self.principal)

    def _held(self, securable: Securable) -> Held | None:
        """What is granted on it to all, so that groups count; else to this principal alone."""
        for query in ({}, {"principal": self.principal.name}):
            pages = self._pages(securable.grants_path, query)
            if pages:
                return read_held(pages, self.principal, whole=not query)
            if self.principal == NOBODY:
                break
        return None

    def _pages(self, path: str, query: dict[str, str]) -> list[Told]:
        """Pages may be empty with more to come; none where one is refused."""
        pages: list[Told] = []
        token = ""
        while len(pages) < _MOST_PAGES:
            page = self.here.workspace.tell(
                path, {"max_results": "0", **query, **({"page_token": token} if token else {})}
            )
            if page.status != 200:
                return []
            pages.append(page)
            token = text(page.body.get("next_page_token")) or ""
            if not token:
                break
        return pages

    def _journal(self, volume: Securable | None) -> Found:
        if volume is not None and not self._there(volume):
            if self.here.journal_volume is not None:
                return ok(f"{volume} is not there yet; a run makes it")
            return missing(
                f"there is no {volume}, or it is not shown to {self.principal}", f"CREATE VOLUME {volume.bare};"
            )
        try:
            self.here.journals.probe()
        except JournalError as error:
            both = Need(volume, ("READ_VOLUME", "WRITE_VOLUME")) if volume else None
            return missing(str(error), grant(both, self.principal) if both else "Set journal to another folder.")
        return ok("a file was written and removed")

    def _ai_query(self, loaded: LoadedJob) -> Found:
        probes = facts(loaded, self.here).probes
        if probes.found:
            return ok("the SQL takes the call")
        if not probes.refusal:
            return ok("this job does not need it")
        if loaded.definition.engine.kind == "auto":
            return ok(f"refused, so the calls go over HTTP: {probes.refusal}")
        remedy = "Use a serverless SQL warehouse or serverless compute, and CAN QUERY on the endpoint."
        return missing(probes.refusal, remedy)

    def _plan(self, loaded: LoadedJob, made: list[RunPlan]) -> Found:
        try:
            made.append(api.plan_here(loaded, self.here).plan)
        except SqlError as error:
            return missing(error.reason) if refused(error.reason) else unknown(error.reason)
        return ok(f"{made[0].rows.pending:,} rows to ask by {made[0].engine.kind}: {made[0].engine.reason}")


def _tasks(engine: ResponsesPlan) -> Found:
    """Whether Spark's tasks reach the endpoint, as one of them tried for the plan."""
    if engine.fan_out == "executors":
        return ok("Spark's tasks reach the endpoint")
    return ok(f"the driver makes the calls: {engine.fan_out_reason}")


def _elsewhere(kind: str) -> Found:
    if kind == EMBEDDED:
        return ok(f"the {kind} asks for none")
    return unknown(f"{kind} is not known to be Databricks', so nothing can be looked up")


def _places(definition: JobDefinition, here: Surroundings) -> tuple[list[Place], list[str]]:
    """What a run reads and writes, and the tables whose names have no catalog."""
    traces, runs = tables_beside(definition)
    written = [definition.outputs.table, traces, runs]
    read = [definition.prompts.table] if definition.prompts.table is not None else []
    places = [Place(_table(name), beside=name == definition.outputs.table) for name in written]
    places += [Place(_table(name), written=False, made=False) for name in read]
    if volume := _volume(definition, here):
        places.append(Place(volume, made=here.journal_volume is not None))
    whole = [place for place in places if len(place.of.parts) == 3]
    return whole, [place.of.bare for place in places if place not in whole]


def _table(name: str) -> Securable:
    return Securable("table", table_parts(name))


def _volume(definition: JobDefinition, here: Surroundings) -> Securable | None:
    """The volume of the journals, where they are in one of Unity Catalog's."""
    if here.journal_volume is not None:
        return Securable("volume", here.journal_volume)
    if not here.in_catalog:
        return None
    names = (definition.journal or "").strip("/").split("/")
    return Securable("volume", tuple(names[1:4])) if names[0] == "Volumes" and len(names) >= 4 else None
