"""What kind of login a workspace is reached with, and which endpoints take it."""

from dataclasses import dataclass

_NAMES = {
    "pat": "a personal access token",
    "basic": "a user name and a password",
    "runtime": "the token of a notebook or a job, which is a personal access token",
}


@dataclass(frozen=True, slots=True)
class LoginKind:
    """`auth_type` is the SDK's name for it. An `ambient` login exists on the driver only: it is a notebook's or a job's own."""

    auth_type: str
    oauth: bool
    ambient: bool
    profile: str = ""


def refused_by_apps(login: LoginKind) -> str | None:
    """Why apps do not take a login; None where they do."""
    if login.oauth:
        return None
    what = _NAMES.get(login.auth_type, "something else")
    where = f"auth_type {login.auth_type}" + (f", profile {login.profile}" if login.profile else "")
    return (
        f"apps take OAuth tokens only; this login is {what} ({where}). "
        "Log in as a service principal (client_id and client_secret) or with `databricks auth login`."
    )
