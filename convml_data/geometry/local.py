"""Local domains and grids: Lambert azimuthal equal-area planes around a point of the earth.

A domain is an area, a grid is a domain with a spacing. Both are measured in metres on the plane
that touches the WGS84 ellipsoid at the domain's centre. Arrays on a local grid are (y, x), x
ascends to the east and y to the north.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LocalDomain:
    """A rectangle on the equal-area plane centred on it.

    Parameters
    ----------
    central_latitude, central_longitude
        Centre and origin of the projection, degrees north and east.
    l_zonal, l_meridional
        Lengths of the sides in x and y, metres.
    """

    central_latitude: float
    central_longitude: float
    l_zonal: float
    l_meridional: float

    @cached_property
    def crs(self) -> pyproj.CRS:
        """Lambert azimuthal equal-area on WGS84, origin at the centre, metres."""
        return pyproj.CRS.from_dict(
            {
                "proj": "laea",
                "lat_0": self.central_latitude,
                "lon_0": self.central_longitude,
                "x_0": 0,
                "y_0": 0,
                "ellps": "WGS84",
                "units": "m",
            }
        )

    def to_lonlat(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in degrees of points of the plane in metres."""
        lon, lat = pyproj.Proj(self.crs)(np.asarray(x, float), np.asarray(y, float), inverse=True)
        return np.asarray(lon), np.asarray(lat)

    def from_lonlat(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Position on the plane in metres of points given in degrees."""
        x, y = pyproj.Proj(self.crs)(np.asarray(lon, float), np.asarray(lat, float))
        return np.asarray(x), np.asarray(y)

    def expanded(self, by_zonal: float, by_meridional: float) -> LocalDomain:
        """The same centre, grown by metres on each of the west/east and south/north sides."""
        return LocalDomain(
            self.central_latitude,
            self.central_longitude,
            self.l_zonal + 2 * by_zonal,
            self.l_meridional + 2 * by_meridional,
        )

    def outline(self, points_per_side: int = 256) -> tuple[FloatArray, FloatArray]:
        """(x, y) in metres along the four edges, anticlockwise from the south-west corner.

        Edges that are straight here are curved on the earth and in a satellite image, so that
        corners alone do not bound the domain there.
        """
        along = np.linspace(-0.5, 0.5, points_per_side, endpoint=False)
        edge = np.full_like(along, 0.5)
        x = np.concatenate([along, edge, -along, -edge]) * self.l_zonal
        y = np.concatenate([-edge, along, edge, -along]) * self.l_meridional
        return x, y

    def lattice(self, points_per_side: int = 65) -> tuple[FloatArray, FloatArray]:
        """(x, y) in metres of regularly spaced points that cover the domain, edges included."""
        along = np.linspace(-0.5, 0.5, points_per_side)
        x, y = np.meshgrid(along * self.l_zonal, along * self.l_meridional)
        return x.ravel(), y.ravel()

    def grid(self, resolution: float) -> LocalGrid:
        """The grid of cells of ``resolution`` metres over this domain."""
        return LocalGrid(self, resolution)


@dataclass(frozen=True)
class LocalGrid:
    """Square cells over a local domain.

    There are as many cells as round off the domain's sides best, placed evenly around its centre;
    values belong to cell centres. Where the sides are no multiples of the resolution, cells reach
    beyond them or leave a strip, by less than half a cell.

    Parameters
    ----------
    domain
        The area.
    resolution
        Side of a cell, metres.
    """

    domain: LocalDomain
    resolution: float

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in cells."""
        return (
            max(1, round(self.domain.l_meridional / self.resolution)),
            max(1, round(self.domain.l_zonal / self.resolution)),
        )

    @property
    def x(self) -> FloatArray:
        """Cell centres from west to east in metres, shape (nx,)."""
        return self._centres(self.shape[1])

    @property
    def y(self) -> FloatArray:
        """Cell centres from south to north in metres, shape (ny,)."""
        return self._centres(self.shape[0])

    def _centres(self, count: int) -> FloatArray:
        return np.asarray(self.resolution * (np.arange(count) - (count - 1) / 2), np.float64)

    @property
    def crs(self) -> pyproj.CRS:
        """The domain's projection."""
        return self.domain.crs

    def lonlat(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude of the cell centres in degrees, each (ny, nx)."""
        return self.domain.to_lonlat(*np.meshgrid(self.x, self.y))

    def subcell_centres(self, factor: int) -> tuple[FloatArray, FloatArray]:
        """Centres of the ``factor`` x ``factor`` parts of each cell.

        Returns
        -------
        x, y
            Metres, shapes (nx * factor,) and (ny * factor,).
        """
        offsets = self.resolution * ((np.arange(factor) + 0.5) / factor - 0.5)
        return (self.x[:, np.newaxis] + offsets).ravel(), (self.y[:, np.newaxis] + offsets).ravel()

    def to_dict(self) -> dict[str, float]:
        """Everything that defines the grid, for keys and attributes."""
        return {
            "central_latitude": self.domain.central_latitude,
            "central_longitude": self.domain.central_longitude,
            "l_zonal": self.domain.l_zonal,
            "l_meridional": self.domain.l_meridional,
            "resolution": self.resolution,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LocalGrid:
        """The grid that :meth:`to_dict` described."""
        return cls(
            LocalDomain(
                float(values["central_latitude"]),
                float(values["central_longitude"]),
                float(values["l_zonal"]),
                float(values["l_meridional"]),
            ),
            float(values["resolution"]),
        )
