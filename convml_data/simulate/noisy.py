"""Values of whole images, quickly: the truth at every fourth kilometre, and noise like a detector's.

A full disk at 0.5 km has 370 million pixels of the earth, and the truth at each would take minutes. What
lies between the nodes of a lattice is therefore interpolated, and the noise stands for the detail that is lost:
without it, files would be a third of their size. The noise of a pixel depends on its place and on the file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.windows import Window
from convml_data.simulate.bands import Band

FloatArray = npt.NDArray[np.float64]

#: Pixels of 2 km from node to node of the lattice.
_SPACING = 2

#: Standard deviation of the noise, counts, with which a full disk by day has the size of a real file. Those of
#: channels 1, 2, 3 and 13 were 78, 432, 88 and 28 MiB on 18 September 2020, 19:50 UTC; others follow from the bits.
_NOISE = {1: 1.05, 2: 6.0, 3: 2.2, 13: 4.3}
_NOISE_OF_BITS = {10: 1.1, 11: 2.2, 12: 4.3, 14: 17.0}


class NoisyImage:
    """Counts of any part of one image.

    Parameters
    ----------
    band
        How counts stand for radiances.
    grid
        All pixels of the image.
    radiance
        The truth over longitudes and latitudes in degrees, in the band's units.
    seed
        Of the noise.
    """

    def __init__(
        self, band: Band, grid: FixedGrid, radiance: Callable[[FloatArray, FloatArray], FloatArray], seed: int
    ) -> None:
        self._band, self._grid, self._seed = band, grid, seed
        self._factor = round(_SPACING * 2 / band.resolution_km)
        counts = band.fractional_counts(radiance(*_places(_lattice(grid, self._factor))))
        # Pixels at the limb lie between nodes of which some are in space.
        self._counts = np.where(np.isfinite(counts), counts, np.nanmin(counts)).astype(np.float32)

    def counts(self, window: Window) -> npt.NDArray[np.int16]:
        """Of a window, fill in space."""
        from convml_data.kernels.noisy import fill

        part = self._grid.cropped(window)
        view = part.view
        distance = view.perspective_height + view.semi_major_axis
        out = np.empty(window.shape, np.int16)
        fill(
            out,
            self._counts,
            np.cos(part.y_rad),
            np.sin(part.y_rad),
            np.cos(part.x_rad),
            np.sin(part.x_rad),
            (view.semi_major_axis / view.semi_minor_axis) ** 2,
            1 - (view.semi_major_axis / distance) ** 2,
            window.row0,
            window.col0,
            1 / self._factor,
            self._band.fill,
            _NOISE.get(self._band.channel, _NOISE_OF_BITS[self._band.bits]),
            np.uint64(self._seed),
        )
        return out


def _lattice(grid: FixedGrid, factor: int) -> FixedGrid:
    """Nodes at the outer edge of the image and from there on every ``factor`` pixels, one beyond the image."""
    rows, columns = grid.shape
    # The same for all three resolutions.
    first, step = (round(grid.x0 - grid.dx / 2, 6), round(grid.y0 - grid.dy / 2, 6)), round(grid.dx * factor, 6)
    return FixedGrid(grid.view, first[0], first[1], step, -step, (rows // factor + 2, columns // factor + 2))


@lru_cache(maxsize=1)
def _places(lattice: FixedGrid) -> tuple[FloatArray, FloatArray]:
    return lattice.lonlat()
