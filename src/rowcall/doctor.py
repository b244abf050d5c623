"""Whether all that a run needs is there: the checks of `rowcall doctor`, in order.

Nothing is asked of an endpoint that is paid, no warehouse is started, and nothing that is written stays. A check that fails or
raises hides no other; those that need what is missing are not made, and say so.
"""

import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version

from rowcall import __version__
from rowcall.adapters.aside import Aside
from rowcall.adapters.workspace import look_at
from rowcall.core.definition import AppEndpoint, JobDefinition, ServingEndpoint, UrlEndpoint
from rowcall.core.doctor import endpoints
from rowcall.core.doctor.checks import Check, Found, State, blocked, missing, ok, unknown
from rowcall.core.doctor.clock import clock_found
from rowcall.core.doctor.packages import Requirement, packages_found, read_requirements
from rowcall.core.doctor.principal import NOBODY, Principal, login_found, read_principal, secret_found
from rowcall.core.doctor.told import Told
from rowcall.core.errors import DefinitionError, RowcallError, SetupError, reason_of
from rowcall.core.login import refused_by_apps
from rowcall.core.loose import one_line, text
from rowcall.core.ports import Workspace
from rowcall.doctor_data import DataChecks
from rowcall.facts import LoadedJob
from rowcall.wiring import Entrance, Options, Surroundings, entrance, surroundings, warehouse_of

SECONDS = 60.0
"""For one check; then its answer counts as missing, and the next is made."""
LOGIN, WORKSPACE = "login", "workspace"
_LONGEST = 600


def examine(loaded: LoadedJob | None, options: Options, seconds: float = SECONDS) -> list[Check]:
    """All checks for a job, or, without one, those of the packages, the login and the workspace."""
    done = Checks(Aside(seconds))
    done.make("packages", partial(_packages, loaded, options))
    with ExitStack() as stack:
        here, failure = _open(loaded, options, stack)
        try:
            door = here.entrance if here is not None else stack.enter_context(entrance(options))
        except RowcallError as error:
            done.make(WORKSPACE, partial(missing, reason_of(error)))
            return done.checks
        doctor = _Doctor(done, door, options)
        if loaded is None or needs_workspace(loaded, here):
            doctor.workspace()
        if (warehouse := warehouse_of(options)) is not None:
            doctor.warehouse(warehouse)
        if loaded is not None:
            doctor.job(loaded, here, failure)
    return done.checks


@dataclass(slots=True)
class Checks:
    """The checks made so far."""

    aside: Aside
    checks: list[Check] = field(default_factory=list[Check])

    def make(self, name: str, look: Callable[[], Found], needs: Sequence[str] = ()) -> None:
        self.checks.append(Check(name, blocked(self.checks, needs) or self._found(look)))

    def _found(self, look: Callable[[], Found]) -> Found:
        try:
            return self.aside.do(look)
        except TimeoutError:
            return missing(f"no answer within {self.aside.seconds:g} s", "Can it be reached from here?")
        except DefinitionError as error:
            return Found(State.WRONG, str(error))
        except SetupError as error:
            return missing(str(error))
        except RowcallError as error:
            return unknown(reason_of(error))
        except Exception as error:  # a check that breaks hides no other
            return unknown(f"it could not be checked: {type(error).__name__}: {one_line(str(error), _LONGEST)}")


@dataclass(slots=True)
class _Doctor:
    done: Checks
    door: Entrance
    options: Options
    principal: Principal = NOBODY
    stands: Found | None = None
    """Why no statement is sent to a warehouse that would be started by it."""

    @property
    def _seen(self) -> Workspace:
        return self.door.workspace

    def workspace(self) -> None:
        """The login, who it is, and the clock."""
        told: list[Told] = []
        self.done.make(LOGIN, partial(self._login, told))
        self.done.make(WORKSPACE, lambda: self._me(told[0]), [LOGIN])
        self.done.make("clock", lambda: clock_found(told[0].date, time.time()), [WORKSPACE])

    def warehouse(self, name: str) -> None:
        self.done.make(f"warehouse {name}", partial(self._warehouse, name), [WORKSPACE, LOGIN])

    def job(self, loaded: LoadedJob, here: Surroundings | None, failure: str) -> None:
        """The endpoints of a job, then its data."""
        names = [self._endpoint(one.definition, here) for one in loaded.each()]
        if here is None:
            self.done.make("SQL", partial(missing, failure))
            return
        checks = DataChecks(self.done.make, here, self.principal, self.stands)
        warehouse = [check.name for check in self.done.checks if check.name.startswith("warehouse ")]
        checks.sql(loaded, [LOGIN, WORKSPACE, *warehouse])
        checks.rights(loaded.definition, [LOGIN, WORKSPACE])
        for one, needed in zip(loaded.each(), names, strict=True):
            checks.run(one, needed)

    def _login(self, kept: list[Told]) -> Found:
        """A login is one once the workspace has taken it."""
        login = self._seen.login_kind()
        kept.append(self._seen.tell("/api/2.0/preview/scim/v2/Me"))
        if kept[0].status in (0, 401):
            said = f"{login.auth_type} at {self._seen.host}: {kept[0].reason}"
            return missing(said, "databricks auth login, or see DATABRICKS_HOST and the credentials of this profile")
        found = login_found(login, self._seen.host)
        return ok(f"{found.what}. This is the sandbox on this machine, not Databricks") if self.door.sandbox else found

    def _me(self, told: Told) -> Found:
        self.principal = read_principal(told.body)
        known = self.principal != NOBODY
        return ok(f"it knows this login as {self.principal}") if known else unknown("it does not say who this login is")

    def _warehouse(self, name: str) -> Found:
        told = self._seen.tell(f"/api/2.0/sql/warehouses/{name}")
        state = text(told.body.get("state")) or ""
        if state in endpoints.STANDING:
            said = f"the warehouse is {state}, and to start it costs"
            self.stands = Found(State.NOT_CHECKED, said, f"databricks warehouses start {name}; then once more")
        return endpoints.warehouse_found(told, name, self.principal)

    def _endpoint(self, definition: JobDefinition, here: Surroundings | None) -> list[str]:
        """The checks of an endpoint; their names."""
        match endpoint := definition.endpoint:
            case AppEndpoint():
                return self._app(endpoint.app)
            case ServingEndpoint():
                return self._serving(endpoint)
            case UrlEndpoint():
                return self._url(endpoint, definition, here)

    def _app(self, name: str) -> list[str]:
        whole, login, use = f"app {name}", f"app {name}: login", f"app {name}: CAN USE"
        told: list[Told] = []

        def look() -> Found:
            told.append(self._seen.tell(f"/api/2.0/apps/{name}"))
            return endpoints.app_found(told[0], name, self.principal)

        def use_it() -> Found:
            page = f"{str(told[0].body.get('url') or '').rstrip('/')}/agent/info"
            return endpoints.app_use_found(self._seen.look(page), name, self.principal)

        self.done.make(whole, look, [LOGIN, WORKSPACE])
        self.done.make(login, self._app_login, [LOGIN])
        self.done.make(use, use_it, [whole, login])
        return [whole, login, use]

    def _app_login(self) -> Found:
        reason = refused_by_apps(self._seen.login_kind())
        if reason is None:
            return ok("OAuth")
        return missing(reason, "databricks auth login, or a service principal's client_id and client_secret")

    def _serving(self, endpoint: ServingEndpoint) -> list[str]:
        name, gateway = endpoint.serving, endpoint.gateway is not None
        whole, use = f"serving {name}", f"serving {name}: CAN QUERY"
        told: list[Told] = []

        def look() -> Found:
            told.append(self._seen.tell(f"/api/2.0/serving-endpoints/{name}"))
            return endpoints.serving_found(told[0], name, gateway=gateway)

        self.done.make(whole, look, [LOGIN, WORKSPACE])
        self.done.make(use, lambda: endpoints.serving_use_found(told[0], name, self.principal), [whole])
        return [whole, use]

    def _url(self, endpoint: UrlEndpoint, definition: JobDefinition, here: Surroundings | None) -> list[str]:
        whole, names = str(endpoint), list[str]()
        if (endpoint.api_key or "").startswith("{{"):
            scope, key = (endpoint.api_key or "").strip("{}").split("/")[1:]
            names.append(f"secret {scope}/{key}")
            self.done.make(names[0], partial(self._secret, scope, key), [LOGIN, WORKSPACE])
        if here is not None:
            connect = here.connect(definition)

            def look() -> Found:
                return endpoints.url_found(look_at(f"{endpoint.base}/models", connect), endpoint.base)

            self.done.make(whole, look, names)
            names.append(whole)
        return names

    def _secret(self, scope: str, key: str) -> Found:
        told = self._seen.tell("/api/2.0/secrets/get", {"scope": scope, "key": key})
        return secret_found(told.status, scope, key, self.principal)


def needs_workspace(loaded: LoadedJob, here: Surroundings | None) -> bool:
    """Whether a job can do without: one that asks a URL with no key of the workspace's, on tables that are not Databricks'."""
    own = [one.definition.endpoint for one in loaded.each()]
    plain = all(isinstance(one, UrlEndpoint) and not (one.api_key or "").startswith("{{") for one in own)
    return not plain or here is None or here.in_catalog


def _open(loaded: LoadedJob | None, options: Options, stack: ExitStack) -> tuple[Surroundings | None, str]:
    """What the job would run in, or why that cannot be opened."""
    if loaded is None:
        return None, ""
    try:
        return stack.enter_context(surroundings(loaded.definition, options)), ""
    except RowcallError as error:
        return None, reason_of(error)


def _packages(loaded: LoadedJob | None, options: Options) -> Found:
    extras = ["warehouse"] if warehouse_of(options) is not None else []
    if loaded is not None and loaded.definition.traces.otlp is not None:
        extras.append("otlp")
    wanted = read_requirements(requires("rowcall") or [])
    about = f"rowcall {__version__}, Python {platform.python_version()}"
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return missing(about, "rowcall needs Python 3.11, 3.12 or 3.13.")
    found = packages_found(wanted, _installed(wanted), extras, about)
    if found.state is State.OK and packages_found(wanted, _installed(wanted), ["report"], "").state is not State.OK:
        return ok(f"{about}; no rowcall report", "For reports: pip install 'rowcall[report]'")
    return found


def _installed(wanted: Sequence[Requirement]) -> dict[str, str | None]:
    return {one.name: _version(one.name) for one in wanted}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
