"""Grids of models: places, edges, whole domains, and scenes on them regridded."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import SceneError
from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain, PlaneDomain
from convml_data.geometry.model_grids import CurvilinearGrid, LatLonGrid, ModelGrid, PlaneGrid, continuous
from convml_data.geometry.quads import QuadSearch, unit_vectors
from convml_data.geometry.source_grids import grid_of, whole_domain
from convml_data.geometry.windows import Window
from convml_data.regrid.index_map import points_per_cell_side
from convml_data.regrid.scene import GRID_MAPPING, local_coordinates, regrid_scene

EAST = GeostationaryView(-75.0, 35786023.0, 6378137.0, 6356752.31414)
FULL_DISK = FixedGrid(EAST, -0.1519, 0.1519, 2.8e-4, -2.8e-4, (1086, 1086))

PLANE = PlaneGrid.centred(np.arange(40) * 100.0 + 50, np.arange(30) * 100.0 + 50)
GAUSSIAN = LatLonGrid(np.arange(350.0, 370.0, 0.5), np.array([52.0, 51.1, 50.0, 48.7, 47.2, 45.5, 43.6]))


def curvilinear(lat: float, lon: float, turn: float = 0.4, size: int = 24, step: float = 10e3) -> CurvilinearGrid:
    row, column = np.indices((size, size + 6), float)
    x, y = step * (column - (size + 5) / 2), step * (row - (size - 1) / 2)
    centre = LocalDomain(lat, lon, 1.0, 1.0)
    return CurvilinearGrid(*centre.to_lonlat(x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)))


BENT = curvilinear(50.0, 8.0)


def scene_on(grid: ModelGrid, values: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {"field": (("y", "x"), values.astype(np.float32), {"units": "K"})},
        dict(grid.coordinates()),
        {"source_grid": json.dumps(grid.to_dict()), "satellite": "LES"},
    )


@pytest.mark.parametrize("grid", [PLANE, GAUSSIAN, BENT], ids=lambda grid: grid.kind)
def test_scenes_say_on_which_grid_they_lie(grid: ModelGrid) -> None:
    scene = scene_on(grid, np.zeros(grid.shape))
    assert grid_of(scene) == grid
    assert hash(grid_of(scene)) == hash(pickle.loads(pickle.dumps(grid)))
    part = scene.isel(y=slice(2, 6), x=slice(3, 9))  # by its coordinates, whatever was cut off
    assert grid_of(part) == grid.cropped(Window(2, 6, 3, 9))


def test_a_satellites_scene_says_so_too() -> None:
    assert grid_of(xr.Dataset(attrs={"source_grid": json.dumps(FULL_DISK.to_dict())})) == FULL_DISK


@pytest.mark.parametrize("attributes", [{}, {"source_grid": "{}"}, {"source_grid": '{"kind": "icosahedral"}'}])
def test_a_scene_without_a_grid_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(SceneError, match="Crop it again"):
        grid_of(xr.Dataset(attrs=attributes))


def test_grids_differ_by_any_pixel() -> None:
    moved = BENT.lon.copy()
    moved[3, 4] += 1e-12 * 360
    others = [PLANE, GAUSSIAN, BENT, CurvilinearGrid(moved, BENT.lat), PlaneGrid(PLANE.x + 1e-6, PLANE.y)]
    assert len({grid.to_dict()["digest"] for grid in others}) == len(others)
    assert PlaneGrid(PLANE.x.copy(), PLANE.y.copy()) == PLANE


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PlaneGrid(np.array([0.0]), np.arange(3.0)), "two or more"),
        (lambda: PlaneGrid.centred(np.array([0.0]), np.arange(3.0)), r"x has shape \(1,\), .* two or more"),
        (lambda: PlaneGrid.centred(np.arange(3.0), np.array([0.0])), r"y has shape \(1,\), .* two or more"),
        (lambda: PlaneGrid.centred(np.array([]), np.array([])), "two or more"),
        (lambda: PlaneGrid.centred(np.array(0.0), np.arange(3.0)), "two or more"),
        (lambda: LatLonGrid(np.array([0.0]), np.arange(3.0)), "longitude has shape .* two or more"),
        (lambda: LatLonGrid(np.arange(3.0), np.array([0.0])), "latitude has shape .* two or more"),
        (lambda: LatLonGrid(np.arange(3.0), np.zeros((3, 3))), "latitude has shape .* two or more"),
        (lambda: LatLonGrid(continuous(np.array([])), np.arange(3.0)), "two or more"),
        (lambda: CurvilinearGrid(np.zeros((1, 3)), np.zeros((1, 3))), "two pixels or more"),
        (lambda: CurvilinearGrid(np.zeros((3, 1)), np.zeros((3, 1))), "two pixels or more"),
        (lambda: CurvilinearGrid(np.zeros(3), np.zeros(3)), "two pixels or more"),
        (lambda: CurvilinearGrid(np.full((3, 3), np.inf), np.zeros((3, 3))), "infinite"),
        (lambda: QuadSearch(unit_vectors(np.zeros((1, 3)), np.zeros((1, 3)))), "two or more"),
        (lambda: PlaneGrid(np.array([0.0, 2.0, 1.0]), np.arange(3.0)), "turns back"),
        (lambda: PlaneGrid(np.array([0.0, np.nan, 1.0]), np.arange(3.0)), "missing"),
        (lambda: PlaneGrid(np.array([0.0, 1.0, 1.0]), np.arange(3.0)), "repeated"),
        (lambda: LatLonGrid(np.arange(3.0), np.array([80.0, 91.0])), "beyond the pole"),
        (lambda: LatLonGrid(np.arange(0.0, 400.0), np.arange(2.0)), "more than once around"),
        (lambda: CurvilinearGrid(np.zeros((3, 3)), np.zeros((3, 4))), "not the same"),
        (lambda: CurvilinearGrid(np.zeros((3, 3)), np.full((3, 3), 100.0)), "beyond the pole"),
    ],
)
def test_coordinates_that_make_no_grid(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_a_grid_without_any_place_has_no_pixel() -> None:
    nowhere = CurvilinearGrid(np.full((3, 4), np.nan), np.full((3, 4), np.nan))
    assert np.isnan(nowhere.pixel_of([0.0, 10.0], [0.0, 10.0])).all()
    assert window_over(LocalDomain(0.0, 0.0, 1e6, 1e6), nowhere, 2) is None


def test_a_plane_is_measured_from_its_middle() -> None:
    np.testing.assert_allclose(PLANE.x[[0, -1]], [-1950, 1950])
    np.testing.assert_allclose(PLANE.y[[0, -1]], [-1450, 1450])
    unequal = PlaneGrid.centred(np.array([0.0, 1.0, 3.0, 7.0]), np.array([10.0, 0.0]))
    # Edges at -0.5 and 9: half a step beyond the outermost centres.
    np.testing.assert_allclose(unequal.x, np.array([0.0, 1.0, 3.0, 7.0]) - 4.25)
    np.testing.assert_allclose(unequal.pixel_of(unequal.x[2] + 1.0, 2.5), [0.25, 2.25])
    assert whole_domain(unequal) == PlaneDomain(0.0, 0.0, 9.5, 20.0)


@pytest.mark.parametrize("grid", [PLANE, GAUSSIAN, BENT], ids=lambda grid: grid.kind)
def test_outer_pixels_reach_half_a_step_beyond_their_centres(grid: ModelGrid) -> None:
    u, v = grid.world()
    row, column = 3, 5
    for axis, index, size in ((0, column, grid.shape[0]), (1, row, grid.shape[1])):
        ends = [np.take(np.take(part, [0, 1, -2, -1], axis), index, 1 - axis) for part in (u, v)]
        for first, second, number in ((0, 1, 0), (3, 2, size - 1)):

            def beyond(steps: float, first: int = first, second: int = second, ends: list = ends) -> tuple:
                return tuple(part[first] + steps * (part[first] - part[second]) for part in ends)

            position = (number, index) if axis == 0 else (index, number)
            np.testing.assert_allclose(grid.pixel_of(*beyond(0.45)), position, atol=0.02)
            assert grid.pixel_of(*beyond(0.45))[axis] == number
            assert np.isnan(grid.pixel_of(*beyond(0.55))).all()


def test_points_without_a_place_have_no_pixel() -> None:
    for grid in (PLANE, GAUSSIAN, BENT):
        rows, columns = grid.pixel_of([np.inf, np.nan, 0.0], [0.0, 0.0, np.nan])
        assert np.isnan(rows).all()
        assert np.isnan(columns).all()


@pytest.mark.parametrize(("lat", "lon"), [(90.0, 0.0), (-89.5, 30.0), (0.0, 180.0), (60.0, -179.9)])
def test_bent_grids_over_poles_and_the_antimeridian(lat: float, lon: float) -> None:
    grid = curvilinear(lat, lon)
    np.testing.assert_allclose(grid.pixel_of(*grid.world()), np.indices(grid.shape), atol=1e-6)
    domain = whole_domain(grid)
    window = window_over(domain.resized(80e3, 80e3), grid, 0)
    assert window is not None
    assert max(window.shape) <= 14  # 80 km turned by 0.4 rad are 105 km


def test_a_sheared_grid_is_found_though_another_pixel_is_nearer() -> None:
    row, column = np.indices((30, 30), float)
    grid = CurvilinearGrid(*LocalDomain(10.0, 20.0, 1.0, 1.0).to_lonlat(5e3 * (column + 2 * row), 5e3 * row))
    np.testing.assert_allclose(grid.pixel_of(*grid.world()), np.indices(grid.shape), atol=1e-6)
    lon, lat = (0.25 * (part[:-1, :-1] + part[1:, :-1] + part[:-1, 1:] + part[1:, 1:]) for part in grid.world())
    np.testing.assert_allclose(grid.pixel_of(lon, lat), np.indices((29, 29)) + 0.5, atol=0.01)


def test_the_whole_disk_is_the_earth_that_is_seen() -> None:
    domain = whole_domain(FULL_DISK)
    assert isinstance(domain, LocalDomain)
    assert (domain.central_latitude, domain.central_longitude) == pytest.approx((0.0, -75.0), abs=1e-6)
    lon, lat = FULL_DISK.lonlat()
    seen = np.isfinite(lon)
    x, y = domain.from_lonlat(lon[seen], lat[seen])
    assert np.abs(x).max() <= domain.l_zonal / 2
    assert np.abs(y).max() <= domain.l_meridional / 2
    # The limb is at an angle of arccos(a / (a + h)) from the centre of the earth, 81.3°, and the chord of
    # the equal-area plane is twice the radius times the sine of half of it.
    limb = 2 * 6378137.0 * np.sin(np.arccos(6378137.0 / (6378137.0 + 35786023.0)) / 2)
    assert domain.l_zonal / 2 == pytest.approx(limb, rel=0.002)


def test_the_whole_of_a_sector() -> None:
    sector = FULL_DISK.cropped(Window(100, 300, 400, 700))
    domain = whole_domain(sector)
    x, y = domain.from_world(*sector.lonlat())
    seen = np.isfinite(x)
    assert np.abs(x[seen]).max() <= domain.l_zonal / 2 <= 1.05 * np.abs(x[seen]).max()
    assert np.abs(y[seen]).max() <= domain.l_meridional / 2 <= 1.05 * np.abs(y[seen]).max()


def test_a_whole_globe_is_no_domain() -> None:
    globe = LatLonGrid(np.arange(0.0, 360.0, 1.0), np.arange(-89.5, 90.0, 1.0))
    with pytest.raises(SceneError, match=r"longer than 18000 km.*Give `domain`"):
        whole_domain(globe)


def test_windows_on_a_small_model_in_a_large_domain_and_beside_it() -> None:
    assert window_over(PlaneDomain(0.0, 0.0, 1e6, 1e6), PLANE, 2) == Window(0, 30, 0, 40)
    assert window_over(PlaneDomain(1900.0, 0.0, 400.0, 400.0), PLANE, 0) == Window(12, 18, 36, 40)
    assert window_over(PlaneDomain(3000.0, 0.0, 400.0, 400.0), PLANE, 2) is None
    assert window_over(LocalDomain(50.0, 8.0, 10_000e3, 10_000e3), BENT, 2) == Window(0, 24, 0, 30)
    assert window_over(LocalDomain(50.0, 8.0, 10.0, 10.0), BENT, 0) == Window(11, 13, 14, 16)
    assert window_over(LocalDomain(-50.0, 8.0, 100e3, 100e3), BENT, 2) is None


def smooth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return 280 + 5 * np.sin(np.deg2rad(lon * 6)) * np.cos(np.deg2rad(lat * 5))


@pytest.mark.parametrize("grid", [GAUSSIAN, BENT], ids=lambda grid: grid.kind)
def test_values_are_those_of_the_field_at_the_cells(grid: ModelGrid) -> None:
    target = LocalDomain(*(np.mean(part) for part in reversed(grid.world())), 150e3, 120e3).grid(20e3)
    regridded = regrid_scene(scene_on(grid, smooth(*grid.world())), target, "bilinear", None)
    expected = smooth(*target.domain.to_world(*np.meshgrid(target.x, target.y)))
    np.testing.assert_allclose(regridded["field"], expected, atol=0.02)
    assert regridded["field"].attrs["grid_mapping"] == GRID_MAPPING
    assert "lon" not in regridded.coords
    assert "source_grid" not in regridded.attrs


def test_a_plane_keeps_its_values_and_has_no_projection() -> None:
    values = np.random.default_rng(1).normal(size=PLANE.shape)
    target = whole_domain(PLANE).grid(100.0)
    regridded = regrid_scene(scene_on(PLANE, values), target, "bilinear", None)
    np.testing.assert_array_equal(regridded["field"], values.astype(np.float32))
    assert GRID_MAPPING not in regridded.coords
    assert "grid_mapping" not in regridded["field"].attrs
    assert "standard_name" not in regridded["x"].attrs
    assert set(local_coordinates(target)) == {"x", "y"}
    upside_down = PlaneGrid(PLANE.x, PLANE.y[::-1])
    again = regrid_scene(scene_on(upside_down, values[::-1]), target, "nearest", None)
    np.testing.assert_array_equal(again["field"], regridded["field"])


@pytest.mark.parametrize("resolution", [37.0, 70.0, 100.0, 170.0, 250.0, 400.0, 1000.0])
@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_a_whole_plane_has_values_up_to_its_edge_at_any_resolution(resolution: float, method: str) -> None:
    target = whole_domain(PLANE).grid(resolution)
    regridded = regrid_scene(scene_on(PLANE, np.full(PLANE.shape, 7.0)), target, method, None)["field"]  # type: ignore[arg-type]
    # Cells may reach beyond the domain, where the sides are no multiples of the resolution.
    held = np.ix_(np.abs(target.y) + resolution / 2 <= 1500 + 1e-6, np.abs(target.x) + resolution / 2 <= 2000 + 1e-6)
    np.testing.assert_allclose(regridded.values[held], 7.0, rtol=1e-6)


def test_coarse_cells_are_means_of_the_pixels_under_them() -> None:
    values = np.random.default_rng(2).normal(size=PLANE.shape)
    target = PlaneDomain(0.0, 0.0, 4000.0, 3000.0).grid(500.0)
    assert points_per_cell_side(PLANE, target) == 5
    regridded = regrid_scene(scene_on(PLANE, values), target, "bilinear", None)["field"]
    means = values.reshape(6, 5, 8, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(regridded, means, atol=1e-5)


def test_a_small_model_in_a_large_domain_is_averaged_too() -> None:
    target = PlaneDomain(2000.0, 0.0, 200e3, 200e3).grid(500.0)
    assert points_per_cell_side(PLANE, target) == 5
    assert points_per_cell_side(PLANE, PlaneDomain(1e6, 0.0, 200e3, 200e3).grid(500.0)) == 1  # out of reach


def test_points_around_a_pole_are_limited() -> None:
    globe, _ = LatLonGrid(np.arange(0.0, 360.0, 0.25), np.arange(89.875, -90, -0.25)).opened_opposite(20.0)
    assert points_per_cell_side(globe, LocalDomain(90.0, 20.0, 2000e3, 2000e3).grid(28e3)) < 60
    assert points_per_cell_side(globe, LocalDomain(0.0, 20.0, 2000e3, 2000e3).grid(28e3)) in (1, 2)


def test_a_globe_has_no_seam() -> None:
    globe = LatLonGrid(np.arange(0.0, 360.0, 1.0), np.arange(-89.5, 90.0, 1.0))
    for longitude in (0.0, 180.0, -0.7):
        grid, columns = globe.opened_opposite(longitude)
        values = smooth(*globe.world())[:, columns]
        target = LocalDomain(10.0, longitude, 1500e3, 1500e3).grid(100e3)
        regridded = regrid_scene(scene_on(grid, values), target, "bilinear", None)["field"]
        expected = smooth(*target.domain.to_world(*np.meshgrid(target.x, target.y)))
        np.testing.assert_allclose(regridded, expected, atol=0.05)
