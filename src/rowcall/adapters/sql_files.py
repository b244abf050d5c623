"""The statements of `sql/`: packed into the wheel, or beside `src/` in a checkout."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from rowcall.core.errors import SetupError


@cache
def sql_texts() -> dict[str, str]:
    """Every file by its name without the ending: `statements/count`."""
    packed = files("rowcall") / "sql"
    folder = Path(str(packed)) if packed.is_dir() else Path(__file__).parents[3] / "sql"
    texts = {
        str(path.relative_to(folder).with_suffix("").as_posix()): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.sql"))
    }
    if not texts:
        raise SetupError(f"the SQL files of rowcall are missing: expected them in {folder}. Install rowcall again.")
    return texts
