"""Who asks, and how others let them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rowcall.core.doctor.checks import Found, missing, ok, unknown
from rowcall.core.login import LoginKind
from rowcall.core.loose import mapping, sequence, text
from rowcall.core.sql import identifier

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ALL_USERS = "account users"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user by mail address, or a service principal by application id; with the groups that the workspace knows it to be in."""

    name: str
    is_user: bool = False
    groups: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{'user' if self.is_user else 'service principal'} {self.name}"

    @property
    def quoted(self) -> str:
        """As a GRANT names it."""
        return identifier(self.name)

    def is_named(self, name: str | None) -> bool:
        """Whether a grant to that name, or what that name owns, is this principal's."""
        own = {one.casefold() for one in (self.name, *self.groups, _ALL_USERS)}
        return name is not None and name.casefold() in own


NOBODY = Principal("<principal>")
"""Where the workspace does not say who asks."""


def read_principal(body: Mapping[str, object]) -> Principal:
    """From `GET preview/scim/v2/Me`. A service principal's `userName` is its application id, a UUID, which is also how Databricks'
    own CLI tells it from a user; other names count as users' where they are mail addresses."""
    name = text(body.get("userName")) or ""
    groups = (text(mapping(group).get("display")) for group in sequence(body.get("groups")))
    is_user = "@" in name and not _UUID.fullmatch(name)
    return Principal(name, is_user, frozenset(group for group in groups if group)) if name else NOBODY


def allow(command: str, what: str, level: str, principal: Principal) -> str:
    """The command of the Databricks CLI that gives a principal a level on an object of the workspace, beside what others have."""
    who = "user_name" if principal.is_user else "service_principal_name"
    entry = {who: principal.name, "permission_level": level}
    return f"databricks {command} update-permissions {what} --json '{json.dumps({'access_control_list': [entry]})}'"


def login_found(login: LoginKind, host: str) -> Found:
    profile = f", profile {login.profile}" if login.profile else ""
    if login.ambient:
        return ok(f"{login.auth_type} at {host}: the notebook's or job's own, so the driver makes the calls")
    ends = "renewed before it ends" if login.oauth else "not renewed: a run ends when it ends"
    return ok(f"{login.auth_type} at {host}{profile}, {'OAuth, ' if login.oauth else ''}{ends}")


def secret_found(status: int, scope: str, key: str, principal: Principal) -> Found:
    """From `GET secrets/get`."""
    where = f"{{{{secrets/{scope}/{key}}}}}"
    match status:
        case 200:
            return ok(f"{where} can be read")
        case 403:
            said = f"{principal} may not read the scope {scope}"
            return missing(said, f"databricks secrets put-acl {scope} {principal.name} READ")
        case 404:
            said = f"there is no {where}, or it is not shown to {principal}"
            return missing(
                said, f"databricks secrets create-scope {scope}; databricks secrets put-secret {scope} {key}"
            )
        case _:
            return unknown(f"the workspace does not say whether {where} can be read")
