"""The notebook that this process is the kernel of, if it is: Jupyter's, Databricks', an editor's. All have IPython's display."""

import sys
from typing import Any


def in_notebook() -> bool:
    """Whether there is somebody to show HTML to. A terminal's IPython has no kernel."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


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
