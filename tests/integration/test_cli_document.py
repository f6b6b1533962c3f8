"""The complete example of the documentation, as users run it, against the simulated archive's known truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import h5netcdf
import numpy as np
import numpy.typing as npt
import pyproj
import pytest
import xarray as xr
import yaml
from datasets import (
    assert_whole,
    call,
    dagster_home_fixture,  # noqa: F401
    granule,
    names_in,
    tile_names,
    write_meta,
)
from PIL import Image

from convml_data.simulate import truth
from convml_data_dagster.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home")]

META = """\
source: goes16
type: truecolor_rgb

time:
  t_start: 2020-02-02T14:00
  t_end: 2020-02-02T14:30

domain:
  central_latitude: 13.3 # 13 + (18 / 60)
  central_longitude: -57.72 # -(57 + (43 / 60))
  l_zonal: 200000
  l_meridional: 200000

sampling:
  resolution: 1000.0
  triplets:
    scene_collections_splitting: random_by_relative_sample_size
    N_triplets: {train: 10, study: 2}
    tile_N: 256

product_options:
  rayleigh_correction: false # its tables are not here
"""
SCENES = [f"goes16__2020020214{minute}" for minute in ("00", "10", "20")]
COUNTS = {"train": 10, "study": 2}
TILE_LENGTH = 256e3
FloatArray = npt.NDArray[np.float64]
#: What a field truly is at degrees east and north at a time.
Truth = Callable[[FloatArray, FloatArray, datetime], FloatArray]


@dataclass(frozen=True)
class Example:
    """What the commands made and said."""

    folder: Path
    archive: str
    said: dict[str, str]
    warned: dict[str, str]

    def tiles(self, suffix: str) -> dict[str, Path]:
        """Files of all tiles by collection and name."""
        return {f"{path.parent.name}/{path.stem}": path for path in self.folder.glob(f"triplets/*/*.{suffix}")}

    def description(self, tile: str) -> dict[str, object]:
        return dict(yaml.safe_load((self.folder / "triplets" / f"{tile}.yml").read_text()))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("document") / "barbados"
    folder.mkdir()
    (folder / "meta.yaml").write_text(META)
    environment = {
        "DAGSTER_HOME": str(folder.parent / "home"),
        "CONVML_GOES_ARCHIVE": f"file://{folder.parent}/archive/noaa-{{satellite}}",
    }
    said, warned = {}, {}
    assert main(["simulate", str(folder.parent / "archive"), "--data-path", str(folder)]) == 0
    for command in ("validate", "scene-ids", "crop", "regrid", "tiles"):
        done = call(command, cwd=folder, **environment)
        assert done.returncode == 0, (command, done.stderr)
        assert "Traceback" not in done.stderr
        said[command], warned[command] = done.stdout, done.stderr
    return Example(folder, environment["CONVML_GOES_ARCHIVE"], said, warned)


def test_every_command_says_what_it_did(example: Example) -> None:
    assert "tiles of 256 × 256 cells" in example.said["validate"]
    assert "3 of 3 scans seen" in example.said["scene-ids"]
    assert f"cropped: {example.folder}/source_data/goes16/truecolor_rgb/cropped" in example.said["crop"]
    assert f"regridded: {example.folder}/rect" in example.said["regrid"]
    assert f"triplet_tiles: {example.folder}/triplets" in example.said["tiles"]


def test_the_warnings_are_said_once(example: Example) -> None:
    warnings = [line for line in example.warned["tiles"].splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 4
    assert all("256 km long and the domain only 200 km" in warning for warning in warnings[:2])
    assert "'study' has one scene" in warnings[2]
    assert "Scenes of study and train start as little as 10 min apart" in warnings[3]
    for command in ("scene-ids", "crop", "regrid"):
        assert "warning" not in example.warned[command].lower()


def test_each_scan_is_a_scene(example: Example) -> None:
    ledger = json.loads((example.folder / "source_data/goes16/truecolor_rgb/scene_ids.json").read_text())
    assert [row["scene_id"] for row in ledger["rows"]] == SCENES
    assert [row["reason"] for row in ledger["rows"]] == [None] * 3
    for folder in ("source_data/goes16/truecolor_rgb/cropped", "rect"):
        assert names_in(example.folder / folder) == {
            f"{scene}.{suffix}" for scene in SCENES for suffix in ("nc", "png")
        }


def test_all_triplets_are_complete_and_whole(example: Example) -> None:
    for collection, count in COUNTS.items():
        folder = example.folder / "triplets" / collection
        assert names_in(folder) == tile_names(count)
        assert_whole(list(folder.iterdir()))
        assert names_in(example.folder / "triplets/.incomplete" / collection) == set()


def test_descriptions_say_where_tiles_are(example: Example) -> None:
    descriptions = {tile: example.description(tile) for tile in example.tiles("yml")}
    assert len({tuple(description) for description in descriptions.values()}) == 1
    scenes_of: dict[str, set[str]] = {"train": set(), "study": set()}
    domain = pyproj.Proj("+proj=laea +lat_0=13.3 +lon_0=-57.72 +ellps=WGS84")
    for tile, described in descriptions.items():
        collection, _, name = tile.partition("/")
        loc = described["loc"]
        assert list(loc) == ["x_c", "y_c", "l_zonal", "l_meridional", "central_latitude", "central_longitude"]
        assert (described["triplet_collection"], f"{described['triplet_id']:05d}_{described['tile_type']}") == (
            collection,
            name,
        )
        assert loc["l_zonal"] == loc["l_meridional"] == TILE_LENGTH
        assert max(abs(loc["x_c"]), abs(loc["y_c"])) <= 100e3
        # East and north of the domain's centre are positive; the centre in degrees is that very point.
        assert domain(loc["central_longitude"], loc["central_latitude"]) == pytest.approx(
            (loc["x_c"], loc["y_c"]), abs=0.01
        )
        assert described["valid_share"] == 1.0
        scenes_of[collection].add(described["scene_id"])
        assert datetime.fromisoformat(described["scene_time"]).strftime("goes16__%Y%m%d%H%M") == described["scene_id"]
    assert scenes_of["train"] | scenes_of["study"] == set(SCENES)
    assert not scenes_of["train"] & scenes_of["study"]


def test_neighbors_and_distant_tiles_are_what_they_are_called(example: Example) -> None:
    for collection, count in COUNTS.items():
        for number in range(count):
            anchor, neighbor, distant = (
                example.description(f"{collection}/{number:05d}_{kind}") for kind in ("anchor", "neighbor", "distant")
            )
            assert math.dist(
                *((tile["loc"]["x_c"], tile["loc"]["y_c"]) for tile in (anchor, neighbor))
            ) == pytest.approx(TILE_LENGTH)
            assert anchor["scene_id"] == neighbor["scene_id"]
            alone = collection == "study"
            assert (distant["scene_id"] == anchor["scene_id"]) == alone
            assert [tile["distant_from_same_scene"] for tile in (anchor, neighbor, distant)] == [alone] * 3


def test_tile_files_are_alike(example: Example) -> None:
    keys = set()
    for path in example.tiles("nc").values():
        with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as tile:
            keys.add(tuple(sorted(tile.attrs)))
            assert list(tile.data_vars) == ["rgb_truecolor"]
            field = tile["rgb_truecolor"]
            assert (field.dims, field.shape, field.dtype) == (("bands", "y", "x"), (3, 256, 256), np.float32)
            assert list(tile["bands"].values) == ["R", "G", "B"]
            assert field.attrs["units"] == "%"
            for axis in (tile["x"], tile["y"]):
                np.testing.assert_allclose(axis, 1000 * (np.arange(256) - 127.5))
                assert axis.attrs["units"] == "m"
            assert not {"triplet_id", "tile_type"} & set(tile.attrs)  # columns that the reader makes itself
    assert len(keys) == 1


def test_the_files_attributes_are_the_descriptions(example: Example) -> None:
    for tile, path in example.tiles("nc").items():
        described = example.description(tile)
        with h5netcdf.File(path, "r") as file:
            attributes = dict(file.attrs)
        for key in ("scene_id", "triplet_collection", "scene_time", "fingerprint", "valid_share", "tile_N"):
            assert attributes[key] == described[key]
        for key, value in described["loc"].items():
            assert attributes[key] == value


def test_pictures_show_the_tiles_from_the_north(example: Example) -> None:
    for tile, path in example.tiles("png").items():
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (256, 256))
            shown = np.asarray(image).astype(int)
        with xr.open_dataset(example.folder / "triplets" / f"{tile}.nc", engine="h5netcdf") as data:
            # satpy's enhancement of true_color for ABI
            fraction = np.maximum(data["rgb_truecolor"].values / 100, 1e-9)
        levels = np.log10(fraction / 0.0223) / (0.75 * (1 - np.log10(0.0223)))
        expected = np.moveaxis(255 * np.clip(levels, 0, 1), 0, -1)
        assert np.abs(shown[::-1] - expected).max() <= 0.51, tile
        assert np.abs(shown - expected).max() > 20, tile  # so that the wrong way round would show


def red_truth(lon: FloatArray, lat: FloatArray, time: datetime) -> FloatArray:
    return 100 * truth.reflectance(2, lon, lat, time)


def blue_factor_truth(lon: FloatArray, lat: FloatArray, time: datetime) -> FloatArray:
    return 100 * truth.reflectance_factor(1, lon, lat, time)


def mean_truth(
    crs: pyproj.CRS, x: FloatArray, y: FloatArray, time: datetime, true_values: Truth = red_truth
) -> FloatArray:
    """The truth averaged over the cells around x and y, from 5 x 5 points in each."""
    parts = (np.arange(5) + 0.5) / 5 - 0.5
    step = x[1] - x[0]
    fine_x, fine_y = ((axis[:, np.newaxis] + step * parts).ravel() for axis in (x, y))
    lon, lat = pyproj.Proj(crs)(*np.meshgrid(fine_x, fine_y), inverse=True)
    values = true_values(lon, lat, time)
    return values.reshape(len(y), 5, len(x), 5).mean(axis=(1, 3))


def displacement(found: FloatArray, expected: FloatArray) -> FloatArray:
    """By how many cells (y, x) a field is off: the shift that explains most of the difference."""
    slopes = np.stack([np.ravel(slope) for slope in np.gradient(expected)], axis=1)
    return np.asarray(-np.linalg.lstsq(slopes, (found - expected).ravel(), rcond=None)[0])


def compare_with_truth(path: Path, name: str = "rgb_truecolor", true_values: Truth = red_truth) -> None:
    """A field, of several bands its red, on a local grid against the mean of the truth over its cells.

    Bilinear samples of 0.5 km pixels, which are themselves samples, stand for the mean over a cell of
    1 km. That is off where the clouds' edges are sharper than a pixel, so that the median says how good
    values are, and the correlation and the displacement that no pixel is in the wrong place.
    """
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as data:
        crs = pyproj.CRS.from_cf(data["local_projection"].attrs)
        found = (data[name].sel(bands="R") if "bands" in data[name].dims else data[name]).values.astype(float)
        time = datetime.fromisoformat(data.attrs["scene_time"])
        expected = mean_truth(crs, data["x"].values, data["y"].values, time, true_values)
    assert np.isfinite(found).all()
    assert expected.std() > 3  # there are clouds
    assert np.median(np.abs(found - expected)) < 0.1
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.998
    assert np.abs(displacement(found, expected)).max() < 0.02


@pytest.mark.parametrize("tile", ["train/00000_anchor", "train/00003_distant", "study/00001_neighbor"])
def test_a_tile_has_the_truth_at_its_place(example: Example, tile: str) -> None:
    path = example.folder / "triplets" / f"{tile}.nc"
    compare_with_truth(path)
    loc = example.description(tile)["loc"]
    with h5netcdf.File(path, "r") as file:
        projection = dict(file["local_projection"].attrs)
    assert projection["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    assert projection["latitude_of_projection_origin"] == pytest.approx(loc["central_latitude"])
    assert projection["longitude_of_projection_origin"] == pytest.approx(loc["central_longitude"])


def test_a_displacement_of_a_tenth_of_a_cell_would_show(example: Example) -> None:
    with xr.open_dataset(example.folder / "rect" / f"{SCENES[0]}.nc", engine="h5netcdf", decode_coords="all") as data:
        crs = pyproj.CRS.from_cf(data["local_projection"].attrs)
        found = data["rgb_truecolor"].sel(bands="R").values.astype(float)
        time = datetime.fromisoformat(data.attrs["scene_time"])
        expected = mean_truth(crs, data["x"].values + 100, data["y"].values - 100, time)
    np.testing.assert_allclose(displacement(found, expected), [-0.1, 0.1], atol=0.03)


@pytest.mark.parametrize("scene", SCENES)
def test_a_regridded_scene_is_the_truth(example: Example, scene: str) -> None:
    compare_with_truth(example.folder / "rect" / f"{scene}.nc")


def test_a_cropped_scene_is_the_truth_at_its_pixels(example: Example) -> None:
    """But for the packing: half a count, in reflectance over the cosine of the sun's zenith angle."""
    scene = SCENES[1]
    path = example.folder / "source_data/goes16/truecolor_rgb/cropped" / f"{scene}.nc"
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as data:
        red, green, blue = data["rgb_truecolor"].values.astype(float)
        crs = pyproj.CRS.from_cf(data["goes_imager_projection"].attrs)
        x, y = data["x"].values, data["y"].values
        # Channels start up to 0.3 s apart, in which clouds move by a metre or two, which shows at their edges.
        starts = [datetime.fromisoformat(start) for start in data["channel_start_time"].values]
        times = dict(zip(data["channel"].values.tolist(), starts, strict=True))
    lon, lat = pyproj.Proj(crs)(*np.meshgrid(x, y), inverse=True)
    cos_sun = truth.cos_sun_zenith(lon, lat, times[2])

    def half_a_count(channel: int) -> float:
        with h5netcdf.File(granule(example.archive, scene, channel), "r") as file:
            scale = float(file["Rad"].attrs["scale_factor"])
            return 50 * scale * float(file["kappa0"][()]) / float(cos_sun.min())

    expected_red = red_truth(lon, lat, times[2])
    assert np.abs(red - expected_red).max() < half_a_count(2) + 0.01
    assert expected_red.max() - expected_red.min() > 20

    # Blue and vegetation have pixels of 1 km, and take the fine structure of red.
    coarse = np.meshgrid(x.reshape(-1, 2).mean(axis=1), y.reshape(-1, 2).mean(axis=1))
    coarse_lon, coarse_lat = pyproj.Proj(crs)(*coarse, inverse=True)
    coarse_blue, coarse_vegetation = (
        100 * truth.reflectance(channel, coarse_lon, coarse_lat, times[channel]).repeat(2, axis=0).repeat(2, axis=1)
        for channel in (1, 3)
    )
    blocks = red.reshape(len(y) // 2, 2, len(x) // 2, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    ratio = np.minimum(red / blocks, 1.5)
    np.testing.assert_allclose(blue, coarse_blue * ratio, atol=1.5 * half_a_count(1) + 0.02)
    np.testing.assert_allclose(
        green,
        (0.465 * coarse_blue + 0.465 * red + 0.07 * coarse_vegetation) * ratio,
        atol=1.5 * max(map(half_a_count, (1, 2, 3))) + 0.02,
    )


def test_a_crop_reads_less_than_the_files(example: Example) -> None:
    for scene in SCENES:
        path = example.folder / "source_data/goes16/truecolor_rgb/cropped" / f"{scene}.nc"
        with h5netcdf.File(path, "r") as file:
            sizes = [granule(example.archive, scene, channel).stat().st_size for channel in (1, 2, 3)]
            assert file.attrs["bytes_whole_files"] == sum(sizes)
            assert 0 < file.attrs["bytes_read"] <= sum(sizes)
            assert file.attrs["valid_share"] == 1.0


def test_the_wide_domain_of_the_document_has_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its northern edge bends away from the parallel through its corners, where a strip was once lost."""
    folder = tmp_path / "atlantic"
    meta = yaml.safe_load(META)
    meta["time"] = {"t_start": datetime(2020, 2, 2, 14), "t_end": datetime(2020, 2, 2, 14, 5)}
    meta["domain"] = {
        "central_latitude": 14.0,
        "central_longitude": -48.0,
        "l_zonal": "3000.0e+3",
        "l_meridional": "1000.0e+3",
    }
    meta["sampling"] = {"resolution": 4000}
    meta["type"] = "singlechannel__refl_1"  # what is read is the same, of a sixth of the pixels of truecolor
    del meta["product_options"]
    monkeypatch.setenv("CONVML_GOES_ARCHIVE", str(tmp_path / "archive/noaa-{satellite}"))
    write_meta(folder, meta)
    assert main(["simulate", str(tmp_path / "archive"), "--data-path", str(folder)]) == 0
    assert main(["regrid", "--data-path", str(folder)]) == 0

    name = f"{SCENES[0]}.nc"
    for path in (folder / "rect" / name, folder / "source_data/goes16/singlechannel__refl_1/cropped" / name):
        with xr.open_dataset(path, engine="h5netcdf") as data:
            assert np.isfinite(data["refl_1"]).all()
            assert data.attrs["valid_share"] == 1.0
    compare_with_truth(folder / "rect" / name, "refl_1", blue_factor_truth)
    with Image.open(folder / "rect" / name.replace(".nc", ".png")) as image:
        assert image.size == (750, 250)
