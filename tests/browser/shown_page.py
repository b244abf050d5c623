"""A page as Chromium shows it."""

from dataclasses import dataclass, field

from playwright.sync_api import Page


@dataclass
class Shown:
    """A page that Chromium shows, with all it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list[str])
    requested: list[str] = field(default_factory=list[str])
