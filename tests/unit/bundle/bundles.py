"""Bundles as tests write, change and check them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
import yaml

from rowcall import cli
from rowcall.bundle.check import check
from rowcall.cli_bundle import refused

COMMANDS: Any = typer.main.get_command(cli.app)
Change = Callable[[Path, dict[str, Any]], object]


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "databricks.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def found_in(folder: Path, **options: Any) -> list[str]:
    checked = check(folder, lambda given: refused(COMMANDS, given), **{"wheel": False, **options})
    return [str(problem) for problem in checked.problems]


def in_config(*path: str, value: Any) -> Change:
    def change(_: Path, config: dict[str, Any]) -> None:
        *parents, last = path
        for part in parents:
            config = config[part]
        config[last] = value

    return change


def own_job(**task: Any) -> Change:
    """A job that is written in the bundle's own file."""
    job = {"name": "own", "tasks": [{"task_key": "own", **task}]}
    return in_config("resources", "jobs", value={"own": job})
