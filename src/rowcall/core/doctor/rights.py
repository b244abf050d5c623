"""Rights on data in Unity Catalog: which a run needs, and whether they are there.

What is granted is read from `GET unity-catalog/effective-permissions/{type}/{name}`, which counts what is inherited from above
(shapes: the SDK's `EffectivePermissionsList`). That owners need no grant is documented. Not known for sure, and read with
tolerance: who may read it of whom; whether `principal=` counts the groups one is in (taken as not).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rowcall.core.doctor.checks import Found, missing, ok, unknown
from rowcall.core.doctor.principal import Principal
from rowcall.core.doctor.told import Told
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.sql import bare_identifier

Kind = Literal["catalog", "schema", "table", "volume"]
_READ: dict[str, str] = {"table": "SELECT", "volume": "READ_VOLUME"}
_WRITE: dict[str, str] = {"table": "MODIFY", "volume": "WRITE_VOLUME"}


@dataclass(frozen=True, slots=True)
class Securable:
    """Something of Unity Catalog. `parts` are its names from the catalog's down, unquoted."""

    kind: Kind
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.bare}"

    @property
    def bare(self) -> str:
        return ".".join(map(bare_identifier, self.parts))

    @property
    def full_name(self) -> str:
        """As the REST API names it."""
        return ".".join(self.parts)

    @property
    def path(self) -> str:
        """Where the REST API tells of it."""
        return f"/api/2.1/unity-catalog/{self.kind}s/{self.full_name}"

    @property
    def grants_path(self) -> str:
        return f"/api/2.1/unity-catalog/effective-permissions/{self.kind}/{self.full_name}"

    @property
    def catalog(self) -> "Securable":
        return Securable("catalog", self.parts[:1])

    @property
    def schema(self) -> "Securable":
        return Securable("schema", self.parts[:2])


@dataclass(frozen=True, slots=True)
class Place:
    """A table or a volume of a job. `written` to or only read; `made` by a run where it is missing; `beside` it, runs make tables
    of their own and drop them."""

    of: Securable
    written: bool = True
    made: bool = True
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    on: Securable
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What is granted. It is `whole` where grants to groups were counted."""

    privileges: frozenset[str]
    whole: bool


def needs(places: Sequence[Place], there: Callable[[Securable], bool]) -> list[Need]:
    """The rights that a run needs, by what they are on, from the catalogs down. Whoever makes a schema, a table or a volume owns
    it, and needs none on it."""
    wanted: dict[Securable, dict[str, None]] = {}
    for place in places:
        for on, privilege in _of_place(place, there):
            wanted.setdefault(on, {})[privilege] = None
    by_depth = sorted(wanted, key=lambda on: len(on.parts))
    return [Need(on, tuple(wanted[on])) for on in by_depth]


def _of_place(place: Place, there: Callable[[Securable], bool]) -> Iterator[tuple[Securable, str]]:
    of = place.of
    yield of.catalog, "USE_CATALOG"
    if place.made and not there(of.schema):
        yield of.catalog, "CREATE_SCHEMA"
        return
    yield of.schema, "USE_SCHEMA"
    if place.beside:
        yield of.schema, "CREATE_TABLE"
    if not there(of):
        if place.made:
            yield of.schema, f"CREATE_{of.kind.upper()}"
        return
    yield of, _READ[of.kind]
    if place.written:
        yield of, _WRITE[of.kind]


def read_held(pages: Iterable[Told], principal: Principal, *, whole: bool) -> Held:
    """What pages of effective permissions say is granted to a principal or its groups."""
    found: set[str] = set()
    for page in pages:
        for assigned in map(mapping, sequence(page.body.get("privilege_assignments"))):
            if principal.is_named(text(assigned.get("principal"))):
                found |= {_privilege(one) for one in sequence(assigned.get("privileges"))}
    return Held(frozenset(found), whole)


def _privilege(one: object) -> str:
    return (text(mapping(one).get("privilege")) or "").upper().replace(" ", "_")


def right_found(need: Need, looked: Told, held: Held | None, principal: Principal) -> Found:
    """`looked` is what the workspace tells of the securable, `held` what is granted on it, None where that is not told."""
    owner = text(looked.body.get("owner"))
    if principal.is_named(owner):
        return ok(f"owned by {owner}")
    if looked.status == 404:
        return missing(f"there is no {need.on}, or it is not shown to {principal}", grant(need, principal))
    if held is None:
        said = f"the workspace does not say whether {principal} has {_spoken(need.privileges)}"
        return unknown(said, grant(need, principal))
    lacking = tuple(one for one in need.privileges if one not in held.privileges)
    if not lacking or "ALL_PRIVILEGES" in held.privileges:
        return ok(_spoken(need.privileges))
    said, remedy = f"{principal} lacks {_spoken(lacking)}", grant(Need(need.on, lacking), principal)
    return missing(said, remedy) if held.whole else unknown(f"{said}, unless a group has it", remedy)


def grant(need: Need, principal: Principal) -> str:
    """The statement that grants what is needed."""
    return f"GRANT {_spoken(need.privileges)} ON {need.on.kind.upper()} {need.on.bare} TO {principal.quoted};"


def _spoken(privileges: Sequence[str]) -> str:
    return ", ".join(one.replace("_", " ") for one in privileges)
