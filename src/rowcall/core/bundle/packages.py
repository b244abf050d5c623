"""Packages by their names, and what brings them: requirements, wheels, files of requirements."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRAS = re.compile(r"\[[^\]]*\]$")


def normalised(name: str) -> str:
    """A name as it is compared: `My_Pkg` is `my-pkg` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_local(wheel: str) -> bool:
    """Whether a wheel is a file of the bundle: no path of the workspace or of a volume, no URL."""
    return not wheel.startswith("/") and ":/" not in wheel


def may_bring(install: str, package: str, found: Callable[[str], Sequence[str]]) -> bool:
    """Whether a dependency of a job may install a package. `found` are the bundle's files that match a pattern."""
    install = install.strip()
    if "${" in install or install.startswith(("-r", "-e", "--requirement", "--editable")):
        return True
    path = _EXTRAS.sub("", install)
    if path.endswith(".whl"):
        wheels = found(path) if is_local(path) else [path]
        return any(_name_in(wheel) == normalised(package) for wheel in wheels)
    if path.startswith((".", "/")) or ("://" in install and " @ " not in install):
        return True
    name = _NAME.match(install)
    return name is not None and normalised(name[0]) == normalised(package)


def _name_in(wheel: str) -> str:
    """The package that the name of a wheel's file begins with."""
    return normalised(PurePosixPath(wheel).name.partition("-")[0])
