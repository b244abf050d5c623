"""What the login of the sandbox may do: everything, but for what a test withholds.

Rights on data are Unity Catalog's privileges, the others levels of workspace objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rowcall.core.loose import mapping, sequence

PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "catalog": ("USE_CATALOG", "CREATE_SCHEMA"),
    "schema": ("USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME"),
    "table": ("SELECT", "MODIFY"),
    "volume": ("READ_VOLUME", "WRITE_VOLUME"),
}
LEVELS: Mapping[str, tuple[str, ...]] = {
    "app": ("CAN_USE",),
    "serving-endpoint": ("CAN_QUERY",),
    "warehouse": ("CAN_USE",),
    "secret-scope": ("READ",),
}
_KNOWN = {**PRIVILEGES, **LEVELS}


@dataclass(slots=True)
class Rights:
    """`withheld` are rights by what they are on (`table main.demo.texts`); `hidden`: what is granted on data is not told."""

    withheld: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    hidden: bool = False

    def has(self, right: str, kind: str, name: str) -> bool:
        return right not in self.withheld.get(f"{kind} {name}", ())

    def on(self, kind: str, name: str) -> list[str]:
        """The privileges on something of Unity Catalog."""
        return [one for one in PRIVILEGES[kind] if self.has(one, kind, name)]


def read_rights(body: object) -> Rights:
    """Read what a test sent: {"withheld": {"table main.demo.texts": ["SELECT"]}, "hidden": false}. Raises ValueError with what is
    wrong."""
    given = mapping(body)
    if unknown := sorted(given.keys() - {"withheld", "hidden"}):
        raise ValueError(f"rights: unknown {', '.join(unknown)}; known are hidden, withheld")
    if not isinstance(given.get("hidden", False), bool):
        raise ValueError("rights.hidden: expected true or false")
    withheld = {on: _withheld(on, rights) for on, rights in mapping(given.get("withheld")).items()}
    return Rights(withheld, given.get("hidden") is True)


def _withheld(on: str, rights: object) -> frozenset[str]:
    kind = on.partition(" ")[0]
    if kind not in _KNOWN:
        raise ValueError(f"rights.withheld: {on!r} begins with none of {', '.join(_KNOWN)}")
    named = frozenset(map(str, sequence(rights)))
    if not named or not named <= set(_KNOWN[kind]):
        raise ValueError(f"rights.withheld.{on}: expected a list of {', '.join(_KNOWN[kind])}")
    return named
