"""The wheels of a bundle: `rowcall bundle check` builds, installs and tries each of them."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import found_in, own_job, write

from rowcall.adapters.wheel import read_wheel
from rowcall.bundle.check import check


def project(folder: Path, name: str = "tiny", scripts: str = 'tiny = "tiny:main"', **artifact: Any) -> Path:
    """A small package, which a bundle builds."""
    (folder / "src" / "tiny").mkdir(parents=True)
    (folder / "src" / "tiny" / "__init__.py").write_text("def main() -> None:\n    print('tiny 1.0')\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n[project.scripts]\n{scripts}\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/tiny"]\n'
    )
    build = f"{sys.executable} -m hatchling build -t wheel"
    write(
        folder,
        {
            "bundle": {"name": "tiny"},
            "artifacts": {"tiny": {"type": "whl", "path": ".", "build": build, **artifact}},
            "targets": {"dev": {"default": True}},
        },
    )
    return folder


def test_a_wheel_is_built_and_runs_by_itself(tmp_path: Path) -> None:
    checked = check(project(tmp_path), lambda _: None)
    assert (checked.wheels, checked.problems) == (("tiny 1.0",), ())


def test_a_wheel_that_cannot_be_built_is_a_mistake(tmp_path: Path) -> None:
    (told,) = found_in(project(tmp_path, build="echo no such thing >&2; exit 3"), wheel=True)
    assert told.startswith("databricks.yml:")
    assert "artifacts.tiny: `echo no such thing >&2; exit 3` did not work: no such thing" in told


def test_a_wheel_that_does_not_run_is_a_mistake(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "src" / "tiny" / "__init__.py").write_text("import no_such_module_anywhere\n")
    (told,) = found_in(folder, wheel=True)
    assert "alone did not work: its command tiny cannot be imported: ModuleNotFoundError" in told
    assert "no_such_module_anywhere" in told


def test_a_wheel_whose_command_has_another_name_is_tried_as_well(tmp_path: Path) -> None:
    folder = project(tmp_path, scripts='main = "tiny:main"\nother = "tiny.no_such:main"')
    (told,) = found_in(folder, wheel=True)
    assert "its command other cannot be imported: ModuleNotFoundError: No module named 'tiny.no_such'" in told
    (folder / "pyproject.toml").write_text((folder / "pyproject.toml").read_text().replace(".no_such", ""))
    assert check(folder, lambda _: None).wheels == ("tiny 1.0",)


def test_a_wheel_without_commands_is_imported(tmp_path: Path) -> None:
    folder = project(tmp_path, scripts="")
    assert check(folder, lambda _: None).wheels == ("tiny 1.0",)
    (folder / "src" / "tiny" / "__init__.py").write_text("import no_such_module_anywhere\n")
    (told,) = found_in(folder, wheel=True)
    assert "alone did not work: tiny cannot be imported: ModuleNotFoundError" in told


def test_a_wheel_that_cannot_be_installed_is_a_mistake(tmp_path: Path) -> None:
    folder = project(tmp_path, scripts="")
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("[project.scripts]", 'requires-python = "<3"'))
    (told,) = found_in(folder, wheel=True)
    assert "installing tiny-1.0" in told


def test_a_command_that_knows_no_version_is_no_mistake(tmp_path: Path) -> None:
    folder = project(tmp_path)
    main = "import argparse\n\n\ndef main() -> None:\n    argparse.ArgumentParser().parse_args()\n"
    (folder / "src" / "tiny" / "__init__.py").write_text(main)
    checked = check(folder, lambda _: None)
    assert (checked.wheels, checked.problems) == (("tiny 1.0",), ())


@pytest.mark.parametrize("wheel", [True, False])
def test_the_package_of_a_wheel_may_be_written_otherwise(tmp_path: Path, wheel: bool) -> None:
    folder = project(tmp_path, name="Tiny_Pkg", scripts='tiny-pkg = "tiny:main"')
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    task = {"package_name": "tiny.pkg", "entry_point": "tiny-pkg"}
    own_job(environment_key="job", python_wheel_task=task)(
        folder, config | {"resources": config.setdefault("resources", {})}
    )
    config["resources"]["jobs"]["own"]["environments"] = [
        {"environment_key": "job", "spec": {"environment_version": "4", "dependencies": ["./dist/*.whl"]}}
    ]
    write(folder, config)
    assert found_in(folder, wheel=wheel) == []


BROKEN: dict[str, tuple[dict[str, bytes] | None, str]] = {
    "no archive": (None, "tiny-1.0-py3-none-any.whl is no wheel: File is not a zip file"),
    "no metadata": ({"tiny.py": b""}, "is no wheel: its METADATA has no Name and Version"),
    "metadata without a name": (
        {"tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\n"},
        "is no wheel: its METADATA has no Name and Version",
    ),
    "metadata that is no text": ({"tiny-1.0.dist-info/METADATA": b"Name: \xff\n"}, "is no wheel: 'utf-8' codec"),
    "entry points in no section": (
        {
            "tiny-1.0.dist-info/METADATA": b"Name: tiny\nVersion: 1.0\n",
            "tiny-1.0.dist-info/entry_points.txt": b"a = b\n",
        },
        "is no wheel: File contains no section headers",
    ),
    "nothing to install": (
        {"tiny-1.0.dist-info/METADATA": b"Name: tiny\nVersion: 1.0\n"},
        "installing tiny-1.0-py3-none-any.whl did not work",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_wheel_is_a_mistake(tmp_path: Path, broken: str) -> None:
    files, said = BROKEN[broken]
    folder = project(tmp_path, build="", files=[{"source": "dist/*.whl"}])
    (folder / "dist").mkdir()
    path = folder / "dist" / "tiny-1.0-py3-none-any.whl"
    if files is None:
        path.write_text("not a wheel")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    (told,) = found_in(folder, wheel=True)
    assert told.startswith("databricks.yml:")
    assert f"artifacts.tiny: {'' if said.startswith(('tiny', 'inst')) else path.name + ' '}{said}" in told


def test_what_a_wheel_has_copies_of_is_not_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for folder, name in (("", "tiny"), ("tiny/_vendor/", "other")):
            start = f"{folder}{name}-1.0.dist-info"
            archive.writestr(f"{start}/METADATA", f"Name: {name}\nVersion: 1.0\n")
            archive.writestr(f"{start}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
    wheel = read_wheel(path)
    assert (wheel.package, dict(wheel.entry_points)) == ("tiny", {"console_scripts": frozenset({"tiny"})})


SETUP = """
import zipfile
from pathlib import Path

Path("dist").mkdir(exist_ok=True)
with zipfile.ZipFile("dist/tiny-1.0-py3-none-any.whl", "w") as archive:
    archive.write("src/tiny/__init__.py", "tiny/__init__.py")
    archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
    archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    archive.writestr("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\\ntiny = tiny:main\\n")
    archive.writestr("tiny-1.0.dist-info/RECORD", "")
"""


def test_a_wheel_without_a_command_is_built_as_the_cli_does(tmp_path: Path) -> None:
    folder = project(tmp_path, build="")
    (folder / "setup.py").write_text(SETUP)
    checked = check(folder, lambda _: None)
    assert (checked.wheels, checked.problems) == (("tiny 1.0",), ())
    (folder / "setup.py").unlink()
    (told,) = found_in(folder, wheel=True)
    assert "artifacts.tiny: `python3 setup.py bdist_wheel` did not work: " in told
    assert "setup.py" in told


def test_a_wheel_that_is_up_to_date_is_one(tmp_path: Path) -> None:
    folder = project(tmp_path, build="test -e dist || python3 setup.py")
    (folder / "setup.py").write_text(SETUP)
    assert check(folder, lambda _: None).wheels == check(folder, lambda _: None).wheels == ("tiny 1.0",)


def test_a_wheel_is_where_the_artifact_says(tmp_path: Path) -> None:
    folder = project(tmp_path, build="python3 setup.py; mv dist out", files=[{"source": "out/*.whl"}])
    (folder / "setup.py").write_text(SETUP)
    assert check(folder, lambda _: None).wheels == ("tiny 1.0",)
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    config["artifacts"]["tiny"] = {"type": "whl", "files": [{"source": "out/tiny-2*.whl"}]}
    write(folder, config)
    (told,) = found_in(folder, wheel=True)
    assert f"artifacts.tiny: there is no {folder}/out/tiny-2*.whl" in told
    config["artifacts"]["tiny"] = {"path": "."}
    write(folder, config)
    (told,) = found_in(folder, wheel=True)
    assert "artifacts.tiny: has neither `build` nor `files`" in told


def test_an_artifact_of_no_type_need_not_be_a_wheel(tmp_path: Path) -> None:
    folder = project(tmp_path, build="touch a.jar")
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    for artifact in ({"build": "touch a.jar"}, {"build": "touch a.jar", "files": [{"source": "a.jar"}]}):
        write(folder, {**config, "artifacts": {"tiny": artifact}})
        checked = check(folder, lambda _: None)
        assert (checked.wheels, checked.problems) == ((), ())


@pytest.mark.parametrize("wheel", [True, False])
def test_artifacts_of_a_target_are_its_wheels(tmp_path: Path, wheel: bool) -> None:
    folder = project(tmp_path)
    (folder / "setup.py").write_text(SETUP)
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    del config["artifacts"]
    config["variables"] = {"command": {"default": "python3 setup.py bdist_wheel"}}
    task = {"package_name": "tiny", "entry_point": "tiny"}
    job = {
        "name": "own",
        "tasks": [{"task_key": "t", "environment_key": "e", "python_wheel_task": task}],
        "environments": [
            {"environment_key": "e", "spec": {"environment_version": "4", "dependencies": ["./dist/*.whl"]}}
        ],
    }
    own = {"artifacts": {"tiny": {"type": "whl", "build": "${var.command}"}}, "resources": {"jobs": {"own": job}}}
    config["targets"] = {"dev": own, "test": own, "prod": {}}
    write(folder, config)
    checked = check(folder, lambda _: None, wheel=wheel)
    assert (checked.wheels, checked.problems) == (("tiny 1.0",) if wheel else (), ())
    if wheel:
        (folder / "setup.py").write_text("raise SystemExit('no luck')")
        (folder / "dist" / "tiny-1.0-py3-none-any.whl").unlink()
        (told,) = found_in(folder, wheel=True)
        assert "targets.dev.artifacts.tiny: `python3 setup.py bdist_wheel` did not work: no luck" in told


BROUGHT = {
    "pyspark": "from pyspark.sql import SparkSession",
    "pandas": "import pandas as pd",
    "databricks.sdk.runtime": "from databricks.sdk.runtime import dbutils",
}


@pytest.mark.parametrize("module", BROUGHT)
def test_a_wheel_need_not_have_what_the_runtime_brings(tmp_path: Path, module: str) -> None:
    folder = project(tmp_path)
    (folder / "src" / "tiny" / "__init__.py").write_text("from tiny.more import main\n")
    (folder / "src" / "tiny" / "more.py").write_text(f"{BROUGHT[module]}\n\n\ndef main() -> None: ...\n")
    checked = check(folder, lambda _: None)
    assert checked.problems == ()
    assert checked.wheels == (f"tiny 1.0, not tried: its command tiny needs {module}, which the runtime brings",)


@pytest.mark.parametrize(
    "text", ["import pyspark_extras", "import databricks.vector_search", "from databricks import sql"]
)
def test_a_wheel_must_have_what_no_runtime_is_sure_to_bring(tmp_path: Path, text: str) -> None:
    folder = project(tmp_path)
    (folder / "src" / "tiny" / "__init__.py").write_text(f"{text}\n\n\ndef main() -> None: ...\n")
    (told,) = found_in(folder, wheel=True)
    assert "its command tiny cannot be imported: ModuleNotFoundError" in told


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_function_of_the_package_is_an_entry_point(tmp_path: Path, wrapped: bool) -> None:
    folder = project(tmp_path, scripts="")
    config = yaml.safe_load((folder / "databricks.yml").read_text())
    tasks = [
        {
            "task_key": entry_point,
            "existing_cluster_id": "a",
            "python_wheel_task": {"package_name": "tiny", "entry_point": entry_point},
            "libraries": [{"whl": "./dist/*.whl"}],
        }
        for entry_point in ("main", "mian")
    ]
    config["resources"] = {"jobs": {"own": {"name": "own", "tasks": tasks}}}
    config["experimental"] = {"python_wheel_wrapper": wrapped}
    write(folder, config)
    told = found_in(folder, wheel=True)
    assert len(told) == (2 if wrapped else 1)
    at = "resources.jobs.own.tasks[1].python_wheel_task.entry_point"
    assert f"{at}: tiny has no command 'mian', and no function tiny.mian; there are none" in told[-1]
