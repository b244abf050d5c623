"""Parameters of a notebook: Databricks' widgets where there are any, else the environment."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rowcall.adapters.notebook import widgets


class Widgets:
    """Text widgets as Databricks has them: one that is there keeps its value, and a value is what a job gives or the default."""

    def __init__(self, **given: str) -> None:
        self.values = given

    def text(self, name: str, default: str) -> None:
        self.values.setdefault(name, default)

    def get(self, name: str) -> str:
        return self.values[name]


@pytest.fixture
def shell() -> Iterator[Any]:
    """The IPython of a notebook."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_on_databricks_widgets_are_made_and_a_jobs_parameters_fill_them(shell: Any) -> None:
    made = Widgets(table="main.sales.reviews", other="x")
    shell.user_ns["dbutils"] = SimpleNamespace(widgets=made)
    assert widgets(table="", key="id") == {"table": "main.sales.reviews", "key": "id"}
    assert made.values == {"table": "main.sales.reviews", "key": "id", "other": "x"}


def test_elsewhere_the_environment_fills_them(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWCALL_TABLE", "main.sales.reviews")
    assert widgets(table="", key="id") == {"table": "main.sales.reviews", "key": "id"}
