"""Auxiliary products through the command line and as assets: matches, scenes and tiles."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import (
    DOMAIN,
    FIRST,
    dagster_home_fixture,  # noqa: F401
    end_of,
    names_in,
    scene_ids,
    small_meta,
    tile_names,
    write_meta,
)
from PIL import Image

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.archive import simulate_archive
from convml_data.simulate.ceres import simulate_ceres
from convml_data.sources.base import Interval
from convml_data_dagster.cli import main
from convml_data_dagster.definitions import build_definitions

pytestmark = pytest.mark.usefixtures("dagster_home")

N_SCANS = 7  # an hour


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What ``archive:`` says for channels 9 and 13 of GOES-16, and for CERES, over :data:`DOMAIN`."""
    folder = tmp_path_factory.mktemp("aux")
    spans = [Interval(FIRST, end_of(N_SCANS))]
    simulate_archive(folder, satellite="goes16", sector="F", channels=(9, 13), spans=spans, domain=DOMAIN)
    hours = [Interval(FIRST - timedelta(hours=1), FIRST + timedelta(hours=2))]
    simulate_ceres(folder / "ceres", satellites=["goes16n"], spans=hours, domain=DOMAIN)
    return f"file://{folder}/noaa-{{satellite}}", f"file://{folder}/ceres"


@pytest.fixture(name="dataset")
def dataset_fixture(archives: tuple[str, str], tmp_path: Path) -> Path:
    return write_meta(tmp_path / "clouds", meta_of(archives))


def meta_of(archives: tuple[str, str], scans: int = 4, **ceres: Any) -> dict[str, Any]:
    goes, theirs = archives
    meta = small_meta(goes, scans=scans) | {"type": "singlechannel__bt_13"}
    del meta["product_options"]
    meta["aux_products"] = {
        "water_vapour": {"source": "goes16", "type": "singlechannel__bt_9", "archive": goes},
        "albedo": {"source": "ceres", "type": "goes16n__broadband_shortwave_albedo", "archive": theirs} | ceres,
    }
    return meta


def run(command: str, dataset: Path, aux: str | None = None) -> int:
    return main([command, "--data-path", str(dataset), *([] if aux is None else ["--aux-name", aux])])


def matches_of(dataset: Path, aux: str) -> list[dict[str, Any]]:
    (file,) = dataset.glob(f"source_data/*/*/aux/{aux}/matches.json")
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as data:
        return data.load()


def test_an_image_of_each_scan_of_the_same_satellite(dataset: Path) -> None:
    assert run("regrid", dataset, "water_vapour") == 0
    # The scenes themselves are not needed for that.
    assert names_in(dataset / "rect") == {"aux"}
    assert [row["match"]["offset_s"] for row in matches_of(dataset, "water_vapour")] == pytest.approx([0] * 4, abs=1)
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    assert run("tiles", dataset, "water_vapour") == 0
    for scene_id in scene_ids(4):
        aux, scene = (opened(dataset / folder / f"{scene_id}.nc") for folder in ("rect/aux/water_vapour", "rect"))
        assert aux["bt_9"].shape == scene["bt_13"].shape
        np.testing.assert_array_equal(aux["x"], scene["x"])
        assert (aux.attrs["aux_name"], aux.attrs["scene_id"]) == ("water_vapour", scene_id)
    # At exactly the places of the scenes' tiles.
    assert names_in(dataset / "triplets/train") == tile_names(6)
    assert names_in(dataset / "triplets/water_vapour/train") == tile_names(6)
    for name in ("00000_anchor", "00003_distant"):
        tile, aux = (opened(dataset / f"triplets/{folder}train/{name}.nc") for folder in ("", "water_vapour/"))
        place, aux_place = (
            yaml.safe_load((dataset / f"triplets/{folder}train/{name}.yml").read_text())
            for folder in ("", "water_vapour/")
        )
        assert aux_place["loc"] == place["loc"]
        assert aux_place["scene_id"] == place["scene_id"]
        assert aux_place["aux_name"] == "water_vapour"
        np.testing.assert_array_equal(aux["x"], tile["x"])
        assert np.isfinite(aux["bt_9"]).all()
        # Cold clouds are cold in both.
        assert np.corrcoef(aux["bt_9"].values.ravel(), tile["bt_13"].values.ravel())[0, 1] > 0.5
    assert run("export", dataset, "water_vapour") == 0
    card = (dataset / "export/water_vapour/README.md").read_text()
    assert "# clouds/water_vapour" in card
    assert 'xr.open_dataset("triplets/water_vapour/train/00000_anchor.nc"' in card
    assert 'TileDataset(".", "triplets/water_vapour/train")' in card
    assert 'open_dataset("triplets/train' not in card


def test_hourly_images_go_to_the_nearest_scene_only(
    archives: tuple[str, str], dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_meta(dataset, meta_of(archives, scans=N_SCANS, dt_aux="PT1H"))
    assert run("scene-ids", dataset, "albedo") == 0
    rows = {row["scene_id"][-4:]: row for row in matches_of(dataset, "albedo")}
    # The image of 15:30 is within half an hour of the last scene, that of 13:30 is not of the first.
    assert [minute for minute, row in rows.items() if row["reason"] is None] == ["1430", "1500"]
    assert rows["1430"]["match"]["offset_s"] == pytest.approx(-20.8, abs=0.5)
    assert "dt_aux 1:00:00 given" in rows["1430"]["match"]["rule"]
    output = capsys.readouterr().out
    assert "2 of 7 scenes have an image of albedo" in output
    assert "goes16__202002021420: " in output
    assert run("regrid", dataset, "albedo") == 0
    assert {name for name in names_in(dataset / "rect/aux/albedo") if name.endswith(".nc")} == {
        "goes16__202002021430.nc",
        "goes16__202002021500.nc",
    }
    assert "5 scenes have no albedo" in capsys.readouterr().err


def test_all_scenes_near_an_image_take_it(archives: tuple[str, str], dataset: Path) -> None:
    write_meta(
        dataset,
        meta_of(archives, scans=N_SCANS, dt_aux="PT30M", scene_mapping_strategy="all_scenes_within_dt_aux"),
    )
    assert run("regrid", dataset, "albedo") == 0
    assert [row["scene_id"][-4:] for row in matches_of(dataset, "albedo") if row["reason"] is None] == [
        "1420",
        "1430",
        "1440",
    ]
    tiles = run("tiles", dataset, "albedo")
    assert tiles == 0
    plan = json.loads((dataset / "triplets/tile_plan.json").read_text())["tiles"]
    with_image = {"goes16__202002021420", "goes16__202002021430", "goes16__202002021440"}
    expected = {
        f"{tile['collection']}/{tile['triplet_id']:05d}_{tile['tile_type']}.nc"
        for tile in plan
        if tile["scene_id"] in with_image
    }
    made = {
        path.relative_to(dataset / "triplets/albedo").as_posix()
        for path in (dataset / "triplets/albedo").glob("*/*.nc")
    }
    assert made == expected


def test_one_image_alone_needs_dt_aux(
    archives: tuple[str, str], dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_meta(dataset, meta_of(archives))
    assert run("scene-ids", dataset, "albedo") == 1
    error = capsys.readouterr().err
    assert "dt_aux" in error
    assert "PT30M" in error
    assert "Traceback" not in error


def test_later_scenes_extend_the_table(archives: tuple[str, str], dataset: Path) -> None:
    assert run("regrid", dataset, "water_vapour") == 0
    before = matches_of(dataset, "water_vapour")
    written = {path: path.stat().st_mtime_ns for path in (dataset / "rect/aux/water_vapour").iterdir()}
    write_meta(dataset, meta_of(archives, scans=6))
    assert run("regrid", dataset, "water_vapour") == 0
    after = matches_of(dataset, "water_vapour")
    assert len(after) == 6
    assert after[:4] == before
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_plots_of_scene_and_field(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("regrid", dataset, "water_vapour") == 0
    assert run("plots", dataset, "water_vapour") == 1
    assert "Run `convml-data regrid` first" in capsys.readouterr().err
    assert run("regrid", dataset) == 0
    assert run("plots", dataset, "water_vapour") == 0
    folder = dataset / "report/aux/water_vapour"
    assert names_in(folder) == {f"{scene_id}.png" for scene_id in scene_ids(4)}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with Image.open(next(iter(before))) as plot:
        assert plot.width == 700
        assert plot.height > plot.width  # one above the other
        colours = np.asarray(plot.convert("RGB"))
    grey = (colours[: plot.height // 2].max(axis=-1) == colours[: plot.height // 2].min(axis=-1)).mean()
    coloured = (colours[plot.height // 2 :].max(axis=-1) != colours[plot.height // 2 :].min(axis=-1)).mean()
    assert grey > 0.95  # the scene above
    assert coloured > 0.3  # the field below
    assert run("plots", dataset, "water_vapour") == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_name_that_is_none(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("crop", dataset, "water_vapor") == 1
    error = capsys.readouterr().err
    assert "there is no auxiliary product 'water_vapor'" in error
    assert "It knows water_vapour, albedo" in error


def test_aux_assets_and_their_use_as_input(dataset: Path) -> None:
    assert run("regrid", dataset, "water_vapour") == 0
    assert run("regrid", dataset) == 0
    served = build_definitions([dataset])

    @dg.asset(
        ins={
            "scene": dg.AssetIn(["clouds", "regridded"]),
            "vapour": dg.AssetIn(["clouds", "aux", "water_vapour", "regridded"]),
        },
        partitions_def=dg.DynamicPartitionsDefinition(name="clouds_scenes"),
        key=["clouds", "difference"],
        io_manager_key="clouds_io",
    )
    def difference(scene: xr.DataArray, vapour: xr.DataArray) -> xr.DataArray:
        return (scene - vapour).rename("difference")

    definitions = dg.Definitions.merge(served, dg.Definitions(assets=[difference]))
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert {f"clouds/aux/albedo/{asset}" for asset in ("matches", "cropped", "regridded", "tiles")} <= keys
    with dg.DagsterInstance.get() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["clouds", "difference"])],
            partition_key=scene_ids(1)[0],
        )
        assert result.success
        record = instance.get_latest_materialization_event(dg.AssetKey(["clouds", "aux", "water_vapour", "matches"]))
        assert record is not None
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["matched"].value == 4
    made = opened(dataset / "difference" / f"{scene_ids(1)[0]}.nc")
    assert np.isfinite(made["difference"]).all()


def test_real_granules_with_an_auxiliary_product(tmp_path: Path, shared_data: Path) -> None:
    archive = str(shared_data / "noaa-{satellite}")
    domain = LocalDomain(25.0, -90.0, 600e3, 600e3)
    dataset = write_meta(
        tmp_path / "real",
        {
            "source": "goes16",
            "type": "AOD",
            "sector": "C",
            "archive": archive,
            "time": {"t_start": "2018-11-15T14:00", "t_end": "2018-11-15T14:30"},
            "domain": domain.to_dict(),
            "sampling": {"resolution": 10e3},
            "aux_products": {
                "any_quality": {"source": "goes16", "type": "AOD", "sector": "C", "archive": archive, "quality": "any"}
            },
        },
    )
    assert run("regrid", dataset) == 0
    assert run("regrid", dataset, "any_quality") == 0
    shares = {
        folder: [opened(path).attrs["valid_share"] for path in sorted((dataset / folder).glob("*.nc"))]
        for folder in ("rect", "rect/aux/any_quality")
    }
    assert len(shares["rect"]) == len(shares["rect/aux/any_quality"]) == 6
    assert all(good <= every for good, every in zip(shares["rect"], shares["rect/aux/any_quality"], strict=True))
    assert sum(shares["rect"]) < sum(shares["rect/aux/any_quality"])
