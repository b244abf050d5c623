"""The wheels of a bundle's artifacts, for each target: built as the Databricks CLI builds them, and tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any

from rowcall.adapters.wheel import build_wheel, found_files, read_wheel, tried
from rowcall.core.bundle.config import Target
from rowcall.core.bundle.packages import normalised
from rowcall.core.errors import Problem, SetupError
from rowcall.core.loose import mapping, sequence

Json = Mapping[str, Any]
BUILD = "python3 setup.py bdist_wheel"
"""What the CLI runs for an artifact of `type: whl` with neither `build` nor `files` (1.13, `artifacts.Prepare`)."""


@dataclass(frozen=True, slots=True)
class Wheels:
    """What a target's wheels are found to be: the entry points of each package, by its normalised name, what is in each module,
    what each wheel says of its version, and what went wrong."""

    entry_points: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    modules: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    said: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __add__(self, other: "Wheels") -> "Wheels":
        points, modules = {**self.entry_points, **other.entry_points}, {**self.modules, **other.modules}
        return Wheels(points, modules, self.said + other.said, self.problems + other.problems)


def wheel_artifacts(config: Json) -> Mapping[str, Json]:
    """The artifacts that are wheels, or may be, by their names."""
    artifacts = {name: mapping(one) for name, one in mapping(config.get("artifacts")).items()}
    return {name: one for name, one in artifacts.items() if one.get("type", "whl") == "whl"}


def wheels_of(
    root: Path,
    config: Json,
    targets: Sequence[Target],
    places: Mapping[str, tuple[str, int]],
    step: Callable[[str], None],
) -> dict[str, Wheels]:
    """Those of each target, by its name. An artifact that several targets have alike is built and tried once. `config` is what the
    bundle's files say, `places` where resources and artifacts stand in them."""
    known: list[tuple[str, Json, Wheels]] = []
    found: dict[str, Wheels] = {}
    for target in targets:
        own = mapping(mapping(mapping(config.get("targets")).get(target.name)).get("artifacts"))
        found[target.name] = Wheels()
        for name, artifact in wheel_artifacts(target.config).items():
            wheels = next((made for of, one, made in known if (of, one) == (name, artifact)), None)
            if wheels is None:
                key = f"targets.{target.name}.artifacts.{name}" if name in own else f"artifacts.{name}"
                file, line = places.get(key, ("databricks.yml", 0))
                wheels = _wheels(root, name, artifact, Problem(file, key, "", line), step)
                known.append((name, artifact, wheels))
            found[target.name] += wheels
    return found


def _wheels(root: Path, name: str, artifact: Json, where: Problem, step: Callable[[str], None]) -> Wheels:
    """Those of one artifact; `where` says where it stands."""
    found = Wheels()
    try:
        for path in _built(root, name, artifact, step):
            wheel = read_wheel(path)
            points = {normalised(wheel.package): frozenset[str]().union(*wheel.entry_points.values())}
            found += Wheels(points, wheel.modules)
            step(f"installing {path.name} into an empty environment")
            found += Wheels(said=(tried(wheel),))
    except SetupError as error:
        found += Wheels(problems=(replace(where, message=str(error)),))
    return found


def _built(root: Path, name: str, artifact: Json, step: Callable[[str], None]) -> list[Path]:
    """Without `files` the wheels are those in `dist`. Raises `SetupError`."""
    folder, files = root / str(artifact.get("path") or "."), sequence(artifact.get("files"))
    if not folder.is_dir():
        raise SetupError(f"there is no folder {artifact.get('path')}")
    command = artifact.get("build") or ("" if files or "type" not in artifact else BUILD)
    if not command and not files:
        raise SetupError("has neither `build` nor `files`; write the command that builds it, or type: whl")
    patterns = [str(Path(escape(str(root.absolute()))) / str(mapping(one).get("source"))) for one in files]
    patterns = patterns or [str(Path(escape(str(folder.absolute()))) / "dist" / "*.whl")]
    if command:
        step(f"building the wheel {name}")
        made = build_wheel(folder, str(command), patterns)
    else:
        made = found_files(patterns)
    if not made and (files or "type" in artifact):
        said = f"`{command}` made no" if command else "there is no"
        raise SetupError(f"{said} {' or '.join(patterns)}")
    return [path for path in made if path.suffix == ".whl"]
