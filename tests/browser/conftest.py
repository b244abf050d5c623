"""Pages in headless Chromium. `make test-browser` runs these tests; without Chromium they are skipped, on CI they fail."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Request, sync_playwright
from shown_page import Shown

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("Chromium not found: make test-browser installs it on Debian, apt-get install chromium elsewhere")
    # As root, in a container, Chromium's own sandbox cannot be set up.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Shown]]:
    """Show a file. Options are those of a browser context: `viewport`, `color_scheme`."""
    contexts: list[Any] = []

    def shown(path: Path, *, width: int = 1200, **options: Any) -> Shown:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        opened = Shown(context.new_page())

        def console(message: ConsoleMessage) -> None:
            opened.said.append(message.text)

        def request(sent: Request) -> None:
            opened.requested.append(sent.url)

        opened.page.on("console", console)
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", request)
        opened.page.goto(path.absolute().as_uri())
        return opened

    yield shown
    for context in contexts:
        context.close()
