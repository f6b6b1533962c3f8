"""Real model output, read and regridded, against other libraries on the same files."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyproj
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator, griddata
from scipy.io import netcdf_file

from convml_data.errors import ArchiveError
from convml_data.geometry.local import LocalDomain, PlaneDomain
from convml_data.geometry.source_grids import grid_of
from convml_data.regrid.scene import regrid_scene
from convml_data.sources.gridded.coordinates import Coordinates, TimeSteps
from convml_data.sources.gridded.source import GriddedSource
from convml_data.store.arrays import ArrayStore
from convml_data.store.files import Files

WRF, DALES = "mercator_sample.nc", "movie000.nc"
STEPS = Coordinates(time=TimeSteps(datetime(2020, 2, 2, 14), timedelta(minutes=5)), x=100.0, y=50.0)


@pytest.fixture
def dataset(tmp_path: Path, shared_data: Path) -> Path:
    """A dataset's folder with links to both files."""
    folder = tmp_path / "source_data" / "LES" / "source_files"
    folder.mkdir(parents=True)
    for name in (WRF, DALES):
        (folder / name).symlink_to(shared_data / "les" / name)
    return tmp_path


@pytest.fixture
def wrf(shared_data: Path) -> xr.Dataset:
    import netCDF4

    with netCDF4.Dataset(shared_data / "les" / WRF) as file:
        names = ("T2", "U10", "T", "U", "XLAT", "XLONG", "XLAT_U", "XLONG_U")
        return xr.Dataset({name: (file[name].dimensions, np.asarray(file[name][:])) for name in names})


def test_times_and_places_of_the_weather_model(dataset: Path, wrf: xr.Dataset) -> None:
    source = GriddedSource(dataset, WRF, ("T2",), stacked=False)
    scans = source.find(None)
    assert [scan.start for scan in scans] == [datetime(2005, 8, 28, hour) for hour in (12, 15, 18, 21)]
    for number, scan in enumerate(scans):  # the nest moves
        domain = source.whole_domain(scan)
        assert isinstance(domain, LocalDomain)
        scene = source.read(scan, domain)
        np.testing.assert_array_equal(scene["T2"], wrf["T2"][number])
        np.testing.assert_array_equal(scene["lon"], wrf["XLONG"][number])
        np.testing.assert_array_equal(scene["lat"], wrf["XLAT"][number])
        # 48 x 48 pixels of 10 km on a Mercator map that is true at the equator.
        width = 48 * 10e3 * np.cos(np.deg2rad(float(wrf["XLAT"][number].min())))
        assert domain.l_zonal == pytest.approx(width, rel=0.01)
        assert scene.attrs["valid_share"] > 0.95
        assert scene["T2"].attrs == {"long_name": "TEMP at 2 M", "units": "K"}


def test_levels_and_staggered_grids_of_the_weather_model(dataset: Path, wrf: xr.Dataset) -> None:
    source = GriddedSource(dataset, WRF, ("U",), stacked=False, level=5)
    scan = source.find(None)[1]
    scene = source.read(scan, source.whole_domain(scan))
    np.testing.assert_array_equal(scene["U"], wrf["U"][1, 5])
    np.testing.assert_array_equal(scene["lon"], wrf["XLONG_U"][1])  # half a pixel beside that of other fields
    with pytest.raises(ArchiveError, match="'U' does not lie on the grid and the times of 'T'"):
        GriddedSource(dataset, WRF, ("T", "U"), stacked=True, level=5).find(None)
    with pytest.raises(ArchiveError, match="'T' has 14 levels"):
        GriddedSource(dataset, WRF, ("T",), stacked=False).find(None)


@pytest.mark.parametrize("resolution", [5e3, 8e3])
def test_the_weather_model_regridded(dataset: Path, wrf: xr.Dataset, tmp_path: Path, resolution: float) -> None:
    source = GriddedSource(dataset, WRF, ("T2", "U10"), stacked=True)
    scan = source.find(None)[2]
    domain = LocalDomain(24.6, -90.3, 200e3, 150e3)
    scene = source.read(scan, domain)
    store = ArrayStore(Files(str(tmp_path / "kept")), "cropped", "netcdf")
    store.write("scene", scene)
    with store.open("scene") as kept:
        assert grid_of(kept) == grid_of(scene)
        regridded = regrid_scene(kept, domain.grid(resolution), "bilinear", tmp_path / "maps")

    # Another projection and another interpolation: the model's own Mercator map, on which its grid is regular.
    to_map = pyproj.Transformer.from_crs("EPSG:4326", "+proj=merc +R=6370000", always_xy=True)
    to_lonlat = pyproj.Transformer.from_crs(domain.crs, "EPSG:4326", always_xy=True)
    x, _ = to_map.transform(wrf["XLONG"][2, 0], np.full(48, 20.0))
    _, y = to_map.transform(np.full(48, -90.0), wrf["XLAT"][2, :, 0])
    at = to_map.transform(*to_lonlat.transform(*np.meshgrid(regridded.x, regridded.y)))
    for band, name, tolerance in ((0, "T2", 2e-3), (1, "U10", 2e-2)):
        expected = RegularGridInterpolator((y, x), wrf[name][2].values.astype(float))((at[1], at[0]))
        assert np.ptp(expected) > 100 * tolerance
        np.testing.assert_allclose(regridded["multichannel"][band], expected, atol=tolerance)
    assert regridded.attrs["valid_share"] == 1.0
    assert regridded["bands"].values.tolist() == ["T2", "U10"]


def test_the_weather_model_regridded_against_triangles(dataset: Path, wrf: xr.Dataset) -> None:
    """Linear interpolation on triangles of the scattered pixel centres knows of no grid at all."""
    source = GriddedSource(dataset, WRF, ("T2",), stacked=False)
    scan = source.find(None)[0]
    domain = source.whole_domain(scan)
    target = domain.grid(9e3)
    regridded = regrid_scene(source.read(scan, domain), target, "bilinear", None)["T2"].values
    points = domain.from_world(wrf["XLONG"][0].values.ravel(), wrf["XLAT"][0].values.ravel())
    triangles = griddata(np.stack(points, -1), wrf["T2"][0].values.ravel(), tuple(np.meshgrid(target.x, target.y)))
    inside = np.isfinite(triangles)
    difference = np.abs(regridded - triangles)[inside]
    assert np.isfinite(difference).all()
    assert np.median(difference) < 0.02
    assert np.ptp(triangles[inside]) > 2


def test_large_eddy_simulation(dataset: Path, shared_data: Path, tmp_path: Path) -> None:
    source = GriddedSource(dataset, DALES, ("tskin", "qt"), stacked=True, coordinates=STEPS)
    scans = source.find(None)
    assert [scan.start for scan in scans] == [datetime(2020, 2, 2, 14), datetime(2020, 2, 2, 14, 5)]
    domain = source.whole_domain(scans[1])
    assert domain == PlaneDomain(0.0, 0.0, 6400.0, 3200.0)
    with netcdf_file(shared_data / "les" / DALES, mmap=False) as file:
        truth = np.stack([file.variables["tskin"][1], file.variables["qt"][1, 0]]).astype(np.float32)
    scene = source.read(scans[1], domain)
    np.testing.assert_array_equal(scene["multichannel"], truth)

    fine = regrid_scene(scene, domain.grid(50.0), "nearest", tmp_path)["multichannel"]
    np.testing.assert_array_equal(fine, truth.repeat(2, axis=2))
    square = replace(source, coordinates=replace(STEPS, y=100.0))
    coarse = regrid_scene(
        square.read(scans[1], square.whole_domain(scans[1])),
        square.whole_domain(scans[1]).grid(400.0),
        "bilinear",
        tmp_path,
    )["multichannel"]
    np.testing.assert_allclose(coarse, truth.reshape(2, 16, 4, 16, 4).mean(axis=(2, 4)), rtol=1e-5)

    tile = domain.around(500.0, -300.0, 1600.0)
    cut = regrid_scene(scene, tile.grid(50.0), "bilinear", None)["multichannel"]
    x, y = np.arange(64) * 100.0 - 3150, np.arange(64) * 50.0 - 1575
    at = np.meshgrid(cut.x + 500, cut.y - 300)
    for band in (0, 1):
        expected = RegularGridInterpolator((y, x), truth[band].astype(float))((at[1], at[0]))
        np.testing.assert_allclose(cut[band], expected, rtol=1e-5)


def test_large_eddy_simulation_needs_to_be_told(dataset: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        GriddedSource(dataset, DALES, ("qt",), stacked=False).find(None)
    assert "movie000.nc: the file has no time coordinate" in str(caught.value)
    assert "`coordinates: {time: {start: <date>, step: PT60S}}`" in str(caught.value)
    with pytest.raises(ArchiveError) as caught:
        GriddedSource(dataset, DALES, ("H",), stacked=False, coordinates=Coordinates(time=STEPS.time)).find(None)
    assert "no coordinates that give the dimensions y, x of 'H' a place" in str(caught.value)
    assert "`coordinates: {x: <step>, y: <step>}`" in str(caught.value)


def test_files_of_two_models_cannot_be_one_dataset(dataset: Path) -> None:
    with pytest.raises(ArchiveError, match=r"movie000\.nc: .*no variable 'T2'; the file has G0, H, LE"):
        GriddedSource(dataset, None, ("T2",), stacked=False).find(None)
