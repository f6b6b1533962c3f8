"""A dataset of two channels through the command line: values against the truth, pictures that can be compared."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import pytest
import xarray as xr
from datasets import (
    DOMAIN,
    FIRST,
    dagster_home_fixture,  # noqa: F401
    end_of,
    granule,
    scene_ids,
    small_meta,
    write_meta,
)
from PIL import Image

from convml_data.simulate import truth
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval
from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("channels")
    spans = [Interval(FIRST, end_of(4))]
    simulate_archive(folder, satellite="goes16", sector="F", channels=(2, 13), spans=spans, domain=DOMAIN)
    return f"file://{folder}/noaa-{{satellite}}"


@pytest.fixture(name="dataset")
def dataset_fixture(archive: str, tmp_path: Path) -> Path:
    meta = small_meta(archive, scans=3) | {"type": "multichannel__bt_13__refl_2"}
    del meta["product_options"]
    return write_meta(tmp_path / "channels", meta)


def extended(dataset: Path) -> None:
    path = dataset / "meta.yaml"
    later = end_of(4).isoformat(sep=" ")
    path.write_text(path.read_text().replace(end_of(3).isoformat(sep=" "), later))


def test_fields_are_the_truth_and_tiles_are_cut_from_them(dataset: Path) -> None:
    assert main(["regrid", "--data-path", str(dataset)]) == 0
    assert main(["tiles", "--data-path", str(dataset)]) == 0
    with xr.open_dataset(dataset / "rect" / f"{scene_ids(1)[0]}.nc", engine="h5netcdf", decode_coords="all") as scene:
        field = scene["multichannel"].load()
        crs = pyproj.CRS.from_cf(scene["local_projection"].attrs)
        start = datetime.fromisoformat(scene.attrs["scene_time"])
    assert field.dims == ("bands", "y", "x")
    assert field["bands"].values.tolist() == ["bt_13", "refl_2"]
    assert field["band_units"].values.tolist() == ["K", "%"]
    assert np.isfinite(field).all()
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(*np.meshgrid(field["x"], field["y"]))
    kelvin = truth.brightness_temperature(13, lon, lat, start)
    percent = 100 * truth.reflectance_factor(2, lon, lat, start)
    # Cells are means over their pixels and clouds have sharp edges; most cells lie within cloud or sea.
    assert np.median(np.abs(field[0] - kelvin)) < 0.3
    assert np.corrcoef(field[0].values.ravel(), kelvin.ravel())[0, 1] > 0.95
    assert np.median(np.abs(field[1] - percent)) < 1.0
    with Image.open(dataset / "triplets" / "train" / "00000_anchor.png") as tile:
        assert (tile.mode, tile.size) == ("RGB", (16, 16))


def test_pictures_of_later_scenes_are_drawn_as_the_first_ones(dataset: Path) -> None:
    assert main(["regrid", "--data-path", str(dataset)]) == 0
    (style,) = dataset.glob("source_data/*/*/picture_style.json")
    kept = style.read_bytes()
    pictures = {path.name: path.read_bytes() for path in (dataset / "rect").glob("*.png")}
    extended(dataset)
    assert main(["regrid", "--data-path", str(dataset)]) == 0
    assert style.read_bytes() == kept
    later = {path.name: path.read_bytes() for path in (dataset / "rect").glob("*.png")}
    assert len(later) == len(pictures) + 1
    assert pictures.items() <= later.items()


def test_a_broken_scene_does_not_keep_the_others_from_being_drawn(
    dataset: Path, archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = granule(archive, scene_ids(1)[0], 13)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:5000])
    try:
        assert main(["crop", "--data-path", str(dataset)]) == 1
    finally:
        broken.write_bytes(whole)
    assert f"1 of 3 scenes failed; the others are done.\n{scene_ids(1)[0]} – cropped: " in capsys.readouterr().err
    (folder,) = dataset.glob("source_data/*/*/cropped")
    for scene_id in scene_ids(3)[1:]:
        with Image.open(folder / f"{scene_id}.png") as picture:
            low, high = picture.convert("L").getextrema()
            assert high - low > 100
