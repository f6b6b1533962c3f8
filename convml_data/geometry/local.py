"""Local domains and grids: rectangles on a plane, measured in metres from their centre.

A domain is an area, a grid is a domain with a spacing. Arrays on a local grid are (y, x), x ascends
to the east and y to the north. The plane of a :class:`LocalDomain` touches the WGS84 ellipsoid at
the domain's centre; a :class:`PlaneDomain` is part of the plane of a model that has no place on the
earth. Sources are asked for points in *world coordinates*: degrees east and north for the first,
metres on the model's plane for the second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyproj

FloatArray = npt.NDArray[np.float64]


class Domain(ABC):
    """A rectangle on a plane; (x, y) are metres to the east and to the north of its centre.

    Its sides are ``l_zonal`` in x and ``l_meridional`` in y, metres.
    """

    l_zonal: float
    l_meridional: float

    @property
    @abstractmethod
    def crs(self) -> pyproj.CRS | None:
        """The plane's projection, None where it has no place on the earth."""

    @abstractmethod
    def to_world(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """World coordinates of points of the plane in metres."""

    @abstractmethod
    def from_world(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """(x, y) in metres of points given in world coordinates."""

    @abstractmethod
    def resized(self, l_zonal: float, l_meridional: float) -> Self:
        """The rectangle with these sides around the same centre."""

    @abstractmethod
    def around(self, x: float, y: float, length: float) -> Self:
        """The square with sides of ``length`` metres around a point of this plane."""

    @abstractmethod
    def to_dict(self) -> dict[str, float]:
        """Everything that defines the domain, for keys and attributes."""

    def expanded(self, by_zonal: float, by_meridional: float) -> Self:
        """The same centre, grown by metres on each of the west/east and south/north sides."""
        return self.resized(self.l_zonal + 2 * by_zonal, self.l_meridional + 2 * by_meridional)

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
class LocalDomain(Domain):
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

    def to_world(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude, see :meth:`to_lonlat`."""
        return self.to_lonlat(x, y)

    def from_world(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """From longitude and latitude, see :meth:`from_lonlat`."""
        return self.from_lonlat(u, v)

    def resized(self, l_zonal: float, l_meridional: float) -> LocalDomain:
        """The rectangle with these sides around the same centre."""
        return LocalDomain(self.central_latitude, self.central_longitude, l_zonal, l_meridional)

    def around(self, x: float, y: float, length: float) -> LocalDomain:
        """The square around a point of this plane, on the plane that touches the earth there."""
        lon, lat = self.to_lonlat(x, y)
        return LocalDomain(float(lat), float(lon), length, length)

    def to_dict(self) -> dict[str, float]:
        """Everything that defines the domain, for keys and attributes."""
        return asdict(self)


@dataclass(frozen=True)
class PlaneDomain(Domain):
    """A rectangle on the plane of a model that has no place on the earth.

    Parameters
    ----------
    x_c, y_c
        Centre, metres to the east and to the north of the centre of the model's own domain.
    l_zonal, l_meridional
        Lengths of the sides in x and y, metres.
    """

    x_c: float
    y_c: float
    l_zonal: float
    l_meridional: float

    @property
    def crs(self) -> None:
        """None: no projection leads from here to the earth."""
        return None

    def to_world(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Metres from the centre of the model's own domain."""
        return np.asarray(x, float) + self.x_c, np.asarray(y, float) + self.y_c

    def from_world(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Metres from this rectangle's centre."""
        return np.asarray(u, float) - self.x_c, np.asarray(v, float) - self.y_c

    def resized(self, l_zonal: float, l_meridional: float) -> PlaneDomain:
        """The rectangle with these sides around the same centre."""
        return PlaneDomain(self.x_c, self.y_c, l_zonal, l_meridional)

    def around(self, x: float, y: float, length: float) -> PlaneDomain:
        """The square around a point of this plane."""
        return PlaneDomain(self.x_c + x, self.y_c + y, length, length)

    def to_dict(self) -> dict[str, float]:
        """Everything that defines the domain, for keys and attributes."""
        return asdict(self)


def domain_from_dict(values: Mapping[str, Any]) -> Domain:
    """The domain whose ``to_dict`` gave these values, others aside."""
    kind = LocalDomain if "central_latitude" in values else PlaneDomain
    return kind(**{field.name: float(values[field.name]) for field in fields(kind)})


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

    domain: Domain
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
    def crs(self) -> pyproj.CRS | None:
        """The domain's projection, None where it has no place on the earth."""
        return self.domain.crs

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
        return {**self.domain.to_dict(), "resolution": self.resolution}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LocalGrid:
        """The grid that :meth:`to_dict` described."""
        return cls(domain_from_dict(values), float(values["resolution"]))
