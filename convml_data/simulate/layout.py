"""Where the chunks of an image lie in its file, and which there are: as the archive's writer leaves them.

Measured on published references to the chunks of one full-disk file of channel 1 and one of channel 2
(16 November 2019), which give the place of every chunk, and on files of the other sectors:

* An image is written in blocks, each first in ``DQF``, then in ``Rad``. A block is 1808 pixels of 0.5 km
  wide and as high as what the instrument scans in one sweep, of which a full disk needs 22.
* Blocks that hold nothing of the earth are not written. In the others all chunks are.
* netCDF's cache of 4 MiB for each variable keeps the newest chunks, and lets go of the oldest for each
  that comes. So both variables' chunks alternate in the file, some ten of each at a time, and what the caches
  still hold comes at the end, after a few variables that are defined then.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence

import h5py
import numpy as np
import numpy.typing as npt

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.windows import Window

#: What netCDF keeps of a variable before it writes, bytes.
_CACHE_SIZE = 4 << 20
_COMPRESSION_LEVEL = 1

#: Of a full disk at 0.5 km, in chunks: its rows and columns, the width of a block, the row of the second
#: sweep, and from there on from sweep to sweep.
_CHUNKS_ACROSS = 96
_BLOCK_WIDTH = 8
_SECOND_SWEEP, _SWEEP_HEIGHT = 2.08, 4.49
_SWEEPS = 22


class ChunkCache:
    """A variable's newest chunks, not written yet.

    Parameters
    ----------
    dataset
        A chunked variable with zlib as its only filter, whose chunks are written in the order in which
        they come.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._capacity = _CACHE_SIZE // (int(np.prod(dataset.chunks)) * dataset.dtype.itemsize)
        self._held: deque[tuple[tuple[int, int], bytes]] = deque()

    def add(self, window: Window, values: npt.NDArray[np.integer]) -> None:
        """Take the values of one chunk, and write the oldest one if there are too many."""
        compressed = zlib.compress(values.astype(self._dataset.dtype).data, _COMPRESSION_LEVEL)
        self._held.append(((window.row0, window.col0), compressed))
        if len(self._held) > self._capacity:
            self._write_oldest()

    def flush(self) -> None:
        """Write all that is left."""
        while self._held:
            self._write_oldest()

    def _write_oldest(self) -> None:
        place, compressed = self._held.popleft()
        self._dataset.id.write_direct_chunk(place, compressed)


def image_blocks(grid: FixedGrid, side: int, full_disk: bool) -> Iterator[Sequence[Window]]:
    """The chunks of ``side`` x ``side`` pixels that a whole image has, by blocks, in the order of writing.

    Sweeps over sectors that are no full disk are taken to be one chunk high.
    """
    rows, columns = (length // side for length in grid.shape)
    tops, width = list(range(rows)), columns
    if full_disk:
        factor = _CHUNKS_ACROSS // rows
        sweeps = [0, *(round(_SECOND_SWEEP + _SWEEP_HEIGHT * number) for number in range(_SWEEPS - 1))]
        tops, width = sorted({row // factor for row in sweeps}), _BLOCK_WIDTH // factor
    for top, bottom in zip(tops, [*tops[1:], rows], strict=True):
        for left in range(0, columns, width):
            right = min(left + width, columns)
            if _shows_earth(grid, Window(top * side, bottom * side, left * side, right * side)):
                yield [
                    Window(row * side, (row + 1) * side, column * side, (column + 1) * side)
                    for row in range(top, bottom)
                    for column in range(left, right)
                ]


def _shows_earth(grid: FixedGrid, window: Window) -> bool:
    """Whether any pixel of a window does: then that does which is nearest to the nadir, since the disk is convex."""
    part = grid.cropped(window)
    x, y = (np.clip(0.0, angles.min(), angles.max()) for angles in (part.x_rad, part.y_rad))
    return bool(np.isfinite(grid.view.lonlat(x, y)[0]))
