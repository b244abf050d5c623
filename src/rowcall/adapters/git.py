"""The commit of a checkout."""

import subprocess
from pathlib import Path


def commit_here(folder: Path) -> str | None:
    """The commit that is checked out in a folder; None where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=folder,
            capture_output=True,
            check=False,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
