"""Files that come with rowcall: `sql/` and `jobs/`, packed into the wheel, or beside `src/` in a checkout."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from rowcall.core.errors import SetupError


def packaged(name: str) -> Path:
    """The folder `sql` or `jobs`. Raises `SetupError` where the installation lacks it."""
    for folder in (Path(str(files("rowcall"))) / name, Path(__file__).parents[3] / name):
        if folder.is_dir():
            return folder
    raise SetupError(f"the folder {name}/ that comes with rowcall is missing. Install rowcall again.")


@cache
def sql_texts() -> dict[str, str]:
    """Every statement by its file's name without the ending: `statements/count`."""
    folder = packaged("sql")
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.sql"))
    }
