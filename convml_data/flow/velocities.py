"""Velocities along trajectories, from positions and the times at which they were seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyproj

FloatArray = npt.NDArray[np.float64]


def neighbours(row_size: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For each point the one before and the one after it in its trajectory, itself where there is none.

    Parameters
    ----------
    row_size
        Shape (trajectories,): how many points each has, one trajectory after the other.
    """
    index = np.arange(row_size.sum())
    stop = np.cumsum(row_size)
    first, last = np.repeat(stop - row_size, row_size), np.repeat(stop - 1, row_size)
    return np.maximum(index - 1, first), np.minimum(index + 1, last)


def velocities_on_plane(
    row_size: npt.NDArray[np.integer], seconds: FloatArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Velocities along x and y in m/s, from the point before to the point after each; at ends from or to itself.

    Parameters
    ----------
    row_size
        As in :func:`neighbours`; two points or more in each.
    seconds, x, y
        Shape (points,): time in seconds since whenever, and position in metres.
    """
    before, after = neighbours(row_size)
    dt = seconds[after] - seconds[before]
    return (x[after] - x[before]) / dt, (y[after] - y[before]) / dt


def velocities_on_earth(
    row_size: npt.NDArray[np.integer], seconds: FloatArray, lon: FloatArray, lat: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Eastward and northward velocities in m/s, likewise: along the geodesic on the WGS84 ellipsoid.

    East and north are those halfway, so that a grid whose axes turn away from them makes no difference.

    Parameters
    ----------
    row_size, seconds
        As in :func:`velocities_on_plane`.
    lon, lat
        Shape (points,), degrees.
    """
    before, after = neighbours(row_size)
    azimuth, back_azimuth, distance = pyproj.Geod(ellps="WGS84").inv(lon[before], lat[before], lon[after], lat[after])
    speed = distance / (seconds[after] - seconds[before])
    departure, arrival = np.deg2rad(azimuth), np.deg2rad(np.asarray(back_azimuth) + 180)
    return (
        np.asarray(speed * (np.sin(departure) + np.sin(arrival)) / 2),
        np.asarray(speed * (np.cos(departure) + np.cos(arrival)) / 2),
    )
