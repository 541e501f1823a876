"""Its folder is on the path of every room's tests, which share `recorded_run`; and a real Chromium, with pages opened in it whose
consoles stay clean.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = "no Chromium on the path: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page; at the end nothing was wrong on any console, and nothing was asked of anybody else."""
    wrong: list[str] = []
    pages: list[Page] = []

    def open_page(
        address: str | Path, width: int = 1600, scheme: Any = "light", ready: str = "html[data-ready]"
    ) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        home = url.partition("#")[0].rpartition("/")[0]
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on("dialog", lambda d: wrong.append(f"dialog {d.message}"))
        page.on("request", lambda r: None if r.url.startswith((home, "data:", "blob:")) else wrong.append(r.url))
        pages.append(page)
        page.goto(url, timeout=120_000)  # a machine that tests share with other work may take a minute over it
        expect(page.locator(ready).first).to_be_attached(timeout=20_000)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not wrong
