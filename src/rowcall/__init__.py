"""rowcall: put prompts in a table and get every answer back, once.

    import rowcall

    run = rowcall.run("jobs/text_insight.yml")
    planned = rowcall.plan("jobs/text_insight.yml")
    answered = rowcall.ask(frame, "Summarise: {body}", "serving:my-agent")

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowcall.ad_hoc import ask
    from rowcall.adapters.notebook import widgets
    from rowcall.api import load_job, plan, run
    from rowcall.core.definition import JobDefinition as Job
    from rowcall.core.errors import DefinitionError, RowcallError, RunError, SetupError
    from rowcall.history import compare, costs, failures, last_run, report, runs, trace
    from rowcall.housekeeping import vacuum
    from rowcall.wiring import Options

__version__ = "0.1.0"

__all__ = [
    "DefinitionError",
    "Job",
    "Options",
    "RowcallError",
    "RunError",
    "SetupError",
    "__version__",
    "ask",
    "compare",
    "costs",
    "failures",
    "last_run",
    "load_job",
    "plan",
    "report",
    "run",
    "runs",
    "trace",
    "vacuum",
    "widgets",
]

_HOMES = {
    "ask": ("rowcall.ad_hoc", "ask"),
    **{
        name: ("rowcall.history", name)
        for name in ("compare", "costs", "failures", "last_run", "report", "runs", "trace")
    },
    "vacuum": ("rowcall.housekeeping", "vacuum"),
    "widgets": ("rowcall.adapters.notebook", "widgets"),
    "load_job": ("rowcall.api", "load_job"),
    "plan": ("rowcall.api", "plan"),
    "run": ("rowcall.api", "run"),
    "Job": ("rowcall.core.definition", "JobDefinition"),
    "Options": ("rowcall.wiring", "Options"),
    "DefinitionError": ("rowcall.core.errors", "DefinitionError"),
    "RowcallError": ("rowcall.core.errors", "RowcallError"),
    "RunError": ("rowcall.core.errors", "RunError"),
    "SetupError": ("rowcall.core.errors", "SetupError"),
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rowcall' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
