"""Which files the Databricks CLI brings to the workspace; patterns are those of .gitignore files."""

import pytest

from rowcall.core.bundle.folder import Folder


def folder(ignored: str = "", **sync: tuple[str, ...]) -> Folder:
    return Folder(
        lambda pattern: [pattern], lambda _: None, lambda path: f"rule {ignored}" if path == ignored else None, **sync
    )


@pytest.mark.parametrize(
    ("pattern", "path", "excluded"),
    [
        ("jobs", "jobs/a.yml", True),
        ("jobs/", "jobs/a.yml", True),
        ("./jobs/*.yml", "jobs/a.yml", True),
        ("jobs/**", "jobs/deep/a.yml", True),
        ("*.yml", "jobs/deep/a.yml", True),
        ("**/a.yml", "a.yml", True),
        ("jobs/**/a.yml", "jobs/a.yml", True),
        ("a", "jobs/a", True),
        ("jobs/[ab].yml", "jobs/b.yml", True),
        ("jobs/[!ab].yml", "jobs/c.yml", True),
        ("jobs/?.yml", "jobs/b.yml", True),
        ("job", "jobs/a.yml", False),
        ("jobs/[!ab].yml", "jobs/b.yml", False),
        ("jobs/[z-a]", "jobs/b", False),
        ("jobs/[", "jobs/b", False),
        ("jobs/*.yml", "jobs/deep/a.yml", False),
        ("jobs/*.yml", "old/jobs/a.yml", False),
        ("a.yml", "jobs/ba.yml", False),
        ("a.yml", "jobs/axyml", False),
    ],
)
def test_a_pattern(pattern: str, path: str, excluded: bool) -> None:
    said = folder(exclude=(pattern,)).kept_back(path)
    assert said == (f"{path} is not brought to the workspace: sync.exclude has {pattern!r}" if excluded else None)


def test_the_last_pattern_counts() -> None:
    assert folder(exclude=("*.yml", "!keep.yml")).kept_back("jobs/keep.yml") is None
    assert folder(exclude=("!keep.yml", "*.yml")).kept_back("jobs/keep.yml")


def test_what_git_ignores_stays_unless_it_is_included() -> None:
    assert "git ignores it by rule jobs/a.yml" in str(folder("jobs/a.yml").kept_back("./jobs/a.yml"))
    assert folder("jobs/a.yml", include=("jobs/*.yml",)).kept_back("jobs/a.yml") is None
    assert folder("jobs/a.yml", include=("jobs/*.yml",), exclude=("a.yml",)).kept_back("jobs/a.yml")


def test_only_what_is_under_its_paths_is_brought_or_what_is_included() -> None:
    assert folder(paths=("jobs", "./sql/")).kept_back("sql/a.sql") is None
    assert "not under sync.paths" in str(folder(paths=("jobs",)).kept_back("sql/a.sql"))
    assert folder(paths=(), include=("*.sql",)).kept_back("sql/a.sql") is None
