"""Which of the packages that bring the folder `pyspark` are there, and whether they are whole: folders as pip leaves them."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
from rowcall.core.errors import SetupError
from rowcall.spark_client import check_client
try:
    print(check_client())
except SetupError as error:
    print(error)
"""


def checked(tmp_path: Path, *places: dict[str, str]) -> str:
    """What a Python says that has these folders of packages, each with the versions of its distributions and its files."""
    folders: list[Path] = []
    for number, place in enumerate(places):
        folders.append(tmp_path / f"packages {number}")
        for name, version in place.items():
            path = folders[-1] / (name if "/" in name else f"{name}-{version}.dist-info/METADATA")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n" if version else ""
            )
    search = "".join(f"sys.path.append({str(folder)!r})\n" for folder in folders)
    source = Path(__file__).parents[2] / "src"
    program = f"import sys\nsys.path.insert(0, {str(source)!r})\n{search}{CHECK}"
    command = [sys.executable, "-I", "-S", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


CLIENT = {"pyspark_client": "4.2.0", "pyspark/__init__.py": ""}
SPARK = {"pyspark": "3.5.1", "pyspark/__init__.py": ""}


@pytest.mark.parametrize("place", [CLIENT, SPARK, {**CLIENT, "pyspark": "4.2.0"}, {"pyspark/__init__.py": ""}])
def test_one_client_is_enough(tmp_path: Path, place: dict[str, str]) -> None:
    assert checked(tmp_path, place) == "True"


def test_none_is_none(tmp_path: Path) -> None:
    assert checked(tmp_path, {"other": "1.0"}) == "False"


def test_two_in_one_folder_break_one_another(tmp_path: Path) -> None:
    said = checked(tmp_path, {**CLIENT, "pyspark": "3.5.1"})
    assert said.startswith("pyspark 3.5.1 and pyspark-client 4.2.0 are installed into the same folder")
    assert "into an environment of its own" in said


@pytest.mark.parametrize("places", [(CLIENT, SPARK), (SPARK, CLIENT)])
def test_one_that_lies_behind_another_breaks_nothing(tmp_path: Path, places: tuple[dict[str, str], ...]) -> None:
    assert checked(tmp_path, *places) == "True"


@pytest.mark.parametrize("left", [{}, {"pyspark/sql/connect.py": ""}])
def test_what_another_took_away_with_it_is_told(tmp_path: Path, left: dict[str, str]) -> None:
    said = checked(tmp_path, {"pyspark_client": "4.2.0", **left})
    assert said.startswith("of pyspark-client 4.2.0 files are missing")
    assert said.endswith("pip install --force-reinstall --no-deps pyspark-client")
