"""Wheels: built as a bundle says, looked into, and tried in an environment of their own."""

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory

from rowcall.core.errors import SetupError

BUILD_SECONDS = 300
INSTALL_SECONDS = 600


def build_wheel(folder: Path, command: str) -> list[Path]:
    """Run an artifact's `build` command in its folder, as the Databricks CLI does; the wheels it made. Raises `SetupError`."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("dist/*.whl")}
    _run(["bash", "-c", command], folder, BUILD_SECONDS, f"`{command}`")
    made = [path for path in sorted(folder.glob("dist/*.whl")) if before.get(path) != path.stat().st_mtime_ns]
    if not made:
        raise SetupError(f"`{command}` made no wheel in {folder / 'dist'}")
    return made


def entry_points(wheel: Path) -> tuple[str, frozenset[str]]:
    """The package in a wheel, and the commands it brings."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        parser = ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string("\n".join(archive.read(name).decode() for name in found))
    commands = parser["console_scripts"] if parser.has_section("console_scripts") else {}
    return wheel.name.partition("-")[0].replace("_", "-"), frozenset(commands)


def tried(wheel: Path, command: str) -> str:
    """What a wheel's command says of its version in an environment with nothing else. Raises `SetupError`."""
    with TemporaryDirectory(prefix="rowcall-wheel-") as folder:
        venv = Path(folder) / "venv"
        _run([sys.executable, "-m", "venv", str(venv)], Path(folder), INSTALL_SECONDS, "python -m venv")
        python = venv / "bin" / "python"
        installer = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if _has_uv():
            installer = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        _run([*installer, str(wheel.absolute())], Path(folder), INSTALL_SECONDS, f"installing {wheel.name}")
        return _run([str(venv / "bin" / command), "--version"], Path(folder), 60, f"{command} --version")


def _has_uv() -> bool:
    from importlib.util import find_spec

    return find_spec("uv") is not None


def _run(command: list[str], folder: Path, seconds: float, what: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (no shell; what the bundle itself names)
            command, cwd=folder, capture_output=True, check=False, text=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{what} did not work: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise SetupError(f"{what} did not work: {said[0]}")
    return done.stdout.strip()
