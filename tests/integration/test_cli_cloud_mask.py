"""Tiles that are chosen by an auxiliary cloud mask: which masks are looked at, and when the plan is drawn anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import (
    dagster_home_fixture,  # noqa: F401
    granule,
    names_in,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    write_meta,
)

from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home")

SCENES = scene_ids(4)

MASK = """\
def mask(da_1):
    cloudy = {expression}
    return cloudy.assign_attrs(units="1", long_name="cloud", categorical="values are codes")
"""

SETTINGS: dict[str, Any] = {"scene_mapping_strategy": "all_scenes_within_dt_aux", "dt_aux": "PT30M"}


@pytest.fixture(name="images")
def images_fixture(small_archive: str, tmp_path: Path) -> str:
    """An archive of the masks' own, of which images may go."""
    for scene_id in SCENES:
        file = granule(small_archive, scene_id, 1)
        copy = tmp_path / "images" / file.relative_to(small_archive.removeprefix("file://").partition("noaa-")[0])
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return f"file://{tmp_path}/images/noaa-{{satellite}}"


@pytest.fixture(name="dataset")
def dataset_fixture(small_archive: str, images: str, tmp_path: Path) -> Path:
    dataset = write_meta(tmp_path / "clear", meta_of(small_archive, images))
    write_mask(dataset, "da_1 > da_1.median()")
    return dataset


def meta_of(archive: str, images: str, **mask: Any) -> dict[str, Any]:
    meta = small_meta(archive, scans=len(SCENES))
    meta["sampling"]["triplets"] = {"N_triplets": 8, "tile_N": 12}
    meta["sampling"]["accept"] = {"max_cloud_fraction": 0.6, "cloud_mask": "mask"}
    source = {"source": "goes16", "type": "user_function", "input": ["1"], "archive": images}
    return meta | {"aux_products": {"mask": source | SETTINGS | mask}}


def write_mask(dataset: Path, expression: str) -> None:
    (dataset / "user_functions.py").write_text(MASK.format(expression=expression))


def run(command: str, dataset: Path, *argv: str) -> int:
    return main([command, "--data-path", str(dataset), *argv])


def plan_of(dataset: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((dataset / "triplets/tile_plan.json").read_text())
    return plan


def scenes_in(plan: dict[str, Any]) -> set[str]:
    return {tile["scene_id"] for tile in plan["tiles"]}


def test_a_mask_of_another_image_makes_the_plan_outdated(
    dataset: Path, images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tiles", dataset) == 0
    before = plan_of(dataset)
    assert run("tiles", dataset) == 0
    assert plan_of(dataset) == before
    granule(images, SCENES[1], 1).unlink()  # the scene takes the one of ten minutes before or after
    assert run("scene-ids", dataset, "--aux-name", "mask") == 0
    assert run("statistics", dataset) == 1
    assert "meta.yaml, the scenes or the masks have changed since this plan was drawn" in capsys.readouterr().err
    assert run("tiles", dataset) == 0
    assert plan_of(dataset)["fingerprint"] != before["fingerprint"]
    assert plan_of(dataset)["tiles"] != before["tiles"]


def test_matches_of_other_settings_make_the_plan_outdated(dataset: Path, small_archive: str, images: str) -> None:
    granule(images, SCENES[1], 1).unlink()
    assert run("tiles", dataset) == 0
    before = plan_of(dataset)
    assert SCENES[1] in scenes_in(before)
    # No image is near enough to the second scene now, and the mask of before, which still lies there, is not for it.
    write_meta(dataset, meta_of(small_archive, images, dt_aux="PT5M"))
    assert run("tiles", dataset) == 0
    assert f"{SCENES[1]}.nc" in names_in(dataset / "rect/aux/mask")
    assert plan_of(dataset)["fingerprint"] != before["fingerprint"]
    assert scenes_in(plan_of(dataset)) == {SCENES[0], *SCENES[2:]}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("(da_1 * 0 + 2).where(da_1 > da_1.median(), 0)", "has values from 0 to 2"),
        ("(da_1 > da_1.median()).expand_dims(bands=2)", "has 2 bands"),
    ],
)
def test_a_product_that_is_no_mask_is_refused(
    dataset: Path, capsys: pytest.CaptureFixture[str], expression: str, found: str
) -> None:
    write_mask(dataset, expression)
    assert run("tiles", dataset) == 1
    error = capsys.readouterr().err
    assert f"{dataset}/rect/aux/mask/goes16__" in error
    assert f"the auxiliary product mask {found}" in error
    assert "Traceback" not in error
    assert not (dataset / "triplets/tile_plan.json").exists()
