"""Learning, before anything is paid, which ways to call `ai_query` the SQL side takes and of what type the call is."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from rowcall.core.ai_query.form import Form
from rowcall.core.ai_query.statements import probe
from rowcall.core.errors import SqlError
from rowcall.core.records import Column
from rowcall.core.sql import SqlTexts

_UNTOLD = re.compile(r"PARSE_SYNTAX_ERROR|\bdescribe\b|DescribeQuery|not (yet )?implemented", re.IGNORECASE)
"""An engine that cannot describe a query has not refused the call: a call of a few rows then tells."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A form that was not refused, with the type the call was said to have, None where only a call can tell."""

    form: Form
    returns: str | None


@dataclass(frozen=True, slots=True)
class Probes:
    """What was found out: the forms to use, or why there is none."""

    found: tuple[Probed, ...] = ()
    refusal: str = ""


def probe_forms(
    forms: list[Form], endpoint: str, texts: SqlTexts, columns: Callable[[str], tuple[Column, ...]], *, files: bool
) -> Probes:
    """Try the forms in turn; `columns` says what a query would return and runs nothing."""
    found: list[Probed] = []
    refusals: list[str] = []
    for form in forms:
        try:
            found.append(Probed(form, columns(probe(texts, endpoint, form, files=files))[0].type))
        except SqlError as error:
            if _UNTOLD.search(error.reason):
                found.append(Probed(form, None))
            else:
                refusals.append(error.reason)
    return Probes(tuple(found), "" if found else next(iter(refusals), ""))
