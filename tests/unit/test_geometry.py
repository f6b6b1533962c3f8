"""Navigation of the fixed grid, local planes, and the pixels that a domain needs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain, LocalGrid
from convml_data.geometry.windows import Window

GOES_EAST = GeostationaryView(-75.0, 35786023.0, 6378137.0, 6356752.31414)


def full_disk(kilometres: float, view: GeostationaryView = GOES_EAST) -> FixedGrid:
    """As the PUG, volume 3, table 5.1.2.8 gives it."""
    step = kilometres * 28e-6
    first = 0.151872 - step / 2
    size = round(2 * 0.151872 / step)
    return FixedGrid(view, -first, first, step, -step, (size, size))


def navigate(x: float, y: float, view: GeostationaryView) -> tuple[float, float]:
    """Longitude and latitude by the formulas of the PUG, volume 3, section 5.1.2.8.1."""
    r_eq, r_pol = view.semi_major_axis, view.semi_minor_axis
    h = view.perspective_height + r_eq
    a = math.sin(x) ** 2 + math.cos(x) ** 2 * (math.cos(y) ** 2 + r_eq**2 / r_pol**2 * math.sin(y) ** 2)
    b = -2 * h * math.cos(x) * math.cos(y)
    c = h**2 - r_eq**2
    root = b**2 - 4 * a * c
    if root < 0:
        return math.nan, math.nan
    r_s = (-b - math.sqrt(root)) / (2 * a)
    s_x, s_y, s_z = r_s * math.cos(x) * math.cos(y), -r_s * math.sin(x), r_s * math.cos(x) * math.sin(y)
    lat = math.atan(r_eq**2 / r_pol**2 * s_z / math.hypot(h - s_x, s_y))
    lon = math.radians(view.sub_longitude) - math.atan(s_y / (h - s_x))
    return math.degrees(lon), math.degrees(lat)


def scan_angles(lon: float, lat: float, view: GeostationaryView) -> tuple[float, float]:
    """Scan angles by the formulas of the PUG, volume 3, section 5.1.2.8.2."""
    r_eq, r_pol = view.semi_major_axis, view.semi_minor_axis
    h = view.perspective_height + r_eq
    phi_c = math.atan(r_pol**2 / r_eq**2 * math.tan(math.radians(lat)))
    r_c = r_pol / math.sqrt(1 - (1 - r_pol**2 / r_eq**2) * math.cos(phi_c) ** 2)
    difference = math.radians(lon - view.sub_longitude)
    s_x = h - r_c * math.cos(phi_c) * math.cos(difference)
    s_y = -r_c * math.cos(phi_c) * math.sin(difference)
    s_z = r_c * math.sin(phi_c)
    if h * (h - s_x) < s_y**2 + r_eq**2 / r_pol**2 * s_z**2:
        return math.nan, math.nan
    return math.asin(-s_y / math.sqrt(s_x**2 + s_y**2 + s_z**2)), math.atan(s_z / s_x)


def test_the_example_of_the_users_guide() -> None:
    """PUG, volume 3, section 5.1.2.8: x −0.024052 rad, y 0.095340 rad is 33.846162 N 84.690932 W."""
    assert navigate(-0.024052, 0.095340, GOES_EAST) == pytest.approx((-84.690932, 33.846162), abs=1e-6)
    lon, lat = GOES_EAST.lonlat(-0.024052, 0.095340)
    assert (float(lon), float(lat)) == pytest.approx((-84.690932, 33.846162), abs=1e-6)
    assert scan_angles(-84.690932, 33.846162, GOES_EAST) == pytest.approx((-0.024052, 0.095340), abs=1e-8)


@pytest.mark.parametrize("sub_longitude", [-75.0, -137.0])
def test_navigation_of_the_full_disk(sub_longitude: float) -> None:
    view = replace(GOES_EAST, sub_longitude=sub_longitude)
    grid = full_disk(200, view)
    lon, lat = grid.lonlat()
    expected = np.array([[navigate(x, y, view) for x in grid.x_rad] for y in grid.y_rad])
    np.testing.assert_array_equal(np.isnan(lon), np.isnan(expected[..., 0]))
    assert 0.7 < np.isfinite(lon).mean() < 0.85  # a disk in its square
    np.testing.assert_allclose((lon - expected[..., 0] + 180) % 360 - 180, 0 * lon, atol=1e-9)
    np.testing.assert_allclose(lat, expected[..., 1], atol=1e-9)


def test_pixels_of_the_full_disk_are_where_the_users_guide_has_them() -> None:
    for kilometres, size, first in ((0.5, 21696, 0.151865), (1, 10848, 0.151858), (2, 5424, 0.151844)):
        grid = full_disk(kilometres)
        assert grid.shape == (size, size)
        assert grid.x_rad[[0, -1]] == pytest.approx([-first, first], abs=1e-9)
        assert grid.y_rad[[0, -1]] == pytest.approx([first, -first], abs=1e-9)
    row, column = full_disk(2).pixel_of([-75.0, 105.0], [0.0, 0.0])
    assert (row[0], column[0]) == pytest.approx((2711.5, 2711.5))
    assert np.isnan([row[1], column[1]]).all()  # behind the earth


def test_projected_coordinates_are_scan_angles_times_the_height() -> None:
    grid = full_disk(2)
    np.testing.assert_allclose(grid.x, grid.x_rad * 35786023.0)
    np.testing.assert_allclose(np.diff(grid.x), 2004.017, atol=1e-3)
    np.testing.assert_allclose(np.diff(grid.y), -2004.017, atol=1e-3)


def test_a_cropped_grid_has_the_same_pixels() -> None:
    grid = full_disk(20)
    window = Window(100, 180, 250, 362)
    cropped = grid.cropped(window)
    for part, whole in zip(cropped.lonlat(), grid.lonlat(), strict=True):
        np.testing.assert_allclose(part, whole[window.slices], atol=1e-9)


def test_only_grids_that_nest_coarsen() -> None:
    fine, coarse = full_disk(0.5), full_disk(2)
    assert fine.coarsening_to(coarse) == 4
    assert fine.coarsening_to(fine) == 1
    assert coarse.coarsening_to(fine) is None
    assert replace(fine, x0=fine.x0 + fine.dx).coarsening_to(coarse) is None
    assert replace(fine, y0=fine.y0 - coarse.dy).coarsening_to(coarse) is None
    assert replace(fine, shape=(21692, 21696)).coarsening_to(coarse) is None
    assert replace(fine, view=replace(GOES_EAST, sub_longitude=-75.2)).coarsening_to(coarse) is None
    window = Window(100, 140, 900, 950)
    assert fine.cropped(window.refined(4)).coarsening_to(coarse.cropped(window)) == 4


#: The example of a large domain, smaller ones, one across the equator, one in the south.
DOMAINS = [
    LocalDomain(14.0, -48.0, 3000e3, 1000e3),
    LocalDomain(13.3, -57.7, 400e3, 400e3),
    LocalDomain(0.0, -75.0, 200e3, 200e3),
    LocalDomain(-25.0, -80.0, 2000e3, 800e3),
    LocalDomain(50.0, -60.0, 2000e3, 1000e3),
]


def seen_within(domain: LocalDomain, grid: FixedGrid) -> np.ndarray:
    """Which pixel centres lie in the domain, by asking each one."""
    lon, lat = grid.lonlat()
    seen = np.isfinite(lon)
    x, y = domain.from_lonlat(np.where(seen, lon, 0), np.where(seen, lat, 0))
    with np.errstate(invalid="ignore"):
        return seen & (np.abs(x) <= domain.l_zonal / 2) & (np.abs(y) <= domain.l_meridional / 2)


def bounds_of(mask: np.ndarray) -> Window:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Window(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_window_is_that_of_the_pixels_in_the_domain(domain: LocalDomain) -> None:
    grid = full_disk(10)
    needed, window = bounds_of(seen_within(domain, grid)), window_over(domain, grid, margin=0)
    assert window is not None
    # The outermost pixels that the outline crosses may have their centres outside, where it runs aslant
    # two of them.
    assert 0 <= needed.row0 - window.row0 <= 2
    assert 0 <= window.row1 - needed.row1 <= 2
    assert 0 <= needed.col0 - window.col0 <= 2
    assert 0 <= window.col1 - needed.col1 <= 2
    assert window_over(domain, grid, margin=3) == window.padded(3)


def test_the_poleward_edge_of_a_large_domain_is_covered() -> None:
    """Its middle lies 48 km beyond the box of longitudes and latitudes around its corners."""
    domain = DOMAINS[0]
    x = np.linspace(-0.5, 0.5, 2001) * domain.l_zonal
    lon, lat = domain.to_lonlat(x, np.full_like(x, domain.l_meridional / 2))
    assert (lat.max() - lat[[0, -1]].max()) * 110.6 == pytest.approx(48, abs=1)
    grid = full_disk(1)
    window = window_over(domain, grid, margin=0)
    assert window is not None
    rows, _ = grid.pixel_of(lon, lat)
    assert window.row0 <= rows.min() < window.row0 + 1
    boxed, _ = grid.pixel_of(lon, np.minimum(lat, lat[[0, -1]].max()))
    assert boxed.min() - rows.min() > 20  # what a window around the corners' box would lack


@pytest.mark.parametrize(
    "domain",
    [
        LocalDomain(10.0, 0.0, 2000e3, 2000e3),  # across the eastern limb
        LocalDomain(78.0, -75.0, 1500e3, 3000e3),  # across the northern limb
        LocalDomain(0.0, -75.0, 11000e3, 3000e3),
        LocalDomain(0.0, -75.0, 17000e3, 17000e3),  # all that is seen
    ],
)
def test_a_domain_that_is_partly_out_of_sight_is_covered_as_far_as_it_is_seen(domain: LocalDomain) -> None:
    grid = full_disk(20)
    needed, window = bounds_of(seen_within(domain, grid)), window_over(domain, grid, margin=0)
    assert window is not None
    assert window.row0 <= needed.row0
    assert window.row1 >= needed.row1
    assert window.col0 <= needed.col0
    assert window.col1 >= needed.col1


def test_a_domain_that_is_not_seen_has_no_window() -> None:
    sector = full_disk(2).cropped(Window(1000, 1500, 2000, 2500))
    assert window_over(LocalDomain(0.0, 105.0, 200e3, 200e3), full_disk(2), margin=4) is None
    assert window_over(LocalDomain(-20.0, -75.0, 200e3, 200e3), sector, margin=4) is None


def test_a_window_ends_with_the_image() -> None:
    grid = full_disk(2)
    domain = LocalDomain(13.3, -57.7, 400e3, 400e3)
    whole = window_over(domain, grid, margin=4)
    assert whole is not None
    sector = Window(0, whole.row1 - 30, 0, whole.col1 - 20)
    part = window_over(domain, grid.cropped(sector), margin=4)
    assert part == Window(whole.row0, whole.row1 - 30, whole.col0, whole.col1 - 20)


def test_windows() -> None:
    window = Window(2, 5, 3, 10)
    assert window.shape == (3, 7)
    assert np.arange(200).reshape(10, 20)[window.slices].shape == (3, 7)
    assert window.padded(1) == Window(1, 6, 2, 11)
    assert window.refined(2) == Window(4, 10, 6, 20)
    assert window.clipped((4, 8)) == Window(2, 4, 3, 8)
    assert not window.is_empty
    assert window.clipped((2, 20)).is_empty


def test_cells_of_a_local_grid() -> None:
    grid = LocalDomain(14.0, -48.0, 400e3, 200e3).grid(1000.0)
    assert grid.shape == (200, 400)
    assert grid.x[[0, -1]].tolist() == [-199500.0, 199500.0]
    assert grid.y[[0, -1]].tolist() == [-99500.0, 99500.0]
    lon, lat = grid.domain.to_world(*np.meshgrid(grid.x, grid.y))
    assert (np.diff(lat[:, 200]) > 0).all()
    assert (np.diff(lon[100]) > 0).all()
    x, y = grid.subcell_centres(2)
    assert x[:4].tolist() == [-199750.0, -199250.0, -198750.0, -198250.0]
    assert y.shape == (400,)
    assert LocalDomain(0.0, 0.0, 100.0, 100.0).grid(1000.0).shape == (1, 1)


def test_local_planes_keep_areas() -> None:
    """A square degree at the plane's edge has its true area, by the ellipsoid's own geodesics."""
    domain = LocalDomain(14.0, -48.0, 3000e3, 1000e3)
    lon, lat = np.array([-37.0, -36.0, -36.0, -37.0]), np.array([17.0, 17.0, 18.0, 18.0])
    along = np.linspace(0, 1, 200)[:, None]
    ring = [(1 - along) * [lon[i], lat[i]] + along * [lon[(i + 1) % 4], lat[(i + 1) % 4]] for i in range(4)]
    lons, lats = np.concatenate(ring).T
    x, y = domain.from_lonlat(lons, lats)
    on_plane = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    geod = domain.crs.get_geod()
    assert geod is not None
    on_earth = abs(geod.polygon_area_perimeter(lons, lats)[0])
    assert on_plane == pytest.approx(on_earth, rel=1e-6)


def test_what_a_grid_says_of_itself_makes_it_again() -> None:
    grid = full_disk(0.5).cropped(Window(3, 77, 123, 456))
    assert FixedGrid.from_dict(grid.to_dict()) == grid
    local = LocalGrid(LocalDomain(-13.3, 177.7, 411e3, 203e3), 750.0)
    assert LocalGrid.from_dict(local.to_dict()) == local
