"""The ABI fixed grid: what a geostationary imager sees, in scan angles.

Rows run from north to south and columns from west to east. Scan angles follow the GOES-R Product
Definition and Users' Guide (PUG), volume 3, section 5.1.2: the sweep axis is x, and projected
coordinates in metres are scan angles times the perspective height, which is what PROJ's `geos`
and the CF grid mapping `geostationary` use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyproj

from convml_data.geometry.windows import Window

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GeostationaryView:
    """Where the satellite stands and the ellipsoid it looks at.

    Parameters
    ----------
    sub_longitude
        Longitude of the projection's origin, degrees east.
    perspective_height
        Height of the satellite above the ellipsoid, metres.
    semi_major_axis, semi_minor_axis
        Of the ellipsoid, metres.
    sweep_angle_axis
        ``x`` for GOES-R, ``y`` for Meteosat and Himawari.
    """

    sub_longitude: float
    perspective_height: float
    semi_major_axis: float
    semi_minor_axis: float
    sweep_angle_axis: str = "x"

    @cached_property
    def crs(self) -> pyproj.CRS:
        """PROJ `geos`, metres."""
        return pyproj.CRS.from_dict(
            {
                "proj": "geos",
                "lon_0": self.sub_longitude,
                "h": self.perspective_height,
                "a": self.semi_major_axis,
                "b": self.semi_minor_axis,
                "sweep": self.sweep_angle_axis,
                "units": "m",
            }
        )

    def scan_angles(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Scan angles (x, y) in radians of points in degrees, NaN for points out of sight."""
        x, y = pyproj.Proj(self.crs)(np.asarray(lon, float), np.asarray(lat, float))
        return _finite(x) / self.perspective_height, _finite(y) / self.perspective_height

    def lonlat(self, x_rad: npt.ArrayLike, y_rad: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in degrees seen at scan angles in radians, NaN beside the earth."""
        height = self.perspective_height
        lon, lat = pyproj.Proj(self.crs)(np.asarray(x_rad) * height, np.asarray(y_rad) * height, inverse=True)
        return _finite(lon), _finite(lat)


@dataclass(frozen=True)
class FixedGrid:
    """Pixel centres at equal steps of the scan angle.

    Parameters
    ----------
    view
        Satellite and ellipsoid.
    x0, y0
        Scan angles of the first column and the first row, radians.
    dx, dy
        Steps from column to column and from row to row, radians; ``dy`` is negative, since rows
        run to the south.
    shape
        (rows, columns).
    """

    view: GeostationaryView
    x0: float
    y0: float
    dx: float
    dy: float
    shape: tuple[int, int]

    #: What ``to_dict`` calls this kind of grid.
    kind: ClassVar[str] = "geostationary"

    @property
    def x_rad(self) -> FloatArray:
        """Scan angles of the columns, radians, shape (columns,)."""
        return np.asarray(self.x0 + self.dx * np.arange(self.shape[1]), np.float64)

    @property
    def y_rad(self) -> FloatArray:
        """Scan angles of the rows, radians, shape (rows,)."""
        return np.asarray(self.y0 + self.dy * np.arange(self.shape[0]), np.float64)

    @property
    def x(self) -> FloatArray:
        """Projected coordinates of the columns, metres, shape (columns,)."""
        return np.asarray(self.x_rad * self.view.perspective_height, np.float64)

    @property
    def y(self) -> FloatArray:
        """Projected coordinates of the rows, metres, shape (rows,)."""
        return np.asarray(self.y_rad * self.view.perspective_height, np.float64)

    @property
    def crs(self) -> pyproj.CRS:
        """The view's projection."""
        return self.view.crs

    def lonlat(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude of the pixel centres in degrees, each (rows, columns), NaN in space."""
        return self.view.lonlat(*np.meshgrid(self.x_rad, self.y_rad))

    def pixel_of(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points in degrees, whole numbers at pixel centres.

        NaN for points out of sight; points beside the image get numbers outside of its shape.
        """
        x, y = self.view.scan_angles(lon, lat)
        return (y - self.y0) / self.dy, (x - self.x0) / self.dx

    def cropped(self, window: Window) -> FixedGrid:
        """The grid of the pixels in ``window``."""
        return replace(
            self,
            x0=self.x0 + self.dx * window.col0,
            y0=self.y0 + self.dy * window.row0,
            shape=window.shape,
        )

    def coarsening_to(self, coarser: FixedGrid) -> int | None:
        """How many of these pixels fit along a side of a pixel of ``coarser``.

        None unless both grids start at the same outer edge, cover the same area and the pixels
        nest, as the 0.5, 1 and 2 km grids of one ABI sector do.
        """
        factor = round(coarser.dx / self.dx)
        tolerance = 0.01 * self.dx
        nested = (
            factor >= 1
            and self.view == coarser.view
            and math.isclose(coarser.dx, factor * self.dx, rel_tol=1e-6)
            and math.isclose(coarser.dy, factor * self.dy, rel_tol=1e-6)
            and abs((coarser.x0 - coarser.dx / 2) - (self.x0 - self.dx / 2)) < tolerance
            and abs((coarser.y0 - coarser.dy / 2) - (self.y0 - self.dy / 2)) < tolerance
            and self.shape == (coarser.shape[0] * factor, coarser.shape[1] * factor)
        )
        return factor if nested else None

    def to_dict(self) -> dict[str, Any]:
        """Everything that defines the grid, for keys and attributes."""
        return {
            "kind": self.kind,
            "sub_longitude": self.view.sub_longitude,
            "perspective_height": self.view.perspective_height,
            "semi_major_axis": self.view.semi_major_axis,
            "semi_minor_axis": self.view.semi_minor_axis,
            "sweep_angle_axis": self.view.sweep_angle_axis,
            "x0": self.x0,
            "y0": self.y0,
            "dx": self.dx,
            "dy": self.dy,
            "rows": self.shape[0],
            "columns": self.shape[1],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FixedGrid:
        """The grid that :meth:`to_dict` described."""
        return cls(
            GeostationaryView(
                float(values["sub_longitude"]),
                float(values["perspective_height"]),
                float(values["semi_major_axis"]),
                float(values["semi_minor_axis"]),
                str(values["sweep_angle_axis"]),
            ),
            float(values["x0"]),
            float(values["y0"]),
            float(values["dx"]),
            float(values["dy"]),
            (int(values["rows"]), int(values["columns"])),
        )


def _finite(values: npt.ArrayLike) -> FloatArray:
    """PROJ marks points out of its domain by infinity; here they are NaN."""
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(array), array, np.nan)
