"""Values at the points of an index map."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from convml_data.regrid.index_map import IndexMap

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
    cells = np.empty((len(images), rows.shape[0] // side, rows.shape[1] // side), np.float32)
    sample = gather.bilinear if method == "bilinear" else gather.nearest
    sample(images, width, rows, columns, side, cells)
    return cells.reshape(*values.shape[:-2], *cells.shape[1:])
