"""Places on a bent grid: the quadrilateral of pixel centres that holds a point, and where in it.

Between four neighbouring pixel centres the grid is the bilinear surface through their unit vectors;
a point of the earth belongs to the point of that surface on the same ray from the earth's centre.
So neither poles nor the antimeridian are special.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Points are worked on in blocks of this many, to bound the memory.
POINTS_PER_BLOCK = 1 << 17

#: By how many pixels a point may lie outside of a quadrilateral and still count as on its edge.
EDGE_TOLERANCE = 1e-6

#: How many of the nearest pixels are tried.
_CANDIDATES = 4

_NEWTON_STEPS = 8
_WALKING_STEPS = 8


def unit_vectors(lon: npt.ArrayLike, lat: npt.ArrayLike) -> FloatArray:
    """Unit vectors of points in degrees, shape (…, 3), NaN where either is."""
    lam, phi = np.deg2rad(np.asarray(lon, float)), np.deg2rad(np.asarray(lat, float))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


class QuadSearch:
    """Finds points among pixel centres.

    Parameters
    ----------
    vectors
        Unit vectors of the pixel centres, shape (rows, columns, 3), NaN where a pixel has no place.

    Raises
    ------
    ValueError
        There is only one row or column.
    """

    def __init__(self, vectors: FloatArray) -> None:
        if vectors.ndim != 3 or min(vectors.shape[:2]) < 2:
            raise ValueError(f"unit vectors have shape {vectors.shape}, not that of two or more rows and columns")
        self._vectors = vectors
        self._placed = np.argwhere(np.isfinite(vectors).all(axis=-1))
        self._tree = cKDTree(vectors[tuple(self._placed.T)])
        self._reach = _longest_diagonal(vectors)

    def find(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Fractional (row, column) of points in degrees.

        Up to half a pixel beyond the outermost pixel centres of the array, points get the position
        of the outermost centre. NaN for points beyond, and between pixels one of which has no place.
        """
        lon, lat = np.broadcast_arrays(np.asarray(lon, float), np.asarray(lat, float))
        flat_lon, flat_lat = lon.ravel(), lat.ravel()
        found = np.full((2, flat_lon.size), np.nan)
        near = np.flatnonzero(np.isfinite(flat_lon) & np.isfinite(flat_lat))
        for start in range(0, near.size, POINTS_PER_BLOCK):
            block = near[start : start + POINTS_PER_BLOCK]
            found[:, block] = self._find_block(flat_lon[block], flat_lat[block])
        return found[0].reshape(lon.shape), found[1].reshape(lon.shape)

    def _find_block(self, lon: FloatArray, lat: FloatArray) -> FloatArray:
        distance, nearest = self._tree.query(unit_vectors(lon, lat), k=_CANDIDATES, distance_upper_bound=self._reach)
        result = np.full((2, lon.size), np.nan)
        reached = np.isfinite(distance[:, 0])
        # The last pixel stands in for candidates that are out of reach: to try one in vain does no harm.
        pixels = self._placed[np.minimum(nearest[reached], len(self._placed) - 1)]
        result[:, reached] = self._from_pixels(np.moveaxis(pixels, -1, 0), *_tangents(lon[reached], lat[reached]))
        return result

    def _from_pixels(self, pixels: IntArray, east: FloatArray, north: FloatArray) -> FloatArray:
        """Positions of points, given the directions at each and pixels near it, shape (2, points, candidates)."""
        last = np.array(self._vectors.shape[:2])[:, np.newaxis] - 2  # of the quadrilaterals
        best = np.full(pixels.shape[:2], np.nan)
        excess = np.full(pixels.shape[1], np.inf)  # pixels that the best position lies outside of its quadrilateral

        def improve(which: IntArray, quads: IntArray) -> None:
            quads = np.clip(quads, 0, last)
            place = self._solve(quads, east[which], north[which])
            beyond = np.abs(place - 0.5).max(axis=0) - 0.5
            better = beyond < excess[which]  # never where it is NaN
            best[:, which[better]] = (quads + place)[:, better]
            excess[which[better]] = beyond[better]

        # The four around the nearest pixel hold the point, unless the grid is sheared ...
        for candidate, offset in product(range(_CANDIDATES), ((0, 0), (-1, -1), (-1, 0), (0, -1))):
            outside = np.flatnonzero(excess > EDGE_TOLERANCE)
            if outside.size:
                improve(outside, pixels[:, outside, candidate] + np.array(offset)[:, np.newaxis])
        # ... and then the way to it leads over the edge that the point lies behind.
        for _ in range(_WALKING_STEPS):
            outside = np.flatnonzero((excess > EDGE_TOLERANCE) & np.isfinite(excess))
            if outside.size:
                improve(outside, np.floor(best[:, outside]).astype(np.intp))

        inside = np.clip(best, 0, last + 1)
        beyond_the_array = np.abs(best - inside).max(axis=0)
        of_the_outer_pixels = (beyond_the_array <= 0.5 + EDGE_TOLERANCE) & (excess <= beyond_the_array + EDGE_TOLERANCE)
        return np.where(of_the_outer_pixels, inside, np.nan)

    def _solve(self, quads: IntArray, east: FloatArray, north: FloatArray) -> FloatArray:
        """Places in quadrilaterals, 0 to 1 in rows and columns, by Newton's method; shape (2, points)."""
        row, col = quads
        corners = [self._vectors[row + down, col + right] for down, right in ((0, 0), (1, 0), (0, 1), (1, 1))]
        # On the plane that touches the sphere at the point, the point is the origin.
        p00, p10, p01, p11 = (
            np.stack([np.einsum("pk,pk->p", corner, east), np.einsum("pk,pk->p", corner, north)]) for corner in corners
        )
        by_row, by_col, twist = p10 - p00, p01 - p00, p11 - p10 - p01 + p00
        place = np.full(p00.shape, 0.5)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for _ in range(_NEWTON_STEPS):
                miss = p00 + place[0] * by_row + place[1] * by_col + place[0] * place[1] * twist
                d_row, d_col = by_row + place[1] * twist, by_col + place[0] * twist
                determinant = d_row[0] * d_col[1] - d_row[1] * d_col[0]
                place = place - np.stack(
                    [
                        (miss[0] * d_col[1] - miss[1] * d_col[0]) / determinant,
                        (d_row[0] * miss[1] - d_row[1] * miss[0]) / determinant,
                    ]
                )
            miss = p00 + place[0] * by_row + place[1] * by_col + place[0] * place[1] * twist
            converged = np.hypot(*miss) <= 1e-6 * (np.hypot(*by_row) + np.hypot(*by_col))
        return np.where(converged, place, np.nan)


def _tangents(lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors to the east and to the north at points in degrees, each (points, 3)."""
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    return east, north


def _longest_diagonal(vectors: FloatArray) -> float:
    """The longest diagonal of a quadrilateral: no point in one is farther from the nearest corner."""
    falling = np.linalg.norm(vectors[1:, 1:] - vectors[:-1, :-1], axis=-1)
    rising = np.linalg.norm(vectors[:-1, 1:] - vectors[1:, :-1], axis=-1)
    diagonals = np.concatenate([falling, rising])
    return float(np.nanmax(diagonals)) if np.isfinite(diagonals).any() else 0.0
