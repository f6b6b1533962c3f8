"""A window of the machine's own Chromium, for tests of what a user sees."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium_page() -> Iterator[Any]:
    """An empty page; the test is skipped where Playwright or Chromium is not there."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed; `pip install 'convml-data[browser]'`"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine; `apt-get install chromium`")
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox does not start for root, as whom containers run.
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        page.set_default_timeout(30_000)
        yield page
        browser.close()
