"""Inverses and windows of model grids of any place, step and bend."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convml_data.geometry.cover import window_over
from convml_data.geometry.local import LocalDomain, PlaneDomain
from convml_data.geometry.model_grids import CurvilinearGrid, LatLonGrid, ModelGrid, PlaneGrid, continuous
from convml_data.geometry.source_grids import whole_domain
from convml_data.geometry.windows import Window

unit = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def axes(draw: st.DrawFn, shortest: float, longest: float) -> np.ndarray:
    """Strictly ascending or descending, at unequal steps, with a length within limits."""
    steps = np.array(draw(st.lists(st.floats(0.2, 1.0), min_size=1, max_size=25)))
    length = draw(st.floats(shortest, longest))
    axis = np.concatenate([[0.0], np.cumsum(steps)]) * (length / steps.sum())
    return axis if draw(st.booleans()) else axis[::-1].copy()


@st.composite
def plane_grids(draw: st.DrawFn) -> PlaneGrid:
    return PlaneGrid.centred(draw(axes(100, 1e5)) + draw(st.floats(-1e6, 1e6)), draw(axes(100, 1e5)))


@st.composite
def latlon_grids(draw: st.DrawFn, widest: float = 300.0) -> LatLonGrid:
    lon, lat = draw(axes(0.5, widest)), draw(axes(0.5, 100))
    lat = lat + draw(st.floats(-89, 89 - np.ptp(lat)))
    return LatLonGrid(lon + draw(st.floats(-180, 360)), lat)


@st.composite
def curvilinear_grids(draw: st.DrawFn) -> CurvilinearGrid:
    """Turned, sheared, stretched and bent, around any point of the earth, the poles included."""
    rows, columns = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    step = draw(st.floats(100.0, 60e3))
    turn, shear = draw(st.floats(-np.pi, np.pi)), draw(st.floats(-1.2, 1.2))
    stretch, bend = draw(st.floats(0.4, 2.5)), draw(st.floats(-0.2, 0.2))
    row, column = np.indices((rows, columns), float)
    row, column = row - (rows - 1) / 2, column - (columns - 1) / 2
    a, b = stretch * column + shear * row, row + bend * column**2 / columns
    x, y = step * (np.cos(turn) * a - np.sin(turn) * b), step * (np.sin(turn) * a + np.cos(turn) * b)
    centre = LocalDomain(draw(st.floats(-90, 90)), draw(st.floats(-180, 180)), 1.0, 1.0)
    return CurvilinearGrid(*centre.to_lonlat(x, y))


def between(grid: ModelGrid, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World coordinates of fractional positions, by bilinear interpolation of the pixel centres."""
    u, v = grid.world()
    if isinstance(grid, CurvilinearGrid):
        lam, phi = np.deg2rad(u), np.deg2rad(v)
        values = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    else:
        values = np.stack([u, v])
    r = np.minimum(row.astype(int), grid.shape[0] - 2)
    c = np.minimum(column.astype(int), grid.shape[1] - 2)
    a, b = row - r, column - c
    mixed = (1 - a) * (1 - b) * values[:, r, c] + a * (1 - b) * values[:, r + 1, c]
    mixed += (1 - a) * b * values[:, r, c + 1] + a * b * values[:, r + 1, c + 1]
    if not isinstance(grid, CurvilinearGrid):
        return mixed[0], mixed[1]
    x, y, z = mixed
    return np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))


any_grid = st.one_of(plane_grids(), latlon_grids(), curvilinear_grids())


@settings(max_examples=200, deadline=None)
@given(any_grid)
def test_pixel_centres_have_whole_numbers(grid: ModelGrid) -> None:
    found = grid.pixel_of(*grid.world())
    np.testing.assert_allclose(found, np.indices(grid.shape), atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(any_grid, seeds)
def test_positions_come_back(grid: ModelGrid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, column = (rng.uniform(0, n - 1, 50) for n in grid.shape)
    found = grid.pixel_of(*between(grid, row, column))
    np.testing.assert_allclose(found, [row, column], atol=1e-5)


@given(latlon_grids(), seeds, st.integers(-2, 2))
def test_longitudes_may_be_written_in_any_turn(grid: LatLonGrid, seed: int, turns: int) -> None:
    rng = np.random.default_rng(seed)
    row, column = (rng.uniform(0, n - 1, 20) for n in grid.shape)
    lon, lat = between(grid, row, column)
    np.testing.assert_allclose(grid.pixel_of(lon + 360 * turns, lat), [row, column], atol=1e-6)


@given(st.integers(3, 400), st.floats(-180, 180), st.booleans(), st.floats(-180, 180), seeds)
def test_grids_around_the_earth_have_no_gap(n: int, first: float, eastward: bool, longitude: float, seed: int) -> None:
    lon = first + 360 / n * np.arange(n) * (1 if eastward else -1)
    grid = LatLonGrid(lon, np.array([10.0, 20.0]))
    assert grid.joins
    opened, columns = grid.opened_opposite(longitude)
    np.testing.assert_allclose((opened.lon - lon[columns] + 180) % 360 - 180, 0, atol=1e-9)
    anywhere = np.random.default_rng(seed).uniform(-360, 360, 50)
    row, column = opened.pixel_of(anywhere, np.full(50, 12.0))
    np.testing.assert_allclose(row, 0.2)
    here = np.interp(column, np.arange(opened.lon.size), opened.lon)
    np.testing.assert_allclose((here - anywhere + 180) % 360 - 180, 0, atol=1e-6)
    # The place where it is opened is far from the longitude.
    assert abs((opened.lon[0] - longitude) % 360 - 180) <= 180 / n + 1e-6


@settings(max_examples=150, deadline=None)
@given(any_grid, st.data())
def test_a_crop_has_the_same_pixels(grid: ModelGrid, data: st.DataObject) -> None:
    rows, columns = grid.shape
    row0, col0 = data.draw(st.integers(0, rows - 2)), data.draw(st.integers(0, columns - 2))
    window = Window(row0, data.draw(st.integers(row0 + 2, rows)), col0, data.draw(st.integers(col0 + 2, columns)))
    crop = grid.cropped(window)
    assert crop.shape == window.shape
    np.testing.assert_array_equal(crop.world(), [part[window.slices] for part in grid.world()])
    assert (crop == grid) == (window.shape == grid.shape)


@settings(max_examples=150, deadline=None)
@given(st.one_of(plane_grids(), latlon_grids(60.0), curvilinear_grids()))
def test_the_whole_domain_holds_all_pixels(grid: ModelGrid) -> None:
    domain = whole_domain(grid)
    x, y = domain.from_world(*grid.outer_edge())
    inner_x, inner_y = domain.from_world(*grid.world())
    assert max(np.abs(x).max(), np.abs(inner_x).max()) <= domain.l_zonal / 2 * (1 + 1e-9)
    assert max(np.abs(y).max(), np.abs(inner_y).max()) <= domain.l_meridional / 2 * (1 + 1e-9)
    # Nothing is added either: the outermost pixels touch the sides.
    assert np.abs(x).max() >= domain.l_zonal / 2 * (1 - 1e-3) - 2
    assert np.abs(y).max() >= domain.l_meridional / 2 * (1 - 1e-3) - 2
    if isinstance(domain, PlaneDomain):
        np.testing.assert_allclose([domain.x_c, domain.y_c], 0, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    any_grid,
    st.floats(-0.7, 0.7),
    st.floats(-0.7, 0.7),
    st.floats(0.001, 3),
    st.floats(0.001, 3),
    st.integers(0, 3),
)
def test_windows_hold_all_that_a_domain_needs(
    grid: ModelGrid, east: float, north: float, width: float, height: float, margin: int
) -> None:
    """Domains smaller and larger than the grid, inside of it, across its edge and beside it."""
    if isinstance(grid, LatLonGrid):
        assume(np.ptp(grid.lon) <= 60)
    whole = whole_domain(grid)
    square = whole.around(east * whole.l_zonal, north * whole.l_meridional, 1.0)
    domain = square.resized(min(width * whole.l_zonal, 15e6), min(height * whole.l_meridional, 15e6))
    window = window_over(domain, grid, margin)

    x, y = domain.from_world(*grid.world())
    inside = (np.abs(x) <= domain.l_zonal / 2) & (np.abs(y) <= domain.l_meridional / 2)
    row, column = grid.pixel_of(*domain.to_world(*domain.lattice(40)))
    row, column = row[np.isfinite(row)], column[np.isfinite(column)]
    if window is None:
        assert not inside.any()
        assert not row.size
        return
    assert window.clipped(grid.shape) == window
    assert not window.is_empty
    left_out = inside.copy()
    left_out[window.slices] = False
    assert not left_out.any()
    # And all the pixels that interpolation at a point of the domain needs.
    assert (np.floor(row) >= window.row0).all()
    assert (np.ceil(row) < window.row1).all()
    assert (np.floor(column) >= window.col0).all()
    assert (np.ceil(column) < window.col1).all()


@settings(max_examples=100, deadline=None)
@given(curvilinear_grids(), seeds)
def test_pixels_without_a_place_are_passed_over(grid: CurvilinearGrid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    missing = rng.random(grid.shape) < 0.3
    assume(not missing.all())
    holed = CurvilinearGrid(np.where(missing, np.nan, grid.lon), grid.lat)
    row, column = (rng.uniform(0.01, n - 1.01, 50) for n in grid.shape)
    found = np.array(holed.pixel_of(*between(grid, row, column)))
    r, c = row.astype(int), column.astype(int)
    complete = ~(missing[r, c] | missing[r + 1, c] | missing[r, c + 1] | missing[r + 1, c + 1])
    np.testing.assert_allclose(found[:, complete], [row[complete], column[complete]], atol=1e-5)
    inner = (r > 0) & (r < grid.shape[0] - 2) & (c > 0) & (c < grid.shape[1] - 2)
    assert np.isnan(found[:, ~complete & inner]).all()


@given(axes(1, 350), st.floats(-180, 180), st.booleans())
def test_longitudes_become_continuous(axis: np.ndarray, shift: float, from_zero: bool) -> None:
    assume(np.abs(np.diff(axis)).max() < 179)
    written = (axis + shift) % 360 if from_zero else (axis + shift + 180) % 360 - 180
    np.testing.assert_allclose(np.diff(continuous(written)), np.diff(axis), atol=1e-9)
