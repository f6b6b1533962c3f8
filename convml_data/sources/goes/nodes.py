"""Every eighth pixel of a window, where angles are worked out: they vary so slowly that the rest is interpolated.

What does not change from scene to scene is worked out once for each window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pyorbital import astronomy
from pyorbital.orbital import get_observer_look

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.sources.goes.abi import SatellitePosition
from convml_data.sources.remembered import Remembered

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

#: Linear interpolation between nodes puts the cosine of the sun's zenith angle off by less than 1e-5 up to the given
#: zenith angle of the satellite. In windows that reach further to the limb every pixel is a node.
_STEP = 8
_UP_TO_SATELLITE_ZENITH = math.radians(70)

#: Directions are in a frame that turns with the earth, so that those to the satellite are the same at all times.
_ANY_TIME = datetime(2000, 1, 1, 12)


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of a window.

    Parameters
    ----------
    step
        Pixels from one to the next along rows and columns, beginning with the first pixel and as far as the last one
        or beyond.
    up
        Unit vectors away from the earth, shape (3, rows, columns): to where the equator meets the meridian of
        Greenwich, to where it meets that of 90 degrees east, and to the north pole. NaN beside the earth.
    """

    step: int
    up: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.up.shape[1], self.up.shape[2]

    def cosine_of_sun_zenith(self, time: datetime) -> Float32Array:
        """At a time in UTC."""
        x, y, z = sun_direction(time)
        return np.asarray(self.up[0] * x + self.up[1] * y + self.up[2] * z, np.float32)


@dataclass(frozen=True, eq=False)
class Look:
    """How a satellite is seen from nodes.

    Parameters
    ----------
    towards
        Unit vectors along the ground towards the satellite, shape (3, rows, columns).
    secant
        Of its zenith angle, shape (rows, columns).
    """

    towards: FloatArray
    secant: FloatArray


_NODES: Remembered[Nodes] = Remembered(8)
_LOOKS: Remembered[Look] = Remembered(8)


def nodes_of(grid: FixedGrid) -> Nodes:
    """The nodes of a window's pixels."""
    coarse = _nodes_grid(grid)
    if coarse is grid:
        return _nodes(grid, 1)  # as many as pixels, which would fill the memory
    return _NODES.get(grid, lambda: _nodes(coarse, _STEP))


def look_from(grid: FixedGrid, position: SatellitePosition) -> Look:
    """How a satellite is seen from the nodes of a window's pixels."""
    coarse = _nodes_grid(grid)
    if coarse is grid:
        return _look(grid, position)
    return _LOOKS.get((grid, position), lambda: _look(coarse, position))


def sun_direction(time: datetime) -> tuple[float, float, float]:
    """Unit vector to the sun in the frame of :class:`Nodes`, at a time in UTC."""
    right_ascension, declination = astronomy.sun_ra_dec(time)
    longitude = right_ascension - astronomy.gmst(time)
    return (
        math.cos(declination) * math.cos(longitude),
        math.cos(declination) * math.sin(longitude),
        math.sin(declination),
    )


def _nodes_grid(grid: FixedGrid) -> FixedGrid:
    rows, columns = (max(2, math.ceil((n - 1) / _STEP) + 1) for n in grid.shape)
    nodes = replace(grid, dx=grid.dx * _STEP, dy=grid.dy * _STEP, shape=(rows, columns))
    return nodes if _is_far_from_limb(nodes) else grid


def _is_far_from_limb(grid: FixedGrid) -> bool:
    # On a sphere, the sine of the satellite's zenith angle is that of the scan angle times the
    # distance of the satellite from the centre of the earth in earth radii.
    widest = math.hypot(np.abs(grid.x_rad).max(), np.abs(grid.y_rad).max())
    radii = 1 + grid.view.perspective_height / grid.view.semi_major_axis
    return radii * math.sin(widest) < math.sin(_UP_TO_SATELLITE_ZENITH)


def _nodes(grid: FixedGrid, step: int) -> Nodes:
    lon, lat = (np.radians(degrees) for degrees in grid.lonlat())
    return Nodes(step, np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]))


def _look(grid: FixedGrid, position: SatellitePosition) -> Look:
    lon, lat = grid.lonlat()
    azimuth, elevation = (
        np.radians(degrees)
        for degrees in get_observer_look(
            position.longitude, position.latitude, position.altitude / 1000, _ANY_TIME, lon, lat, 0
        )
    )
    lon, lat = np.radians(lon), np.radians(lat)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return Look(np.sin(azimuth) * east + np.cos(azimuth) * north, 1 / np.sin(elevation))
