"""What git knows of a folder; nothing where there is no git, or no repository."""

import re
import subprocess
from pathlib import Path


def commit_here(folder: Path) -> str | None:
    """The commit that is checked out in a folder."""
    return _git(folder, "rev-parse", "HEAD")


def ignored_by(folder: Path, path: str) -> str | None:
    """The rule by which a file of a folder is ignored, as `.gitignore:3:*.yml`, be the file committed all the same or not."""
    rule = (_git(folder, "check-ignore", "--no-index", "--verbose", "--", path) or "").partition("\t")[0]
    return None if re.search(r":[0-9]+:!", rule) else rule or None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (no shell; the arguments are ours, and paths)
            ["git", *arguments],  # noqa: S607 (whichever git the user has)
            cwd=folder,
            capture_output=True,
            check=False,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
