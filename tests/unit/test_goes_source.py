"""A scene from an archive of small files: the window, its grid, what is recorded, and what is refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rioxarray  # noqa: F401 - gives arrays their .rio
import xarray as xr
from abi_files import CHANNELS, PERSPECTIVE_HEIGHT, source_file, textured_counts, write_abi

from convml_data.errors import ArchiveError, MetaError, SceneError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval, Source
from convml_data.sources.goes import rayleigh, truecolor
from convml_data.sources.goes.granule import Granule
from convml_data.sources.goes.quality import Quality
from convml_data.sources.goes.source import GoesSource

START = datetime(2020, 2, 2, 15, 0, 16, 100_000)

#: Near the middle of the simulated sector, which shows 640 x 512 km south-east of the edges below.
EDGES = {"west_edge_urad": 9968, "north_edge_urad": 80080}
DOMAIN = LocalDomain(25.5, -68.7, 150e3, 100e3)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noaa-goes16")
    for channel, shape in ((1, (512, 640)), (2, (1024, 1280)), (3, (512, 640))):
        counts = textured_counts(shape, 100, 800, seed=channel)
        counts[-40:, :40] = CHANNELS[channel][2]  # a corner without values
        write_abi(folder, channel, counts, START, **EDGES)
    return folder


@pytest.fixture(scope="module")
def source(archive: Path) -> GoesSource:
    return GoesSource("goes16", "truecolor_rgb", "M1", f"file://{archive}", rayleigh_correction=False)


@pytest.fixture(scope="module")
def scan(source: GoesSource) -> Scan:
    found: Source = source
    (scan,) = found.find([Interval(START, START)])
    assert scan.reason is None
    return scan


@pytest.fixture(scope="module")
def crop(source: GoesSource, scan: Scan) -> xr.Dataset:
    return source.read(scan, DOMAIN)


def test_the_window_covers_the_domain_and_a_margin(crop: xr.Dataset) -> None:
    grid = FixedGrid.from_dict(json.loads(crop.attrs["source_grid"]))
    rows, columns = grid.pixel_of(*DOMAIN.to_lonlat(*DOMAIN.lattice(40)))
    margin = 16  # four pixels of 2 km
    # and up to a whole pixel of 1 km more, half of it since the outer edge of a pixel counts
    assert margin - 1 <= rows.min() < margin + 3
    assert margin - 1 <= columns.min() < margin + 3
    assert margin - 1 <= grid.shape[0] - 1 - rows.max() < margin + 4
    assert margin - 1 <= grid.shape[1] - 1 - columns.max() < margin + 4


def test_the_dataset_is_what_a_source_promises(crop: xr.Dataset, scan: Scan) -> None:
    rgb = crop["rgb_truecolor"]
    assert rgb.dims == ("bands", "y", "x")
    assert rgb.dtype == np.float32
    assert rgb["bands"].values.tolist() == ["R", "G", "B"]
    assert rgb.attrs["units"] == "%"
    assert (np.diff(crop["y"]) < 0).all()
    assert (np.diff(crop["x"]) > 0).all()
    assert np.isfinite(rgb).all()
    assert 5 < float(rgb.mean()) < 100
    assert crop.attrs["satellite"] == "goes16"
    assert crop.attrs["sector"] == "M1"
    assert datetime.fromisoformat(crop.attrs["scene_time"]) == scan.start == START
    assert crop.attrs["valid_share"] == 1
    assert crop.attrs["rayleigh_correction"] == "not applied"
    assert crop.attrs["bytes_whole_files"] == sum(file.size for file in scan.files.values())
    assert 0 < crop.attrs["bytes_read"] <= crop.attrs["bytes_whole_files"]
    assert crop["channel_bytes_read"].sum() == crop.attrs["bytes_read"]
    assert crop.attrs["requests"] >= 3
    assert crop["channel"].values.tolist() == [1, 2, 3]
    assert crop["channel_wavelength"].values.tolist() == [0.47, 0.64, 0.87]
    assert [url.rpartition("/")[2] for url in (file.url for file in scan.files.values())] == crop[
        "channel_file"
    ].values.tolist()
    assert (crop["channel_share_good"] == 1).all()


def test_it_is_written_and_read_back_with_its_projection(crop: xr.Dataset, tmp_path: Path) -> None:
    crop.to_netcdf(tmp_path / "crop.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "crop.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), crop)
        grid = FixedGrid.from_dict(json.loads(read.attrs["source_grid"]))
        for crs in (pyproj.CRS.from_cf(read["goes_imager_projection"].attrs), read.rio.crs):
            to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
            lon, lat = to_lonlat.transform(*np.meshgrid(read["x"], read["y"]))
            row, column = grid.pixel_of(lon, lat)
            np.testing.assert_allclose(row, np.arange(grid.shape[0])[:, None] + 0 * row, atol=0.01)
            np.testing.assert_allclose(column, np.arange(grid.shape[1]) + 0 * column, atol=0.01)


def test_a_crop_is_a_part_of_the_whole(source: GoesSource, scan: Scan, crop: xr.Dataset) -> None:
    whole = source.read(scan, LocalDomain(25.5, -68.7, 1600e3, 1600e3))
    assert whole.sizes["x"] == 1280
    assert whole.sizes["y"] == 1024
    grids = [FixedGrid.from_dict(json.loads(dataset.attrs["source_grid"])) for dataset in (whole, crop)]
    row = round((grids[1].y0 - grids[0].y0) / grids[0].dy)
    column = round((grids[1].x0 - grids[0].x0) / grids[0].dx)
    assert row % 2 == column % 2 == 0  # blocks of red are whole pixels of blue
    same = whole["rgb_truecolor"].values[:, row:, column:][:, : crop.sizes["y"], : crop.sizes["x"]]
    np.testing.assert_allclose(crop["rgb_truecolor"], same, atol=1e-3)


def test_what_lies_beside_the_sector_or_has_no_value_is_not_valid(source: GoesSource, scan: Scan) -> None:
    domain = LocalDomain(25.5, -68.7, 1600e3, 1600e3)
    crop = source.read(scan, domain)
    grid = FixedGrid.from_dict(json.loads(crop.attrs["source_grid"]))
    x, y = domain.from_lonlat(*grid.lonlat())
    area = np.abs(np.gradient(x, axis=1) * np.gradient(y, axis=0) - np.gradient(x, axis=0) * np.gradient(y, axis=1))
    valid = np.isfinite(crop["rgb_truecolor"].values).all(axis=0)
    expected = (area * valid).sum() / (domain.l_zonal * domain.l_meridional)
    assert crop.attrs["valid_share"] == pytest.approx(expected, abs=0.003)
    assert not valid[-80:, :80].any()
    assert (crop["channel_valid_share"] < 1).all()


def test_a_domain_beside_the_sector_is_refused_with_numbers(source: GoesSource, scan: Scan) -> None:
    with pytest.raises(SceneError, match=r"150 x 100 km around -10N -50E lies outside of sector M1") as caught:
        source.read(scan, LocalDomain(-10, -50, 150e3, 100e3))
    assert "N to " in str(caught.value)
    with pytest.raises(SceneError, match="outside of sector"):
        source.read(scan, LocalDomain(0, 105, 150e3, 100e3))  # behind the earth


def test_the_margin_may_cross_the_edge_of_the_sector(source: GoesSource, scan: Scan) -> None:
    whole = source.read(scan, LocalDomain(25.5, -68.7, 1600e3, 1600e3))
    grid = FixedGrid.from_dict(json.loads(whole.attrs["source_grid"]))
    lon, lat = grid.view.lonlat(grid.x_rad[-20], grid.y_rad[20])
    crop = source.read(scan, LocalDomain(float(lat), float(lon), 10e3, 10e3))
    assert crop["x"].values[-1] == pytest.approx(whole["x"].values[-1])
    assert crop["y"].values[0] == pytest.approx(whole["y"].values[0])
    assert crop.attrs["valid_share"] == 1


def test_a_broken_file_is_named(source: GoesSource, scan: Scan, tmp_path: Path) -> None:
    path = Path(scan.files["2"].url.removeprefix("file://"))
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes()[:50_000])
    damaged = replace(scan, files={**scan.files, "2": source_file(copy)})
    with pytest.raises(SceneError) as caught:
        source.read(damaged, DOMAIN)
    assert caught.value.where == f"file://{copy}"


def test_files_of_another_channel_or_place_are_refused(source: GoesSource, scan: Scan, tmp_path: Path) -> None:
    swapped = replace(scan, files={**scan.files, "1": scan.files["3"]})
    with pytest.raises(SceneError, match="holds channel 3 of goes16, not channel 1 of goes16"):
        source.read(swapped, DOMAIN)
    moved = write_abi(
        tmp_path,
        3,
        textured_counts((512, 640), 100, 800, seed=3),
        START,
        west_edge_urad=EDGES["west_edge_urad"] + 28,
        north_edge_urad=EDGES["north_edge_urad"],
    )
    with pytest.raises(SceneError, match="do not nest"):
        source.read(replace(scan, files={**scan.files, "3": moved}), DOMAIN)


def test_absent_rayleigh_tables_stop_it_before_anything_is_read(
    source: GoesSource, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(satellite: str) -> None:
        raise ArchiveError(f"no tables for {satellite}")

    monkeypatch.setattr(rayleigh, "require_tables", absent)
    unreadable = replace(scan, files={})
    with pytest.raises(ArchiveError, match="no tables for goes16"):
        replace(source, rayleigh_correction=True).read(unreadable, DOMAIN)


def test_a_source_travels_between_processes(source: GoesSource) -> None:
    assert pickle.loads(pickle.dumps(source)) == source


def test_the_channels_are_those_of_truecolor(source: GoesSource, scan: Scan) -> None:
    assert set(scan.files) == {str(n) for n in (truecolor.BLUE, truecolor.RED, truecolor.VEGETATION)}


# --- quality flags, and pixels without a value ---------------------------------------------------


def pixels(value: int = 300) -> np.ndarray:
    return np.full((256, 320), value)


def read_13(
    folder: Path, counts: np.ndarray, dqf: np.ndarray | None, quality: Quality, domain: LocalDomain
) -> xr.Dataset:
    edges = {"west_edge_urad": 9968, "north_edge_urad": 80080}
    write_abi(folder, 13, counts, START, dqf=dqf, **edges)
    source = GoesSource("goes16", "singlechannel__13", "M1", f"file://{folder}", quality=quality)
    (scan,) = source.find([Interval(START, START)])
    return source.read(scan, domain)


@pytest.mark.parametrize(
    ("quality", "keeps", "text"),
    [
        ("good", {0}, "good_qf"),
        ("any", {0, 1, 2, 4, 255}, "any"),
        (("good", "out_of_range"), {0, 2}, "good_qf out_of_range_qf"),
        ("conditionally_usable_qf", {1}, "conditionally_usable_qf"),
    ],
)
def test_quality_flags_choose_the_pixels(tmp_path: Path, quality: Quality, keeps: set[int], text: str) -> None:
    dqf = np.array([0, 1, 2, 3, 4, 255])[np.arange(256 * 320).reshape(256, 320) % 6]
    crop = read_13(tmp_path, pixels(), dqf, quality, DOMAIN)
    whole = FixedGrid.from_dict(json.loads(crop.attrs["source_grid"]))
    row = round((80080e-6 - 28e-6 - whole.y0) / 56e-6)
    column = round((whole.x0 - 9968e-6 - 28e-6) / 56e-6)
    flags = dqf[row : row + whole.shape[0], column : column + whole.shape[1]]
    np.testing.assert_array_equal(np.isfinite(crop["radiance_13"]), np.isin(flags, list(keeps)))
    rejected = np.mean(~np.isin(flags, [*keeps, 3]))
    assert crop.attrs["rejected_share"] == pytest.approx(rejected)
    assert crop["channel_rejected_share"].item() == pytest.approx(rejected)
    assert crop.attrs["quality_flags"] == text
    # what has no value is missing, what is rejected is not
    assert crop.attrs["missing_on_earth_share"] == pytest.approx(1 / 6, abs=0.01)
    assert crop.attrs["on_earth_share"] == 1


def test_a_flag_that_the_file_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SceneError, match=r"no data quality flag 'fine'; its flags are good_qf, conditionally_usable_qf"
    ):
        read_13(tmp_path, pixels(), None, ("fine",), DOMAIN)


def test_wedges_and_lost_blocks_are_missing_although_no_flag_says_so(tmp_path: Path) -> None:
    counts = pixels()
    counts[100:140] = CHANNELS[13][2]
    crop = read_13(tmp_path, counts, np.zeros_like(counts), "good", DOMAIN)
    missing = np.isnan(crop["radiance_13"].values).mean()
    assert 0.2 < missing < 0.9
    assert crop.attrs["missing_on_earth_share"] == pytest.approx(1 - crop.attrs["valid_share"])
    assert crop.attrs["missing_on_earth_share"] > 0.2
    assert crop.attrs["rejected_share"] == 0
    assert crop["channel_share_good"].item() == 1


def test_what_one_of_several_channels_lacks_counts(tmp_path: Path) -> None:
    """Channel 1 has no values in the east of the domain and channel 2 none in the south."""
    middle = FixedGrid(VIEW, 0.009982, 0.080066, 28e-6, -28e-6, (512, 640)).pixel_of(-68.7, 25.5)
    row, column = (int(at) for at in middle)
    for channel, hole in ((1, np.s_[:, column:]), (2, np.s_[2 * row :])):
        counts = np.full((512 * channel, 640 * channel), 300)
        counts[hole] = CHANNELS[channel][2]
        write_abi(tmp_path, channel, counts, START, **EDGES)
    crop = read_1_and_2(tmp_path)
    assert crop.attrs["missing_on_earth_share"] == pytest.approx(3 / 4, abs=0.03)
    assert crop.attrs["valid_share"] == pytest.approx(1 - crop.attrs["missing_on_earth_share"])
    assert crop["channel_valid_share"].values == pytest.approx([1 / 2, 1 / 2], abs=0.1)


def test_what_one_of_several_channels_rejects_counts(tmp_path: Path) -> None:
    """Of 8 columns on the grid of channel 2, the first two are rejected in channel 1 and the fifth in channel 2."""
    for channel, first, step in ((1, 0, 4), (2, 4, 8)):
        counts = np.full((512 * channel, 640 * channel), 300)
        dqf = np.zeros_like(counts)
        dqf[:, first::step] = 1
        write_abi(tmp_path, channel, counts, START, dqf=dqf, **EDGES)
    crop = read_1_and_2(tmp_path)
    there = np.isfinite(crop["multichannel"].values).all(axis=0)
    assert crop.attrs["rejected_share"] == pytest.approx(1 - there.mean())
    assert crop.attrs["rejected_share"] == pytest.approx(3 / 8, abs=0.02)
    assert crop["channel_rejected_share"].values == pytest.approx([1 / 4, 1 / 8], abs=0.02)
    assert crop.attrs["missing_on_earth_share"] == 0


def read_1_and_2(folder: Path) -> xr.Dataset:
    source = GoesSource("goes16", "multichannel__1__2", "M1", f"file://{folder}")
    (scan,) = source.find([Interval(START, START)])
    return source.read(scan, DOMAIN)


def test_what_lies_in_space_is_not_missing(tmp_path: Path) -> None:
    """A domain across the limb, in a sector that reaches into space."""
    counts = pixels(CHANNELS[13][2])
    grid = FixedGrid(VIEW, 0.140028, 0.019972, 56e-6, -56e-6, counts.shape)
    counts[np.isfinite(grid.lonlat()[0])] = 300
    assert 0.3 < (counts == 300).mean() < 0.95
    write_abi(tmp_path, 13, counts, START, west_edge_urad=140000, north_edge_urad=20000)
    source = GoesSource("goes16", "singlechannel__13", "M1", f"file://{tmp_path}")
    (scan,) = source.find([Interval(START, START)])
    crop = source.read(scan, LocalDomain(3, 3, 2000e3, 400e3))
    assert 0.1 < crop.attrs["on_earth_share"] < 0.9
    assert crop.attrs["missing_on_earth_share"] == 0
    assert crop.attrs["valid_share"] == pytest.approx(crop.attrs["on_earth_share"], abs=0.002)
    assert np.isnan(crop["radiance_13"]).any()


VIEW = GeostationaryView(-75.0, PERSPECTIVE_HEIGHT, 6378137.0, 6356752.31414)


# --- where the satellite stands, and how it scans ------------------------------------------------


@pytest.mark.parametrize("mode", [3, 4, 6])
@pytest.mark.parametrize("sub_longitude", [-75.0, -89.5])
def test_the_grid_is_that_of_the_file_whatever_its_place_and_mode(
    tmp_path: Path, mode: int, sub_longitude: float
) -> None:
    write_abi(tmp_path, 13, pixels(), START, mode=mode, sub_longitude=sub_longitude, **EDGES)
    source = GoesSource("goes16", "singlechannel__13", "M1", f"file://{tmp_path}")
    (scan,) = source.find([Interval(START, START)])
    assert scan.mode == mode
    domain = LocalDomain(25.5, -68.7 + sub_longitude + 75, 150e3, 100e3)
    crop = source.read(scan, domain)
    assert crop.attrs["scan_mode"] == mode
    assert crop.attrs["valid_share"] == 1
    grid = FixedGrid.from_dict(json.loads(crop.attrs["source_grid"]))
    assert grid.view.sub_longitude == sub_longitude
    lon, lat = grid.lonlat()
    assert (abs(lon.mean() - domain.central_longitude), abs(lat.mean() - 25.5)) < (0.1, 0.1)
    with pytest.raises(SceneError, match="outside of sector"):
        source.read(scan, LocalDomain(25.5, -68.7 - (sub_longitude + 75) - 15, 150e3, 100e3))


def test_a_domain_beside_the_sector_is_refused_before_an_image_is_read(
    source: GoesSource, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(Granule, "read", never)
    for domain in (LocalDomain(-10, -50, 150e3, 100e3), LocalDomain(0, 105, 150e3, 100e3)):
        with pytest.raises(SceneError, match="outside of sector"):
            source.read(scan, domain)


def test_the_whole_sector_is_a_domain(source: GoesSource, scan: Scan) -> None:
    whole = source.read(scan, source.whole_domain(scan))
    assert (whole.sizes["y"], whole.sizes["x"]) == (1024, 1280)
    assert whole.attrs["on_earth_share"] > 0.8


def test_there_is_no_listing_without_a_time(source: GoesSource) -> None:
    with pytest.raises(MetaError, match="no time to list"):
        source.find(None)
