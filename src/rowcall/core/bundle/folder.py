"""The files of a bundle, and which of them the Databricks CLI brings to the workspace: those under `sync.paths` that git does not
ignore and those of `sync.include`, but none of `sync.exclude` (CLI 1.13, libs/sync).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# As the CLI reads patterns of .gitignore files: where others fit at any depth, those like a/*.b begin at the root.
_ROOTED = re.compile(r"[^/]/.*\*\.")
_PARTS = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[^\]]*\]|.", re.DOTALL)
_ANY = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Folder:
    """A bundle's root. `found` are the files that match a pattern, `read` is a file's text, `ignored_by` the rule by which git
    ignores a file; `paths`, `include` and `exclude` are those of the bundle's `sync`."""

    found: Callable[[str], Sequence[str]]
    read: Callable[[str], str | None]
    ignored_by: Callable[[str], str | None]
    paths: tuple[str, ...] = (".",)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def has(self, pattern: str) -> bool:
        return bool(self.found(pattern))

    def kept_back(self, path: str) -> str | None:
        """Why a file is not brought to the workspace, and what to do."""
        path = str(PurePosixPath(path))
        if pattern := _last_match(self.exclude, path):
            return f"{path} is not brought to the workspace: sync.exclude has {pattern!r}"
        if _last_match(self.include, path):
            return None
        if not any(PurePosixPath(path).is_relative_to(start) for start in self.paths):
            return f"{path} is not brought to the workspace: it is not under sync.paths. Add it there"
        if rule := self.ignored_by(path):
            return f"{path} is not brought to the workspace: git ignores it by {rule}. Add it to sync.include"
        return None


def _last_match(patterns: Sequence[str], path: str) -> str | None:
    """The pattern that a path comes under, as in a .gitignore file: the last one counts, and ! takes back."""
    last = None
    for pattern in patterns:
        if _expression(pattern.removeprefix("!")).fullmatch(path):
            last = None if pattern.startswith("!") else pattern
    return last


def _expression(pattern: str) -> re.Pattern[str]:
    plain = str(PurePosixPath(pattern)).removeprefix("/")
    start = "" if _ROOTED.search(plain) else "(?:.*/)?"
    try:
        return re.compile(start + "".join(map(_part, _PARTS.findall(plain))) + "(?:/.*)?")
    except re.error:
        return re.compile(re.escape(plain))


def _part(part: str) -> str:
    if part.startswith("[") and len(part) > 2:
        return part.replace("[!", "[^", 1)
    return _ANY.get(part) or ("[^/]*" if part.startswith("*") else re.escape(part))
