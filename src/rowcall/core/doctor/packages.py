"""Whether the packages that a job needs are there, and new enough."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rowcall.core.doctor.checks import Found, missing, ok

_REQUIREMENT = re.compile(
    r"""(?P<name>[\w.-]+)(?:\[[^\]]*\])?(?P<bounds>[^;]*)(?:;.*extra == ['"](?P<extra>[\w-]+)['"])?"""
)
_AT_LEAST = re.compile(r">=\s*([\d.]+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package and its oldest version that will do; `extra` is empty for what rowcall always needs."""

    name: str
    least: str
    extra: str


def read_requirements(lines: Sequence[str]) -> list[Requirement]:
    """The requirements of a distribution, as its metadata has them."""
    return list(_read(lines))


def packages_found(
    requirements: Sequence[Requirement], installed: Mapping[str, str | None], extras: Sequence[str], about: str
) -> Found:
    """`installed` has the version of each package, None where it is not there; `extras` are those that are needed; `about` are the
    versions of rowcall and Python."""
    needed = [one for one in requirements if one.extra in ("", *extras)]
    lacking = [one for one in needed if not _will_do(one, installed.get(one.name))]
    if not lacking:
        return ok(about)
    said = ", ".join(f"{one.name} >= {one.least} ({installed.get(one.name) or 'not installed'})" for one in lacking)
    wanted = ",".join(sorted({one.extra for one in lacking if one.extra}))
    return missing(f"{about}; needed: {said}", f"pip install --upgrade 'rowcall{f'[{wanted}]' if wanted else ''}'")


def _read(lines: Sequence[str]) -> Iterator[Requirement]:
    for line in lines:
        if found := _REQUIREMENT.match(line):
            least = _AT_LEAST.search(found["bounds"])
            yield Requirement(found["name"].lower(), least[1] if least else "0", found["extra"] or "")


def _will_do(wanted: Requirement, version: str | None) -> bool:
    return version is not None and _numbers(version) >= _numbers(wanted.least)


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version: 4.2 and 4.2.0 are the same."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    return (*numbers, *[0] * (4 - len(numbers)))
