"""Trajectories as a netCDF dataset: one after the other, as the CF conventions have it (contiguous ragged array)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from convml_data.flow.joins import Moment
from convml_data.flow.tracking import End
from convml_data.flow.trajectories import Tracks
from convml_data.flow.velocities import velocities_on_earth, velocities_on_plane
from convml_data.geometry.local import LocalDomain, LocalGrid

_EPOCH = np.datetime64("1970-01-01", "us")
_TIME = {"units": "microseconds since 1970-01-01", "calendar": "standard"}
_DIFFERENCE = "from the point before to the point after, at the ends of a trajectory from or to its own point"


def to_dataset(tracks: Tracks, moments: Sequence[Moment], grid: LocalGrid, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Trajectories with positions in metres and degrees, and velocities.

    Parameters
    ----------
    tracks
        In pixels of the grid, row 0 in the south.
    moments
        Of the scenes that they are numbered by.
    grid
        The dataset's.
    attributes
        What the trajectories were made from.
    """
    start = np.array([moment.start for moment in moments], "datetime64[us]")
    microseconds = (start - _EPOCH).astype(np.int64)
    time = microseconds[tracks.scene]
    seconds = (time - microseconds[:1].sum()) / 1e6
    x = grid.x[0] + grid.resolution * tracks.column
    y = grid.y[0] + grid.resolution * tracks.row
    positions = {
        "x": ("obs", x, {"units": "m", "long_name": "zonal distance from the domain's centre"}),
        "y": ("obs", y, {"units": "m", "long_name": "meridional distance from the domain's centre"}),
    }
    if isinstance(grid.domain, LocalDomain):
        lon, lat = grid.domain.to_lonlat(x, y)
        positions |= {
            "lon": ("obs", lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}),
            "lat": ("obs", lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
        }
        u, v = velocities_on_earth(tracks.row_size, seconds, lon, lat)
        directions = ("eastward", "northward")
    else:
        u, v = velocities_on_plane(tracks.row_size, seconds, x, y)
        directions = ("along x", "along y")
    velocities = {
        name: ("obs", values, {"units": "m s-1", "long_name": f"{direction} velocity, {_DIFFERENCE}"})
        for name, values, direction in zip(("u", "v"), (u, v), directions, strict=True)
    }
    return xr.Dataset(
        {
            "row_size": (
                "trajectory",
                tracks.row_size,
                {"long_name": "points of each trajectory", "sample_dimension": "obs"},
            ),
            "end": (
                "trajectory",
                tracks.end,
                {
                    "long_name": "why each trajectory ends",
                    "flag_values": np.array(End, np.int8),
                    "flag_meanings": " ".join(end.name for end in End),
                },
            ),
            "scene": ("obs", tracks.scene, {"long_name": "number of each point's scene in scene_id, from 0"}),
            **velocities,
        },
        {
            "trajectory": (
                "trajectory",
                np.arange(len(tracks.row_size), dtype=np.int32),
                {"cf_role": "trajectory_id", "long_name": "number of the trajectory, from 0"},
            ),
            "time": ("obs", time, {"standard_name": "time", "long_name": "start of the scan", "axis": "T", **_TIME}),
            **positions,
            "scene_id": ("scenes", np.array([moment.scene_id for moment in moments], object)),
            "scene_time": ("scenes", microseconds, {"long_name": "start of the scan", **_TIME}),
        },
        {"Conventions": "CF-1.11", "featureType": "trajectory", **attributes},
    )
