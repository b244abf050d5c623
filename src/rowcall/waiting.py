"""Waiting until an endpoint that starts or is updated can answer. It comes before the plan: an app that does not run yet cannot say
how it is asked."""

import time

from rowcall.core.definition import JobDefinition
from rowcall.core.errors import RunError
from rowcall.core.ports import Reporter
from rowcall.facts import readiness
from rowcall.wiring import Surroundings

LOOK_SECONDS = 2.0
"""Between looks at an endpoint that is not ready."""


def wait_until_ready(definition: JobDefinition, here: Surroundings, reporter: Reporter) -> None:
    """Look at the endpoint until it can answer, or will not. Raises `RunError` where that takes longer than the job allows."""
    limits, began = definition.limits, time.monotonic()
    patience, limit = limits.warm_up, "limits.warm_up"
    if limits.deadline is not None and limits.deadline < patience:
        patience, limit = limits.deadline, "limits.deadline"
    while why := readiness(definition, here).waiting:
        waited = time.monotonic() - began
        if waited > patience:
            raise RunError(
                f"{definition.endpoint} was not ready within {limit} ({patience:g} s): {why}. Nothing was asked."
            )
        reporter.step(f"waiting for {definition.endpoint}: {why} ({waited:.0f} s)")
        time.sleep(LOOK_SECONDS)
