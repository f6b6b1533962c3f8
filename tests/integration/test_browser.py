"""Dagster's UI in a browser: the graph, a range of scenes materialized by clicking, and the picture of one.

Where ``CONVML_SCREENSHOTS`` names a folder, what a user sees on the way is kept there for the documentation.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium_page
from dagster_server import Server, dagster_dev, wait_until
from datasets import scene_ids, small_archive_fixture, small_meta, write_meta  # noqa: F401
from PIL import Image

pytestmark = pytest.mark.browser

NAME = "tropics"
SCENES = scene_ids(4)
#: The range that is materialized, which leaves the last scene out.
RANGE = SCENES[:3]


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, small_archive: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The UI of a dataset of which nothing is made but the scene IDs."""
    monkeypatch.delenv("CONVML_GOES_ARCHIVE", raising=False)
    dataset = write_meta(tmp_path / NAME, small_meta(small_archive, scans=len(SCENES)))
    with dagster_dev(tmp_path / "home", [dataset]) as server:
        run = server.materialize([NAME, "scene_ids"])
        wait_until(lambda: server.run_status(run) == "SUCCESS", 60, "scene_ids is materialized")
        yield server


@pytest.fixture(name="page")
def page_fixture() -> Iterator[Any]:
    with chromium_page() as page:
        yield page


def keep(page: Any, name: str) -> None:
    """Keep what is to be seen, where that is asked for."""
    folder = os.environ.get("CONVML_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(4000)  # until everything is loaded and has faded in
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.convert("RGB").quantize(64).save(Path(folder) / f"{name}.png", optimize=True)


def seen(page: Any, text: str) -> Any:
    """Where a text is to be seen; the UI also has it where it measures its width."""
    return page.get_by_text(text, exact=True).filter(visible=True)


def test_a_range_is_materialized_by_clicking(server: Server, page: Any) -> None:
    page.goto(f"{server.url}/asset-groups")
    seen(page, f"{NAME}_scenes").nth(1).click()  # the first is in the list beside the graph
    for asset in ("scene_ids", "cropped", "regridded"):
        page.get_by_text(asset, exact=True).first.wait_for(state="attached")
    for _ in range(4):
        page.get_by_label("zoom_out").click()
    keep(page, "ui_graph")

    page.goto(f"{server.url}/assets/{NAME}/regridded?view=partitions")
    page.get_by_text("Missing (4)").wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Confirm").click()  # that cropped scenes are not there yet
    page.get_by_text("Select a partition or create one").click()
    for scene_id in RANGE:
        page.get_by_role("menuitem").filter(has_text=scene_id).click()
    keep(page, "ui_range")
    page.keyboard.press("Escape")
    page.get_by_text("3 partitions").first.wait_for()
    page.get_by_role("button", name="Launch").click()

    # The daemon looks for new backfills twice a minute.
    page.get_by_text("Materialized (3)").wait_for(timeout=120_000)
    page.get_by_text("Missing (1)").wait_for()
    assert server.partitions([NAME, "regridded"])["materialized"] == set(RANGE)

    seen(page, RANGE[1]).first.click()
    for name in ("scene_time", "satellite", "bytes_read", "valid_share", "seconds", "path"):
        seen(page, name).wait_for()
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[src^='data:image/png;base64,']").first
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 50
    keep(page, "ui_picture")
