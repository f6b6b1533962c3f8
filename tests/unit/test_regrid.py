"""Regridding against geometry and interpolation worked out by other means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain, LocalGrid
from convml_data.regrid.apply import apply_index_map
from convml_data.regrid.index_map import IndexMap, build_index_map, cached_index_map, points_per_cell_side
from convml_data.regrid.scene import GRID_MAPPING, regrid_scene
from convml_data.regrid.smooth import smooth_positions

EAST = GeostationaryView(-75.0, 35786023.0, 6378137.0, 6356752.31414)
FULL_DISK_2KM = FixedGrid(EAST, -0.151844, 0.151844, 5.6e-5, -5.6e-5, (5424, 5424))
FULL_DISK_HALF_KM = FixedGrid(EAST, -0.151865, 0.151865, 1.4e-5, -1.4e-5, (21696, 21696))
BARBADOS = LocalDomain(13.3, -57.72, 200e3, 120e3)


def smooth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """A field whose curvature over a pixel is far below the tolerances of these tests."""
    return 50 + 20 * np.sin(np.deg2rad(lon * 40)) * np.cos(np.deg2rad(lat * 50)) + lat


def scene_over(domain: LocalDomain, grid: FixedGrid) -> xr.Dataset:
    window = window_over(domain, grid, margin=4)
    assert window is not None
    cropped = grid.cropped(window)
    values = smooth(*cropped.lonlat()).astype(np.float32)
    return xr.Dataset(
        {"field": (("y", "x"), values, {"units": "K", "grid_mapping": "geos"})},
        coords={"x": cropped.x, "y": cropped.y},
        attrs={"source_grid": json.dumps(cropped.to_dict()), "satellite": "goes16"},
    )


def test_values_are_those_of_the_field_at_the_cell_centres(tmp_path: Path) -> None:
    target = BARBADOS.grid(2000.0)
    regridded = regrid_scene(scene_over(BARBADOS, FULL_DISK_2KM), target, "bilinear", tmp_path)
    # The cells' places by PROJ alone, from the written coordinates and projection.
    crs = pyproj.CRS.from_cf(regridded[GRID_MAPPING].attrs)
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(*np.meshgrid(regridded.x, regridded.y))
    np.testing.assert_allclose(regridded["field"], smooth(lon, lat), atol=2e-3)
    assert regridded.y[0] < regridded.y[-1]
    assert regridded.attrs["valid_share"] == 1.0
    assert regridded["field"].dtype == np.float32


def test_bilinear_agrees_with_an_independent_interpolation() -> None:
    rng = np.random.default_rng(3)
    grid = FULL_DISK_2KM.cropped(window_over(BARBADOS, FULL_DISK_2KM, margin=4))  # type: ignore[arg-type]
    values = rng.normal(size=grid.shape).astype(np.float32)
    target = BARBADOS.grid(2500.0)
    index_map = build_index_map(grid, target, 1)
    ours = apply_index_map(values, index_map, "bilinear")
    # Interpolated in projected metres instead of pixels, by another library.
    x, y = pyproj.Transformer.from_crs(target.crs, grid.crs, always_xy=True).transform(*np.meshgrid(target.x, target.y))
    other = RegularGridInterpolator((grid.y[::-1], grid.x), values[::-1].astype(float))((y, x))
    assert np.abs(ours - other).max() < 1e-3 * (values.max() - values.min())


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_agrees_with_pyresample(method: str) -> None:
    geometry = pytest.importorskip("pyresample.geometry")
    from pyresample.gradient import create_gradient_search_resampler

    grid = FULL_DISK_2KM.cropped(window_over(BARBADOS, FULL_DISK_2KM, margin=6))  # type: ignore[arg-type]
    target = BARBADOS.grid(2000.0)
    values = (np.indices(grid.shape).sum(axis=0) % 17).astype(np.float32)
    ours = apply_index_map(values, build_index_map(grid, target, 1), method)  # type: ignore[arg-type]

    def area(name: str, crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> object:
        half_x, half_y = (x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2
        extent = (x.min() - half_x, y.min() - half_y, x.max() + half_x, y.max() + half_y)
        return geometry.AreaDefinition(name, name, name, crs, x.size, y.size, extent)

    import dask.array as da

    resampler = create_gradient_search_resampler(
        area("source", grid.crs, grid.x, grid.y), area("target", target.crs, target.x, target.y)
    )
    data = xr.DataArray(da.from_array(values), dims=("y", "x"))
    theirs = resampler.resample(data, method={"bilinear": "bilinear", "nearest": "nn"}[method])
    theirs = np.asarray(theirs)[::-1]  # pyresample's rows run to the south
    finite = np.isfinite(theirs)
    assert finite.mean() > 0.95
    if method == "nearest":  # the two libraries may round a position between two pixels differently
        assert (ours[finite] == theirs[finite]).mean() > 0.98
    else:
        # Its gradient search finds positions to a few hundredths of a pixel, and a step here is 17.
        assert np.quantile(np.abs(ours[finite] - theirs[finite]), 0.98) < 0.2


def test_a_coarser_target_averages_over_all_pixels_under_a_cell() -> None:
    target = BARBADOS.grid(4000.0)
    side = points_per_cell_side(FULL_DISK_HALF_KM, target)
    assert 6 <= side <= 8  # 4 km over pixels of 0.5 to 0.65 km there
    grid = FULL_DISK_HALF_KM.cropped(window_over(BARBADOS, FULL_DISK_HALF_KM, margin=8))  # type: ignore[arg-type]
    checkerboard = (np.indices(grid.shape).sum(axis=0) % 2).astype(np.float32)
    averaged = apply_index_map(checkerboard, build_index_map(grid, target, side), "bilinear")
    sampled = apply_index_map(checkerboard, build_index_map(grid, target, 1), "nearest")
    assert np.abs(averaged - 0.5).max() < 0.1
    assert set(np.unique(sampled)) == {0.0, 1.0}


def test_a_finer_target_is_not_averaged() -> None:
    assert points_per_cell_side(FULL_DISK_2KM, BARBADOS.grid(1000.0)) == 1


def test_missing_pixels_and_what_lies_outside_are_nan() -> None:
    rows, cols = np.meshgrid([0.0, 1.0, 1.5, -0.01, 3.0], [0.0, 2.0, 2.5, 3.01, np.nan], indexing="ij")
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    image[2, 3] = np.nan
    values = apply_index_map(image, IndexMap(rows, cols, 1), "bilinear")
    assert values[0, 0] == 0.0
    assert values[1, 1] == 6.0
    assert values[1, 2] == 6.5  # the missing pixel below takes no part: its weight is nil
    assert np.isnan(values[2, 2])  # here it has a quarter of the weight
    assert np.isnan(values[3]).all()  # above the image
    assert np.isnan(values[:, 3:]).all()  # right of it, and out of sight
    assert values[4, 0] == 12.0  # the last row is inside


def test_parts_of_a_domain_beyond_the_earths_edge_are_nan_never_zero(tmp_path: Path) -> None:
    far_north = LocalDomain(72.0, -75.0, 3000e3, 3000e3)
    regridded = regrid_scene(scene_over(far_north, FULL_DISK_2KM), far_north.grid(50e3), "bilinear", tmp_path)
    values = regridded["field"].values
    assert 0.1 < np.isnan(values).mean() < 0.9
    assert np.nanmin(values) > 1
    assert regridded.attrs["valid_share"] == pytest.approx(np.isfinite(values).mean())


def test_maps_are_kept_by_their_full_geometry(tmp_path: Path) -> None:
    target = BARBADOS.grid(4000.0)
    shifted = LocalDomain(13.3, -57.7200001, 200e3, 120e3).grid(4000.0)
    first = cached_index_map(FULL_DISK_2KM, target, 1, tmp_path)
    again = cached_index_map(FULL_DISK_2KM, LocalGrid.from_dict(target.to_dict()), 1, tmp_path)
    cached_index_map(FULL_DISK_2KM, shifted, 1, tmp_path)
    np.testing.assert_array_equal(first.rows, again.rows)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_maps_work_with_bands() -> None:
    image = np.stack([np.full((3, 3), band, np.float32) for band in range(3)])
    index_map = IndexMap(np.full((4, 6), 1.2), np.full((4, 6), 0.7), 2)
    values = apply_index_map(image, index_map, "bilinear")
    assert values.shape == (3, 2, 3)
    np.testing.assert_allclose(values[2], 2.0)


@pytest.mark.parametrize(
    ("domain", "resolution", "subdivision"),
    [
        (LocalDomain(13.3, -57.72, 256e3, 256e3), 1000.0, 2),
        (LocalDomain(55.0, -20.0, 256e3, 128e3), 1000.0, 2),  # low above the horizon
        (LocalDomain(14.0, -57.72, 3000e3, 1000e3), 4000.0, 1),
        (LocalDomain(14.0, -136.0, 256e3, 256e3), 1000.0, 1),  # far in the west
    ],
)
def test_positions_from_few_points_are_those_of_all(domain: LocalDomain, resolution: float, subdivision: int) -> None:
    target = domain.grid(resolution)
    found = build_index_map(FULL_DISK_HALF_KM, target, subdivision)
    x, y = target.subcell_centres(subdivision)

    def positions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return FULL_DISK_HALF_KM.pixel_of(*domain.to_world(x, y))

    rows, cols = positions(*np.meshgrid(x, y))
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(found.rows, rows, atol=2e-5, rtol=0)
    np.testing.assert_allclose(found.cols, cols, atol=2e-5, rtol=0)
    assert smooth_positions(positions, x, y) is not None


def test_positions_that_are_not_smooth_are_worked_out_at_all_points() -> None:
    domain = LocalDomain(72.0, -75.0, 3000e3, 3000e3)  # part of it is out of sight
    target = domain.grid(20e3)
    found = build_index_map(FULL_DISK_2KM, target, 1)
    rows, cols = FULL_DISK_2KM.pixel_of(*domain.to_world(*np.meshgrid(target.x, target.y)))
    assert np.isnan(rows).any()
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    x = np.linspace(-1, 1, 200)
    assert smooth_positions(lambda x, y: (np.abs(x - 0.1), y), x, x) is None
