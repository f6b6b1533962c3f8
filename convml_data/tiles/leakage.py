"""How near the scenes and tiles of different collections are to each other.

A network that is tested on a scene minutes away from one that it learnt from is tested on its
memory. The report says how far off that is, for every pair of collections and in both directions:
for each scene the nearest in time of the other collection, for each tile the nearest in space of
those seen at nearly the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, permutations
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from convml_data.markdown import markdown_table
from convml_data.scenes.ids import parse_scene_id
from convml_data.tiles.plan import TileSpec
from convml_data.tiles.splits import EPOCH, TOO_NEAR, in_words

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.int64]

#: Shares of the distances that lie at or below each of the quantiles.
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}

#: Tiles of scenes that start at most this far apart count as seen at the same time.
SAME_TIME = timedelta(minutes=10)

#: Mean radius of the earth, metres (IUGG 1980, R1).
EARTH_RADIUS = 6_371_008.8


@dataclass(frozen=True)
class TimeDistances:
    """From each scene of a collection to the nearest in time of another collection.

    Parameters
    ----------
    of, to
        The two collections.
    count
        Scenes of ``of``.
    seconds
        By the names in :data:`QUANTILES`, between the minutes in which scenes start.
    share_within_10_min, share_within_1_h
        Of those scenes, with a scene of ``to`` at most that far away.
    """

    of: str
    to: str
    count: int
    seconds: Mapping[str, float]
    share_within_10_min: float
    share_within_1_h: float


@dataclass(frozen=True)
class SpaceDistances:
    """From each tile of a collection to the nearest of another collection seen at the same time.

    Parameters
    ----------
    of, to
        The two collections.
    count
        Tiles of ``of`` for which there are tiles of ``to`` from scenes at most :data:`SAME_TIME` away.
    of_tiles
        All tiles of ``of``.
    metres
        By the names in :data:`QUANTILES`, between the centres of tiles, along the great circle where
        they have a place on the earth; None where ``count`` is 0.
    """

    of: str
    to: str
    count: int
    of_tiles: int
    metres: Mapping[str, float] | None


@dataclass(frozen=True)
class LeakageReport:
    """Distances between all pairs of collections, in both directions.

    Parameters
    ----------
    time
        Of the scenes; collections without scenes have none.
    space
        Of the tiles; None where no tiles were given.
    warnings
        What a user should know, a sentence each.
    """

    time: tuple[TimeDistances, ...]
    space: tuple[SpaceDistances, ...] | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "time": [{**vars(row), "seconds": dict(row.seconds)} for row in self.time],
            "space": None
            if self.space is None
            else [{**vars(row), "metres": row.metres and dict(row.metres)} for row in self.space],
            "warnings": list(self.warnings),
        }

    def to_markdown(self) -> str:
        """The warnings and a table for time and for space."""
        parts = ["\n".join(f"- **Warning**: {warning}" for warning in self.warnings)] if self.warnings else []
        if self.time:
            parts += ["Time from each scene to the nearest of the other collection:", _time_table(self.time)]
        else:
            parts.append("Fewer than two collections have scenes: there is nothing to leak.")
        if self.space:
            parts += [
                f"Distance in km from the centre of each tile to the nearest of the other collection, of those from "
                f"scenes at most {in_words(SAME_TIME)} away:",
                _space_table(self.space),
            ]
        return "\n\n".join(parts) + "\n"


def leakage(scenes: Mapping[str, Sequence[str]], tiles: Sequence[TileSpec] | None) -> LeakageReport:
    """Measure how near the collections are to each other.

    Parameters
    ----------
    scenes
        IDs of the scenes of each collection.
    tiles
        Of all collections, None to look at time only.
    """
    minutes = {name: np.sort(_minutes(of_name)) for name, of_name in sorted(scenes.items()) if of_name}
    time = tuple(_time_distances(of, to, minutes[of], minutes[to]) for of, to in permutations(minutes, 2))
    space = None
    if tiles is not None:
        on_earth = all(tile.central_latitude is not None for tile in tiles)
        names = sorted({tile.collection for tile in tiles})
        placed = {name: _PlacedTiles.of([t for t in tiles if t.collection == name], on_earth) for name in names}
        space = tuple(_space_distances(of, to, placed[of], placed[to]) for of, to in permutations(names, 2))
    by_pair = {(row.of, row.to): row for row in time}
    warnings = [_warning(by_pair[pair], by_pair[pair[::-1]]) for pair in combinations(minutes, 2)]
    return LeakageReport(time, space, tuple(warning for warning in warnings if warning))


@dataclass(frozen=True)
class _PlacedTiles:
    """Tiles of a collection in the order of their times.

    Parameters
    ----------
    minutes
        In which their scenes start, shape (tiles,).
    points
        Their centres, metres, shape (tiles, 3) from the middle of the earth or (tiles, 2) on a plane.
    """

    minutes: TimeArray
    points: FloatArray

    @classmethod
    def of(cls, tiles: Sequence[TileSpec], on_earth: bool) -> Self:
        minutes = _minutes([tile.scene_id for tile in tiles])
        points = np.array([(tile.x_c, tile.y_c) for tile in tiles])
        if on_earth:
            degrees = np.array([(tile.central_longitude, tile.central_latitude) for tile in tiles], np.float64)
            lon, lat = np.radians(degrees).T
            points = EARTH_RADIUS * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        order = np.argsort(minutes, kind="stable")
        return cls(minutes[order], points[order])


def _minutes(scene_ids: Sequence[str]) -> TimeArray:
    """Minutes from the epoch to the start of each scene."""
    starts: dict[str, datetime] = {scene_id: parse_scene_id(scene_id)[1] for scene_id in set(scene_ids)}
    return np.array([(starts[scene_id] - EPOCH) // timedelta(minutes=1) for scene_id in scene_ids], np.int64)


def _time_distances(of: str, to: str, of_minutes: TimeArray, to_minutes: TimeArray) -> TimeDistances:
    after = np.searchsorted(to_minutes, of_minutes)
    to_next = np.abs(to_minutes[np.minimum(after, to_minutes.size - 1)] - of_minutes)
    to_previous = np.abs(of_minutes - to_minutes[np.maximum(after - 1, 0)])
    seconds = 60.0 * np.minimum(to_next, to_previous)
    return TimeDistances(
        of,
        to,
        count=seconds.size,
        seconds=_quantiles(seconds),
        share_within_10_min=float(np.mean(seconds <= 600)),
        share_within_1_h=float(np.mean(seconds <= 3600)),
    )


def _space_distances(of: str, to: str, of_tiles: _PlacedTiles, to_tiles: _PlacedTiles) -> SpaceDistances:
    window = SAME_TIME // timedelta(minutes=1)
    times, firsts = np.unique(of_tiles.minutes, return_index=True)
    lows = np.searchsorted(to_tiles.minutes, times - window, side="left")
    highs = np.searchsorted(to_tiles.minutes, times + window, side="right")
    nearest = [
        cKDTree(to_tiles.points[low:high]).query(at_one_time)[0]
        for at_one_time, low, high in zip(np.split(of_tiles.points, firsts[1:]), lows, highs, strict=True)
        if low < high
    ]
    metres = np.concatenate(nearest) if nearest else np.empty(0)
    if of_tiles.points.shape[1] == 3:
        # A tree measures chords through the earth, the shortest of which is that of the shortest arc.
        metres = 2 * EARTH_RADIUS * np.arcsin(np.minimum(metres / (2 * EARTH_RADIUS), 1))
    return SpaceDistances(
        of,
        to,
        count=metres.size,
        of_tiles=of_tiles.minutes.size,
        metres=_quantiles(metres) if metres.size else None,
    )


def _quantiles(values: FloatArray) -> dict[str, float]:
    return dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values())).tolist(), strict=True))


def _warning(one: TimeDistances, other: TimeDistances) -> str | None:
    nearest = timedelta(seconds=one.seconds["min"])
    if nearest >= TOO_NEAR:
        return None
    return (
        f"Scenes of {one.of} and {one.to} start as little as {in_words(nearest)} apart: "
        f"{one.share_within_1_h:.1%} of the scenes of {one.of} have one of {one.to} within 1 h, and "
        f"{other.share_within_1_h:.1%} of those of {other.of} one of {other.to}. What is learnt from one may be "
        f"recognised in the other; a split by_time_block with a guard of an hour or more keeps them apart."
    )


def _time_table(rows: Sequence[TimeDistances]) -> str:
    head = ["scenes of", "nearest of", "scenes", *QUANTILES, "within 10 min", "within 1 h"]
    cells = [
        [
            row.of,
            row.to,
            str(row.count),
            *(in_words(timedelta(seconds=row.seconds[name])) for name in QUANTILES),
            f"{row.share_within_10_min:.1%}",
            f"{row.share_within_1_h:.1%}",
        ]
        for row in rows
    ]
    return markdown_table(head, cells)


def _space_table(rows: Sequence[SpaceDistances]) -> str:
    head = ["tiles of", "nearest of", "tiles at the same time", "all tiles", *QUANTILES]
    cells = [
        [
            row.of,
            row.to,
            str(row.count),
            str(row.of_tiles),
            *(f"{row.metres[name] / 1000:.4g}" if row.metres else "–" for name in QUANTILES),
        ]
        for row in rows
    ]
    return markdown_table(head, cells)
