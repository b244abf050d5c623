"""What is shipped: the import is light, the wheel holds what it should, the pins are whole, the one-word commands are there."""

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import rowcall

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"pyspark", "pysail", "databricks", "aiohttp", "pandas", "pyarrow", "mlflow", "openai", "pydantic", "sqlglot"}


def python(*arguments: str, path: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own, which must succeed; `path` comes first among its packages."""
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


# The import


def imported(statement: str) -> set[str]:
    """The top-level packages that a statement loads."""
    timed = python("-X", "importtime", "-c", statement).stderr
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", timed, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("statement", ["import rowcall", "import rowcall.cli"])
def test_import_is_light(statement: str) -> None:
    loaded = imported(statement)
    assert "rowcall" in loaded
    assert not loaded & HEAVY


def test_import_loads_no_module_of_its_own() -> None:
    said = python("-c", "import sys, rowcall; print(*(name for name in sys.modules if name.startswith('rowcall')))")
    assert said.stdout.split() == ["rowcall"]


def test_heavy_packages_would_be_noticed() -> None:
    assert "pydantic" in imported("import rowcall; rowcall.Job")


def test_all_is_true() -> None:
    assert sorted(rowcall.__all__) == rowcall.__all__
    assert all(getattr(rowcall, name) is not None for name in rowcall.__all__)
    assert {*rowcall._HOMES, "__version__"} == set(rowcall.__all__)
    for name, (module, attribute) in rowcall._HOMES.items():
        assert getattr(rowcall, name) is getattr(import_module(module), attribute)
    with pytest.raises(AttributeError, match="no attribute 'made_up'"):
        rowcall.made_up  # noqa: B018


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the backend that is installed: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def packed(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(packed: zipfile.ZipFile) -> Message:
    return email.message_from_bytes(packed.read(f"rowcall-{rowcall.__version__}.dist-info/METADATA"))


def in_tree(folder: str, pattern: str) -> dict[str, bytes]:
    """Files by their path under a folder of the repository."""
    start = ROOT / folder
    return {path.relative_to(start).as_posix(): path.read_bytes() for path in start.rglob(pattern) if path.is_file()}


def in_wheel(archive: zipfile.ZipFile, prefix: str, ending: str) -> dict[str, bytes]:
    names = [name for name in archive.namelist() if name.startswith(prefix) and name.endswith(ending)]
    return {name.removeprefix(prefix): archive.read(name) for name in names}


def test_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name == f"rowcall-{rowcall.__version__}-py3-none-any.whl"


def test_wheel_holds_the_code(packed: zipfile.ZipFile) -> None:
    code = in_wheel(packed, "rowcall/", ".py")
    assert {name: code[name] for name in code if not name.startswith("jobs/")} == in_tree("src/rowcall", "*.py")
    assert "rowcall/py.typed" in packed.namelist()


def test_wheel_holds_the_statements(packed: zipfile.ZipFile) -> None:
    assert in_wheel(packed, "rowcall/sql/", "") == in_tree("sql", "*")


def test_wheel_holds_the_template_of_a_project(packed: zipfile.ZipFile) -> None:
    template = in_tree("src/rowcall/template", "*")
    assert {"databricks.yml", "dot-gitignore", "dot-github/workflows/check.yml"} <= template.keys()
    assert in_wheel(packed, "rowcall/template/", "") == template


def test_wheel_holds_the_jobs(packed: zipfile.ZipFile) -> None:
    jobs = in_wheel(packed, "rowcall/jobs/", "")
    assert {name: jobs.get(name) for name in in_tree("jobs", "*.yml")} == in_tree("jobs", "*.yml")
    assert jobs["schema.json"] == (ROOT / "jobs/schema.json").read_bytes()
    assert {name: jobs.get(f"notebooks/{name}") for name in in_tree("jobs/notebooks", "*")} == in_tree(
        "jobs/notebooks", "*"
    )
    assert {"text_insight.yml", "notebooks/adhoc_scoring.ipynb", "notebooks/adhoc_scoring.py"} <= jobs.keys()


def test_wheel_holds_nothing_else(packed: zipfile.ZipFile) -> None:
    info = f"rowcall-{rowcall.__version__}.dist-info/"
    assert [name for name in packed.namelist() if not name.startswith(("rowcall/", info))] == []
    own = [name for name in packed.namelist() if not name.startswith("rowcall/template/")]
    assert [name for name in own if re.search(r"(^|/)(tests|test_|conftest)", name)] == []
    assert [name for name in packed.namelist() if "__pycache__" in name] == []
    (licence,) = (name for name in packed.namelist() if name.endswith("/LICENSE"))
    assert packed.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert b"rowcall = rowcall.cli:main" in packed.read(f"{info}entry_points.txt")


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "rowcall"
    assert metadata["Version"] == rowcall.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    pythons = SpecifierSet(str(metadata["Requires-Python"]))
    assert [minor for minor in range(8, 16) if f"3.{minor}" in pythons] == [11, 12, 13]
    assert str(metadata.get_payload()).startswith("# rowcall")


def test_core_requirements_are_few_and_wide(metadata: Message) -> None:
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    core = [each for each in required if each.marker is None]
    assert 0 < len(core) <= 8
    for each in core:
        assert [bound.operator for bound in each.specifier] == [">="], each
    assert not {canonicalize_name(each.name) for each in core} & {
        "pyspark",
        "pyspark-client",
        "pandas",
        "mlflow",
        "openai",
        "databricks-sql-connector",
    }
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "local",
        "warehouse",
        "report",
        "otlp",
        "bundle",
        "spark",
        "dev",
    }


def test_installed_wheel_finds_what_it_brings(wheel: Path, tmp_path: Path) -> None:
    install = ("-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable)
    python(*install, "--target", str(tmp_path / "installed"), str(wheel))
    look = (
        "import rowcall, rowcall.adapters.packaged as p\n"
        "print(rowcall.__file__, p.packaged('sql'), p.packaged('jobs'), len(p.sql_texts()), sep='\\n')"
    )
    *found, count = python("-c", look, path=tmp_path / "installed", cwd=tmp_path).stdout.splitlines()
    assert [Path(path).is_relative_to(tmp_path) for path in found] == [True, True, True]
    assert int(count) == len(in_tree("sql", "*.sql"))


# The source distribution


def test_source_distribution_holds_what_is_needed_to_build_and_test_and_nothing_else(tmp_path: Path) -> None:
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert built.name == f"rowcall-{rowcall.__version__}.tar.gz"
    folders = ("src", "sql", "jobs", "tests")
    for folder in folders:
        wanted = {f"{folder}/{name}" for name in in_tree(folder, "*") if "__pycache__" not in name}
        assert {name for name in names if name.startswith(f"{folder}/")} == wanted
    beside = {name for name in names if not name.startswith(tuple(f"{folder}/" for folder in folders))}
    needed = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "databricks.yml", "constraints.txt"}
    needed |= {"constraints-clients.txt", "constraints-spark.txt", "constraints-spark-3.5.txt"}
    assert beside == {*needed, ".gitignore", "PKG-INFO"}


# The pins


def pins() -> dict[str, set[str]]:
    """Versions by package; one per environment where they differ."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (bound,) = requirement.specifier
        assert bound.operator == "==", line
        found.setdefault(canonicalize_name(requirement.name), set()).add(bound.version)
    return found


def test_constraints_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^-|@|#", text, re.MULTILINE)


def test_constraints_pin_every_requirement_within_its_bounds() -> None:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    wanted = [
        Requirement(line) for line in (*PROJECT["dependencies"], *(line for name in extras for line in extras[name]))
    ]
    pinned = pins()
    assert [each.name for each in wanted if canonicalize_name(each.name) not in pinned] == []
    for each in wanted:
        for version in pinned[canonicalize_name(each.name)]:
            assert version in each.specifier, f"{each.name} {version}"
    assert "uv" in pinned


# The commands


def test_makefile_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    said = re.findall(r"^([a-z][a-z0-9. -]*):(?!=)", makefile, re.MULTILINE)
    targets = {target for each in said for target in each.split()}
    assert {"demo", "test", "check", "format", "clean"} <= targets
    phony = " ".join(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    assert set(phony.split()) == targets


def test_continuous_integration_runs_checks_and_tests() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make .+$", script.read_text(encoding="utf-8"), re.MULTILINE)[:2] == ["make check", "make test"]


def test_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## ([\d.]+)", changelog, re.MULTILINE)[0] == rowcall.__version__
