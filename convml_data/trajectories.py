"""Trajectories: points that move, such as ships, balloons or air masses, from a netCDF file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convml_data.errors import MetaError
from convml_data.geometry.local import LocalDomain
from convml_data.meta.values import duration
from convml_data.sources.base import Interval
from convml_data.store.netcdf import open_netcdf

#: How far from a point's time a tile is around it, unless meta.yaml or the file says so.
DEFAULT_MAX_DT = timedelta(minutes=30)

_REMEDY = "Write a netCDF file with the variables time, lat and lon along one dimension, or name another file"


@dataclass(frozen=True)
class Trajectories:
    """The points of one or several trajectories.

    Parameters
    ----------
    times
        Shape (points,), UTC, ``datetime64[us]``, in any order.
    lat, lon
        Shape (points,), degrees north and east.
    number
        Shape (points,): of the trajectory that a point is of, from 0.
    max_dt
        How far from a point's time a trajectory still is where the point is, None where the file does not say.
    """

    times: npt.NDArray[np.datetime64]
    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    number: npt.NDArray[np.intp]
    max_dt: timedelta | None = None

    @property
    def count(self) -> int:
        """How many trajectories there are."""
        return int(self.number.max()) + 1

    @property
    def span(self) -> Interval:
        """From the first time to the last."""
        first, last = (time.astype(datetime) for time in (self.times.min(), self.times.max()))
        return Interval(first, last)

    def domain(self, padding: float) -> LocalDomain:
        """The rectangle around the points' mean position that holds all of them.

        Parameters
        ----------
        padding
            Sides over twice the largest distance of a point from the centre in x and in y.
        """
        lon, lat = np.deg2rad(self.lon), np.deg2rad(self.lat)
        x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
        east, north, up = x.mean(), y.mean(), z.mean()
        centre = LocalDomain(
            float(np.rad2deg(np.arctan2(up, np.hypot(east, north)))), float(np.rad2deg(np.arctan2(north, east))), 1, 1
        )
        away_x, away_y = centre.from_lonlat(self.lon, self.lat)
        return centre.resized(*(float(2 * padding * np.abs(away).max()) for away in (away_x, away_y)))


def read_trajectories(path: Path) -> Trajectories:
    """The trajectories in a netCDF file.

    ``time`` has one dimension; ``lat`` and ``lon`` have it too and may have others, one of several
    trajectories for example. Several trajectories may also lie one after the other along it, if a variable with the
    attribute ``sample_dimension`` counts the points of each (CF's contiguous ragged array). Points without a position
    or time are passed over. The file's attribute ``max_dt``, an ISO 8601 duration, is optional.

    Raises
    ------
    MetaError
        The file is not there, is no such file, holds no point, or one that is nowhere on the earth, or its ``max_dt``
        is no duration.
    """
    where = f"{path} (trajectories.filepath)"
    try:
        with open_netcdf(path) as dataset:
            missing = [name for name in ("time", "lat", "lon") if name not in dataset.variables]
            if missing:
                found = ", ".join(map(str, dataset.variables))
                raise MetaError(f"the file has no {', '.join(missing)}, but {found}", where=where, remedy=_REMEDY)
            lat, lon, time = (dataset[name].load() for name in ("lat", "lon", "time"))
            max_dt = dataset.attrs.get("max_dt")
            counts = [it.values for it in dataset.variables.values() if it.attrs.get("sample_dimension") in time.dims]
    except (OSError, ValueError, RuntimeError) as error:
        raise MetaError(f"this cannot be read as netCDF ({error})", where=where, remedy=_REMEDY) from error
    if not np.issubdtype(time.dtype, np.datetime64):
        raise MetaError(
            f"time has no units such as `seconds since 2020-02-02` but values such as {time.values.ravel()[:1]}",
            where=where,
            remedy=_REMEDY,
        )
    if lat.dims != lon.dims or not set(time.dims) <= set(lat.dims):
        raise MetaError(
            f"time {time.dims}, lat {lat.dims} and lon {lon.dims} do not go together", where=where, remedy=_REMEDY
        )
    others = [dim for dim in lat.dims if dim not in time.dims]
    lat, lon = (values.transpose(*others, *time.dims) for values in (lat, lon))
    times = time.broadcast_like(lat).transpose(*lat.dims).values.ravel().astype("datetime64[us]")
    lats, lons = (np.asarray(values, np.float64).ravel() for values in (lat.values, lon.values))
    number = np.repeat(np.arange(lat.size // max(1, time.size)), time.size)
    if counts and not others:
        if counts[0].sum() != time.size:
            raise MetaError(
                f"the trajectories are to have {counts[0].sum()} points in all, and there are {time.size}",
                where=where,
                remedy="Mend the variable with the attribute sample_dimension",
            )
        number = np.repeat(np.arange(counts[0].size), counts[0])
    there = np.isfinite(lats) & np.isfinite(lons) & ~np.isnat(times)
    if not there.any():
        raise MetaError("the file holds no point with time, lat and lon", where=where, remedy=_REMEDY)
    for name, values, (low, high), way in (("lat", lats, (-90, 90), "north"), ("lon", lons, (-180, 360), "east")):
        wrong = values[there & ((values < low) | (values > high))]
        if wrong.size:
            raise MetaError(
                f"{name} has the value {wrong[0]:g}, which is not from {low} to {high}",
                where=where,
                remedy=f"Give degrees {way}, and NaN where there is no position",
            )
    try:
        valid_for = None if max_dt is None else duration(max_dt)
    except ValueError as error:
        raise MetaError(
            f"of its attribute max_dt, {error.args[0]}", where=where, remedy="Write one such as PT5M, or remove it"
        ) from error
    return Trajectories(times[there], lats[there], lons[there], _without_gaps(number[there]), valid_for)


def _without_gaps(number: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Numbers from 0, those without any point left out."""
    _, dense = np.unique(number, return_inverse=True)
    return np.asarray(dense, np.intp)
