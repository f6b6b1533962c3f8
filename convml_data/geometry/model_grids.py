"""Grids of models and gridded products: on a plane, along latitude and longitude, or bent over the earth.

Each takes *world coordinates* (u, v): metres to the east and north on the plane of a model that has
no place on the earth, degrees east and north otherwise. Pixels are areas around their centres: up
to the outer edge of the outermost pixels, half a step beyond their centres, a point has the position
of the outermost centre, so that a whole grid has values up to its edge.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from convml_data.geometry.quads import QuadSearch, unit_vectors
from convml_data.geometry.windows import Window

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: A coordinate for :class:`xarray.Dataset`: dimensions, values and attributes.
CoordinateVariable = tuple[tuple[str, ...], FloatArray, dict[str, str]]

#: By how many pixels a point may lie outside of the outer edge and still count as on it: coordinates
#: in single precision and rounded resolutions come with such errors.
EDGE_TOLERANCE = 1e-3

_LONGITUDE = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
_LATITUDE = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}


class ModelGrid(ABC):
    """Pixel centres given by arrays; two grids are equal where these are."""

    #: What ``to_dict`` calls this kind of grid.
    kind: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    @abstractmethod
    def world(self) -> tuple[FloatArray, FloatArray]:
        """World coordinates of the pixel centres, each (rows, columns)."""

    @abstractmethod
    def outer_edge(self) -> tuple[FloatArray, FloatArray]:
        """World coordinates of points along the outer edge of the outermost pixels."""

    @abstractmethod
    def pixel_of(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points, whole numbers at pixel centres, NaN beyond the outer edge."""

    @abstractmethod
    def cropped(self, window: Window) -> Self:
        """The grid of the pixels in ``window``, which has two or more along each side."""

    @abstractmethod
    def coordinates(self) -> Mapping[str, CoordinateVariable]:
        """CF coordinates of data with dims ``y`` and ``x`` on this grid."""

    @property
    @abstractmethod
    def _arrays(self) -> tuple[FloatArray, FloatArray]:
        """What defines the grid."""

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits that change with any pixel centre."""
        sha = hashlib.sha256()
        for array in self._arrays:
            sha.update(repr(array.shape).encode())
            sha.update(np.ascontiguousarray(array, "<f8").tobytes())
        return sha.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """What tells this grid from others, for keys and attributes; the arrays themselves are coordinates."""
        return {"kind": self.kind, "rows": self.shape[0], "columns": self.shape[1], "digest": self.digest}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.kind, self.digest))


@dataclass(frozen=True, eq=False)
class PlaneGrid(ModelGrid):
    """Rows and columns on a plane; cropping keeps the origin.

    Parameters
    ----------
    x, y
        Pixel centres in metres to the east and to the north of the centre of the model's domain,
        shapes (columns,) and (rows,), ascending or descending.
    """

    x: FloatArray
    y: FloatArray
    kind: ClassVar[str] = "plane"

    def __post_init__(self) -> None:
        _check_axis(self.x, "x")
        _check_axis(self.y, "y")

    @classmethod
    def centred(cls, x: FloatArray, y: FloatArray) -> PlaneGrid:
        """The grid of a whole domain, whose origin becomes the middle between its outer edges."""
        for axis, name in ((x, "x"), (y, "y")):
            _check_axis(axis, name)
        return cls(*(axis - sum(_outer_edges(axis)) / 2 for axis in (x, y)))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.y.size, self.x.size

    def world(self) -> tuple[FloatArray, FloatArray]:
        """(x, y) of the pixel centres in metres, each (rows, columns)."""
        x, y = np.meshgrid(self.x, self.y)
        return x, y

    def outer_edge(self) -> tuple[FloatArray, FloatArray]:
        """(x, y) of the corners in metres."""
        x, y = np.meshgrid(_outer_edges(self.x), _outer_edges(self.y))
        return x.ravel(), y.ravel()

    def pixel_of(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points in metres, NaN beyond the outer edge."""
        return _positions(self.y, self.x, v, u)

    def cropped(self, window: Window) -> PlaneGrid:
        """The grid of the pixels in ``window``, with the same origin."""
        rows, columns = window.slices
        return PlaneGrid(self.x[columns], self.y[rows])

    def coordinates(self) -> Mapping[str, CoordinateVariable]:
        """``x`` and ``y`` in metres."""
        return {
            name: (
                (name,),
                values,
                {"long_name": f"{way} distance from the centre of the model's domain", "units": "m", "axis": axis},
            )
            for name, values, way, axis in (("x", self.x, "zonal", "X"), ("y", self.y, "meridional", "Y"))
        }

    @property
    def _arrays(self) -> tuple[FloatArray, FloatArray]:
        return self.x, self.y


@dataclass(frozen=True, eq=False)
class LatLonGrid(ModelGrid):
    """Rows along parallels and columns along meridians, at any steps, such as Gaussian ones.

    Parameters
    ----------
    lon
        Of the columns, degrees east, shape (columns,), without jumps: 170, 180, 190, see :func:`continuous`.
    lat
        Of the rows, degrees north, shape (rows,), ascending or descending.
    """

    lon: FloatArray
    lat: FloatArray
    kind: ClassVar[str] = "latitude_longitude"

    def __post_init__(self) -> None:
        _check_axis(self.lon, "longitude")
        _check_axis(self.lat, "latitude")
        if np.abs(self.lat).max() > 90:
            raise ValueError(f"latitude reaches {self.lat[np.abs(self.lat).argmax()]:g}°, beyond the pole")
        if abs(self.lon[-1] - self.lon[0]) > 360 * (1 + 1e-6):
            raise ValueError(f"longitude runs from {self.lon[0]:g} to {self.lon[-1]:g}°, more than once around")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.lat.size, self.lon.size

    @property
    def joins(self) -> bool:
        """Whether the last column is the western or eastern neighbour of the first."""
        step = abs(self.lon[-1] - self.lon[0]) / (self.lon.size - 1)
        return bool(abs(step * self.lon.size - 360) < step / 100)

    def opened_opposite(self, longitude: float) -> tuple[LatLonGrid, IntArray]:
        """A grid that joins, opened where it is farthest from a longitude instead of where its file begins.

        Returns
        -------
        grid
            One column more, the first one again, so that there is no gap.
        columns
            For each column of it, the column of this grid.
        """
        away = np.abs((self.lon - longitude) % 360 - 180)
        columns = (int(away.argmin()) + np.arange(self.lon.size + 1)) % self.lon.size
        return LatLonGrid(continuous(self.lon[columns]), self.lat), columns

    def world(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude of the pixel centres in degrees, each (rows, columns)."""
        lon, lat = np.meshgrid(self.lon, self.lat)
        return lon, lat

    def outer_edge(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in degrees of points along the outer edge; it ends at the poles."""
        west, east = _outer_edges(self.lon)
        south, north = np.clip(_outer_edges(self.lat), -90, 90)
        lon = np.concatenate([[west], self.lon, [east]])
        lat = np.concatenate([[south], self.lat, [north]])
        return (
            np.concatenate([lon, lon, np.full_like(lat, west), np.full_like(lat, east)]),
            np.concatenate([np.full_like(lon, south), np.full_like(lon, north), lat, lat]),
        )

    def pixel_of(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points in degrees, NaN beyond the outer edge."""
        lon = np.asarray(u, float)
        middle = (self.lon[0] + self.lon[-1]) / 2
        with np.errstate(invalid="ignore"):  # points without a place are infinite
            return _positions(self.lat, self.lon, v, lon + 360 * np.rint((middle - lon) / 360))

    def cropped(self, window: Window) -> LatLonGrid:
        """The grid of the pixels in ``window``."""
        rows, columns = window.slices
        return LatLonGrid(self.lon[columns], self.lat[rows])

    def coordinates(self) -> Mapping[str, CoordinateVariable]:
        """Longitude as ``x`` and latitude as ``y``, in degrees."""
        return {"x": (("x",), self.lon, _LONGITUDE | {"axis": "X"}), "y": (("y",), self.lat, _LATITUDE | {"axis": "Y"})}

    @property
    def _arrays(self) -> tuple[FloatArray, FloatArray]:
        return self.lon, self.lat


@dataclass(frozen=True, eq=False)
class CurvilinearGrid(ModelGrid):
    """Rows and columns that run over the earth in any way.

    Parameters
    ----------
    lon, lat
        Of the pixel centres, degrees east and north, shape (rows, columns). Pixels where either is
        NaN have no place; nothing is interpolated to or over them.
    """

    lon: FloatArray
    lat: FloatArray
    kind: ClassVar[str] = "curvilinear"

    def __post_init__(self) -> None:
        if self.lon.ndim != 2 or self.lon.shape != self.lat.shape or min(self.lon.shape) < 2:
            raise ValueError(
                f"longitude and latitude have shapes {self.lon.shape} and {self.lat.shape}, not the same two numbers, "
                "each of two pixels or more"
            )
        if np.isinf(self.lon).any():
            raise ValueError("longitude is infinite somewhere")
        beyond = np.abs(self.lat) > 90
        if beyond.any():
            raise ValueError(f"latitude reaches {self.lat[beyond][0]:g}°, beyond the pole")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.lon.shape
        return rows, columns

    def world(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude of the pixel centres in degrees, each (rows, columns)."""
        return self.lon, self.lat

    def outer_edge(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in degrees of the pixel centres, and of points along the outer edge."""
        vectors = unit_vectors(self.lon, self.lat)
        for axis in (0, 1):
            first, second, before_last, last = (np.take(vectors, [at], axis) for at in (0, 1, -2, -1))
            vectors = np.concatenate([1.5 * first - 0.5 * second, vectors, 1.5 * last - 0.5 * before_last], axis)
        x, y, z = vectors[np.isfinite(vectors).all(axis=-1)].T
        return np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    @cached_property
    def _search(self) -> QuadSearch:
        return QuadSearch(unit_vectors(self.lon, self.lat))

    def pixel_of(self, u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points in degrees, NaN beyond the outer edge and where pixels have no place."""
        return self._search.find(u, v)

    def cropped(self, window: Window) -> CurvilinearGrid:
        """The grid of the pixels in ``window``."""
        return CurvilinearGrid(self.lon[window.slices], self.lat[window.slices])

    def coordinates(self) -> Mapping[str, CoordinateVariable]:
        """``lon`` and ``lat`` in degrees; ``x`` and ``y`` count pixels from this grid's first."""
        rows, columns = self.shape
        return {
            "x": (("x",), np.arange(columns, dtype=float), {"long_name": "number of the column", "units": "1"}),
            "y": (("y",), np.arange(rows, dtype=float), {"long_name": "number of the row", "units": "1"}),
            "lon": (("y", "x"), self.lon, dict(_LONGITUDE)),
            "lat": (("y", "x"), self.lat, dict(_LATITUDE)),
        }

    @property
    def _arrays(self) -> tuple[FloatArray, FloatArray]:
        return self.lon, self.lat


def continuous(lon: FloatArray) -> FloatArray:
    """Longitudes of neighbouring columns without jumps of 360°: 170, 180, -170 become 170, 180, 190."""
    return np.asarray(np.unwrap(lon, period=360.0), np.float64)


def _check_axis(axis: FloatArray, name: str) -> None:
    if axis.ndim != 1 or axis.size < 2:
        raise ValueError(f"{name} has shape {axis.shape}, and the size of pixels takes two or more along it")
    steps = np.diff(axis)
    if not (np.isfinite(axis).all() and ((steps > 0).all() or (steps < 0).all())):
        raise ValueError(f"{name} is missing, repeated or turns back somewhere between {axis[0]:g} and {axis[-1]:g}")


def _outer_edges(axis: FloatArray) -> tuple[float, float]:
    """Edges of the first and the last pixel, half a step beyond their centres."""
    return float(1.5 * axis[0] - 0.5 * axis[1]), float(1.5 * axis[-1] - 0.5 * axis[-2])


def _positions(
    rows: FloatArray, columns: FloatArray, v: npt.ArrayLike, u: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Fractional (row, column), both NaN where a point lies beyond the outer edge in either."""
    row, column = _position(rows, v), _position(columns, u)
    outside = np.isnan(row + column)
    return np.where(outside, np.nan, row), np.where(outside, np.nan, column)


def _position(axis: FloatArray, values: npt.ArrayLike) -> FloatArray:
    """Fractional numbers of points along an axis of pixel centres, NaN beyond its outer edges."""
    sign = np.sign(axis[1] - axis[0])
    centres, points = sign * axis, sign * np.asarray(values, float)
    first, last = sorted(_outer_edges(centres))
    low = first - EDGE_TOLERANCE * (centres[1] - centres[0])
    high = last + EDGE_TOLERANCE * (centres[-1] - centres[-2])
    # Between the outermost centres and the edge, `interp` gives the number of the outermost.
    inside = (points >= low) & (points <= high)
    return np.where(inside, np.interp(points, centres, np.arange(centres.size)), np.nan)
