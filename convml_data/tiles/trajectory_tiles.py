"""Tiles that follow trajectories: in each scene one around where each trajectory is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from convml_data.geometry.local import LocalDomain
from convml_data.json_rows import reading, written
from convml_data.tiles.tile import Tile
from convml_data.trajectories import Trajectories

FORMAT_VERSION = 3


@dataclass(frozen=True)
class TrajectoryTile(Tile):
    """A tile around a point of a trajectory.

    Parameters
    ----------
    scene_id
        Where its data comes from.
    trajectory
        Number of the trajectory in its file, from 0; None where the file holds one.
    time
        Of the point, ISO 8601, UTC.
    offset_s
        The point's time minus the start of the scene, seconds.
    x_c, y_c, central_latitude, central_longitude, length, resolution
        As of every tile; the centre is the point.
    """

    scene_id: str
    trajectory: int | None
    time: str
    offset_s: float
    x_c: float
    y_c: float
    central_latitude: float
    central_longitude: float
    length: float
    resolution: float
    collection = ""

    @property
    def name(self) -> str:
        """The scene's ID, with the trajectory's number where there are several."""
        return self.scene_id if self.trajectory is None else f"{self.scene_id}__{self.trajectory:05d}"

    def facts(self) -> dict[str, Any]:
        """The point it is around."""
        number = {} if self.trajectory is None else {"trajectory": self.trajectory}
        return {**number, "trajectory_time": self.time, "trajectory_offset_s": self.offset_s}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return dict(vars(self))  # not `asdict`, which takes ten times as long to copy deeply


@dataclass(frozen=True)
class TrajectoryPlan:
    """All tiles that follow trajectories.

    Parameters
    ----------
    fingerprint
        Of what the plan follows from.
    tiles
        By scene and trajectory.
    without
        Scenes without a tile, each with the reason.
    trajectories_without
        Of each scene where some trajectories have a tile and others have none, the numbers of these by the reason.
    """

    fingerprint: str
    tiles: tuple[TrajectoryTile, ...]
    without: Mapping[str, str]
    trajectories_without: Mapping[str, Mapping[str, tuple[int, ...]]]

    def tiles_of(self, scene_id: str) -> tuple[TrajectoryTile, ...]:
        """The tiles of a scene."""
        return self._by_scene.get(scene_id, ())

    @property
    def scenes_seen(self) -> frozenset[str]:
        """All scenes that the plan was made of."""
        return frozenset(self._by_scene) | frozenset(self.without)

    @cached_property
    def _by_scene(self) -> dict[str, tuple[TrajectoryTile, ...]]:
        by_scene: defaultdict[str, list[TrajectoryTile]] = defaultdict(list)
        for tile in self.tiles:
            by_scene[tile.scene_id].append(tile)
        return {scene_id: tuple(tiles) for scene_id, tiles in by_scene.items()}

    def to_json(self) -> str:
        """The plan's written form, one tile a line."""
        head = {
            "fingerprint": self.fingerprint,
            "scenes_without": dict(self.without),
            "trajectories_without": {scene_id: dict(why) for scene_id, why in self.trajectories_without.items()},
        }
        return written(FORMAT_VERSION, head, "tiles", (tile.to_dict() for tile in self.tiles))

    @classmethod
    def from_json(cls, text: str, where: str) -> TrajectoryPlan:
        """The plan that :meth:`to_json` wrote; ``where`` names its file in errors.

        Raises
        ------
        StoreError
            The text is no such plan, or one of another format version.
        """
        remedy = "Delete it and run `convml-data tiles --tiles-kind trajectories` to make it anew"
        with reading(
            text, where, FORMAT_VERSION, has="this plan has", is_no="this is no plan of tiles", remedy=remedy
        ) as values:
            tiles = tuple(TrajectoryTile(**tile) for tile in values["tiles"])
            trajectories_without = {
                scene_id: {reason: tuple(numbers) for reason, numbers in why.items()}
                for scene_id, why in values["trajectories_without"].items()
            }
            return cls(values["fingerprint"], tiles, dict(values["scenes_without"]), trajectories_without)


def plan_trajectory_tiles(
    trajectories: Trajectories,
    scenes: Sequence[tuple[str, datetime]],
    *,
    domain: LocalDomain,
    tile_n: int,
    resolution: float,
    max_dt: timedelta,
    fingerprint: str,
) -> TrajectoryPlan:
    """In each scene a tile around the point of each trajectory that is nearest in time.

    Parameters
    ----------
    trajectories
        To follow.
    scenes
        ID and start of each scene, UTC.
    domain
        A point outside of it has no tile.
    tile_n
        Cells along a side of a tile.
    resolution
        Side of a cell, metres.
    max_dt
        A point further than this from the start of a scene has no tile in it.
    fingerprint
        To be kept with the plan.
    """
    order = np.argsort(trajectories.times, kind="stable")
    points_of = {number: order[trajectories.number[order] == number] for number in range(trajectories.count)}
    x, y = domain.from_lonlat(trajectories.lon, trajectories.lat)
    inside = (np.abs(x) <= domain.l_zonal / 2) & (np.abs(y) <= domain.l_meridional / 2)
    tiles: list[TrajectoryTile] = []
    without: dict[str, str] = {}
    trajectories_without: dict[str, dict[str, tuple[int, ...]]] = {}
    for scene_id, start in scenes:
        nearest = {number: _nearest(trajectories.times[points], start) for number, points in points_of.items()}
        found = {number: points_of[number][at] for number, at in nearest.items()}
        offsets = {number: _seconds(trajectories.times[point], start) for number, point in found.items()}
        near = {number: point for number, point in found.items() if abs(offsets[number]) <= max_dt.total_seconds()}
        if not near:
            closest = min(offsets.values(), key=abs)
            without[scene_id] = f"the nearest point of a trajectory is {closest:+.0f} s away, max_dt {max_dt}"
        elif not any(inside[point] for point in near.values()):
            without[scene_id] = "the trajectories are outside of the domain then"
        else:
            why: defaultdict[str, list[int]] = defaultdict(list)
            for number, offset in offsets.items():
                if number not in near:
                    why[f"its nearest point is {offset:+.0f} s away, max_dt {max_dt}"].append(number)
                elif not inside[near[number]]:
                    why["it is outside of the domain then"].append(number)
            if why:
                trajectories_without[scene_id] = {reason: tuple(numbers) for reason, numbers in why.items()}
        tiles += [
            TrajectoryTile(
                scene_id=scene_id,
                trajectory=number if trajectories.count > 1 else None,
                time=str(trajectories.times[point]),
                offset_s=offsets[number],
                x_c=float(x[point]),
                y_c=float(y[point]),
                central_latitude=float(trajectories.lat[point]),
                central_longitude=float(trajectories.lon[point]),
                length=tile_n * resolution,
                resolution=resolution,
            )
            for number, point in near.items()
            if inside[point]
        ]
    return TrajectoryPlan(fingerprint, tuple(tiles), without, trajectories_without)


def _nearest(times: np.ndarray[Any, np.dtype[np.datetime64]], start: datetime) -> int:
    """Position of the time nearest to a start among sorted ones, of two equally near that of the earlier."""
    moment = np.datetime64(start, "us")
    after = int(np.searchsorted(times, moment))
    around = range(max(0, after - 1), min(after + 1, len(times)))
    return min(around, key=lambda at: abs(times[at] - moment))


def _seconds(time: np.datetime64, start: datetime) -> float:
    return float((time - np.datetime64(start, "us")) / np.timedelta64(1, "s"))
