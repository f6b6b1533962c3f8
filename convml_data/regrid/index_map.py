"""Where the points of a local grid lie on a source's grid.

The geometry is worked out through PROJ, once for each pair of grids: of satellites to 1e-5 of a pixel from few
points (:mod:`.smooth`), otherwise point by point. Maps are kept in memory and on disk; their names are a hash
of the full geometry of both grids, never of shapes alone.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convml_data.fingerprints import fingerprint
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalGrid
from convml_data.geometry.source_grids import SourceGrid
from convml_data.regrid.smooth import smooth_positions
from convml_data.store.files import Files

#: Raised when the numbers in a map of the same geometry change, and with it the code version of
#: the regridding.
MAP_VERSION = 2

#: A cell may be this much longer than a source pixel before it counts as coarser.
SAME_SIZE_TOLERANCE = 1.05

#: The longest side of a cell, in source pixels, counts up to this many times the median: around a pole the
#: columns of a latitude-longitude grid are too close to be all reached, and there is no need to.
MOST_OVER_MEDIAN = 4

#: Maps that a process keeps open; each is memory-mapped where it lies on disk.
MAPS_IN_MEMORY = 16

FloatArray = npt.NDArray[np.float64]

_building = threading.Lock()


@dataclass(frozen=True)
class IndexMap:
    """Fractional pixel positions of target points in a source image.

    Parameters
    ----------
    rows, cols
        Shape (ny * subdivision, nx * subdivision): whole numbers at pixel centres, NaN out of sight.
    subdivision
        Points per side of a target cell.
    """

    rows: FloatArray
    cols: FloatArray
    subdivision: int


def points_per_cell_side(source: SourceGrid, target: LocalGrid) -> int:
    """How many points along each side of a cell resolve the source: 1 where its pixels are coarser.

    The length of a cell's sides in source pixels is measured across the target and its largest
    value rounded up, so that averaging the points averages over all pixels under the cell. Near a
    pole, where the columns of a source may meet, that has a limit relative to the median.
    """
    for lattice in (9, 129):  # the second for a source that covers little of the target
        pixels = _pixels_along_sides(source, target, lattice)
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            longest = min(float(pixels.max()), MOST_OVER_MEDIAN * float(np.median(pixels)))
            return 1 if longest <= SAME_SIZE_TOLERANCE else math.ceil(longest)
    return 1


def _pixels_along_sides(source: SourceGrid, target: LocalGrid, lattice: int) -> FloatArray:
    """Lengths in source pixels of the sides of cells at points across the target, NaN where the source is not."""
    x, y = target.domain.lattice(lattice)
    step = target.resolution
    at = target.domain.to_world(np.stack([x, x + step, x]), np.stack([y, y, y + step]))
    row, col = source.pixel_of(*at)
    return np.asarray(np.hypot(row[1:] - row[0], col[1:] - col[0]).ravel(), np.float64)


def build_index_map(source: SourceGrid, target: LocalGrid, subdivision: int) -> IndexMap:
    """Work out where the ``subdivision`` x ``subdivision`` points of each target cell lie."""

    def positions(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        return source.pixel_of(*target.domain.to_world(x, y))

    x, y = target.subcell_centres(subdivision)
    smooth = smooth_positions(positions, x, y) if isinstance(source, FixedGrid) else None
    rows, cols = smooth or positions(*np.meshgrid(x, y))
    return IndexMap(rows, cols, subdivision)


def cached_index_map(source: SourceGrid, target: LocalGrid, subdivision: int, folder: Path) -> IndexMap:
    """The same from the cache in ``folder``, made and kept there where it is new."""
    geometry = {
        "version": MAP_VERSION,
        "source": source.to_dict(),
        "target": target.to_dict(),
        "subdivision": subdivision,
    }
    name = f"{fingerprint(geometry)}.npy"
    with _building:  # so that threads that need the same new map wait for one of them to make it
        try:
            return _opened(folder / name, subdivision)
        except (OSError, ValueError):  # absent or damaged
            made = build_index_map(source, target, subdivision)
            with Files(str(folder)).writing(name) as path, path.open("wb") as stream:
                np.save(stream, np.stack([made.rows, made.cols]))
            return _opened(folder / name, subdivision)


@lru_cache(MAPS_IN_MEMORY)
def _opened(path: Path, subdivision: int) -> IndexMap:
    rows, cols = np.load(path, mmap_mode="r")
    return IndexMap(rows, cols, subdivision)
