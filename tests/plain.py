"""What the kernels do, in plain NumPy and double precision: slow, and short enough to be checked by reading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


def between_nodes(nodes: FloatArray, step: int, shape: tuple[int, int]) -> FloatArray:
    """Bilinear interpolation between nodes that lie ``step`` pixels apart."""
    if step == 1:
        return nodes[: shape[0], : shape[1]].astype(float)
    (row, down), (column, right) = (
        (np.minimum(np.arange(n) // step, size - 2), np.arange(n) / step)
        for n, size in zip(shape, nodes.shape, strict=True)
    )
    down, right = (down - row)[:, None], right - column
    row = row[:, None]
    nodes = nodes.astype(float)
    upper = nodes[row, column] * (1 - right) + nodes[row, column + 1] * right
    lower = nodes[row + 1, column] * (1 - right) + nodes[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


def sun_zenith_factor(cosine: FloatArray, full: float, night: float) -> FloatArray:
    """1/cos θ up to ``full``, then fading to zero at ``night``; radians."""
    beyond = np.clip((np.arccos(np.clip(cosine, -1, 1)) - full) / (night - full), 0, 1)
    high = cosine > np.cos(full)
    return np.where(high, 1 / np.where(high, cosine, 1), (1 - np.log2(1 + beyond)) / np.cos(full))


def share_of_clear_sky(red: FloatArray) -> FloatArray:
    """All up to 20 %, none from 100 % on."""
    return np.clip(1 - (red - 20) / 80, 0, 1)


def sharpening_ratio(red: FloatArray, limit: float) -> FloatArray:
    """Red over the mean of the finite ones among 2 x 2 pixels, 1 where that is no positive number."""
    rows, columns = red.shape
    blocks = red.reshape(rows // 2, 2, columns // 2, 2)
    there = np.isfinite(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, blocks, 0).sum(axis=(1, 3)) / there.sum(axis=(1, 3))
        ratio = red / doubled(mean)
    return np.minimum(np.where(np.isfinite(ratio) & (ratio >= 0), ratio, 1), limit)


def doubled(values: FloatArray) -> FloatArray:
    """Each pixel four times."""
    return values.repeat(2, axis=0).repeat(2, axis=1)


def gathered(
    image: FloatArray, rows: FloatArray, columns: FloatArray, side: int, method: str
) -> npt.NDArray[np.float64]:
    """Means over the points of each cell, point by point."""
    height, width = image.shape
    points = np.empty(rows.shape)
    for at in np.ndindex(rows.shape):
        points[at] = _sampled(image, height, width, rows[at], columns[at], method)
    return points.reshape(rows.shape[0] // side, side, rows.shape[1] // side, side).mean(axis=(1, 3))


def _sampled(image: FloatArray, height: int, width: int, row: float, column: float, method: str) -> float:
    if method == "nearest":
        at = np.floor([row + 0.5, column + 0.5])
        inside = 0 <= at[0] < height and 0 <= at[1] < width
        return float(image[int(at[0]), int(at[1])]) if inside else np.nan
    if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
        return np.nan
    total = 0.0
    for y in range(height):
        for x in range(width):
            weight = max(0.0, 1 - abs(row - y)) * max(0.0, 1 - abs(column - x))
            total += weight * float(image[y, x]) if weight > 0 else 0.0
    return total
