"""100,000 scenes in the UI, and what Dagster adds to the work on 2,000 of them: `make test-scale`.

The numbers are those of docs/operations.md.
"""

from __future__ import annotations

import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from browser import chromium_page
from dagster_server import Server, dagster_dev
from many_scenes import write_dataset

from convml_data.meta.dataset import load_dataset
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.instance import open_instance

pytestmark = pytest.mark.scale

NAME = "scenes"
COMMAND = Path(sys.executable).with_name("convml-data")

SCENES_IN_THE_UI = 100_000
SCENES_IN_JANUARY = 31 * 144
#: Of them so many are done.
DONE = 50_000
#: What a page of the UI may take, seconds.
PAGE_S = 5.0

SCENES_TO_MAKE = 2_000
STAGES = 2
#: What Dagster may add to the work on a scene for each asset, seconds of CPU.
OVERHEAD_S = 0.025

#: The work on all scenes, as runs do it, and nothing else.
WORK = """
import sys
from pathlib import Path
from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.discovery import make_ledger
from convml_data.pipeline.run import run_scenes
from convml_data.pipeline.workers import Workers
from convml_data.store.dataset import DatasetStore

store = DatasetStore.of(load_dataset(Path(sys.argv[1])))
ids = make_ledger(store).scene_ids
store, size = DatasetStore.of(store.dataset), store.dataset.meta.run.max_scenes
for first in range(0, len(ids), size):
    for outcome in run_scenes(store, ids[first : first + size], frozenset({"cropped", "regridded"}), Workers(1)):
        assert outcome.error is None, outcome.error
"""


def say(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.3g} s")  # noqa: T201  # what the target is for


@contextmanager
def timed(what: str, limit: float | None = None) -> Iterator[None]:
    """Say how long something takes; AssertionError where that is longer than it may."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    say(what, seconds)
    assert limit is None or seconds < limit, what


def cpu_of(*command: Any) -> float:
    """CPU that a command takes with all that it starts, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_what_dagster_adds_to_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = write_dataset(tmp_path / "alone" / NAME, SCENES_TO_MAKE)
    backfilled = Path(shutil.copytree(alone, tmp_path / "backfilled" / NAME))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    work = cpu_of(sys.executable, "-c", WORK, alone)
    backfill = cpu_of(COMMAND, "backfill", "--data-path", backfilled, "--workers", 1)
    for folder in (alone, backfilled):
        assert len(list((folder / "rect").glob("*.nc"))) == SCENES_TO_MAKE
    say(f"work on {SCENES_TO_MAKE} scenes", work)
    say("the same as a backfill", backfill)
    overhead = (backfill - work) / SCENES_TO_MAKE / STAGES
    say("overhead for each scene and asset", overhead)
    assert overhead < OVERHEAD_S


def test_the_ui_of_very_many_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, home = write_dataset(tmp_path / NAME, SCENES_IN_THE_UI, side=2), tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with timed("convml-data scene-ids"):
        subprocess.run([COMMAND, "scene-ids", "--data-path", folder], check=True, stdout=subprocess.DEVNULL)
    scene_ids = DatasetStore.of(load_dataset(folder)).read_ledger().scene_ids
    assert len(scene_ids) == SCENES_IN_THE_UI
    for stage in ("cropped", "regridded"):
        record_as_done(home, stage, scene_ids[:DONE])

    started = time.perf_counter()
    with dagster_dev(home, [folder]) as server:
        say("start of server, daemon and code location", time.perf_counter() - started)
        assert server.partition_counts([NAME, "regridded"]) == {
            "numPartitions": SCENES_IN_THE_UI,
            "numMaterialized": DONE,
            "numFailed": 0,
            "numMaterializing": 0,
        }
        look_at_pages(server, scene_ids[-1])
        with timed("launching a backfill of the scenes that are missing", PAGE_S):
            server.backfill([[NAME, "regridded"]], scene_ids[DONE:])


def look_at_pages(server: Server, last: str) -> None:
    with chromium_page() as page:
        page.goto(server.url)  # what all pages load is loaded once
        page.get_by_text("Lineage").first.wait_for()
        with timed("graph page", PAGE_S):
            page.goto(f"{server.url}/asset-groups")
            page.get_by_text(f"{NAME}_scenes").first.wait_for()
        with timed("partitions tab", PAGE_S):
            page.goto(f"{server.url}/assets/{NAME}/regridded?view=partitions")
            page.get_by_text(re.compile(rf"Materialized \({DONE // 1000}\D?000\)")).wait_for()
        with timed("dialog that selects partitions", PAGE_S):
            page.get_by_role("button", name="Materialize").first.click()
            page.get_by_text("Select a partition or create one").click()
        # The buttons for all and for the missing ones freeze the browser for minutes with so many.
        with timed("selecting the scenes of a month", PAGE_S):
            page.get_by_placeholder("Filter partitions").fill("LES__202001")
            page.get_by_text(f"Select all ({SCENES_IN_JANUARY})").click()
            page.get_by_text(f"{SCENES_IN_JANUARY} partitions").first.wait_for()
        with timed("one scene's page", PAGE_S):
            page.goto(f"{server.url}/assets/{NAME}/regridded?view=partitions&partition={last}")
            page.get_by_text("Latest materialization").first.wait_for()


def record_as_done(home: Path, stage: str, scene_ids: tuple[str, ...]) -> None:
    """Note a stage as made of scenes: one event by Dagster, and copies of it, which alone would take minutes."""
    with open_instance(home) as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization([NAME, stage], partition=scene_ids[0], metadata={"valid_share": 1.0})
        )
    with closing(sqlite3.connect(home / "history/runs/index.db")) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(event_logs)") if row[1] != "id"]
        (row,) = database.execute(
            f"SELECT {', '.join(columns)} FROM event_logs WHERE partition = ? AND asset_key = ?",
            (scene_ids[0], f'["{NAME}", "{stage}"]'),
        ).fetchall()
        database.executemany(
            f"INSERT INTO event_logs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            (
                [value.replace(scene_ids[0], scene_id) if isinstance(value, str) else value for value in row]
                for scene_id in scene_ids[1:]
            ),
        )
