"""The notebook that this process is the kernel of, if it is: Jupyter's, Databricks', an editor's. All have IPython's display."""

import os
import sys
from typing import Any


def in_notebook() -> bool:
    """Whether there is somebody to show HTML to. A terminal's IPython has no kernel."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def widgets(**defaults: str) -> dict[str, str]:
    """The parameters of a notebook by name: on Databricks text widgets, which a job's parameters fill; elsewhere the environment's
    `ROWCALL_<NAME>`, else the defaults."""
    shown = _dbutils()
    if shown is None:
        return {name: os.environ.get(f"ROWCALL_{name.upper()}", default) for name, default in defaults.items()}
    for name, default in defaults.items():
        shown.widgets.text(name, default)
    return {name: str(shown.widgets.get(name)) for name in defaults}


def _dbutils() -> Any:
    """Databricks' utilities, which it puts among the names of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "user_ns", {}).get("dbutils")


class Output:
    """A piece of HTML below the cell that runs; what is shown next takes its place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, html: str) -> None:
        display: Any = sys.modules["IPython"].display
        if self._handle is None:
            self._handle = display.display(display.HTML(html), display_id=True)
        else:
            self._handle.update(display.HTML(html))
