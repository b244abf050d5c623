"""Spark's client as it is installed, which two packages bring into one folder, `pyspark`: Spark itself, and `pyspark-client`, which
has no JVM's jars. Nothing of it is imported here."""

import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from rowcall.core.errors import SetupError

FOLDER = "pyspark"
_PACKAGES = ("pyspark", "pyspark-client", "databricks-connect")


def check_client() -> bool:
    """Whether there is one. Raises `SetupError` where two were installed over one another, and where that left a part of one."""
    found = find_spec(FOLDER)
    installed = {name: package for name in _PACKAGES if (package := _installed(name)) is not None}
    if found is None or found.origin is None:
        if installed:
            raise SetupError(
                f"of {_said(installed)} files are missing, as where another package with a folder `{FOLDER}` was uninstalled: "
                f"pip install --force-reinstall --no-deps {next(iter(installed))}"
            )
        return False
    used = Path(found.origin).parent.resolve()
    there = {name: package for name, package in installed.items() if _folder(package) == used}
    if len({package.version for package in there.values()}) > 1:
        raise SetupError(
            f"{_said(there)} are installed into the same folder, {used}, so that neither is whole. "
            "Install 'rowcall[local]' into an environment of its own; or uninstall both, and install it again"
        )
    return True


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _folder(package: Distribution) -> Path:
    return Path(str(package.locate_file(FOLDER))).resolve()


def _said(packages: dict[str, Distribution]) -> str:
    return " and ".join(f"{name} {package.version}" for name, package in packages.items())


def give_main_a_spec() -> None:
    """Let `python -c` have a session of Spark Connect: pyspark takes a `__main__` without a file and a spec for a run of its own
    doctests, and ends the process where what those need is missing, as in pyspark-client 4.1 and 4.2
    (`pyspark/sql/connect/utils.py`)."""
    main = sys.modules["__main__"]
    if main.__spec__ is None and not hasattr(main, "__file__"):
        main.__spec__ = ModuleSpec("__main__", None)
