"""Geometry for any place and size."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain, LocalGrid
from convml_data.geometry.windows import Window

views = st.builds(
    GeostationaryView,
    st.floats(-180, 180),
    st.just(35786023.0),
    st.just(6378137.0),
    st.just(6356752.31414),
    st.sampled_from(["x", "y"]),
)
domains = st.builds(
    LocalDomain, st.floats(-85, 85), st.floats(-180, 180), st.floats(10e3, 6000e3), st.floats(10e3, 6000e3)
)
windows = st.tuples(st.integers(0, 500), st.integers(1, 500), st.integers(0, 500), st.integers(1, 500)).map(
    lambda w: Window(w[0], w[0] + w[1], w[2], w[2] + w[3])
)


def disk(view: GeostationaryView, pixels: int) -> FixedGrid:
    step = 2 * 0.151872 / pixels
    first = 0.151872 - step / 2
    return FixedGrid(view, -first, first, step, -step, (pixels, pixels))


@given(views, st.floats(-0.15, 0.15), st.floats(-0.15, 0.15))
def test_scan_angles_come_back(view: GeostationaryView, x: float, y: float) -> None:
    lon, lat = view.lonlat(x, y)
    assume(np.isfinite(lon))
    assume(np.hypot(x, y) < 0.1515)  # the very limb has no inverse: there a pixel is hundreds of km
    back_x, back_y = view.scan_angles(lon, lat)
    assert abs(float(back_x) - x) < 1e-9
    assert abs(float(back_y) - y) < 1e-9


@given(domains, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_points_of_a_plane_come_back(domain: LocalDomain, x: float, y: float) -> None:
    x, y = x * domain.l_zonal, y * domain.l_meridional
    back_x, back_y = domain.from_lonlat(*domain.to_lonlat(x, y))
    # PROJ's series for the authalic latitude is good to a few millimetres.
    assert abs(float(back_x) - x) < 0.01
    assert abs(float(back_y) - y) < 0.01


@settings(max_examples=60, deadline=None)
@given(st.floats(-137, -60), domains, st.integers(0, 3))
def test_no_pixel_of_the_domain_is_left_out(sub_longitude: float, domain: LocalDomain, margin: int) -> None:
    grid = disk(GeostationaryView(sub_longitude, 35786023.0, 6378137.0, 6356752.31414), 542)
    lon, lat = grid.lonlat()
    seen = np.isfinite(lon)
    x, y = domain.from_lonlat(np.where(seen, lon, 0), np.where(seen, lat, 0))
    with np.errstate(invalid="ignore"):
        inside = seen & (np.abs(x) <= domain.l_zonal / 2) & (np.abs(y) <= domain.l_meridional / 2)
    window = window_over(domain, grid, margin)
    if window is None:
        assert not inside.any()
        return
    assert window.clipped(grid.shape) == window
    left_out = inside.copy()
    left_out[window.slices] = False
    assert not left_out.any()


@given(views, windows, st.integers(0, 300), st.integers(0, 300), st.integers(1, 100))
def test_crops_of_crops(view: GeostationaryView, outer: Window, row: int, column: int, size: int) -> None:
    grid = disk(view, 1084)
    inner = Window(row, row + size, column, column + size)
    whole = Window(outer.row0 + inner.row0, outer.row0 + inner.row1, outer.col0 + inner.col0, outer.col0 + inner.col1)
    twice, once = grid.cropped(outer).cropped(inner), grid.cropped(whole)
    assert twice.shape == once.shape
    np.testing.assert_allclose([twice.x0, twice.y0], [once.x0, once.y0], atol=1e-12)


@given(views, windows, st.sampled_from([1, 2, 4]))
def test_windows_of_nested_grids_nest(view: GeostationaryView, window: Window, factor: int) -> None:
    coarse, fine = disk(view, 1084), disk(view, 1084 * factor)
    assert fine.cropped(window.refined(factor)).coarsening_to(coarse.cropped(window)) == factor


@given(views, windows)
def test_fixed_grids_survive_json(view: GeostationaryView, window: Window) -> None:
    grid = disk(view, 1084).cropped(window)
    assert FixedGrid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


@given(domains, st.floats(100, 100e3))
def test_local_grids_survive_json(domain: LocalDomain, resolution: float) -> None:
    grid = LocalGrid(domain, resolution)
    assert LocalGrid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
