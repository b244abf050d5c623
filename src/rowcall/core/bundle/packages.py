"""Packages by their names, and what brings them: requirements, wheels, files of requirements."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRAS = re.compile(r"\[[^\]]*\]$")


def normalised(name: str) -> str:
    """A name as it is compared: `My_Pkg` is `my-pkg` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(module: str) -> frozenset[str]:
    """What a module's text gives names to: functions, classes, imports and values; `*` where it may give any."""
    try:
        return frozenset(_named(ast.parse(module).body))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


def _named(body: Iterable[ast.stmt]) -> Iterator[str]:
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield "*" if one.name == "__getattr__" else one.name
        elif isinstance(one, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in one.names)
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(one, ast.If | ast.Try | ast.With):
            within = [*getattr(one, "body", ()), *getattr(one, "orelse", ()), *getattr(one, "finalbody", ())]
            yield from _named([*within, *(inner for handler in getattr(one, "handlers", ()) for inner in handler.body)])


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
