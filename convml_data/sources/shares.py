"""How much of a domain has values, by equally spaced points of it, each of which counts by its nearest pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convml_data.geometry.local import Domain
from convml_data.geometry.source_grids import SourceGrid
from convml_data.sources.remembered import Remembered, key_of

BoolArray = npt.NDArray[np.bool_]

#: Points along each side of a domain.
POINTS_ALONG_SIDE = 256


@dataclass(frozen=True)
class NearestPixels:
    """The pixels nearest to the points of a domain.

    Parameters
    ----------
    inside
        Shape (points,): whether the grid has a pixel at a point.
    rows, columns
        Of those pixels, shape (points inside,).
    """

    inside: BoolArray
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]

    def sampled(self, values: BoolArray) -> BoolArray:
        """What holds at each point, shape (points,), from what holds at each pixel; false where there is none."""
        at_points = np.zeros(self.inside.shape, np.bool_)
        at_points[self.inside] = values[self.rows, self.columns]
        return at_points

    def complete(self, values: npt.NDArray[np.floating]) -> BoolArray:
        """Whether all bands of a field of shape (…, y, x) are finite at each point, shape (points,)."""
        at_points = np.zeros(self.inside.shape, np.bool_)
        bands = values.reshape(-1, *values.shape[-2:])
        at_points[self.inside] = np.isfinite([band[self.rows, self.columns] for band in bands]).all(axis=0)
        return at_points


_NEAREST_PIXELS: Remembered[NearestPixels] = Remembered(16)


def nearest_pixels(domain: Domain, grid: SourceGrid) -> NearestPixels:
    """The pixels nearest to the points of a domain; remembered, since many scenes share both."""
    return _NEAREST_PIXELS.get((domain, key_of(grid)), lambda: _find_nearest_pixels(domain, grid))


def _find_nearest_pixels(domain: Domain, grid: SourceGrid) -> NearestPixels:
    points = domain.to_world(*domain.lattice(POINTS_ALONG_SIDE))
    row, column = (np.rint(np.nan_to_num(at, nan=-1)).astype(np.intp) for at in grid.pixel_of(*points))
    inside = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    return NearestPixels(inside, row[inside], column[inside])


def valid_share(domain: Domain, grid: SourceGrid, valid: BoolArray) -> float:
    """Share of a domain's area that has values.

    Parameters
    ----------
    domain
        All of it counts, what lies beside the grid too.
    grid, valid
        Of a field, and where it has values, shape of the grid.
    """
    return share_of(nearest_pixels(domain, grid).sampled(valid))


def share_of(points: BoolArray) -> float:
    """Share of the points at which something holds."""
    return float(np.count_nonzero(points) / points.size)
