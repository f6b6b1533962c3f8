"""Grids that sources give their scenes on, whatever their kind."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain, LocalDomain, PlaneDomain
from convml_data.geometry.model_grids import CurvilinearGrid, LatLonGrid, ModelGrid, PlaneGrid
from convml_data.geometry.quads import unit_vectors
from convml_data.geometry.windows import Window
from convml_data.meta.fields import LONGEST_SIDE

if TYPE_CHECKING:
    import xarray as xr

FloatArray = npt.NDArray[np.float64]

#: The outline of what a satellite sees is taken from this many points along each side of the image,
#: and in as many directions to the earth's limb.
OUTLINE_POINTS = 1024

#: No satellite that a source knows sees the earth under a larger angle from its nadir, radians.
_WIDEST_SCAN_ANGLE = 0.3


class SourceGrid(Protocol):
    """Where the pixels of a scene lie, in world coordinates (u, v).

    These are degrees east and north, or metres to the east and north of the centre of a model's
    domain that has no place on the earth.
    """

    def __hash__(self) -> int:
        """Of all that defines the grid, so that what follows from it can be remembered."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    def pixel_of(self, u: npt.ArrayLike, v: npt.ArrayLike, /) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column), whole numbers at pixel centres, NaN where the grid cannot say."""

    def cropped(self, window: Window) -> Self:
        """The grid of the pixels in ``window``."""

    def to_dict(self) -> dict[str, Any]:
        """What tells this grid from others, JSON-ready, with its ``kind``."""


def grid_of(scene: xr.Dataset) -> FixedGrid | ModelGrid:
    """The grid of a scene as a source's ``read`` returns it.

    It is described by the attribute ``source_grid`` and, but for satellites, by the coordinates ``x`` and
    ``y``, or ``lon`` and ``lat``.

    Raises
    ------
    SceneError
        The scene has no such attribute, or one of an unknown kind.
    """

    def coordinate(name: str) -> FloatArray:
        return np.asarray(scene[name].values, np.float64)

    try:
        values = json.loads(scene.attrs["source_grid"])
        match values["kind"]:
            case FixedGrid.kind:
                return FixedGrid.from_dict(values)
            case PlaneGrid.kind:
                return PlaneGrid(coordinate("x"), coordinate("y"))
            case LatLonGrid.kind:
                return LatLonGrid(coordinate("x"), coordinate("y"))
            case CurvilinearGrid.kind:
                return CurvilinearGrid(coordinate("lon"), coordinate("lat"))
    except (KeyError, TypeError, ValueError) as error:
        raise SceneError(f"the scene does not say on which grid it lies ({error})", remedy="Crop it again") from error
    raise SceneError(f"the scene lies on a grid of unknown kind {values['kind']!r}", remedy="Crop it again")


def whole_domain(grid: FixedGrid | ModelGrid) -> Domain:
    """The domain of all of a grid: around its middle, with sides that hold its pixels up to their outer edges.

    Of a satellite's image it holds the part that is on the earth.

    Raises
    ------
    SceneError
        A side would be longer than a domain's may be, or nothing of the grid is on the earth.
    """
    if isinstance(grid, PlaneGrid):
        x, y = grid.outer_edge()
        return PlaneDomain(
            float(x.max() + x.min()) / 2, float(y.max() + y.min()) / 2, float(np.ptp(x)), float(np.ptp(y))
        )

    lon, lat = _visible_outline(grid) if isinstance(grid, FixedGrid) else grid.outer_edge()
    if not lon.size:
        raise SceneError("nothing of the source's grid is on the earth", remedy="Give `domain` in meta.yaml")
    centre = _middle(grid)
    if not np.isfinite(centre).all():
        x, y, z = unit_vectors(lon, lat).mean(axis=0)
        centre = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    domain = LocalDomain(round(centre[1], 6), round((centre[0] + 180) % 360 - 180, 6), 1.0, 1.0)
    x, y = domain.from_lonlat(lon, lat)
    sides = [2 * float(np.abs(along).max()) for along in (x, y)]
    if not max(sides) <= LONGEST_SIDE:
        raise SceneError(
            "the source reaches too far around the earth for one domain: to hold all of it, the domain would need "
            f"sides longer than {LONGEST_SIDE / 1e3:g} km",
            remedy="Give `domain` with the part that you want in meta.yaml",
        )
    return domain.resized(*(float(math.ceil(side)) for side in sides))


def _middle(grid: FixedGrid | ModelGrid) -> tuple[float, float]:
    """Longitude and latitude of the middle of a grid, NaN where that is not on the earth."""
    if isinstance(grid, FixedGrid):
        lon, lat = grid.view.lonlat(grid.x_rad.mean(), grid.y_rad.mean())
        return float(lon), float(lat)
    if isinstance(grid, LatLonGrid):
        lon, lat = grid.outer_edge()
        return float(lon.max() + lon.min()) / 2, float(lat.max() + lat.min()) / 2
    # The pixel in the middle, or the mean of the two or four around it.
    middle = tuple(slice((n - 1) // 2, n // 2 + 1) for n in grid.shape)
    x, y, z = unit_vectors(*(values[middle] for values in grid.world())).mean(axis=(0, 1))
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _visible_outline(grid: FixedGrid) -> tuple[FloatArray, FloatArray]:
    """Longitude and latitude of points along the edge of what an image shows of the earth."""
    rows, columns = grid.shape
    along = np.linspace(0, 1, OUTLINE_POINTS)
    x = grid.x0 + grid.dx * (columns * along - 0.5)
    y = grid.y0 + grid.dy * (rows * along - 0.5)
    limb_x, limb_y = _limb(grid)
    in_image = (limb_x >= x.min()) & (limb_x <= x.max()) & (limb_y >= y.min()) & (limb_y <= y.max())
    lon, lat = grid.view.lonlat(
        np.concatenate([x, x, np.full_like(y, x[0]), np.full_like(y, x[-1]), limb_x[in_image]]),
        np.concatenate([np.full_like(x, y[0]), np.full_like(x, y[-1]), y, y, limb_y[in_image]]),
    )
    seen = np.isfinite(lon) & np.isfinite(lat)
    return lon[seen], lat[seen]


def _limb(grid: FixedGrid) -> tuple[FloatArray, FloatArray]:
    """Scan angles in radians of the last points of the earth in all directions, found by bisection."""
    direction = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    inner, outer = np.zeros_like(direction), np.full_like(direction, _WIDEST_SCAN_ANGLE)
    for _ in range(40):
        middle = (inner + outer) / 2
        seen = np.isfinite(grid.view.lonlat(middle * np.cos(direction), middle * np.sin(direction))[0])
        inner, outer = np.where(seen, middle, inner), np.where(seen, outer, middle)
    return inner * np.cos(direction), inner * np.sin(direction)
