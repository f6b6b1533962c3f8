"""Every source and kind of product through the command line, from ``meta.yaml`` to tiles or scenes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
from datasets import DOMAIN, FIRST, end_of, names_in, small_meta, tile_names, write_meta
from PIL import Image

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.archive import simulate_archive
from convml_data.simulate.ceres import cloud_top_height
from convml_data.sources.base import Interval
from convml_data_dagster.cli import main
from convml_data_dagster.definitions import build_definitions

TWO_TRIPLETS = {"N_triplets": {"train": 2}, "tile_N": 12}


@pytest.fixture(autouse=True)
def dagster_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path_factory.getbasetemp() / "dagster-home"))
    for variable in ("CONVML_GOES_ARCHIVE", "CONVML_CERES_ARCHIVE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def infrared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Channels 11 and 13 of two scans over :data:`DOMAIN`."""
    folder = tmp_path_factory.mktemp("infrared")
    spans = [Interval(FIRST, end_of(2))]
    simulate_archive(folder, satellite="goes16", sector="F", channels=(11, 13), spans=spans, domain=DOMAIN)
    return f"file://{folder}/noaa-{{satellite}}"


def run(command: str, dataset: Path) -> int:
    return main([command, "--data-path", str(dataset)])


def ledger_of(dataset: Path) -> Any:
    (file,) = dataset.glob("source_data/*/*/scene_ids.json")
    return json.loads(file.read_text())


def scene_ids_of(dataset: Path) -> list[str]:
    return [row["scene_id"] for row in ledger_of(dataset)["rows"] if row["reason"] is None]


def regridded(dataset: Path, scene_id: str) -> xr.Dataset:
    with xr.open_dataset(dataset / "rect" / f"{scene_id}.nc", engine="h5netcdf", decode_coords="all") as scene:
        return scene.load()


def of_real_granules(shared_data: Path, **keys: Any) -> dict[str, Any]:
    return {"archive": str(shared_data / "noaa-{satellite}")} | keys


def around(latitude: float, longitude: float, side: float) -> dict[str, float]:
    return {"central_latitude": latitude, "central_longitude": longitude, "l_zonal": side, "l_meridional": side}


# Models


def model_dataset(tmp_path: Path, shared_data: Path, file: str, meta: Mapping[str, Any]) -> Path:
    dataset = write_meta(tmp_path / "model", {"source": "LES"} | dict(meta))
    (dataset / "source_data" / "LES").mkdir(parents=True)
    shutil.copy(shared_data / "les" / file, dataset / "source_data" / "LES")
    return dataset


def test_a_large_eddy_simulation_without_time_and_place_to_tiles(tmp_path: Path, shared_data: Path) -> None:
    coordinates = {"time": {"start": "2020-02-02", "step": "PT60S"}, "x": 100, "y": 100}
    sampling = {"resolution": 100, "triplets": {"N_triplets": {"train": 3, "study": 1}, "tile_N": 16}}
    meta = {"type": "singlechannel__H", "coordinates": coordinates, "sampling": sampling}
    dataset = model_dataset(tmp_path, shared_data, "movie000.nc", meta)
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    assert scene_ids_of(dataset) == ["LES__202002020000", "LES__202002020001"]
    with xr.open_dataset(shared_data / "les" / "movie000.nc", engine="scipy") as original:
        expected = original["H"].values
    for scene_id, values in zip(scene_ids_of(dataset), expected, strict=True):
        scene = regridded(dataset, scene_id)
        np.testing.assert_array_equal(scene["H"], values)  # the whole area at its own resolution
        assert "local_projection" not in scene.variables
        assert scene["x"].values[[0, -1]].tolist() == [-3150, 3150]
    assert names_in(dataset / "triplets" / "train") == tile_names(3)
    assert "central_latitude" not in (dataset / "triplets" / "train" / "00000_anchor.yml").read_text()
    with Image.open(dataset / "rect" / "LES__202002020000.png") as picture:
        grey = np.asarray(picture)
    assert (grey[..., 0] == grey[..., 1]).all()
    high, low = (np.unravel_index(find(expected[0]), (64, 64)) for find in (np.argmax, np.argmin))
    assert grey[63 - high[0], high[1], 0] == 255  # row 0 of the picture is the north
    assert grey[63 - low[0], low[1], 0] == 0


def test_a_weather_model_to_tiles(tmp_path: Path, shared_data: Path) -> None:
    meta = {"type": "multichannel__T2__PSFC", "sampling": {"resolution": 10e3, "triplets": TWO_TRIPLETS}}
    meta |= {"time": {"t_start": "2005-08-28T12:00", "t_end": "2005-08-28T15:00"}}
    dataset = model_dataset(tmp_path, shared_data, "mercator_sample.nc", meta)
    assert run("tiles", dataset) == 0
    assert scene_ids_of(dataset) == ["LES__200508281200", "LES__200508281500"]
    assert ledger_of(dataset)["rows"][2]["reason"] == "outside the time intervals"
    assert names_in(dataset / "triplets" / "train") == tile_names(2)
    with xr.open_dataset(dataset / "triplets/train/00000_anchor.nc", engine="h5netcdf") as tile:
        assert tile["multichannel"].dims == ("bands", "y", "x")
        assert tile["band_units"].values.tolist() == ["K", "Pa"]
        assert 290 < float(tile["multichannel"][0].mean()) < 310
        assert abs(tile.attrs["central_latitude"] - 24) < 3


def test_a_simulation_whose_times_are_unknown_says_what_to_write(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = {"type": "singlechannel__H", "sampling": {"resolution": 100}}
    dataset = model_dataset(tmp_path, shared_data, "movie000.nc", meta)
    assert run("scene-ids", dataset) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "coordinates" in error
    assert "start" in error


# CERES


def test_ceres_through_the_simulated_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = {
        "source": "ceres",
        "type": "goes16n__cloud_top_height",
        "time": {"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T16:00"},
        "domain": around(13.3, -57.72, 200e3),
        "sampling": {"resolution": 4000, "triplets": TWO_TRIPLETS},
    }
    dataset = write_meta(tmp_path / "tops", meta)
    assert main(["simulate", str(tmp_path / "archive"), "--data-path", str(dataset)]) == 0
    monkeypatch.setenv("CONVML_CERES_ARCHIVE", f"file://{tmp_path / 'archive'}")
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    assert scene_ids_of(dataset) == ["ceres__202002021430", "ceres__202002021530"]
    scene = regridded(dataset, "ceres__202002021430")
    field = scene["cloud_top_height"]
    assert field.attrs["units"] == "km"
    local = LocalDomain(13.3, -57.72, 200e3, 200e3)
    lon, lat = local.to_lonlat(*np.meshgrid(scene["x"], scene["y"]))
    truth = cloud_top_height(lon, lat, datetime(2020, 2, 2, 14, 30))
    both = np.isfinite(field.values) & np.isfinite(truth)
    assert both.mean() > 0.05
    # Pixels are as wide as many clouds.
    assert np.median(np.abs(field.values - truth)[both]) < 0.3
    assert np.corrcoef(field.values[both], truth[both])[0, 1] > 0.6


# GOES


def test_level_2_products_of_real_granules(tmp_path: Path, shared_data: Path) -> None:
    meta = of_real_granules(
        shared_data,
        source="goes17",
        type="ACHA",
        sector="C",
        time={"t_start": "2022-05-01T00:56", "t_end": "2022-05-01T00:57"},
        domain=around(35.0, -130.0, 1000e3),
        sampling={"resolution": 10e3},
    )
    dataset = write_meta(tmp_path / "tops", meta)
    assert run("regrid", dataset) == 0
    (scene_id,) = scene_ids_of(dataset)
    field = regridded(dataset, scene_id)["HT"]
    assert field.attrs["units"] == "m"
    assert 0 < float(field.min()) < float(field.max()) < 20e3
    row = ledger_of(dataset)["rows"][0]
    assert 0 < row["coverage"]["valid_share"] < 1
    assert 0 <= row["coverage"]["missing_on_earth_share"] < 1


def test_a_sequence_in_scan_mode_3(tmp_path: Path, shared_data: Path) -> None:
    meta = of_real_granules(
        shared_data,
        source="goes16",
        product="AOD",
        sector="C",
        quality=["high_quality_retrieval_qf", "medium_quality_retrieval_qf"],
        time={"t_start": "2018-11-15T14:00", "t_end": "2018-11-15T14:30", "filters": {"minutes": [2, 12, 22]}},
        domain=around(30.0, -88.0, 800e3),
        sampling={"resolution": 8e3},
        image={"vmin": 0, "vmax": 1, "cmap": "viridis"},
    )
    dataset = write_meta(tmp_path / "aerosol", meta)
    assert run("regrid", dataset) == 0
    assert scene_ids_of(dataset) == [f"goes16__2018111514{minute:02d}" for minute in (2, 12, 22)]
    assert {row["mode"] for row in ledger_of(dataset)["rows"]} == {3}
    with Image.open(dataset / "rect" / "goes16__201811151402.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert (128, 128, 128) in colours  # missing
    assert any(red != green for red, green, _ in colours)


def test_a_composite_of_satpy(tmp_path: Path, shared_data: Path) -> None:
    meta = of_real_granules(
        shared_data,
        source="goes17",
        type="composite__airmass",
        sector="M1",
        time={"t_start": "2019-12-01T10:27", "t_end": "2019-12-01T10:28"},
        domain={"kind": "as_source"},
        sampling={"resolution": 4000},
    )
    dataset = write_meta(tmp_path / "airmass", meta)
    assert run("regrid", dataset) == 0
    (scene_id,) = scene_ids_of(dataset)
    scene = regridded(dataset, scene_id)
    assert scene["composite_airmass"].dims == ("bands", "y", "x")
    assert scene["y"].size > 200
    # The sector lies askew on the local plane: near the limb, seen from the side.
    assert 0.5 < scene.attrs["valid_share"] < 0.65
    assert ledger_of(dataset)["rows"][0]["coverage"]["missing_on_earth_share"] == 0
    with Image.open(dataset / "rect" / f"{scene_id}.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 1000


def test_the_satellite_in_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta = {
        "source": "goes_east",
        "type": "singlechannel__bt_13",
        "archive": f"{tmp_path}/archive/noaa-{{satellite}}",
        "time": {"t_start": "2025-04-06T23:45", "t_end": "2025-04-07T00:15"},
        "domain": around(13.3, -57.72, 100e3),
        "sampling": {"resolution": 4000},
    }
    dataset = write_meta(tmp_path / "east", meta)
    assert run("validate", dataset) == 0
    assert main(["simulate", str(tmp_path / "archive"), "--data-path", str(dataset)]) == 0
    assert run("regrid", dataset) == 0
    output = capsys.readouterr().out
    assert "crosses the change of goes_east from goes16 to goes19 on 2025-04-07" in output
    satellites = {scene_id: regridded(dataset, scene_id).attrs["satellite"] for scene_id in scene_ids_of(dataset)}
    assert satellites == {
        "goes_east__202504062350": "goes16",
        "goes_east__202504070000": "goes19",
        "goes_east__202504070010": "goes19",
    }


FUNCTIONS = """\
import numpy as np
import xarray as xr

def thickness(da_bt_11, da_13):
    assert da_13.attrs["units"] == "mW m-2 sr-1 (cm-1)-1"
    return (da_bt_11 - 0.1 * da_13).assign_attrs(long_name="made up", units="K")

def picture(da_scene):
    shade = ((da_scene - 150) / 200).clip(0, 1)
    return xr.concat([shade, 0 * shade, 0 * shade], "rgb")
"""


def function_dataset(tmp_path: Path, archive: str) -> Path:
    meta = small_meta(archive, scans=2) | {
        "type": "user_function",
        "input": {"bt_11": "K", 13: None},
        "image_function": "picture",
    }
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000, "triplets": {"N_triplets": 1, "tile_N": 8}}
    dataset = write_meta(tmp_path / "thickness", meta)
    (dataset / "user_functions.py").write_text(FUNCTIONS)
    return dataset


def test_a_user_function_and_its_picture(tmp_path: Path, infrared: str) -> None:
    dataset = function_dataset(tmp_path, infrared)
    assert run("validate", dataset) == 0
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    first = scene_ids_of(dataset)[0]
    before = regridded(dataset, first)
    assert before["thickness"].attrs["units"] == "K"
    plain = small_meta(infrared, scans=2) | {"type": "multichannel__bt_11__13"}
    plain["sampling"] = {"resolution": 4000}
    del plain["product_options"]
    other = write_meta(tmp_path / "plain", plain)
    assert run("regrid", other) == 0
    kelvin, radiance = regridded(other, first)["multichannel"].values
    np.testing.assert_allclose(before["thickness"], kelvin - 0.1 * radiance, rtol=1e-5)
    with Image.open(dataset / "rect" / f"{first}.png") as picture:
        red = np.asarray(picture)
    shade = np.clip((before["thickness"].values[::-1] - 150) / 200, 0, 1)
    np.testing.assert_allclose(red[..., 0], 255 * shade, atol=0.51)
    assert red[..., 1:].max() == 0

    # An edit makes anew what depends on the file.
    (dataset / "user_functions.py").write_text(FUNCTIONS.replace("0.1 *", "0.2 *"))
    assert run("regrid", dataset) == 0
    after = regridded(dataset, first)
    np.testing.assert_allclose(after["thickness"], kelvin - 0.2 * radiance, rtol=1e-5)


def test_attributes_of_a_user_function_do_not_touch_how_its_values_lie_in_the_file(
    tmp_path: Path, infrared: str
) -> None:
    dataset = function_dataset(tmp_path, infrared)
    odd = 'assign_attrs(long_name="made up", _FillValue=0, scale_factor=2.0, is_odd=True, '
    (dataset / "user_functions.py").write_text(FUNCTIONS.replace('assign_attrs(long_name="made up", ', odd))
    assert run("regrid", dataset) == 0
    scene = regridded(dataset, scene_ids_of(dataset)[0])
    assert scene["thickness"].attrs["is_odd"] == 1
    assert 100 < float(scene["thickness"].mean()) < 300


def test_a_copied_dataset_runs_its_own_function(tmp_path: Path, infrared: str) -> None:
    dataset = function_dataset(tmp_path, infrared)
    assert run("regrid", dataset) == 0
    other = dataset.rename(tmp_path / "doubled")
    doubled = "\n\ndef doubled(da_bt_11, da_13):\n    return 2 * thickness(da_bt_11, da_13)\n"
    (other / "user_functions.py").write_text(FUNCTIONS + doubled)
    before = regridded(other, scene_ids_of(other)[0])["thickness"]
    assert run("regrid", other) == 0
    np.testing.assert_allclose(regridded(other, scene_ids_of(other)[0])["doubled"], 2 * before)


def test_a_user_function_that_breaks_its_contract_fails_each_scene_and_names_the_line(
    tmp_path: Path, infrared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = function_dataset(tmp_path, infrared)
    (dataset / "user_functions.py").write_text(FUNCTIONS.replace('long_name="made up", ', ""))
    assert run("regrid", dataset) == 1
    error = capsys.readouterr().err
    assert "2 of 2 scenes failed" in error
    assert "thickness returned an array without long_name among its attributes" in error
    assert "Traceback" not in error
    (dataset / "user_functions.py").write_text("def other():\n    pass\n")
    assert run("validate", dataset) == 1
    assert "there is no function thickness" in capsys.readouterr().err


def test_a_changed_image_function_draws_again_and_reads_nothing(tmp_path: Path, infrared: str) -> None:
    meta = small_meta(infrared, scans=2) | {"type": "singlechannel__bt_13", "image": {"vmin": 200, "vmax": 300}}
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000, "triplets": {"N_triplets": 1, "tile_N": 8}}
    dataset = write_meta(tmp_path / "grey", meta)
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    data = {path: path.stat().st_mtime_ns for path in dataset.glob("**/*.nc")}
    assert len(data) == 2 + 2 + 3
    before = np.asarray(Image.open(dataset / "rect" / f"{scene_ids_of(dataset)[0]}.png"))
    write_meta(dataset, meta | {"image": {"vmin": 200, "vmax": 300, "invert": False}})
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    after = np.asarray(Image.open(dataset / "rect" / f"{scene_ids_of(dataset)[0]}.png"))
    np.testing.assert_allclose(after.astype(int), 255 - before.astype(int), atol=1)
    assert {path: path.stat().st_mtime_ns for path in data} == data
    tile = np.asarray(Image.open(dataset / "triplets" / "train" / "00000_anchor.png"))
    with xr.open_dataset(dataset / "triplets" / "train" / "00000_anchor.nc", engine="h5netcdf") as values:
        shade = np.clip((values["bt_13"].values[::-1] - 200) / 100, 0, 1)
    np.testing.assert_allclose(tile[..., 0], 255 * shade, atol=0.51)


def test_no_pictures(tmp_path: Path, infrared: str) -> None:
    meta = small_meta(infrared, scans=2) | {"type": "singlechannel__bt_13", "image_function": None}
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000, "triplets": {"N_triplets": 1, "tile_N": 8}}
    dataset = write_meta(tmp_path / "plain", meta)
    assert run("regrid", dataset) == 0
    assert run("tiles", dataset) == 0
    assert list(dataset.glob("**/*.png")) == []
    assert names_in(dataset / "triplets" / "train") == {name for name in tile_names(1) if name[-4:] != ".png"}


# Quality, time and place


def aerosol_meta(shared_data: Path, min_valid_share: float, t_end: str) -> dict[str, Any]:
    """AOD of real granules from 14:00 to a clock time, which has values in a part of the domain only."""
    return of_real_granules(
        shared_data,
        source="goes16",
        product="AOD",
        sector="C",
        quality={"flags": "any", "min_valid_share": min_valid_share},
        time={"t_start": "2018-11-15T14:00", "t_end": f"2018-11-15T{t_end}"},
        domain=around(30.0, -88.0, 800e3),
        sampling={"resolution": 8e3},
    )


def test_scenes_that_show_too_little_are_dropped_and_the_ledger_says_so(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = aerosol_meta(shared_data, min_valid_share=0.0, t_end="14:30")
    meta["sampling"]["triplets"] = {"N_triplets": 2, "tile_N": 32}
    dataset = write_meta(tmp_path / "aerosol", meta)
    assert run("crop", dataset) == 0
    shares = {row["scene_id"]: row["coverage"]["valid_share"] for row in ledger_of(dataset)["rows"]}
    limit = sorted(shares.values())[2]
    capsys.readouterr()
    write_meta(dataset, meta | {"quality": {"flags": "any", "min_valid_share": limit}})
    assert run("tiles", dataset) == 0
    kept = [scene_id for scene_id, share in shares.items() if share >= limit]
    assert scene_ids_of(dataset) == kept
    reasons = [row["reason"] for row in ledger_of(dataset)["rows"] if row["scene_id"] not in kept]
    assert len(reasons) == 2
    assert all("is below quality.min_valid_share" in reason for reason in reasons)
    plan = json.loads((dataset / "triplets" / "tile_plan.json").read_text())
    assert {tile["scene_id"] for tile in plan["tiles"]} <= set(kept)
    assert names_in(dataset / "triplets" / "train") == tile_names(2)


def test_the_limit_also_holds_for_scenes_that_were_never_cropped(tmp_path: Path, shared_data: Path) -> None:
    meta = aerosol_meta(shared_data, min_valid_share=1.0, t_end="14:10")
    dataset = write_meta(tmp_path / "aerosol", meta)
    assert run("regrid", dataset) == 0
    assert scene_ids_of(dataset) == []
    assert names_in(dataset / "rect") == set()


def test_a_file_that_cannot_be_read_is_in_the_ledger_until_it_can(
    tmp_path: Path, infrared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(Path(infrared.removeprefix("file://")).parent, tmp_path / "copy")
    (file,) = copy.rglob("*C13_G16_s20200331400*.nc")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 6 // 10])
    meta = small_meta(f"{copy}/noaa-{{satellite}}", scans=2) | {"type": "singlechannel__bt_13"}
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000}
    dataset = write_meta(tmp_path / "broken", meta)
    assert run("regrid", dataset) == 1
    assert "1 of 2 scenes failed" in capsys.readouterr().err
    broken, other = ledger_of(dataset)["rows"]
    assert file.name in broken["problem"]
    assert "problem" not in other
    file.write_bytes(whole)
    assert run("regrid", dataset) == 0
    assert "problem" not in ledger_of(dataset)["rows"][0]


def test_two_datasets_do_not_share_a_root(tmp_path: Path, infrared: str, capsys: pytest.CaptureFixture[str]) -> None:
    meta = small_meta(infrared, scans=1) | {"type": "singlechannel__bt_13", "storage": {"root": str(tmp_path / "root")}}
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000}
    assert run("regrid", write_meta(tmp_path / "first", meta)) == 0
    assert run("regrid", write_meta(tmp_path / "second", meta)) == 1
    assert "this root holds the dataset first, not second" in capsys.readouterr().err
    assert run("regrid", tmp_path / "first") == 0


def test_scenes_that_were_dropped_fail_no_later_run(tmp_path: Path, shared_data: Path) -> None:
    meta = aerosol_meta(shared_data, min_valid_share=0.999, t_end="14:10")
    dataset = write_meta(tmp_path / "aerosol", meta)
    assert run("scene-ids", dataset) == 0
    scene_ids = scene_ids_of(dataset)
    definitions = build_definitions([dataset])
    with dg.DagsterInstance.get() as instance:
        for asset in ("cropped", "regridded"):
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(["aerosol", asset])],
                tags={
                    "dagster/asset_partition_range_start": scene_ids[0],
                    "dagster/asset_partition_range_end": scene_ids[-1],
                },
            )
            assert result.success
    assert names_in(dataset / "rect") == set()


def test_the_code_version_follows_what_pictures_depend_on(tmp_path: Path, infrared: str) -> None:
    dataset = function_dataset(tmp_path, infrared)

    def versions() -> list[str | None]:
        assets = build_definitions([dataset]).resolve_asset_graph()
        return [assets.get(dg.AssetKey(["thickness", asset])).code_version for asset in ("cropped", "regridded")]

    before = versions()
    assert versions() == before
    (dataset / "user_functions.py").write_text(FUNCTIONS + "\n# drawn otherwise\n")
    assert all(now != then for now, then in zip(versions(), before, strict=True))
    meta = small_meta(infrared, scans=1) | {"type": "singlechannel__bt_13", "image": {"vmin": 200, "vmax": 300}}
    del meta["product_options"]
    write_meta(dataset, meta)
    grey = versions()
    write_meta(dataset, meta | {"image": {"vmin": 210, "vmax": 300}})
    assert all(now != then for now, then in zip(versions(), grey, strict=True))


def drifting(tmp_path: Path, longitude: float, minutes: int = 20) -> Path:
    count = 5
    times = np.datetime64(FIRST) + np.arange(count) * np.timedelta64(60 * minutes // (count - 1), "s")
    lat = ("time", 13.3 + 0.05 * np.arange(count))
    lon = ("time", longitude + 0.1 * np.arange(count))
    file = tmp_path / "trajectories.nc"
    xr.Dataset({"lat": lat, "lon": lon}, {"time": times}).to_netcdf(file, engine="h5netcdf")
    return file


def test_time_and_domain_of_trajectories(tmp_path: Path, infrared: str) -> None:
    dataset = write_meta(
        tmp_path / "drift",
        {
            "source": "goes16",
            "type": "singlechannel__bt_13",
            "archive": infrared,
            "trajectories": {"filepath": "../trajectories.nc"},
            "time": {"source": "trajectories", "filters": {"using_trajectory_sampling": True}},
            "domain": {"kind": "spanning_trajectories", "padding": 1.5},
            "sampling": {"resolution": 4000},
        },
    )
    drifting(tmp_path, -57.8)
    assert run("validate", dataset) == 0
    assert run("regrid", dataset) == 0
    assert scene_ids_of(dataset) == ["goes16__202002021400", "goes16__202002021410"]
    scene = regridded(dataset, scene_ids_of(dataset)[0])
    grid = json.loads(scene.attrs["local_grid"])
    assert grid["central_latitude"] == pytest.approx(13.4, abs=1e-3)
    assert grid["l_zonal"] == pytest.approx(1.5 * 0.4 * 111.3e3 * np.cos(np.deg2rad(13.4)), rel=0.01)
    # Another file moves the domain and makes the scenes anew.
    drifting(tmp_path, -57.9)
    assert run("regrid", dataset) == 0
    moved = json.loads(regridded(dataset, scene_ids_of(dataset)[0]).attrs["local_grid"])
    assert moved["central_longitude"] == pytest.approx(grid["central_longitude"] - 0.1, abs=1e-6)


@pytest.mark.parametrize(
    ("satellite", "latitude", "longitude", "valid"),
    [("goes18", 10.0, 179.9, (1.0, 1.0)), ("goes16", 0.0, 5.0, (0.05, 0.95))],
)
def test_domains_over_the_date_line_and_at_the_limb(
    tmp_path: Path, satellite: str, latitude: float, longitude: float, valid: tuple[float, float]
) -> None:
    side = 100e3 if satellite == "goes18" else 1500e3
    meta = {
        "source": satellite,
        "type": "singlechannel__bt_13",
        "archive": f"{tmp_path}/archive/noaa-{{satellite}}",
        "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=9)},
        "domain": around(latitude, longitude, side),
        "sampling": {"resolution": side / 25},
    }
    dataset = write_meta(tmp_path / "edge", meta)
    assert main(["simulate", str(tmp_path / "archive"), "--data-path", str(dataset)]) == 0
    assert run("regrid", dataset) == 0
    scene = regridded(dataset, scene_ids_of(dataset)[0])
    assert valid[0] <= scene.attrs["valid_share"] <= valid[1]
    coverage = ledger_of(dataset)["rows"][0]["coverage"]
    assert valid[0] <= coverage["valid_share"] <= valid[1]
    assert coverage["missing_on_earth_share"] == pytest.approx(0, abs=0.01)


def test_a_domain_out_of_sight_is_an_error_before_any_image_is_read(
    tmp_path: Path, infrared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = small_meta(infrared, scans=1) | {"type": "singlechannel__bt_13", "domain": around(0.0, 100.0, 100e3)}
    del meta["product_options"]
    meta["sampling"] = {"resolution": 4000}
    dataset = write_meta(tmp_path / "beyond", meta)
    assert run("regrid", dataset) == 1
    error = capsys.readouterr().err
    assert "lies outside of sector F" in error
    assert "Traceback" not in error
    assert list(dataset.glob("source_data/**/*.nc")) == []
