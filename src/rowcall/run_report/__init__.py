"""The report of a run as one HTML page that needs nothing else: `reading` asks the tables, `charts` draws, `page` puts it together.

What is shown is decided in `core.run_report`.
"""

from rowcall.run_report.page import check_libraries, default_place, render
from rowcall.run_report.reading import read_page

__all__ = ["check_libraries", "default_place", "read_page", "render"]
