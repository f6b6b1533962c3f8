"""Values at the points of an index map."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from convml_data.regrid.index_map import IndexMap

Method = Literal["bilinear", "nearest"]

#: Target rows are worked on in blocks of about this many points, to bound the memory of one field.
POINTS_PER_BLOCK = 1 << 18


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
    image = values.reshape(-1, *values.shape[-2:])
    side = index_map.subdivision
    ny, nx = index_map.rows.shape[0] // side, index_map.rows.shape[1] // side
    result = np.empty((image.shape[0], ny, nx), np.float32)
    sample = _bilinear if method == "bilinear" else _nearest
    complete = bool(np.isfinite(image).all())
    step = max(1, POINTS_PER_BLOCK // (nx * side * side))
    for start in range(0, ny, step):
        block = slice(start * side, min(start + step, ny) * side)
        points = sample(image, index_map.rows[block], index_map.cols[block], complete)
        cells = points.reshape(image.shape[0], -1, side, nx, side)
        result[:, start : start + step] = (
            cells.mean(axis=(2, 4), dtype=np.float32) if side > 1 else cells[:, :, 0, :, 0]
        )
    return result.reshape(*values.shape[:-2], ny, nx)


def _bilinear(
    image: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float64],
    cols: npt.NDArray[np.float64],
    complete: bool,
) -> npt.NDArray[np.float32]:
    """Values at fractional positions, shape (bands, *rows.shape)."""
    height, width = image.shape[-2:]
    inside = (rows >= 0) & (rows <= height - 1) & (cols >= 0) & (cols <= width - 1)
    rows, cols = np.where(inside, rows, 0), np.where(inside, cols, 0)
    # The last pixel centre belongs to the last pair of pixels, with all its weight on the second.
    row0 = np.minimum(rows.astype(np.intp), max(height - 2, 0))
    col0 = np.minimum(cols.astype(np.intp), max(width - 2, 0))
    below, right = (rows - row0).astype(np.float32), (cols - col0).astype(np.float32)
    down, across = (width if height > 1 else 0), (1 if width > 1 else 0)
    flat = image.reshape(image.shape[0], -1)
    corner = row0 * width + col0

    result = np.zeros((image.shape[0], *rows.shape), np.float32)
    for offset, weight in (
        (0, (1 - below) * (1 - right)),
        (across, (1 - below) * right),
        (down, below * (1 - right)),
        (down + across, below * right),
    ):
        share = weight * flat[:, corner + offset]
        # A missing pixel without weight takes no part; 0 times NaN would be NaN.
        result += share if complete else np.where(weight == 0, np.float32(0), share)
    result[:, ~inside] = np.nan
    return result


def _nearest(
    image: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float64],
    cols: npt.NDArray[np.float64],
    complete: bool,
) -> npt.NDArray[np.float32]:
    """Values of the pixels that hold the positions, shape (bands, *rows.shape)."""
    height, width = image.shape[-2:]
    inside = (rows >= -0.5) & (rows < height - 0.5) & (cols >= -0.5) & (cols < width - 0.5)
    row = np.floor(np.where(inside, rows, 0) + 0.5).astype(np.intp)
    col = np.floor(np.where(inside, cols, 0) + 0.5).astype(np.intp)
    result: npt.NDArray[np.float32] = image[:, row, col]
    result[:, ~inside] = np.nan
    return result
