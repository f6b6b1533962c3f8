"""Where in a domain the centres of tiles may lie, and drawing them there.

A tile is a square on the plane that touches the earth at the tile's own centre. On the domain's
plane it is slightly turned and distorted, the more the farther it lies from the domain's centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from convml_data.geometry.local import Domain

FloatArray = npt.NDArray[np.float64]
Point = tuple[float, float]

#: Places at which the extent of a tile is measured, along a side of the area of its centres.
PLACES_PER_SIDE = 17
#: Points along a side of a tile's outline.
OUTLINE_POINTS = 32
#: Angles in the table of the directions of neighbors, for a quarter of the circle.
DIRECTIONS = 4097


@dataclass(frozen=True)
class CentreBox:
    """Where the centres of the tiles of a domain may lie, centred in the domain's plane.

    Parameters
    ----------
    width, height
        Sides in x and y, metres; 0 where the middle is the only place.
    overlap_zonal, overlap_meridional
        How far a tile may reach beyond the domain to the west or east, and to the south or north,
        metres.
    """

    width: float
    height: float
    overlap_zonal: float
    overlap_meridional: float

    @property
    def diagonal(self) -> float:
        """The largest distance between two centres, metres."""
        return math.hypot(self.width, self.height)

    def point(self, across: float, along: float) -> Point:
        """The (x, y) in metres of a point drawn uniformly, from two numbers in [0, 1)."""
        return (across - 0.5) * self.width, (along - 0.5) * self.height


@lru_cache(16)  # asked for whenever a dataset is loaded, and three hundred projections each time
def centre_box(domain: Domain, tile_length: float) -> CentreBox:
    """The box of centres from which every tile lies inside the domain.

    The domain is shrunk by the largest half extent that a tile has at any place, so that no tile
    needs to be drawn twice. It is measured on a lattice and grown by half of its largest step from
    one place to the next, for what lies between them. Along a side that is shorter than the
    tiles, centres may lie anywhere inside the domain.

    Parameters
    ----------
    domain
        Where the tiles are taken from.
    tile_length
        Side of a tile, metres.
    """
    sides = np.array([domain.l_zonal, domain.l_meridional])
    fits = np.array([fits_along(side, tile_length) for side in sides])
    # Undistorted tiles: these boxes hold the ones looked for, so the extents found in them are bounds.
    widest = np.where(fits, np.maximum(sides - tile_length, 0.0), sides)
    places = domain.resized(*(float(side) for side in widest))
    measured = np.array(
        [_half_extents(domain, tile_length, x, y) for x, y in zip(*places.lattice(PLACES_PER_SIDE), strict=True)]
    ).reshape(PLACES_PER_SIDE, PLACES_PER_SIDE, 2)
    step = max(np.abs(np.diff(measured, axis=axis)).max() for axis in (0, 1))
    extents = measured.max(axis=(0, 1)) + step / 2
    box = np.where(fits, np.maximum(sides - 2 * extents, 0.0), sides)
    overlap = np.maximum(box / 2 + extents - sides / 2, 0.0)
    return CentreBox(*(float(length) for length in (*box, *overlap)))


def fits_along(side: float, tile_length: float) -> bool:
    """Whether a tile is no longer than a side of the domain, rounding aside."""
    return tile_length <= side * (1 + 1e-9)


def _half_extents(domain: Domain, tile_length: float, x: float, y: float) -> FloatArray:
    """How far the outline of the tile centred at (x, y) reaches from there in x and in y, metres."""
    tile = domain.around(x, y, tile_length)
    outline_x, outline_y = domain.from_world(*tile.to_world(*tile.outline(OUTLINE_POINTS)))
    return np.array([np.abs(outline_x - x).max(), np.abs(outline_y - y).max()])


@dataclass(frozen=True)
class PairPlacement:
    """Two centres in a box at a fixed distance from each other.

    What is drawn is the joint distribution of a uniform first point and a uniform direction, given
    that both points lie in the box, without drawing and rejecting. For a direction θ the first
    point has the box less (distance |cos θ|, distance |sin θ|) to itself, so the density of θ is
    proportional to (width − distance |cos θ|) (height − distance |sin θ|) where both are positive;
    given θ the first point is uniform in what is left.

    Parameters
    ----------
    box
        For both centres.
    distance
        Between them, metres, at most the box's diagonal.
    """

    box: CentreBox
    distance: float

    @cached_property
    def _quarter(self) -> tuple[FloatArray, FloatArray]:
        """Angles from the x axis in radians that fit, in one quarter, and their cumulative density."""
        lowest = math.acos(min(1.0, self.box.width / self.distance))
        highest = math.asin(min(1.0, self.box.height / self.distance))
        angles = np.linspace(lowest, max(lowest, highest), DIRECTIONS)
        middles = (angles[1:] + angles[:-1]) / 2
        density = np.maximum(self.box.width - self.distance * np.cos(middles), 0.0)
        density *= np.maximum(self.box.height - self.distance * np.sin(middles), 0.0)
        cumulative = np.concatenate([[0.0], np.cumsum(density)])
        if cumulative[-1] > 0:
            return angles, cumulative / cumulative[-1]
        # The limit of narrow boxes: one direction is left in each quarter.
        return angles[:1], np.ones(1)

    def points(self, direction: float, quarter: float, across: float, along: float) -> tuple[Point, Point]:
        """Both (x, y) in metres, from four numbers in [0, 1)."""
        angles, cumulative = self._quarter
        angle = float(np.interp(direction, cumulative, angles))
        east, north = divmod(int(4 * quarter), 2)
        dx = math.copysign(self.distance * math.cos(angle), east - 0.5)
        dy = math.copysign(self.distance * math.sin(angle), north - 0.5)
        x = (across - 0.5) * max(self.box.width - abs(dx), 0.0)
        y = (along - 0.5) * max(self.box.height - abs(dy), 0.0)
        return (x - dx / 2, y - dy / 2), (x + dx / 2, y + dy / 2)
