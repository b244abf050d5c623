"""`python -m databricks.bundles.build`, called as the Databricks CLI calls it: a bundle in, the bundle with its resources out."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rowcall.core.errors import SetupError

Json = Mapping[str, Any]
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Built:
    """The bundle with its resources, what there is to say of it, and the file and line that each resource came from."""

    config: Json
    diagnostics: Sequence[Json]
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])


def build(python: Path, root: Path, config: Json) -> Built:
    """Load the resources that Python makes, run the mutators, and have the package's own classes check all of them."""
    loaded = _phase(python, root, "load_resources", config)
    if any(one["severity"] == "error" for one in loaded.diagnostics):
        return loaded
    mutated = _phase(python, root, "apply_mutators", loaded.config)
    return Built(mutated.config, [*loaded.diagnostics, *mutated.diagnostics], loaded.places)


def _phase(python: Path, root: Path, phase: str, config: Json) -> Built:
    with TemporaryDirectory(prefix="rowcall-bundle-") as folder:
        files = {name: Path(folder) / f"{name}.json" for name in ("input", "output", "diagnostics", "locations")}
        files["input"].write_text(json.dumps(config), encoding="utf-8")
        command = [str(python), "-m", "databricks.bundles.build", "--phase", phase]
        command += [part for name, path in files.items() for part in (f"--{name}", str(path))]
        try:
            done = subprocess.run(  # noqa: S603 (no shell; what the bundle itself names)
                command, cwd=root, capture_output=True, check=False, text=True, timeout=SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"{python} could not build the bundle: {error}") from error
        if not files["output"].exists():
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise SetupError(
                f"{python} could not build the bundle: {last[0]}\n  It needs databricks-bundles: pip install 'rowcall[bundle]'"
            )
        return Built(
            json.loads(files["output"].read_text(encoding="utf-8")),
            _lines(files["diagnostics"]),
            {str(one["path"]): (str(one["file"]), int(one.get("line") or 0)) for one in _lines(files["locations"])},
        )


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
