"""A project of one's own: a job, its query, a bundle, tests that run against the sandbox, and continuous integration."""

import re
from importlib.resources import files
from pathlib import Path

from rowcall import __version__
from rowcall.adapters.packaged import packaged
from rowcall.core.errors import SetupError

JOB = "jobs/reviews.yml"
_HIDDEN = "dot-"
"""What begins so here begins with a dot there."""


def start_project(folder: Path) -> list[Path]:
    """Write the files of a new project, named after its folder; returns them. Raises `SetupError` where one is there already."""
    wanted = dict(sorted(_texts(_words(folder)).items()))
    present = [str(folder / name) for name in wanted if (folder / name).exists()]
    if present:
        raise SetupError(
            f"{', '.join(present)} {'exists' if len(present) == 1 else 'exist'} already; choose another folder"
        )
    try:
        for name, text in wanted.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in wanted]


def _texts(words: dict[str, str]) -> dict[str, str]:
    """The files of the template by their places in the project."""
    start = Path(str(files("rowcall"))) / "template"
    paths = [path for path in start.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts = {path.relative_to(start).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    for word, value in words.items():
        texts = {name: text.replace(f"@@{word}@@", value) for name, text in texts.items()}
    schema = (packaged("jobs") / "schema.json").read_text(encoding="utf-8")
    return {**{name.replace(_HIDDEN, "."): text for name, text in texts.items()}, "jobs/schema.json": schema}


def _words(folder: Path) -> dict[str, str]:
    """What stands in the template for things of this project. Names begin with a letter, as Databricks wants them."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    name = name if name[:1].isalpha() else f"rowcall-{name}".rstrip("-")
    return {"name": name, "schema": name.replace("-", "_"), "version": __version__}
