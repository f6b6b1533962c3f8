from __future__ import annotations

import argparse
import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyorbital import astronomy
from satpy import Scene
from scipy import ndimage

from convml_data.errors import ConvmlError, StoreError
from convml_data.geometry.cover import window_over
from convml_data.geometry.local import LocalDomain
from convml_data.simulate import truth
from convml_data.simulate.abi import radiance, write_granule
from convml_data.simulate.archive import simulate_archive
from convml_data.simulate.bands import BANDS, EmissiveBand, ReflectiveBand
from convml_data.simulate.command import add_simulate_command
from convml_data.simulate.layout import image_blocks
from convml_data.simulate.sectors import SATELLITES, scan_starts, sector_grid
from convml_data.sources.base import Interval
from convml_data.sources.goes.archive import list_scans
from convml_data.sources.goes.names import AbiFileName

BARBADOS = LocalDomain(13.3, -57.72, 100e3, 100e3)
#: At the limb of GOES-16's disk.
LIMB = LocalDomain(0.0, -155.0, 600e3, 600e3)
CALIFORNIA = LocalDomain(36.0, -121.0, 100e3, 100e3)
AFTERNOON = datetime(2020, 2, 2, 14, 0, 20, 800_000)


def granule(
    root: Path, channel: int, *, domain=BARBADOS, satellite="goes16", sector="F", start=AFTERNOON, **kw
) -> Path:
    place = {"satellite": satellite, "sector": sector, "domain": domain}
    return write_granule(root, channel=channel, start=start, **place, **kw)


def read_with_satpy(path: Path, calibration: str):
    """Values, longitudes and latitudes around the pixels with values, as satpy has them."""
    name = f"C{AbiFileName.parse(path.name).channel:02d}"
    scene = Scene(reader="abi_l1b", filenames=[str(path)])
    scene.load([name], calibration=calibration)
    with h5py.File(path) as file:
        rad = file["Rad"]
        offsets = np.array([rad.id.get_chunk_info(i).chunk_offset for i in range(rad.id.get_num_chunks())])
        (row0, col0), (row1, col1) = offsets.min(axis=0), offsets.max(axis=0) + rad.chunks
    window = slice(row0, row1), slice(col0, col1)
    lon, lat = scene[name].attrs["area"][window].get_lonlats()
    on_earth = np.isfinite(lon)
    lon, lat = np.where(on_earth, lon, np.nan), np.where(on_earth, lat, np.nan)
    return scene[name], scene[name][window].values, lon, lat


def stored_chunks(path: Path, variable: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Place and size in the file of each chunk, by its row and column in chunks, in the order of the file."""
    found = []
    with h5py.File(path) as file:
        side = file[variable].chunks[0]
        file[variable].id.chunk_iter(lambda info: found.append((info.byte_offset, info.size, info.chunk_offset)))
    return {(row // side, column // side): (start, size) for start, size, (row, column) in sorted(found)}


def earth_sun_distance(path: Path) -> float:
    with h5py.File(path) as file:
        return float(file["earth_sun_distance_anomaly_in_AU"][()])


class TestWhatSatpyReads:
    @pytest.mark.parametrize("channel", [1, 2, 6, 7, 13])
    def test_radiances_are_the_truth_to_half_a_count(self, tmp_path, channel):
        path = granule(tmp_path, channel)
        array, values, lon, lat = read_with_satpy(path, "radiance")
        band = BANDS[channel]
        expected = radiance(band, earth_sun_distance(path), lon, lat, array.attrs["start_time"])
        assert np.isfinite(values).all()
        assert values.std() > 3 * band.scale_factor  # there is something to see
        assert np.abs(values - expected).max() <= 0.502 * band.scale_factor
        assert array.attrs["start_time"] == AbiFileName.parse(path.name).start
        assert array.attrs["platform_name"] == "GOES-16"

    @pytest.mark.parametrize("channel", [1, 2, 3])
    def test_reflectances_are_the_truth(self, tmp_path, channel):
        path = granule(tmp_path, channel)
        array, values, lon, lat = read_with_satpy(path, "reflectance")
        expected = 100 * truth.reflectance_factor(channel, lon, lat, array.attrs["start_time"])
        band = BANDS[channel]
        step = 100 * band.scale_factor * band.kappa0(earth_sun_distance(path))
        assert np.abs(values - expected).max() <= 0.502 * step

    @pytest.mark.parametrize(("channel", "tolerance"), [(7, 0.07), (10, 0.1), (13, 0.05), (16, 0.2)])
    def test_brightness_temperatures_are_the_truth(self, tmp_path, channel, tolerance):
        array, values, lon, lat = read_with_satpy(granule(tmp_path, channel), "brightness_temperature")
        expected = truth.brightness_temperature(channel, lon, lat, array.attrs["start_time"])
        assert np.ptp(expected) > 3
        assert np.abs(values - expected).max() <= tolerance

    def test_a_shift_by_one_pixel_would_be_seen(self, tmp_path):
        path = granule(tmp_path, 2)
        array, values, lon, lat = read_with_satpy(path, "radiance")
        expected = radiance(BANDS[2], earth_sun_distance(path), lon, lat, array.attrs["start_time"])
        assert np.abs(values[:, 1:] - expected[:, :-1]).max() > 20 * BANDS[2].scale_factor
        assert np.abs(values[1:] - expected[:-1]).max() > 20 * BANDS[2].scale_factor

    def test_space_has_no_value(self, tmp_path):
        path = granule(tmp_path, 13, domain=LIMB)
        _, values, lon, _ = read_with_satpy(path, "radiance")
        in_space = np.isnan(lon)
        assert in_space.sum() > 500
        assert in_space.mean() < 0.5
        np.testing.assert_array_equal(np.isnan(values), in_space)
        with h5py.File(path) as file:
            dqf = file["DQF"][()]
            assert set(np.unique(dqf)) == {-1, 0}
            assert (file["Rad"][()][dqf != 0] == BANDS[13].fill).all()

    def test_it_is_dark_at_night(self, tmp_path):
        path = granule(tmp_path, 3, start=AFTERNOON.replace(hour=4))
        _, values, _, _ = read_with_satpy(path, "radiance")
        assert np.abs(values).max() <= 0.502 * BANDS[3].scale_factor


class TestGrids:
    @pytest.mark.parametrize(
        ("sector", "shape"), [("F", (5424, 5424)), ("C", (1500, 2500)), ("M1", (500, 500)), ("M2", (500, 500))]
    )
    @pytest.mark.parametrize("satellite", SATELLITES)
    def test_pixels_of_all_resolutions_nest(self, satellite, sector, shape):
        domain = BARBADOS if SATELLITES[satellite].sub_longitude == -75 else CALIFORNIA
        fine, middle, coarse = (sector_grid(satellite, sector, km, domain) for km in (0.5, 1.0, 2.0))
        assert coarse.shape == shape
        assert (fine.coarsening_to(middle), fine.coarsening_to(coarse), middle.coarsening_to(coarse)) == (2, 4, 2)

    @pytest.mark.parametrize("sector", ["C", "M1"])
    def test_sectors_are_aligned_to_the_full_disk(self, sector):
        part, whole = (sector_grid("goes17", name, 2.0, CALIFORNIA) for name in (sector, "F"))
        pixels = np.array([(part.x0 - whole.x0) / whole.dx, (part.y0 - whole.y0) / whole.dy])
        np.testing.assert_allclose(pixels, pixels.round(), atol=1e-6)

    def test_the_mesoscale_sector_is_centred_on_the_domain(self):
        row, col = sector_grid("goes17", "M1", 2.0, CALIFORNIA).pixel_of(-121.0, 36.0)
        assert abs(row - 249.5) <= 0.5
        assert abs(col - 249.5) <= 0.5

    @pytest.mark.parametrize(
        ("satellite", "sector", "channel", "pattern"),
        [
            ("goes16", "C", 10, "noaa-goes16/ABI-L1b-RadC/2022/275/11/*C10*s20222751101*"),
            ("goes17", "M1", 1, "noaa-goes17/ABI-L1b-RadM/2019/300/20/*C01*"),
        ],
    )
    def test_structure_is_that_of_real_files(self, tmp_path, shared_data, satellite, sector, channel, pattern):
        (original,) = shared_data.glob(pattern)
        name = AbiFileName.parse(original.name)
        simulated = granule(tmp_path, channel, domain=CALIFORNIA, satellite=satellite, sector=sector, start=name.start)
        may_differ = {"_Netcdf4Dimid", "_Netcdf4Coordinates", "DIMENSION_LIST", "REFERENCE_LIST", "_FillValue"}
        constants = {"nominal_satellite_subpoint_lon", "goes_imager_projection", "band_id", "band_wavelength", "esun"}
        with h5py.File(simulated) as ours, h5py.File(original) as theirs:
            assert set(ours) <= set(theirs)
            assert ours["Rad"].attrs["_FillValue"] == theirs["Rad"].attrs["_FillValue"] == ours["Rad"].fillvalue
            for key in ours:
                assert (ours[key].dtype, ours[key].shape) == (theirs[key].dtype, theirs[key].shape), key
                assert (ours[key].chunks, ours[key].compression_opts) == (
                    theirs[key].chunks,
                    theirs[key].compression_opts,
                )
                assert ours[key].shuffle == theirs[key].shuffle
                missing = set(ours[key].attrs) - set(theirs[key].attrs) - may_differ
                assert not missing, (key, missing)
            for key in constants:
                np.testing.assert_array_equal(ours[key][()], theirs[key][()])
            packing = ["scale_factor", "add_offset", "valid_range", "sensor_band_bit_depth", "_Unsigned", "units"]
            for key in [*packing, "standard_name", "resolution", "long_name"]:
                np.testing.assert_array_equal(ours["Rad"].attrs[key], theirs["Rad"].attrs[key])
            for key, value in theirs["goes_imager_projection"].attrs.items():
                np.testing.assert_array_equal(ours["goes_imager_projection"].attrs[key], value)
            for key in (
                "orbital_slot",
                "platform_ID",
                "instrument_ID",
                "scene_id",
                "spatial_resolution",
                "timeline_id",
            ):
                assert ours.attrs[key] == theirs.attrs[key]
            assert ours["x"].attrs["scale_factor"] == theirs["x"].attrs["scale_factor"]
            assert float(ours["earth_sun_distance_anomaly_in_AU"][()]) == pytest.approx(
                float(theirs["earth_sun_distance_anomaly_in_AU"][()]), abs=5e-4
            )
            if sector == "C":
                for key in ("x_image_bounds", "y_image_bounds", "x", "y"):
                    np.testing.assert_array_equal(ours[key][()], theirs[key][()])
                for key in ("x", "y"):
                    assert ours[key].attrs["add_offset"] == theirs[key].attrs["add_offset"]
                for key, value in theirs["geospatial_lat_lon_extent"].attrs.items():
                    if key.startswith("geospatial") and not key.endswith("units"):
                        assert ours["geospatial_lat_lon_extent"].attrs[key] == pytest.approx(value, abs=1.5), key
            else:
                kappa0 = [float(file["kappa0"][()]) for file in (ours, theirs)]
                assert kappa0[0] == pytest.approx(kappa0[1], rel=1e-3)


class TestFiles:
    def test_only_the_chunks_around_the_domain_are_stored(self, tmp_path):
        path = granule(tmp_path, 2, domain=LocalDomain(13.3, -57.72, 200e3, 200e3))
        assert path.stat().st_size < 1e6
        with h5py.File(path) as file:
            assert file["Rad"].shape == (21696, 21696)
            stored = file["Rad"].id.get_num_chunks()
            assert 9 <= stored <= 25
            assert file["DQF"].id.get_num_chunks() == stored
            assert file["Rad"][0, 0] == 4095
            assert file["DQF"][0, 0] == -1

    def test_netcdf_libraries_open_it(self, tmp_path):
        path = granule(tmp_path, 13, sector="M1")
        with netCDF4.Dataset(path) as file:
            assert file["Rad"].dimensions == ("y", "x")
            assert file["x"].dimensions == ("x",)
            radiances = np.asarray(file["Rad"][:].filled(np.nan))
        with xr.open_dataset(path, engine="h5netcdf") as data:
            np.testing.assert_allclose(data["Rad"], radiances, rtol=1e-6)
            name = AbiFileName.parse(path.name)
            start, end = data["time_bounds"].values.astype("datetime64[ms]").astype(datetime)
            assert (start, end) == (name.start, name.end)
            assert data["t"].values.astype("datetime64[ms]").astype(datetime) == start + (end - start) / 2
            assert data.attrs["time_coverage_start"] == "2020-02-02T14:00:20.8Z"
            assert data.attrs["dataset_name"] == path.name

    def test_the_same_arguments_give_the_same_bytes(self, tmp_path):
        first, second = (granule(tmp_path / name, 1).read_bytes() for name in ("a", "b"))
        assert first == second

    def test_nothing_but_the_file_remains(self, tmp_path):
        path = granule(tmp_path, 1)
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
        assert path.relative_to(tmp_path).as_posix() == AbiFileName.parse(path.name).path

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"satellite": "goes15"}, "goes15"),
            ({"sector": "M3"}, "M3"),
            ({"channel": 17}, "17"),
            ({"domain": LocalDomain(0.0, 100.0, 1e5, 1e5)}, "does not see"),
            ({"domain": LocalDomain(0.0, 100.0, 1e5, 1e5), "sector": "M1"}, "does not see"),
            ({"domain": LocalDomain(-40.0, -75.0, 1e5, 1e5), "sector": "C"}, "sector C"),
        ],
    )
    def test_what_cannot_be_simulated_is_an_error(self, tmp_path, wrong, message):
        with pytest.raises(ConvmlError, match=message):
            granule(tmp_path, **{"channel": 1, **wrong})
        assert not list(tmp_path.iterdir())

    def test_a_place_that_cannot_be_written_to_is_an_error(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="cannot be written"):
            granule(tmp_path / "file", 13)

    @pytest.mark.parametrize("channel", BANDS)
    def test_every_value_the_truth_can_take_fits_its_band(self, channel):
        band = BANDS[channel]
        if isinstance(band, ReflectiveBand):
            brightest = max(truth.SEA_REFLECTANCE[channel], truth.THICK_CLOUD_REFLECTANCE[channel])
            extremes = np.array([0.0, brightest / band.kappa0(0.983)])
        else:
            assert isinstance(band, EmissiveBand)
            extremes = band.radiance(np.array([truth.CLOUD_TEMPERATURE[channel], truth.CLEAR_SKY_TEMPERATURE[channel]]))
            assert np.diff(band.counts(extremes)) > 30
        assert (band.counts(extremes) < band.fill).all()
        assert band.counts(np.array([np.nan])) == band.fill
        for beyond in (-1e6, 1e6):
            with pytest.raises(ValueError, match="beyond the range"):
                band.counts(np.array([beyond]))


@pytest.fixture(scope="module", name="path")
def path_fixture(tmp_path_factory):
    return granule(tmp_path_factory.mktemp("whole"), 13, allocate="full")


class TestWholeImages:
    """One of 2 km is enough: all resolutions go the same way."""

    def test_size_is_that_of_a_real_file(self, path):
        assert 24e6 < path.stat().st_size < 32e6

    def test_what_shows_the_earth_is_stored(self, path):
        with h5py.File(path) as file:
            rad = file["Rad"][()].view(np.uint16)
            dqf = file["DQF"][()]
        on_earth = np.isfinite(sector_grid("goes16", "F", 2.0, BARBADOS).lonlat()[0])
        np.testing.assert_array_equal(rad != BANDS[13].fill, on_earth)
        assert (dqf[on_earth] == 0).all()
        assert set(np.unique(dqf[~on_earth])) == {-1}
        for variable in ("Rad", "DQF"):
            assert (0, 0) not in stored_chunks(path, variable)
            assert len(stored_chunks(path, variable)) < 24 * 24

    def test_around_the_domain_it_is_the_file_of_the_domain(self, path, tmp_path):
        alone = granule(tmp_path, 13)
        for variable in ("Rad", "DQF"):
            with h5py.File(path) as file, h5py.File(alone) as expected:
                for row, column in stored_chunks(alone, variable):
                    part = np.s_[226 * row : 226 * (row + 1), 226 * column : 226 * (column + 1)]
                    np.testing.assert_array_equal(file[variable][part], expected[variable][part])
        assert set(stored_chunks(alone, "Rad")) < set(stored_chunks(path, "Rad"))

    def test_elsewhere_it_is_the_truth_with_noise(self, path):
        elsewhere = LocalDomain(-20.0, -85.0, 100e3, 100e3)
        grid = sector_grid("goes16", "F", 2.0, elsewhere)
        window = window_over(elsewhere, grid, 100)
        expected = radiance(BANDS[13], earth_sun_distance(path), *grid.cropped(window).lonlat(), AFTERNOON)
        with h5py.File(path) as file:
            counts = file["Rad"][window.slices].astype(float)
        expected = BANDS[13].fractional_counts(expected)
        assert abs((counts - expected).mean()) < 2
        assert np.corrcoef(counts.ravel(), expected.ravel())[0, 1] > 0.8
        clear = ndimage.minimum_filter(expected, 9) > expected.max() - 0.5
        assert clear.sum() > 1000
        assert abs((counts - expected)[clear].mean()) < 0.5
        assert 4 < (counts - expected)[clear].std() < 5

    def test_chunks_lie_as_the_archive_has_them(self, path):
        rad, dqf = (stored_chunks(path, variable) for variable in ("Rad", "DQF"))
        assert set(rad) == set(dqf)
        # Blocks of two chunks' width, from west to east and then from north to south, except where a cache was left.
        assert list(rad)[:14] == [*((0, column) for column in range(6, 18)), (1, 4), (1, 5)]
        everything = sorted([(place, "Rad") for place in rad.values()] + [(place, "DQF") for place in dqf.values()])
        kinds = [kind for _, kind in everything]
        # What the caches of 4 MiB held at the end, of which small chunks may fill gaps further ahead.
        assert kinds[-123:].count("Rad") == 41
        assert set(kinds[-60:]) == {"DQF"}
        runs = [len(list(run)) for _, run in itertools.groupby(kinds[41:-123])]
        assert len(runs) > 100
        gaps = np.array([start for (start, _), _ in everything[1:]]) - [
            start + size for (start, size), _ in everything[:-1]
        ]
        # Nodes of the trees of chunks are 2616 bytes long, and lie between the chunks.
        assert (gaps == 2616).sum() > 10
        with h5py.File(path) as file:
            last = everything[-123][0][0]
            assert h5py.h5o.get_info(file["goes_imager_projection"].id).addr < last
            assert h5py.h5o.get_info(file["t"].id).addr < last
            assert h5py.h5o.get_info(file["kappa0"].id).addr > everything[-1][0][0]

    def test_real_files_have_their_chunks_in_this_order(self, shared_data):
        (reference,) = (shared_data / "chunk-layout").glob("*M6C02*.json")
        real = sorted(
            (place[1], key.partition("/")[2])
            for key, place in json.loads(reference.read_text())["refs"].items()
            if key.startswith("Rad/") and len(place) == 3
        )
        real_order = [tuple(map(int, key.split("."))) for _, key in real]
        blocks = image_blocks(sector_grid("goes16", "F", 0.5, BARBADOS), 226, full_disk=True)
        order = [(window.row0 // 226, window.col0 // 226) for block in blocks for window in block]
        assert len(set(order)) == len(order)
        # Less a few at the edge, of nothing but space.
        assert len(set(real_order) - set(order)) < 50
        assert set(order) <= set(real_order)
        after_another = set(itertools.pairwise(real_order))
        assert np.mean([pair in after_another for pair in itertools.pairwise(order)]) > 0.98

    @pytest.mark.parametrize("sector", ["C", "M1"])
    def test_other_sectors_are_stored_whole(self, tmp_path, sector):
        path = granule(tmp_path, 13, domain=CALIFORNIA, satellite="goes17", sector=sector, allocate="full")
        with h5py.File(path) as file:
            rows, columns = file["Rad"].shape
            assert len(stored_chunks(path, "Rad")) == rows * columns // 250**2
            assert (file["DQF"][()] == 0).all()

    def test_the_same_arguments_give_the_same_bytes(self, tmp_path):
        place = {"domain": CALIFORNIA, "satellite": "goes17", "sector": "M1", "allocate": "full"}
        first, second = (granule(tmp_path / name, 1, **place).read_bytes() for name in ("a", "b"))
        assert first == second


class TestArchive:
    def test_scans_start_within_the_spans(self):
        midnight = datetime(2019, 12, 31, 23, 50, 20, 800_000)
        span = Interval(midnight, midnight + timedelta(minutes=20))
        assert scan_starts("F", [span]) == [midnight + timedelta(minutes=m) for m in (0, 10, 20)]
        inside = Interval(span.start + timedelta(seconds=1), span.end - timedelta(seconds=1))
        assert scan_starts("F", [inside]) == [midnight + timedelta(minutes=10)]
        assert scan_starts("F", [span, inside]) == scan_starts("F", [span])
        assert scan_starts("F", [Interval(midnight + timedelta(seconds=1), midnight + timedelta(seconds=2))]) == []

    @pytest.mark.parametrize(("sector", "count"), [("F", 6), ("C", 12), ("M1", 60), ("M2", 60)])
    def test_cadences(self, sector, count):
        hour = datetime(2020, 2, 2, 14)
        starts = scan_starts(sector, [Interval(hour, hour + timedelta(minutes=59, seconds=59))])
        assert len(starts) == count
        assert len({b - a for a, b in itertools.pairwise(starts)}) == 1

    def test_the_archive_is_listed_as_scenes(self, tmp_path):
        span = Interval(datetime(2020, 2, 2, 13, 55), datetime(2020, 2, 2, 14, 10))
        paths = simulate_archive(
            tmp_path, satellite="goes16", sector="F", channels=[1, 2, 3], spans=[span], domain=BARBADOS
        )
        assert len(paths) == 3
        assert len({AbiFileName.parse(path.name).start for path in paths}) == 3
        url = (tmp_path / "noaa-goes16").as_uri()
        (scan,) = list_scans(url, "goes16", "L1b", "Rad", "F", [1, 2, 3], [span])
        assert scan.reason is None
        assert scan.start == AFTERNOON
        assert scan.end == AFTERNOON + timedelta(seconds=571)
        assert {file.url for file in scan.files.values()} == {path.as_uri() for path in paths}


class TestCommand:
    META = """
source: goes16
type: truecolor_rgb
time: {t_start: 2020-02-02T14:00, t_end: 2020-02-02T14:09}
domain: {central_latitude: 13.3, central_longitude: -57.72, l_zonal: 50e3, l_meridional: 50e3}
sampling: {resolution: 1000.0}
"""
    OPTIONS = (
        "--satellite=goes17",
        "--sector=M1",
        "--channels=13",
        "--t-start=2020-02-02T14:00",
        "--t-end=2020-02-02T14:00:30",
        "--lat=36",
        "--lon=-121",
        "--extent=50e3",
    )

    def run(self, *arguments: object) -> int:
        parser = argparse.ArgumentParser()
        add_simulate_command(parser.add_subparsers())
        parsed = parser.parse_args(["simulate", *map(str, arguments)])
        return parsed.command(parsed)

    def written(self, folder: Path) -> list[tuple]:
        names = [AbiFileName.parse(path.name) for path in sorted(folder.rglob("*.nc"))]
        return [(name.satellite, name.sector, name.channel, f"{name.start:%Y%m%d%H%M}") for name in names]

    def test_values_come_from_meta_yaml(self, tmp_path, capsys):
        (tmp_path / "meta.yaml").write_text(self.META)
        assert self.run(tmp_path / "archive", "--data-path", tmp_path) == 0
        minute = "202002021400"
        assert self.written(tmp_path) == [("goes16", "F", channel, minute) for channel in (1, 2, 3)]
        shown = capsys.readouterr().out
        assert "3 files" in shown
        assert f"CONVML_GOES_ARCHIVE='file://{tmp_path}/archive/noaa-{{satellite}}'" in shown

    def test_options_override_meta_yaml(self, tmp_path):
        (tmp_path / "meta.yaml").write_text(self.META)
        self.run(tmp_path / "archive", "--data-path", tmp_path, *self.OPTIONS)
        assert self.written(tmp_path) == [("goes17", "M1", 13, "202002021400")]

    def test_options_are_enough(self, tmp_path):
        self.run(tmp_path / "archive", "--data-path", tmp_path, *self.OPTIONS)
        assert self.written(tmp_path) == [("goes17", "M1", 13, "202002021400")]

    def test_images_are_whole_where_that_is_asked_for(self, tmp_path):
        self.run(tmp_path / "archive", "--data-path", tmp_path, *self.OPTIONS, "--allocate=full")
        (path,) = tmp_path.rglob("*.nc")
        assert len(stored_chunks(path, "Rad")) == 4

    @pytest.mark.parametrize(
        "option", ["--satellite", "--channels", "--t-start", "--t-end", "--lat", "--lon", "--extent"]
    )
    def test_a_missing_option_is_named(self, tmp_path, option):
        options = [text for text in self.OPTIONS if not text.startswith(f"{option}=")]
        with pytest.raises(ConvmlError, match=f"{option}.* missing"):
            self.run(tmp_path / "archive", "--data-path", tmp_path, *options)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("--t-start=yesterday", "--t-start: .*yesterday"),
            ("--t-end=2020-02-01", "--t-end: .*before the start"),
            ("--t-end=2020-02-02T14:00:01", "no scan starts between"),
            ("--channels=1;2", "--channels: .*1;2"),
            ("--channels=0", "no channel 0"),
            ("--lat=91", "--lat: 91"),
            ("--extent=0", "--extent: 0"),
            ("--satellite=goes8", "goes8"),
            ("--sector=D", "'D'"),
        ],
    )
    def test_wrong_values_are_errors(self, tmp_path, wrong, message):
        with pytest.raises(ConvmlError, match=message):
            self.run(tmp_path / "archive", "--data-path", tmp_path, *self.OPTIONS, wrong)
        assert not list(tmp_path.rglob("*.nc"))


def test_the_sun_stands_where_pyorbital_has_it():
    lon, lat = np.meshgrid(np.linspace(-180, 180, 37), np.linspace(-90, 90, 19))
    expected = astronomy.cos_zen(AFTERNOON, lon, lat)
    np.testing.assert_allclose(truth.cos_sun_zenith(lon, lat, AFTERNOON), expected, atol=1e-12)


def test_pictures_show_broken_clouds():
    """Neither clear nor overcast, dark sea and bright clouds, structure from a few to hundreds of kilometres."""
    for lat, lon in [(13.3, -57.7), (-20.0, -85.0), (36.0, -125.0)]:
        grid = LocalDomain(lat, lon, 400e3, 400e3).grid(1000.0)
        values = truth.reflectance(2, *grid.domain.to_world(*np.meshgrid(grid.x, grid.y)), AFTERNOON)
        assert 0.05 < (values > 0.3).mean() < 0.5
        assert np.quantile(values, 0.3) < 0.07
        assert values.max() > 0.6
        blocks = values.reshape(40, 10, 40, 10)
        assert blocks.std(axis=(1, 3)).mean() > 0.03  # within 10 km
        assert blocks.mean(axis=(1, 3)).reshape(4, 10, 4, 10).mean(axis=(1, 3)).std() > 0.02  # beyond 100 km
