"""Wheels: built as a bundle says, looked into, and tried in an environment of their own."""

import os
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass, field
from email.parser import HeaderParser
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory

from rowcall.core.bundle.packages import names_in, normalised
from rowcall.core.errors import SetupError

BUILD_SECONDS = 300
INSTALL_SECONDS = 600
RUNTIME = ("pyspark", "delta", "dbruntime", "databricks.sdk.runtime", "pandas", "numpy", "pyarrow")
"""Modules that each Databricks runtime and serverless environment brings, so that a wheel need not require them: Spark and Delta,
as the platform's own builds, beside which another `pyspark` breaks Spark Connect; those that give `spark` and `dbutils`; and what
Spark's functions in Python stand on. No others: what a runtime has besides differs between versions."""
_NEEDS_RUNTIME = 75
_TRIAL = """
import builtins, importlib, importlib.metadata, sys

package, leave, runtime = importlib.metadata.distribution(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
imports = builtins.__import__

def noted(name, globals=None, locals=None, fromlist=(), level=0):
    try:
        return imports(name, globals, locals, fromlist, level)
    except Exception as error:
        error.asked = [*getattr(error, "asked", ()), name, *(f"{name}.{one}" for one in fromlist or ())]
        raise

def brought(error):
    missing = [error.name] if isinstance(error, ModuleNotFoundError) else []
    within = [one for one in getattr(error, "asked", ()) if "." in one]
    return next((one for one in (*missing, *within) if one in runtime), None)

builtins.__import__ = noted
commands = [one for one in package.entry_points if one.group == "console_scripts"]
tops = {one.parts[0].split(".")[0] for one in package.files or () if one.suffix in (".py", ".so", ".pyd")}
loads = {f"its command {one.name}": one.load for one in commands} or {
    name: lambda name=name: importlib.import_module(name) for name in sorted(tops) if name.isidentifier()
}
needs = None
for what, load in loads.items():
    try:
        load()
    except BaseException as error:
        if not (of := brought(error)):
            sys.exit(" ".join(f"{what} cannot be imported: {type(error).__name__}: {error}".split()))
        needs = needs or f"{what} needs {of}"
if needs:
    print(needs)
    sys.exit(leave)
"""
_OF_ITSELF = re.compile(r"[^/]+\.dist-info/(?:METADATA|entry_points\.txt)")
_MODULE = re.compile(r"([^\W\d]\w*(?:/[^\W\d]\w*)*?)(?:/__init__)?\.py")
_NO_SUCH_OPTION = 2
"""With which argparse and Click leave."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel, its package, the entry points that it brings, by their groups, and what its modules have in them, by theirs."""

    path: Path
    package: str
    version: str
    entry_points: Mapping[str, frozenset[str]]
    modules: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


def build_wheel(folder: Path, command: str, patterns: Sequence[str]) -> list[Path]:
    """Run an artifact's `build` command in its folder, as the Databricks CLI does; of the files that match the patterns those that
    it made or, where all were up to date, all. Raises `SetupError`."""
    before = {path: path.stat().st_mtime_ns for path in found_files(patterns)}
    _run(["bash", "-c", command], folder, BUILD_SECONDS, f"`{command}`")
    there = found_files(patterns)
    return [path for path in there if before.get(path) != path.stat().st_mtime_ns] or there


def found_files(patterns: Sequence[str]) -> list[Path]:
    """The files that match, as they are found on the disk; the patterns are absolute."""
    return [Path(path) for pattern in patterns for path in sorted(glob(pattern))]  # noqa: PTH207 (Path.glob takes no absolute pattern)


def read_wheel(path: Path) -> Wheel:
    """What a wheel says of itself, in the `.dist-info` folder at its root: deeper ones are of packages that it has copies of.
    Raises `SetupError` where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = {
                name.rpartition("/")[2]: archive.read(name).decode()
                for name in archive.namelist()
                if _OF_ITSELF.fullmatch(name)
            }
            modules = {
                found[1].replace("/", "."): names_in(archive.read(name).decode("utf-8", "replace"))
                for name in archive.namelist()
                if (found := _MODULE.fullmatch(name))
            }
        parser = ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(texts.get("entry_points.txt", ""))
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, UnicodeDecodeError, ConfigError) as error:
        raise SetupError(f"{path.name} is no wheel: {' '.join(str(error).split())}") from error
    said = HeaderParser().parsestr(texts.get("METADATA", ""))
    if not said["Name"] or not said["Version"]:
        raise SetupError(f"{path.name} is no wheel: its METADATA has no Name and Version")
    points = {group: frozenset(parser[group]) for group in parser.sections()}
    return Wheel(path, said["Name"], said["Version"], points, modules)


def tried(wheel: Wheel) -> str:
    """Import a wheel's commands, or else its modules, in an environment with nothing else; the version of which it says to be, by
    `--version` of the command that is called like the package, if it has that, or that it was not tried to the end because it
    needs what is in `RUNTIME`. Raises `SetupError`."""
    with TemporaryDirectory(prefix="rowcall-wheel-") as folder:
        here, venv = Path(folder), Path(folder) / "venv"
        python = str(venv / "bin" / "python")
        if _has_uv():  # which needs no pip there: that takes seconds to set up
            without = ["--without-pip"]
            installer = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        else:
            without = []
            installer = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([sys.executable, "-m", "venv", *without, str(venv)], here, INSTALL_SECONDS, "python -m venv")
        _run([*installer, str(wheel.path.absolute())], here, INSTALL_SECONDS, f"installing {wheel.path.name}")
        trial = [python, "-I", "-c", _TRIAL, wheel.package, str(_NEEDS_RUNTIME), *RUNTIME]
        imported = _ran(trial, here, 60, f"{wheel.path.name} alone")
        if imported.returncode == _NEEDS_RUNTIME:
            needs = imported.stdout.strip().splitlines()[-1]
            return f"{wheel.package} {wheel.version}, not tried: {needs}, which the runtime brings"
        _output(imported, f"{wheel.path.name} alone")
        for command in sorted(wheel.entry_points.get("console_scripts", ())):
            if normalised(command) == normalised(wheel.package):
                what, alone = f"{command} --version", {**os.environ, "PYTHONPATH": ""}
                said = _ran([str(venv / "bin" / command), "--version"], here, 60, what, alone)
                if said.returncode != _NO_SUCH_OPTION:
                    return _output(said, what)
        return f"{wheel.package} {wheel.version}"


def _has_uv() -> bool:
    from importlib.util import find_spec

    return find_spec("uv") is not None


def _run(command: Sequence[str], folder: Path, seconds: float, what: str) -> None:
    _output(_ran(command, folder, seconds, what), what)


def _ran(
    command: Sequence[str], folder: Path, seconds: float, what: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 (no shell; what the bundle itself names)
            command, cwd=folder, env=environment, capture_output=True, check=False, text=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{what} did not work: {error}") from error


def _output(done: "subprocess.CompletedProcess[str]", what: str) -> str:
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise SetupError(f"{what} did not work: {said[0]}")
    return done.stdout.strip()
