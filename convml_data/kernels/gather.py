"""Values of images at fractional positions, averaged over the points of each cell, a row of points at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]

_ZERO, _ONE, _NAN = np.float32(0), np.float32(1), np.float32(np.nan)


@compiled(given("f8", 1), given("f8", 1), "i8", "i8", filled("i4", 1), filled("f4", 2))
def between_pixels(
    rows: Float64Array, columns: Float64Array, height: int, width: int, corners: Int32Array, weights: Float32Array
) -> None:
    """Where the first of the four pixels around each point lies in an image, and the weights of all four.

    The weights of points beyond the outermost pixel centres are NaN.
    """
    last_row, last_column = max(height - 2, 0), max(width - 2, 0)
    for point in range(rows.size):
        row, column = rows[point], columns[point]
        inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
        if not inside:
            row = column = 0.0
        # The last pixel centre belongs to the last pair of pixels, with all its weight on the second.
        top, left = min(int(row), last_row), min(int(column), last_column)
        corners[point] = top * width + left
        below, right = np.float32(row - top), np.float32(column - left)
        weights[0, point] = (_ONE - below) * (_ONE - right) if inside else _NAN
        weights[1, point] = (_ONE - below) * right if inside else _NAN
        weights[2, point] = below * (_ONE - right) if inside else _NAN
        weights[3, point] = below * right if inside else _NAN


@compiled(given("f4", 1), given("i4", 1), given("f4", 2), "i8", "i8", filled("f4", 1))
def weigh(
    image: Float32Array, corners: Int32Array, weights: Float32Array, across: int, down: int, values: Float32Array
) -> None:
    """The values between four pixels each; a pixel without weight takes no part, also where it is missing."""
    for point in range(values.size):
        corner = corners[point]
        values[point] = (
            weights[0, point] * image[corner]
            + weights[1, point] * image[corner + across]
            + weights[2, point] * image[corner + down]
            + weights[3, point] * image[corner + down + across]
        )
    for point in range(values.size):
        if math.isnan(values[point]):  # perhaps of 0 times NaN
            value = _ZERO
            for pixel in range(4):
                weight = weights[pixel, point]
                if weight != 0:
                    value += weight * image[corners[point] + pixel % 2 * across + pixel // 2 * down]
            values[point] = value


@compiled(given("f8", 1), given("f8", 1), "i8", "i8", filled("i4", 1))
def holding_pixels(rows: Float64Array, columns: Float64Array, height: int, width: int, pixels: Int32Array) -> None:
    """Which pixel of an image holds each point, -1 beside it."""
    for point in range(rows.size):
        row, column = rows[point] + 0.5, columns[point] + 0.5
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixels[point] = np.int32(row) * width + np.int32(column) if inside else -1


@compiled(given("f4", 1), "i8", "b1", filled("f4", 1))
def add_up(values: Float32Array, side: int, first: bool, cells: Float32Array) -> None:
    """Add a row of points to the row of cells that has ``side`` of them along each, begun by the ``first``."""
    for cell in range(cells.size):
        total = _ZERO if first else cells[cell]
        for point in range(cell * side, (cell + 1) * side):
            total += values[point]
        cells[cell] = total


@compiled(given("f4", 2), "i8", given("f8", 2), given("f8", 2), "i8", filled("f4", 3))
def bilinear(
    images: Float32Array, width: int, rows: Float64Array, columns: Float64Array, side: int, cells: Float32Array
) -> None:
    """Means over ``side`` x ``side`` points of each cell, interpolated between the pixel centres around them.

    ``images`` has shape (bands, pixels), of rows of ``width``.
    """
    bands, height = images.shape[0], images.shape[1] // width
    across, down = (1 if width > 1 else 0), (width if height > 1 else 0)
    points = rows.shape[1]
    corners, weights = np.empty(points, np.int32), np.empty((4, points), np.float32)
    values = np.empty(points, np.float32)
    for row in range(rows.shape[0]):
        between_pixels(rows[row], columns[row], height, width, corners, weights)
        for band in range(bands):
            weigh(images[band], corners, weights, across, down, values)
            add_up(values, side, row % side == 0, cells[band, row // side])
    if side > 1:
        cells /= np.float32(side * side)


@compiled(given("f4", 2), "i8", given("f8", 2), given("f8", 2), "i8", filled("f4", 3))
def nearest(
    images: Float32Array, width: int, rows: Float64Array, columns: Float64Array, side: int, cells: Float32Array
) -> None:
    """The same of the pixels that hold the points."""
    bands, height = images.shape[0], images.shape[1] // width
    points = rows.shape[1]
    pixels, values = np.empty(points, np.int32), np.empty(points, np.float32)
    for row in range(rows.shape[0]):
        holding_pixels(rows[row], columns[row], height, width, pixels)
        for band in range(bands):
            for point in range(points):
                pixel = pixels[point]
                values[point] = images[band, pixel] if pixel >= 0 else _NAN
            add_up(values, side, row % side == 0, cells[band, row // side])
    if side > 1:
        cells /= np.float32(side * side)
