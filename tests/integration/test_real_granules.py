"""Real granules through the command line: from an S3 server, from a folder, with and without a scene."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import (
    assert_whole,
    call,
    dagster_home_fixture,  # noqa: F401
    differing,
    names_in,
    results,
    tile_names,
    write_meta,
)
from PIL import Image

from convml_data_dagster.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home", "without_s3_settings")]

NIGHT = datetime(2019, 12, 1, 10, 27)
NIGHT_SCENE = "goes17__201912011027"
DAY = datetime(2019, 10, 27, 20, 0)
FOLDERS = {NIGHT: "noaa-goes17/ABI-L1b-RadM/2019/335/10", DAY: "noaa-goes17/ABI-L1b-RadM/2019/300/20"}


def meta_at(shared_data: Path, time: datetime, resolution: float) -> dict[str, Any]:
    """160 km in the middle of what the mesoscale sector shows at a time."""
    path = min((shared_data / FOLDERS[time]).glob("OR_ABI-L1b-RadM1-M6C01*.nc"))
    with h5netcdf.File(path, "r") as file:
        extent = file["geospatial_lat_lon_extent"].attrs
        latitude, longitude = (float(np.ravel(extent[f"geospatial_{axis}_center"])[0]) for axis in ("lat", "lon"))
    return {
        "source": "goes17",
        "product": "truecolor_rgb",
        "sector": "M1",
        "time": {"t_start": time, "N_days": 1 / 1440},
        "domain": {
            "central_latitude": latitude,
            "central_longitude": longitude,
            "l_zonal": 160e3,
            "l_meridional": 160e3,
        },
        "sampling": {"resolution": resolution, "triplets": {"N_triplets": 3, "tile_N": 64}},
        "product_options": {"rayleigh_correction": False},
    }


@pytest.mark.parametrize("resolution", [500, 1000])
def test_all_stages_of_a_real_scene_from_s3(
    shared_data: Path, use_s3_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], resolution: int
) -> None:
    folder = write_meta(tmp_path / f"sierra_{resolution}", meta_at(shared_data, NIGHT, resolution))
    for command in ("validate", "scene-ids", "crop", "regrid", "tiles"):
        assert main([command, "--data-path", str(folder)]) == 0
    said, warned = capsys.readouterr()
    assert "1 of 1 scans seen in s3://noaa-goes17 are scenes" in said
    assert "warning: The collection 'train' has one scene" in warned

    cropped = folder / f"source_data/goes17/truecolor_rgb/cropped/{NIGHT_SCENE}.nc"
    with xr.open_dataset(cropped, engine="h5netcdf") as data:
        assert data.attrs["bytes_read"] < data.attrs["bytes_whole_files"] / 2
        assert data.attrs["valid_share"] == 1.0
        files = {Path(name).name for name in data["channel_file"].values}
    assert files == {path.name for path in (shared_data / FOLDERS[NIGHT]).glob("OR_ABI-L1b-RadM1-M6C0[123]_*.nc")}

    with xr.open_dataset(folder / f"rect/{NIGHT_SCENE}.nc", engine="h5netcdf") as data:
        assert data["rgb_truecolor"].shape == (3, 160_000 // resolution, 160_000 // resolution)
        # Two hours after midnight the sun is more than 95 degrees from the zenith, where reflectances fade to zero.
        np.testing.assert_array_equal(data["rgb_truecolor"], 0)

    tiles = folder / "triplets/train"
    assert names_in(tiles) == tile_names(3)
    assert_whole(list(tiles.iterdir()))
    for path in tiles.glob("*.nc"):
        with xr.open_dataset(path, engine="h5netcdf") as tile:
            assert tile["rgb_truecolor"].shape == (3, 64, 64)
            assert np.isfinite(tile["rgb_truecolor"]).all()
            assert np.diff(tile["x"]) == pytest.approx(resolution)
        assert yaml.safe_load(path.with_suffix(".yml").read_text())["valid_share"] == 1.0
        with Image.open(path.with_suffix(".png")) as image:
            assert (image.mode, image.size, image.getextrema()) == ("RGB", (64, 64), ((0, 0),) * 3)


def test_the_same_files_from_a_folder_give_the_same_dataset(
    shared_data: Path, use_s3_archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by the environment or in meta.yaml; byte for byte but for the archive's name in the ledger."""
    meta = meta_at(shared_data, NIGHT, 1000)
    archive = f"file://{shared_data}/noaa-{{satellite}}"
    made = {}
    for place, changes in (("s3", {}), ("variable", {}), ("key", {"archive": archive})):
        folder = write_meta(tmp_path / place / "sierra", meta | changes)
        if place == "variable":
            monkeypatch.setenv("CONVML_GOES_ARCHIVE", archive)
        elif place == "key":
            monkeypatch.setenv("CONVML_GOES_ARCHIVE", "file:///nowhere")
        for command in ("regrid", "tiles"):
            assert main([command, "--data-path", str(folder)]) == 0
        made[place] = results(folder)
        ledger = json.loads(made[place].pop("source_data/goes17/truecolor_rgb/scene_ids.json"))
        assert ledger["archive"] == ("s3://noaa-goes17" if place == "s3" else f"file://{shared_data}/noaa-goes17")
    assert differing(made["s3"], made["variable"]) == []
    assert differing(made["s3"], made["key"]) == []


@pytest.mark.parametrize(("command", "place"), [("tiles", "s3"), ("scene-ids", "variable"), ("tiles", "key")])
def test_a_scan_without_channel_2_is_no_scene(
    shared_data: Path,
    s3_archive: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    place: str,
) -> None:
    meta = meta_at(shared_data, DAY, 1000)
    archive = f"file://{shared_data}/noaa-{{satellite}}"
    if place == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_archive)
    elif place == "variable":
        monkeypatch.setenv("CONVML_GOES_ARCHIVE", archive)
    folder = write_meta(tmp_path / "california", meta | ({"archive": archive} if place == "key" else {}))
    if place == "s3":
        done = call(command, "--data-path", folder)
        status, said = done.returncode, done.stderr
    else:
        status, said = main([command, "--data-path", str(folder)]), capsys.readouterr().err
    assert status == 1
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    assert "no scene is left of 1 scans seen" in line
    assert "missing channel 2" in line
    ledger = folder / "source_data/goes17/truecolor_rgb/scene_ids.json"
    assert str(ledger) in line
    (row,) = json.loads(ledger.read_text())["rows"]
    assert (row["scene_id"], row["reason"]) == ("goes17__201910272000", "missing channel 2")
    assert set(row["files"]) == {"1", "3"}
    assert names_in(folder) == {"meta.yaml", "source_data"}
