"""Runs over a range of scenes: one broken scene, mending it, and what is recorded of the others."""

from __future__ import annotations

import base64
import io
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster_fixtures import (
    N_SCENES,
    SCENE_IDS,
    STAGES,
    copied,
    failures,
    files_of,
    granule,
    instance_fixture,  # noqa: F401
    materializations,
    run,
    simulated_archive_fixture,  # noqa: F401
    statuses,
    write_dataset,
)
from PIL import Image

from convml_data.meta.dataset import load_dataset
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.definitions import build_definitions

BROKEN = SCENE_IDS[7]
DATASET = "tropics"


def truncated(content: bytes) -> bytes:
    """An upload that broke off."""
    return content[:4096]


def garbage(content: bytes) -> bytes:
    """As long as the real one, and nothing of it is right."""
    return random.Random(0).randbytes(len(content))


def garbled_data(content: bytes) -> bytes:
    """A file that opens, with one byte in every 2000 of its second half wrong."""
    damaged = bytearray(content)
    for position in range(len(content) // 2, len(content), 2000):
        damaged[position] ^= 0xFF
    return bytes(damaged)


@pytest.mark.slow
def test_one_broken_scene_of_twenty_is_named_and_mended_alone(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    dataset = write_dataset(tmp_path / DATASET, archive, dask=None)
    definitions = build_definitions([dataset])
    assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset=DATASET).success
    assert list(instance.get_dynamic_partitions(f"{DATASET}_scenes")) == SCENE_IDS

    broken = granule(archive, BROKEN, 2)
    whole = broken.read_bytes()
    broken.write_bytes(truncated(whole))
    result = run(definitions, instance, STAGES, SCENE_IDS, dataset=DATASET)

    assert not result.success
    (summary,) = failures(result)
    assert summary.startswith(f"1 of {N_SCENES} scenes failed; the others are done.\n{BROKEN} – cropped: ")
    assert broken.name in summary
    assert "4096" in summary
    assert re.findall(r"goes16__\d{12}", summary) == [BROKEN]
    others = set(SCENE_IDS) - {BROKEN}
    for stage in STAGES:
        assert instance.get_materialized_partitions(dg.AssetKey([DATASET, stage])) == others
        assert statuses(instance, DATASET, stage) == dict.fromkeys(others, "MATERIALIZED") | {BROKEN: "FAILED"}
    assert not [name for name in files_of(dataset) if BROKEN in name]

    broken.write_bytes(whole)
    before = files_of(dataset)
    result = run(definitions, instance, STAGES, [BROKEN], dataset=DATASET)

    assert result.success, failures(result)
    assert [(m.asset_key.path[-1], m.partition) for m in materializations(result)] == [(s, BROKEN) for s in STAGES]
    for stage in STAGES:
        assert statuses(instance, DATASET, stage) == dict.fromkeys(SCENE_IDS, "MATERIALIZED")
    after = files_of(dataset)
    # Tiles that waited for this scene's are shown now; a move keeps the time of writing.
    assert {name.replace(".incomplete/", ""): time for name, time in before.items()}.items() <= after.items()
    made = set(after) - {name.replace(".incomplete/", "") for name in before}
    assert {name for name in made if not name.startswith("triplets/")} == {
        f"{folder}/{BROKEN}.{suffix}"
        for folder in ("source_data/goes16/truecolor_rgb/cropped", "rect")
        for suffix in ("nc", "png")
    }
    assert not list((dataset / "triplets" / ".incomplete").rglob("*.*"))
    for collection, triplets in {"train": 8, "study": 2}.items():
        shown = sorted(path.name for path in (dataset / "triplets" / collection).iterdir())
        assert shown == sorted(
            f"{number:05d}_{kind}.{suffix}"
            for number in range(triplets)
            for kind in ("anchor", "neighbor", "distant")
            for suffix in ("nc", "png", "yml")
        )


@pytest.mark.parametrize("damage", [truncated, garbage, garbled_data])
def test_whatever_is_wrong_with_a_file_fails_its_scene_only(
    damage: Callable[[bytes], bytes], tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    definitions = build_definitions([write_dataset(tmp_path / DATASET, archive, scenes=3)])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    scene_ids = SCENE_IDS[:3]
    broken = granule(archive, scene_ids[1], 1)
    whole = broken.read_bytes()
    broken.write_bytes(damage(whole))

    result = run(definitions, instance, ["cropped", "regridded"], scene_ids, dataset=DATASET)

    (summary,) = failures(result)
    assert f"\n{scene_ids[1]} – cropped: " in summary
    assert broken.name in summary
    assert "Traceback" not in summary
    expected = dict(zip(scene_ids, ["MATERIALIZED", "FAILED", "MATERIALIZED"], strict=True))
    assert statuses(instance, DATASET, "cropped") == expected
    assert statuses(instance, DATASET, "regridded") == expected

    broken.write_bytes(whole)
    assert run(definitions, instance, ["cropped", "regridded"], [scene_ids[1]], dataset=DATASET).success
    assert set(statuses(instance, DATASET, "regridded").values()) == {"MATERIALIZED"}


def test_a_file_that_was_incomplete_when_it_was_listed_can_be_mended(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    definitions = build_definitions([write_dataset(tmp_path / DATASET, archive, scenes=3)])
    broken = granule(archive, SCENE_IDS[1], 2)
    whole = broken.read_bytes()
    broken.write_bytes(truncated(whole))
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    assert not run(definitions, instance, ["cropped"], SCENE_IDS[:3], dataset=DATASET).success

    broken.write_bytes(whole)
    result = run(definitions, instance, ["cropped"], [SCENE_IDS[1]], dataset=DATASET)

    assert result.success, failures(result)


@pytest.mark.slow
def test_each_stage_and_scene_logs_one_materialization_with_its_own_metadata(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    scene_ids = SCENE_IDS[:6]
    dataset = write_dataset(tmp_path / DATASET, simulated_archive, scenes=6)
    definitions = build_definitions([dataset])
    assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset=DATASET).success
    result = run(definitions, instance, STAGES, scene_ids, dataset=DATASET)
    assert result.success, failures(result)

    logged = materializations(result)
    once = Counter({(stage, scene_id): 1 for stage in STAGES for scene_id in scene_ids})
    assert Counter((event.asset_key.path[-1], event.partition) for event in logged) == once
    for event in logged:
        stage, scene_id = event.asset_key.path[-1], event.partition
        metadata = {name: value.value for name, value in event.metadata.items()}
        assert f"{SCENE_IDS.index(scene_id) * 10 // 60 + 14:02d}:" in metadata["scene_time"]
        assert metadata["scene_time"].startswith("2020-02-02T")
        assert metadata["satellite"] == "goes16"
        if stage == "triplet_tiles":
            assert metadata["tiles"] == len(metadata["names"].split(", ") if metadata["names"] else [])
            assert Path(metadata["path"]) == dataset / "triplets"
            if not metadata["tiles"]:
                continue
        else:
            assert metadata["bytes_read"] > 1e5
            assert Path(metadata["path"]).is_file()
            assert Path(metadata["path"]).stem == scene_id
            assert metadata["valid_share"] == pytest.approx(1.0)
        assert 0 < metadata["seconds"] < 60
        assert metadata["kept"] is False
        _check_picture(metadata["picture"], scene_id)

    before = files_of(dataset)
    again = run(definitions, instance, STAGES, scene_ids, dataset=DATASET)
    assert again.success
    logged_again = materializations(again)
    assert Counter((event.asset_key.path[-1], event.partition) for event in logged_again) == once
    assert all(event.metadata["kept"].value is True for event in logged_again)
    assert files_of(dataset) == before

    def lasting(event: dg.AssetMaterialization) -> dict[str, object]:
        of_the_run = ("kept", "seconds", "requests", "bytes_fetched")
        return {k: v.value for k, v in event.metadata.items() if k not in of_the_run}

    first = {(event.asset_key, event.partition): lasting(event) for event in logged}
    assert {(event.asset_key, event.partition): lasting(event) for event in logged_again} == first


def test_scenes_that_give_no_tile_do_not_fail_with_a_broken_one(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    one_triplet = {"resolution": 2000.0, "triplets": {"N_triplets": {"train": 1}, "tile_N": 16}}
    dataset = write_dataset(tmp_path / DATASET, archive, scenes=5, sampling=one_triplet)
    definitions = build_definitions([dataset])
    assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset=DATASET).success
    plan = DatasetStore.of(load_dataset(dataset)).read_tile_plan()
    with_tiles = sorted({tile.scene_id for tile in plan.tiles})
    assert len(with_tiles) == 2
    granule(archive, with_tiles[0], 1).write_bytes(b"")

    # As `convml-data tiles` does: no scene is cropped but those that tiles are cut from.
    result = run(definitions, instance, ["triplet_tiles"], SCENE_IDS[:5], dataset=DATASET)

    assert not result.success
    found = statuses(instance, DATASET, "triplet_tiles")
    assert [scene_id for scene_id, status in found.items() if status == "FAILED"] == [with_tiles[0]]
    cropped = statuses(instance, DATASET, "cropped")
    assert [scene_id for scene_id, status in cropped.items() if status == "MATERIALIZED"] == [with_tiles[1]]


def test_tiles_tell_how_much_of_them_is_valid(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    dataset = write_dataset(tmp_path / DATASET, simulated_archive, scenes=2)
    definitions = build_definitions([dataset])
    assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset=DATASET).success
    result = run(definitions, instance, ["triplet_tiles"], SCENE_IDS[:2], dataset=DATASET)
    assert result.success, failures(result)
    of_tiles = [event for event in materializations(result) if event.asset_key.path[-1] == "triplet_tiles"]
    assert [event.metadata["valid_share"].value for event in of_tiles if event.metadata["tiles"].value] == [1.0, 1.0]


def _check_picture(markdown: str, scene_id: str) -> None:
    match = re.fullmatch(r"!\[(.*)\]\(data:image/png;base64,(.*)\)", markdown)
    assert match is not None
    assert match[1] == scene_id
    assert len(markdown) < 40_000, "stored with each event"
    with Image.open(io.BytesIO(base64.b64decode(match[2], validate=True))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 8
        assert max(picture.size) <= 256
        low, high = picture.convert("L").getextrema()
        assert high - low > 20, "clouds and sea differ"
