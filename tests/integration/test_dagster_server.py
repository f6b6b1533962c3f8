"""The UI's own way: webserver, daemon and code server as `make ui` starts them, asked through GraphQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster_fixtures import (
    SCENE_IDS,
    STAGES,
    copied,
    files_of,
    granule,
    simulated_archive_fixture,  # noqa: F401
    write_dataset,
)
from dagster_server import Server, dagster_dev, wait_until

BROKEN = SCENE_IDS[7]


@pytest.fixture(scope="module")
def folder(simulated_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, a broken one and an archive."""
    folder = tmp_path_factory.mktemp("ui")
    archive = copied(simulated_archive, folder / "archive")
    write_dataset(folder / "tropics", archive, run={"max_scenes": 8})
    write_dataset(folder / "short", archive, scenes=3)
    write_dataset(folder / "unfinished", archive, sampling={"resolution": "fine"})
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with dagster_dev(folder / ".dagster", [folder]) as server:
        yield server


@pytest.mark.waits
def test_backfills_from_the_first_scene_to_failed_and_missing(folder: Path, server: Server) -> None:
    unpartitioned = [("tropics", "scene_ids"), ("tropics", "tile_plan")]
    run_id = server.materialize(*unpartitioned)
    wait_until(lambda: server.run_status(run_id) in ("SUCCESS", "FAILURE"), 120, "scene IDs and tile plan")
    assert server.run_status(run_id) == "SUCCESS"
    assets = [("tropics", stage) for stage in STAGES]
    for asset in assets:
        assert server.partitions(asset)["unmaterialized"] == set(SCENE_IDS)

    broken = granule(folder / "archive", BROKEN, 2)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:4096])
    first = server.backfill(assets, SCENE_IDS)

    # The daemon looks for backfills every 30 s. Meanwhile the command line works on another dataset.
    _the_ui_shows_what_the_command_line_did(folder, server)

    def settled() -> bool:
        return all(
            server.partitions(asset)["materialized"] | server.partitions(asset)["failed"] == set(SCENE_IDS)
            for asset in assets
        )

    wait_until(settled, 180, "all scenes are materialized or failed in all assets")
    for asset in assets:
        assert server.partitions(asset)["failed"] == {BROKEN}

    start, end = (f"dagster/asset_partition_range_{which}" for which in ("start", "end"))
    ranges = {(tags[start], tags[end]) for tags in server.runs_of_backfill(first)}
    assert ranges == {(SCENE_IDS[0], SCENE_IDS[7]), (SCENE_IDS[8], SCENE_IDS[15]), (SCENE_IDS[16], SCENE_IDS[19])}

    broken.write_bytes(whole)
    before = files_of(folder / "tropics")
    found = server.partitions(assets[0])
    again = server.backfill(assets, sorted(found["failed"] | found["unmaterialized"]))
    wait_until(
        lambda: all(server.partitions(asset)["materialized"] == set(SCENE_IDS) for asset in assets),
        180,
        "the mended scene is materialized in all assets",
    )
    for asset in assets:
        assert server.partition_counts(asset) == {
            "numMaterialized": len(SCENE_IDS),
            "numFailed": 0,
            "numMaterializing": 0,
            "numPartitions": len(SCENE_IDS),
        }
    (tags,) = server.runs_of_backfill(again)
    assert {tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]} == {BROKEN}
    after = files_of(folder / "tropics")
    assert {name: after[name.replace(".incomplete/", "")] for name in before} == before

    assert server.checks(("tropics", "cropped")) == {"as_specified": "SUCCEEDED", "not_frozen": "SUCCEEDED"}
    # Scenes every ten minutes are shared out one by one.
    assert server.checks(("tropics", "tile_plan")) == {"collections_apart": "FAILED"}
    assert [server.stale_status(asset) for asset in unpartitioned] == ["FRESH", "FRESH"]
    for asset in assets:
        in_sync = [server.stale_status(asset, scene_id) for scene_id in (SCENE_IDS[0], BROKEN)]
        assert in_sync == ["FRESH", "FRESH"]
        metadata = server.metadata(asset, SCENE_IDS[1])
        assert metadata["scene_time"].startswith("2020-02-02T14:10:20")
        assert metadata["satellite"] == "goes16"
    assert server.metadata(assets[0], SCENE_IDS[1])["picture"].startswith(f"![{SCENE_IDS[1]}](data:image/png;base64,")


def _the_ui_shows_what_the_command_line_did(folder: Path, server: Server) -> None:
    # `--data-path` and DAGSTER_HOME (here by its default, beside the datasets) are all they share.
    command = [sys.executable, "-m", "convml_data_dagster.cli", "regrid", "--data-path", str(folder / "short")]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    for stage in ("cropped", "regridded"):
        assert server.partitions(("short", stage))["materialized"] == set(SCENE_IDS[:3])
    assert server.partitions(("short", "triplet_tiles"))["unmaterialized"] == set(SCENE_IDS[:3])
    assert server.metadata(("short", "regridded"), SCENE_IDS[2])["valid_share"] == pytest.approx(1.0)


def test_what_is_wrong_with_a_dataset_is_shown(folder: Path, server: Server) -> None:
    data = server.query("{ assetNodes { assetKey { path } groupName description } }")
    (shown,) = [node for node in data["assetNodes"] if node["groupName"] == "unreadable"]
    assert str(folder / "unfinished" / "meta.yaml") in shown["description"]
    assert "'fine'" in shown["description"]
