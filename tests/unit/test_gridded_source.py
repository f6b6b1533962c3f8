"""Model output as a source: finding times, fields and places in files of many habits."""

from __future__ import annotations

import gc
import pickle
import weakref
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import ArchiveError, ConvmlError, SceneError
from convml_data.geometry.local import LocalDomain, PlaneDomain
from convml_data.geometry.model_grids import CurvilinearGrid
from convml_data.geometry.quads import QuadSearch
from convml_data.geometry.source_grids import grid_of
from convml_data.regrid.scene import regrid_scene
from convml_data.sources.base import CATEGORICAL, Source
from convml_data.sources.gridded import files
from convml_data.sources.gridded import source as gridded
from convml_data.sources.gridded.coordinates import Coordinates, TimeSteps
from convml_data.sources.gridded.source import GriddedSource

NOON = datetime(2020, 2, 2, 12)
TIMES = xr.Variable("time", [0.0, 10.0, 25.0], {"units": "minutes since 2020-02-02 12:00"})
RNG = np.random.default_rng(5)
VALUES = RNG.normal(size=(3, 8, 10)).astype(np.float32)
X = xr.Variable("x", np.arange(10) * 0.1 + 0.05, {"units": "km"})
Y = xr.Variable("y", np.arange(8) * 100.0 + 50, {"units": "m"})
LON = xr.Variable("lon", 300.0 + 0.1 * np.arange(10), {"units": "degrees_east"})
LAT = xr.Variable("lat", 20.0 - 0.1 * np.arange(8), {"units": "degrees_north"})


def cube(field: Any = None, **coords: xr.Variable) -> xr.Dataset:
    """Three times of a field ``qt`` on a plane."""
    variable = xr.Variable(("time", "y", "x"), VALUES, {"units": "kg/kg"}) if field is None else field
    return xr.Dataset({"qt": variable}, {"time": TIMES, "x": X, "y": Y} | coords)


def globe(**changes: xr.Variable) -> xr.Dataset:
    return xr.Dataset(
        {"rlut": (("time", "lat", "lon"), VALUES, {"units": "W m-2"})},
        {"time": TIMES, "lon": LON, "lat": LAT} | changes,
    )


def write(directory: Path, data: xr.Dataset, name: str = "run.nc", **options: Any) -> Path:
    path = directory / "source_data" / "LES" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(path, **{"engine": "h5netcdf"} | options)
    return path


def source(directory: Path, *names: str, **settings: Any) -> GriddedSource:
    settings = {"files": None, "stacked": len(names) > 1} | settings
    return GriddedSource(directory, names=names or ("qt",), **settings)


def starts(found: GriddedSource) -> list[datetime]:
    return [scan.start for scan in found.find(None)]


def read_all(of: GriddedSource, number: int = 0) -> xr.Dataset:
    scan = of.find(None)[number]
    return of.read(scan, of.whole_domain(scan))


def message(of: GriddedSource) -> str:
    with pytest.raises(ConvmlError) as caught:
        read_all(of)
    assert "Error(" not in str(caught.value)
    return str(caught.value)


def minutes(*offsets: float) -> list[datetime]:
    return [NOON + timedelta(minutes=offset) for offset in offsets]


@pytest.mark.parametrize("options", [{}, {"engine": "scipy", "format": "NETCDF3_64BIT"}, {"engine": "netcdf4"}])
def test_a_file_with_several_times(tmp_path: Path, options: dict[str, str]) -> None:
    path = write(tmp_path, cube(), **options)
    of: Source = pickle.loads(pickle.dumps(source(tmp_path)))
    scans = of.find(None)
    assert [scan.start for scan in scans] == minutes(0, 10, 25)
    assert all(scan.start == scan.end and scan.satellite == "LES" and scan.mode is None for scan in scans)
    assert scans[0].files["file"].url == str(path)
    assert scans[0].files["file"].size == path.stat().st_size

    domain = of.whole_domain(scans[1])
    assert isinstance(domain, PlaneDomain)
    assert (domain.l_zonal, domain.l_meridional) == pytest.approx((1000.0, 800.0))
    scene = of.read(scans[1], domain)
    np.testing.assert_array_equal(scene["qt"], VALUES[1])
    assert scene["qt"].dims == ("y", "x")
    assert scene["qt"].dtype == np.float32
    assert scene["qt"].attrs == {"long_name": "qt", "units": "kg/kg"}
    np.testing.assert_allclose(scene["x"], np.arange(10) * 100.0 - 450)
    np.testing.assert_allclose(scene["y"], np.arange(8) * 100.0 - 350)
    assert scene.attrs["valid_share"] == 1.0
    assert scene.attrs["scene_time"] == "2020-02-02T12:10:00"
    assert scene.attrs["product"] == "singlechannel__qt"
    assert grid_of(scene).shape == (8, 10)


def test_a_part_of_the_plane(tmp_path: Path) -> None:
    write(tmp_path, cube())
    of = source(tmp_path)
    scene = of.read(of.find(None)[2], PlaneDomain(300.0, -200.0, 100.0, 100.0))
    # Pixels 7 to 8 and 1 to 2 and two more on each side, as far as there are any.
    np.testing.assert_array_equal(scene["qt"], VALUES[2, 0:5, 5:10])
    np.testing.assert_allclose(scene["x"], [50, 150, 250, 350, 450])
    half = of.read(of.find(None)[2], PlaneDomain(500.0, 0.0, 200.0, 100.0))
    assert half.attrs["valid_share"] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(SceneError, match=r"lies outside of the model's, from x = -0.5 km, y = -0.4 km"):
        of.read(of.find(None)[2], PlaneDomain(5000.0, 0.0, 100.0, 100.0))


@pytest.mark.parametrize("flip", [False, True])
def test_latitudes_and_longitudes_in_either_direction(tmp_path: Path, flip: bool) -> None:
    data = globe().isel(lat=slice(None, None, -1), lon=slice(None, None, -1)) if flip else globe()
    write(tmp_path, data)
    of = source(tmp_path, "rlut")
    (scan, *_) = of.find(None)
    domain = of.whole_domain(scan)
    assert isinstance(domain, LocalDomain)
    assert (domain.central_latitude, domain.central_longitude) == pytest.approx((19.65, -59.55))
    scene = of.read(scan, domain)
    np.testing.assert_array_equal(scene["rlut"], data["rlut"][0])
    regridded = regrid_scene(scene, LocalDomain(19.8, -59.8, 5e3, 5e3).grid(5e3), "nearest", None)
    assert float(regridded["rlut"][0, 0]) == VALUES[0, 2, 2]
    with pytest.raises(SceneError, match=r"around 10N -59E lies outside of the model's"):
        of.read(scan, LocalDomain(10.0, -59.0, 100e3, 100e3))


def test_a_globe_is_read_across_its_seam(tmp_path: Path) -> None:
    lon = xr.Variable("lon", np.arange(0.0, 360.0, 2.0), {"units": "degrees_east"})
    lat = xr.Variable("lat", np.arange(-89.0, 90.0, 2.0), {"units": "degrees_north"})
    values = (lon.values + 1000 * lat.values[:, np.newaxis])[np.newaxis]
    data = xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "K"})}, {"time": TIMES[:1], "lat": lat, "lon": lon}
    )
    write(tmp_path, data)
    of = source(tmp_path, "t")
    (scan,) = of.find(None)
    scene = of.read(scan, LocalDomain(1.0, 1.0, 1100e3, 300e3))
    row = scene["t"].sel(y=1.0).values - 1000
    middle = int(np.flatnonzero(row == 0)[0])
    np.testing.assert_array_equal(row[middle - 3 : middle + 4], [354, 356, 358, 0, 2, 4, 6])
    assert scene.attrs["valid_share"] == 1.0
    assert scene.sizes["x"] < 12
    pole = of.read(scan, LocalDomain(90.0, 0.0, 1000e3, 1000e3))
    assert pole.sizes["x"] == 181
    with pytest.raises(SceneError, match="Give `domain`"):
        of.whole_domain(scan)


def test_two_dimensional_coordinates_that_move_in_time(tmp_path: Path) -> None:
    row, column = np.indices((8, 10), float)
    lon = np.stack([-50 + 0.1 * column + 0.02 * row + step for step in range(3)])
    lat = np.stack([30 + 0.1 * row - 0.01 * column] * 3)
    dims = ("Time", "south_north", "west_east")
    data = xr.Dataset(
        {
            "T2": (dims, VALUES, {"units": "K", "description": "TEMP at 2 M"}),
            "XLAT": (dims, lat, {"units": "degree_north"}),
            "XLONG": (dims, lon, {"units": "degree_east"}),
            "XLONG_U": (("Time", "south_north", "west_east_stag"), np.zeros((3, 8, 11)), {"units": "degree_east"}),
            "Times": ("Time", np.array([f"2005-08-28_{hour:02d}:00:00" for hour in (12, 15, 18)], "S19")),
        }
    )
    write(tmp_path, data)
    of = source(tmp_path, "T2")
    scans = of.find(None)
    assert [scan.start.hour for scan in scans] == [12, 15, 18]
    domains = [of.whole_domain(scan) for scan in scans]
    assert domains[2].central_longitude - domains[0].central_longitude == pytest.approx(2.0, abs=1e-3)
    scene = of.read(scans[2], domains[2])
    np.testing.assert_array_equal(scene["T2"], VALUES[2])
    np.testing.assert_allclose(scene["lon"], lon[2])
    assert scene["T2"].attrs == {"long_name": "TEMP at 2 M", "units": "K"}
    with pytest.raises(SceneError, match="lies outside"):
        of.read(scans[0], domains[2].resized(1e3, 1e3).around(0.0, 0.0, 1e3).around(150e3, 0.0, 1e3))


def test_several_fields_become_bands(tmp_path: Path) -> None:
    data = cube().assign(w=(("y", "time", "x"), VALUES.transpose(1, 0, 2) * 2, {"units": "m/s", "long_name": "wind"}))
    write(tmp_path, data)
    scene = read_all(source(tmp_path, "w", "qt"), 1)
    assert scene["multichannel"].dims == ("bands", "y", "x")
    np.testing.assert_array_equal(scene["multichannel"], [VALUES[1] * 2, VALUES[1]])
    assert scene["bands"].values.tolist() == ["w", "qt"]
    assert scene["band_units"].values.tolist() == ["m/s", "kg/kg"]
    assert scene["band_long_name"].values.tolist() == ["wind", "qt"]
    alone = read_all(source(tmp_path, "qt", stacked=True))
    assert alone["multichannel"].shape == (1, 8, 10)
    assert alone["multichannel"].attrs["units"] == "kg/kg"


def test_fields_on_other_grids_cannot_be_stacked(tmp_path: Path) -> None:
    write(
        tmp_path, cube().assign(s=(("time", "yh", "x"), np.zeros((3, 9, 10)))).assign_coords(yh=("yh", np.arange(9.0)))
    )
    assert "does not lie on the grid and the times of 'qt'" in message(source(tmp_path, "qt", "s"))


def test_fills_are_missing_never_numbers(tmp_path: Path) -> None:
    values = VALUES.astype(np.float64).copy()
    values[0, 0, 0], values[0, 1, 1], values[0, 2, 2], values[0, 3, 3] = -999.0, np.inf, 9.969209968386869e36, np.nan
    data = cube(xr.Variable(("time", "y", "x"), values))
    write(tmp_path, data, encoding={"qt": {"_FillValue": -999.0}})
    scene = read_all(source(tmp_path))
    missing = np.isnan(scene["qt"].values)
    assert np.argwhere(missing).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    np.testing.assert_array_equal(scene["qt"].values[~missing], VALUES[0][~missing])
    assert scene["qt"].attrs["units"] == "unknown"
    assert scene.attrs["valid_share"] == pytest.approx(1 - 4 / 80, abs=0.01)


@pytest.mark.parametrize("options", [{}, {"engine": "scipy", "format": "NETCDF3_64BIT"}])
def test_numbers_outside_of_the_range_or_never_written_are_missing(tmp_path: Path, options: dict[str, str]) -> None:
    stored = np.full((3, 8, 10), 5, np.int16)
    stored[0, 0, :4] = -32767, -1, 101, -9
    data = cube(xr.Variable(("time", "y", "x"), stored, {"valid_range": np.int16([-10, 100]), "scale_factor": 0.5}))
    data["qt"].attrs["missing_value"] = np.int16(-9)
    write(tmp_path, data, **options)
    field = read_all(source(tmp_path))["qt"].values
    np.testing.assert_array_equal(field[0, :5], [np.nan, -0.5, np.nan, np.nan, 2.5])
    assert np.isfinite(field[1:]).all()


def test_packed_floats_that_were_never_written(tmp_path: Path) -> None:
    stored = VALUES.copy()
    stored[0, 0, 0] = 9.969209968386869e36
    write(tmp_path, cube(xr.Variable(("time", "y", "x"), stored, {"scale_factor": 1e-3, "units": "1"})))
    field = read_all(source(tmp_path))["qt"].values
    assert np.argwhere(np.isnan(field)).tolist() == [[0, 0]]


def test_attributes_of_storage_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, cube(xr.Variable(("time", "y", "x"), VALUES, {"missing_value": "none"})))
    assert "'qt' cannot be decoded: missing_value is 'none'" in message(source(tmp_path))


def test_times_and_places_are_decoded_too(tmp_path: Path) -> None:
    time = xr.Variable("time", np.int16([0, 20, 50]), {"scale_factor": 0.5, "units": TIMES.attrs["units"]})
    lon = xr.Variable("lon", np.int16(np.arange(10)), {"scale_factor": 0.1, "add_offset": 300.0} | LON.attrs)
    write(tmp_path, globe(time=time, lon=lon))
    assert starts(source(tmp_path, "rlut")) == minutes(0, 10, 25)
    np.testing.assert_allclose(read_all(source(tmp_path, "rlut"))["x"], LON.values)
    single = {"scale_factor": np.float32(0.1), "units": "hours since 2020-02-02 12:00"}  # 0.1 but for 1.5e-9
    write(tmp_path, globe(time=xr.Variable("time", np.int16([0, 10000, 20000]), single)))
    assert starts(source(tmp_path, "rlut")) == minutes(0, 60e3, 120e3)
    write(tmp_path, globe(time=time.copy(data=np.int16([0, -32767, 50]))))
    assert "'time' is missing at number 1" in message(source(tmp_path, "rlut"))


def test_codes_are_taken_from_the_nearest_pixel(tmp_path: Path) -> None:
    codes = RNG.integers(0, 3, VALUES.shape).astype(np.int8)
    flags = {"flag_values": np.int8([0, 1, 2]), "flag_meanings": "clear water ice"}
    data = cube().assign(phase=(("time", "y", "x"), codes, flags))
    write(tmp_path, data)
    of = source(tmp_path, "phase")
    scene = read_all(of)
    assert CATEGORICAL.items() <= scene["phase"].attrs.items()
    assert scene["phase"].attrs["flag_meanings"] == "clear water ice"
    assert scene["phase"].attrs["flag_values"].tolist() == [0, 1, 2]
    target = of.whole_domain(of.find(None)[0]).grid(40.0)
    assert set(np.unique(regrid_scene(scene, target, "bilinear", None)["phase"])) <= {0, 1, 2}
    # In one array with quantities, the codes decide.
    assert CATEGORICAL.items() <= read_all(source(tmp_path, "qt", "phase"))["multichannel"].attrs.items()
    assert "categorical" not in read_all(source(tmp_path, "qt"))["qt"].attrs


def test_codes_that_single_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    codes = np.full(VALUES.shape, 2**24 + 1, np.int32)
    write(tmp_path, cube(xr.Variable(("time", "y", "x"), codes, {"flag_masks": np.int32([1, 2**24])})))
    assert "'qt' holds the code 16777217" in message(source(tmp_path))


def test_fields_of_true_and_false(tmp_path: Path) -> None:
    write(tmp_path, cube(xr.Variable(("time", "y", "x"), VALUES > 0)))
    scene = read_all(source(tmp_path))
    np.testing.assert_array_equal(scene["qt"], VALUES[0] > 0)
    assert scene.attrs["bytes_read"] == 80


def test_text_is_no_field(tmp_path: Path) -> None:
    write(tmp_path, cube(xr.Variable(("time", "y", "x"), np.full(VALUES.shape, "a", "S1"))))
    assert "qt' does not hold numbers" in message(source(tmp_path))


@pytest.mark.parametrize("single", ["x", "y"])
def test_one_row_or_column_is_no_grid(tmp_path: Path, single: str) -> None:
    write(tmp_path, cube().isel({single: [0]}))
    assert f"{single} has shape (1,), and the size of pixels takes two or more" in message(source(tmp_path))
    steps = Coordinates(x=10.0, y=10.0)
    assert "two or more" in message(source(tmp_path, coordinates=steps))
    write(tmp_path, globe().isel({"x": {"lon": [0]}, "y": {"lat": [0]}}[single]))
    assert "two or more" in message(source(tmp_path, "rlut"))


def test_packed_integers_are_scaled(tmp_path: Path) -> None:
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 1.0, "_FillValue": -32768}
    write(tmp_path, cube(), encoding={"qt": packing})
    np.testing.assert_allclose(read_all(source(tmp_path))["qt"], VALUES[0], atol=0.006)


# ---- levels


def columns(**coords: xr.Variable) -> xr.Dataset:
    values = np.arange(4)[:, np.newaxis, np.newaxis] + 10.0 * np.zeros((3, 4, 8, 10))
    return cube(xr.Variable(("time", "z", "y", "x"), values), **coords)


def test_a_vertical_dimension_of_one_is_squeezed(tmp_path: Path) -> None:
    write(tmp_path, columns().isel(z=[2]))
    assert (read_all(source(tmp_path))["qt"] == 2).all()


def test_a_level_is_chosen_by_its_coordinate(tmp_path: Path) -> None:
    heights = xr.Variable("z", np.array([20.0, 60.0, 100.1, 150.0], np.float32), {"units": "m"})
    write(tmp_path, columns(z=heights))
    scene = read_all(source(tmp_path, level=100.1))
    assert (scene["qt"] == 2).all()
    assert scene["qt"].attrs["level"] == "z = 100.1 m"
    assert "'qt' has no level 2; there are (values of z in m): 20, 60, 100.1, 150" in message(source(tmp_path, level=2))
    assert "4 levels, and one must be chosen; there are (values of z in m): 20, 60" in message(source(tmp_path))


def test_a_level_without_a_coordinate_is_chosen_by_its_number(tmp_path: Path) -> None:
    write(tmp_path, columns())
    assert (read_all(source(tmp_path, level=3))["qt"] == 3).all()
    assert "no level 4; there are (numbers along z, from 0): 0, 1, 2, 3" in message(source(tmp_path, level=4))
    assert "no level 1.5" in message(source(tmp_path, level=1.5))


def test_a_level_of_fields_without_levels_is_refused(tmp_path: Path) -> None:
    write(tmp_path, cube())
    assert "`level` is 3, and qt have no levels" in message(source(tmp_path, level=3))


def test_two_dimensions_too_many_are_named(tmp_path: Path) -> None:
    values = xr.Variable(("time", "member", "z", "y", "x"), np.zeros((3, 2, 4, 8, 10)))
    write(tmp_path, cube(values))
    assert "has the dimensions member, z beside time, rows and columns" in message(source(tmp_path, level=0))


# ---- times


@pytest.mark.parametrize("name", ["time", "Time", "t", "XTIME", "hours_passed"])
def test_the_time_coordinate_may_have_many_names(tmp_path: Path, name: str) -> None:
    write(tmp_path, cube().rename(time=name))
    assert starts(source(tmp_path)) == minutes(0, 10, 25)


def test_the_time_coordinate_may_be_named(tmp_path: Path) -> None:
    other = xr.Variable("time", [1, 2, 3], {"units": "days since 2020-02-02T12:00"})
    write(tmp_path, cube(valid=other).rename(time="when", valid="other"))
    assert "may each be the time" in message(source(tmp_path))
    assert starts(source(tmp_path, coordinates=Coordinates(time="other")))[2] == NOON + timedelta(days=3)
    assert "no variable 'tyme'" in message(source(tmp_path, coordinates=Coordinates(time="tyme")))
    assert "cannot be the time of 'qt'" in message(source(tmp_path, coordinates=Coordinates(time="qt")))


def test_a_single_time_without_a_dimension(tmp_path: Path) -> None:
    write(tmp_path, cube().isel(time=1))
    assert starts(source(tmp_path)) == minutes(10)
    np.testing.assert_array_equal(read_all(source(tmp_path))["qt"], VALUES[1])


def test_steps_count_on_through_the_files(tmp_path: Path) -> None:
    bare = cube().drop_vars("time").rename(time="t")
    first = write(tmp_path, bare, "run_2.nc")
    write(tmp_path, bare * 2, "run_10.nc")
    (first.parent / "run_3.nc").symlink_to(first)  # the same file, which is one file
    steps = Coordinates(time=TimeSteps(NOON, step=timedelta(minutes=5)))
    of = source(tmp_path, coordinates=steps)
    assert starts(of) == minutes(0, 5, 10, 15, 20, 25)
    np.testing.assert_array_equal(read_all(of, 4)["qt"], 2 * VALUES[1])
    assert "no time coordinate" in message(source(tmp_path))
    assert "`coordinates: {time: {start: <date>, step: PT60S}}`" in message(source(tmp_path))


def test_times_that_count_from_a_start_that_is_given(tmp_path: Path) -> None:
    seconds = xr.Variable("time", np.array([0.1, 600.0, 1500.04], np.float32), {"units": "s"})
    write(tmp_path, cube(time=seconds))
    assert "'time' has the units 's', which do not say from when it counts" in message(source(tmp_path))
    assert "`coordinates: {time: {start: <date>, name: time}}`" in message(source(tmp_path))
    found = starts(source(tmp_path, coordinates=Coordinates(time=TimeSteps(NOON, name="time"))))
    assert found[1] == NOON + timedelta(minutes=10)
    assert found[0] == NOON + timedelta(seconds=0.1)
    wrong = xr.Variable("time", [0.0, 1.0, 2.0], {"units": "furlongs"})
    write(tmp_path, cube(time=wrong))
    assert "not seconds, minutes, hours or days" in message(
        source(tmp_path, coordinates=Coordinates(time=TimeSteps(NOON, name="time")))
    )


@pytest.mark.parametrize(
    ("values", "units", "expected"),
    [
        (np.array([1 / 3, 2 / 3, 1.0], np.float32), "hours since 2020-02-02 12:00", minutes(20, 40, 60)),
        (np.array([1 / 3, 2 / 3, 1.0]) / 24, "days since 2020-02-02 12:00:00", minutes(20, 40, 60)),
        (np.array([0, 600, 1500]), "seconds since 2020-02-02 14:00:00 +02:00", minutes(0, 10, 25)),
        (np.array([0.0, 0.25, 0.5]), "seconds since 2020-02-02 12:00", minutes(0, 0.25 / 60, 0.5 / 60)),
    ],
)
def test_times_are_exact(tmp_path: Path, values: np.ndarray, units: str, expected: list[datetime]) -> None:
    """A third of an hour is 20 minutes, however few digits the file has for it."""
    write(tmp_path, cube(time=xr.Variable("time", values, {"units": units})))
    assert starts(source(tmp_path)) == expected


@pytest.mark.parametrize("kind", ["noleap", "360_day", "proleptic_gregorian", "all_leap"])
def test_calendars_of_models(tmp_path: Path, kind: str) -> None:
    days = xr.Variable("time", [0.5, 1.5, 2.5], {"units": "days since 2021-02-27", "calendar": kind})
    write(tmp_path, cube(time=days))
    scans = source(tmp_path).find(None)
    expected = {
        "noleap": [(2, 27), (2, 28), (3, 1)],
        "proleptic_gregorian": [(2, 27), (2, 28), (3, 1)],
        "all_leap": [(2, 27), (2, 28), None],
        "360_day": [(2, 27), (2, 28), None],
    }[kind]
    found = [(scan.start.month, scan.start.day) if scan.reason is None else None for scan in scans]
    assert found == expected
    assert all(scan.start.hour == 12 for scan in scans)
    reasons = [scan.reason for scan in scans if scan.reason is not None]
    assert reasons == [f"2021-02-29 12:00:00, a date of the calendar {kind}, does not exist in UTC"] * expected.count(
        None
    )


@pytest.mark.parametrize(
    ("attributes", "values", "problem"),
    [
        ({"units": "day as %Y%m%d.%f"}, [1, 2, 3], "do not say from when it counts"),
        ({"units": "days since 2020-02-30"}, [1, 2, 3], "cannot be understood"),
        ({"units": "days since 2020-02-02", "calendar": "lunar"}, [1, 2, 3], "cannot be understood"),
        ({"units": "days since 2020-02-02"}, [1, np.nan, 3], "missing at number 1"),
        ({"units": "days since 2020-02-02"}, [1, 2, 1], "there twice, as number 0 and number 2"),
        ({"units": "days since 2020-02-02"}, [1, 2, 1e9], "'time'|year"),
    ],
)
def test_times_that_cannot_be_understood(
    tmp_path: Path, attributes: dict[str, str], values: list[float], problem: str
) -> None:
    write(tmp_path, cube(time=xr.Variable("time", np.array(values, float), attributes)))
    with pytest.raises(ArchiveError, match=problem):
        source(tmp_path).find(None)


def test_irregular_times_of_several_files_come_in_order(tmp_path: Path) -> None:
    write(tmp_path, cube(), "late.nc")
    early = xr.Variable("time", [-60.0, -1.0, -7.0], dict(TIMES.attrs))
    write(tmp_path, cube(time=early), "source_files/nested.nc")
    assert starts(source(tmp_path)) == minutes(-60, -7, -1, 0, 10, 25)
    np.testing.assert_array_equal(read_all(source(tmp_path), 1)["qt"], VALUES[2])


def test_one_time_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, cube(), "a.nc")
    write(tmp_path, cube(time=TIMES + 25), "b.nc")
    with pytest.raises(ArchiveError) as caught:
        source(tmp_path).find(None)
    assert "a.nc and b.nc both hold the time 2020-02-02T12:25:00" in str(caught.value)
    assert starts(source(tmp_path, files="b*")) == minutes(25, 35, 50)


def test_times_that_overlap_are_refused(tmp_path: Path) -> None:
    write(tmp_path, cube(), "a.nc")
    write(tmp_path, cube(time=TIMES + 12).isel(time=[0]), "b.nc")
    with pytest.raises(ArchiveError) as caught:
        source(tmp_path).find(None)
    assert "the times of b.nc, from 2020-02-02T12:12:00, begin before those of a.nc end" in str(caught.value)


# ---- places


def test_a_plane_without_coordinates_takes_steps(tmp_path: Path) -> None:
    write(tmp_path, cube().drop_vars(["x", "y"]))
    assert "no coordinates that give the dimensions y, x of 'qt' a place" in message(source(tmp_path))
    assert "`coordinates: {x: <step>, y: <step>}`" in message(source(tmp_path))
    of = source(tmp_path, coordinates=Coordinates(x=25.0, y=50.0))
    assert of.whole_domain(of.find(None)[0]) == PlaneDomain(0.0, 0.0, 250.0, 400.0)


def test_steps_without_known_names_are_along_the_last_dimensions(tmp_path: Path) -> None:
    write(tmp_path, cube().drop_vars(["x", "y"]).rename(x="i", y="j"))
    of = source(tmp_path, coordinates=Coordinates(x=25.0, y=50.0))
    assert of.whole_domain(of.find(None)[0]) == PlaneDomain(0.0, 0.0, 250.0, 400.0)


def test_units_of_lengths_must_be_known(tmp_path: Path) -> None:
    write(tmp_path, cube(x=xr.Variable("x", np.arange(10.0))))
    assert "'x' has no units, not metres or kilometres" in message(source(tmp_path))
    write(tmp_path, cube(x=xr.Variable("x", np.arange(10.0), {"units": "miles"})))
    assert "'x' has the units 'miles'" in message(source(tmp_path))


def test_axes_of_other_names(tmp_path: Path) -> None:
    data = cube().rename(x="e", y="n")
    data["e"].attrs["axis"], data["n"].attrs["axis"] = "X", "Y"
    write(tmp_path, data)
    assert read_all(source(tmp_path))["qt"].shape == (8, 10)
    write(tmp_path, cube().rename(x="xt", y="yt"))
    assert read_all(source(tmp_path))["qt"].shape == (8, 10)


def test_coordinates_may_be_named(tmp_path: Path) -> None:
    data = globe().rename(lon="a", lat="b").assign_coords(a=("a", LON.values), b=("b", LAT.values))
    write(tmp_path, data)
    assert "no coordinates that give" in message(source(tmp_path, "rlut"))
    assert read_all(source(tmp_path, "rlut", coordinates=Coordinates(lon="a", lat="b")))["x"].units == "degrees_east"
    wrong = source(tmp_path, "rlut", coordinates=Coordinates(lon="a", lat="c"))
    assert "no variable 'c'" in message(wrong)
    write(tmp_path, globe())
    by_x = source(tmp_path, "rlut", coordinates=Coordinates(x="lon", y="lat"))
    assert read_all(by_x)["x"].units == "degrees_east"
    mixed = source(tmp_path, "rlut", coordinates=Coordinates(x="lon", y=100.0))
    assert "not both in metres" in message(mixed)


def test_several_longitudes_are_told_apart_by_the_field(tmp_path: Path) -> None:
    data = globe().assign(second=("lon", LON.values + 1, LON.attrs))
    write(tmp_path, data)
    assert "lon, second may each be the longitude of 'rlut'" in message(source(tmp_path, "rlut"))
    data["rlut"].attrs["coordinates"] = "second lat"
    write(tmp_path, data)
    assert float(read_all(source(tmp_path, "rlut"))["x"][0]) == 301.0


def test_longitude_in_radians_is_refused(tmp_path: Path) -> None:
    write(
        tmp_path, globe(lon=xr.Variable("lon", np.deg2rad(LON.values), {"units": "rad", "standard_name": "longitude"}))
    )
    assert "'lon' has the units 'rad', not degrees" in message(source(tmp_path, "rlut"))


def test_places_of_an_ideal_world_are_refused(tmp_path: Path) -> None:
    zeros = np.zeros((8, 10))
    data = (
        cube()
        .drop_vars(["x", "y"])
        .assign(
            XLAT=(("y", "x"), zeros, {"units": "degree_north"}), XLONG=(("y", "x"), zeros, {"units": "degree_east"})
        )
    )
    write(tmp_path, data)
    assert "all pixels are at 0N 0E" in message(source(tmp_path))
    assert read_all(source(tmp_path, coordinates=Coordinates(x=10.0, y=10.0)))["qt"].shape == (8, 10)


def test_unstructured_meshes_are_refused(tmp_path: Path) -> None:
    data = xr.Dataset({"t": (("time", "cell"), VALUES[:, 0])}, {"time": TIMES, "clon": ("cell", LON.values, LON.attrs)})
    write(tmp_path, data)
    assert "'t' has no rows and columns" in message(source(tmp_path, "t"))


def test_a_domain_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path, cube())
    of = source(tmp_path)
    with pytest.raises(SceneError, match="Leave `domain` out"):
        of.read(of.find(None)[0], LocalDomain(10.0, 20.0, 1e3, 1e3))
    write(tmp_path, globe())
    of = source(tmp_path, "rlut")
    with pytest.raises(SceneError, match="lies on the earth"):
        of.read(of.find(None)[0], PlaneDomain(0.0, 0.0, 1e3, 1e3))


# ---- files


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        source(tmp_path).find(None)
    text = str(caught.value)
    assert "no file '*.nc'" in text
    assert str(tmp_path / "source_data" / "LES" / "source_files") in text
    assert "Put the netCDF files" in text
    write(tmp_path, cube())
    with pytest.raises(ArchiveError, match="correct `files`"):
        source(tmp_path, files="x*.nc").find(None)
    for pattern in ("/etc/*.nc", "a**"):
        with pytest.raises(ArchiveError, match="no pattern of names"):
            source(tmp_path, files=pattern).find(None)


def test_a_link_that_leads_nowhere_is_not_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, cube())
    (path.parent / "gone.nc").symlink_to(tmp_path / "elsewhere.nc")
    with pytest.raises(ArchiveError, match=r"gone\.nc: the file cannot be read"):
        source(tmp_path).find(None)


def test_scenes_of_our_own_are_no_source_files(tmp_path: Path) -> None:
    write(tmp_path, cube())
    write(tmp_path, cube(), "singlechannel__qt/cropped/LES__202002021200.nc")
    assert starts(source(tmp_path, files="**/*.nc")) == minutes(0, 10, 25)


def test_an_unknown_field(tmp_path: Path) -> None:
    write(tmp_path, cube().assign(qt_flux=(("time", "y", "x"), VALUES)))
    text = message(source(tmp_path, "qt_flx"))
    assert "no variable 'qt_flx'; the file has qt, qt_flux" in text
    assert "Did you mean 'qt_flux'?" in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"<html>not found", "another kind of file"),
        (b"CDF\x05\0\0\0\0", "CDF-5"),
        (b"\x89HDF\r\n\x1a\n..", "whole"),
    ],
)
def test_files_that_are_not_netcdf(tmp_path: Path, content: bytes, problem: str) -> None:
    path = write(tmp_path, cube())
    (path.parent / "wrong.nc").write_bytes(content)
    with pytest.raises(ArchiveError, match=problem) as caught:
        source(tmp_path).find(None)
    assert "wrong.nc" in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"engine": "scipy", "format": "NETCDF3_CLASSIC"}])
def test_a_file_cut_off_anywhere_is_an_error(tmp_path: Path, options: dict[str, str]) -> None:
    whole = write(tmp_path, cube(), "whole", **options).read_bytes()
    for length in [*range(1, len(whole) - 1, max(1, len(whole) // 40)), len(whole) - 200]:
        path = tmp_path / "source_data" / "LES" / "cut.nc"
        path.write_bytes(whole[:length])
        with pytest.raises(ConvmlError, match=r"cut\.nc"):
            read_all(source(tmp_path))


def test_a_file_that_has_changed_since(tmp_path: Path) -> None:
    write(tmp_path, cube())
    of = source(tmp_path)
    scan = of.find(None)[1]
    domain = of.whole_domain(scan)
    write(tmp_path, cube() * 2)  # the same times and the same size
    for use in (lambda: of.read(scan, domain), lambda: of.whole_domain(scan)):
        with pytest.raises(SceneError, match=r"has changed since the scene IDs were made.*`convml-data scene-ids`"):
            use()
    path = Path(scan.files["file"].url)
    file = replace(scan.files["file"], version=str(path.stat().st_mtime_ns), size=path.stat().st_size + 1)
    with pytest.raises(SceneError, match="has changed"):
        of.read(replace(scan, files={"file": file}), domain)
    path.unlink()
    with pytest.raises(ArchiveError, match="cannot be read"):
        of.read(scan, domain)
    with pytest.raises(ArchiveError, match="no file"):
        of.find(None)


def test_scans_say_which_time_of_their_file_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = xr.Variable("time", [-60.0, -1.0, -7.0], dict(TIMES.attrs))
    write(tmp_path, cube(time=early), "a.nc")
    write(tmp_path, cube().isel(time=1) * 2, "b.nc")
    of = source(tmp_path)
    scans = of.find(None)
    assert [scan.files["file"].number for scan in scans] == [0, 2, 1, 0]
    monkeypatch.setattr(files, "list_files", lambda *_: pytest.fail("the files are listed once"))
    monkeypatch.setattr(gridded, "list_files", lambda *_: pytest.fail("the files are listed once"))
    for scan, expected in zip(scans, [*VALUES[[0, 2, 1]], 2 * VALUES[1]], strict=True):
        np.testing.assert_array_equal(of.read(scan, of.whole_domain(scan))["qt"], expected)


@pytest.mark.parametrize("number", [None, 0, 2, 3])
def test_a_time_that_is_not_the_one_of_its_number_is_refused(tmp_path: Path, number: int | None) -> None:
    write(tmp_path, cube())
    of = source(tmp_path)
    scan = of.find(None)[1]
    domain = of.whole_domain(scan)
    other = replace(scan, files={"file": replace(scan.files["file"], number=number)})
    with pytest.raises(SceneError, match=r"2020-02-02T12:10:00.*`convml-data scene-ids`"):
        of.read(other, domain)


def test_steps_are_checked_by_what_one_file_tells(tmp_path: Path) -> None:
    bare = cube().drop_vars("time")
    for number in (1, 2):
        write(tmp_path, bare * number, f"run_{number}.nc")
    of = source(tmp_path, coordinates=Coordinates(time=TimeSteps(NOON, step=timedelta(minutes=5))))
    scans = of.find(None)
    assert [scan.files["file"].number for scan in scans] == [0, 1, 2, 0, 1, 2]
    domain = of.whole_domain(scans[5])
    np.testing.assert_array_equal(of.read(scans[5], domain)["qt"], 2 * VALUES[2])
    wrong = (
        replace(scans[5], start=NOON + timedelta(minutes=23)),  # no step
        replace(scans[5], start=NOON + timedelta(minutes=5)),  # before the number allows
        replace(scans[5], files={"file": replace(scans[5].files["file"], number=3)}),  # not in the file
    )
    for scan in wrong:
        with pytest.raises(SceneError, match="scene-ids"):
            of.read(scan, domain)


def test_what_is_remembered_of_a_grid_is_not_the_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row, column = np.indices((8, 10), float)
    places = {
        "lon": (("y", "x"), -50 + 0.1 * column + 0.01 * row, {"units": "degrees_east"}),
        "lat": (("y", "x"), 20 + 0.1 * row, {"units": "degrees_north"}),
    }
    write(tmp_path, cube().drop_vars(["x", "y"]).assign(places))
    made: list[weakref.ref[CurvilinearGrid]] = []
    searches = []
    post_init, search = CurvilinearGrid.__post_init__, QuadSearch.__init__
    monkeypatch.setattr(
        CurvilinearGrid, "__post_init__", lambda self: (post_init(self), made.append(weakref.ref(self)))
    )
    monkeypatch.setattr(QuadSearch, "__init__", lambda self, vectors: (search(self, vectors), searches.append(1))[0])
    of = source(tmp_path)
    scans = of.find(None)
    domain = LocalDomain(20.35, -49.5, 20e3, 20e3)
    of.read(scans[0], domain)
    first = len(searches)
    assert first > 0
    of.read(scans[1], domain)
    assert len(searches) == first  # the window and the nearest pixels are those of the scene before
    gc.collect()
    assert len(made) >= 4
    assert [grid() for grid in made] == [None] * len(made)
