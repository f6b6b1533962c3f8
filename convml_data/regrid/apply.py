"""Values at the points of an index map."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from convml_data.regrid.index_map import IndexMap
from convml_data.side_by_side import blocks_of_rows, each_of

Method = Literal["bilinear", "nearest"]


def apply_index_map(values: npt.NDArray[np.float32], index_map: IndexMap, method: Method) -> npt.NDArray[np.float32]:
    """Sample an image at the points of a map and average the points of each target cell.

    Parameters
    ----------
    values
        Shape (…, rows, columns), NaN where there is no value.
    index_map
        Of that image's grid.
    method
        ``bilinear`` between the four pixel centres around a point, or the ``nearest`` pixel.

    Returns
    -------
    Shape (…, ny, nx). NaN where a point of the cell lies outside of the image or has a missing
    pixel among those with a share in its value: no value is made from part of what it needs.
    """
    from convml_data.kernels import gather

    height, width = values.shape[-2:]
    side = index_map.subdivision
    images = np.ascontiguousarray(values, np.float32).reshape(-1, height * width)
    rows, columns = (np.ascontiguousarray(positions) for positions in (index_map.rows, index_map.cols))
    sample = gather.bilinear if method == "bilinear" else gather.nearest

    def cells_of(block: slice) -> npt.NDArray[np.float32]:
        points = slice(block.start * side, block.stop * side)
        cells = np.empty((len(images), block.stop - block.start, rows.shape[1] // side), np.float32)
        sample(images, width, rows[points], columns[points], side, cells)
        return cells

    blocks = blocks_of_rows(rows.shape[0] // side, rows.nbytes)
    made = list(each_of(blocks, cells_of, rows.nbytes))
    cells = made[0] if len(made) == 1 else np.concatenate(made, axis=1)
    return cells.reshape(*values.shape[:-2], *cells.shape[1:])
