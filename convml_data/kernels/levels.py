"""Bands of a field as the levels of a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

#: Bits of a number in single precision that are all set where it is not finite.
_EXPONENT = 0x7F800000


@compiled(
    given("i4", 3), given("i4", 1), given("u1", 1), "i8", "i8", "u1", "b1", filled("u1", 3)
)  # fmt: skip
def paint(
    bands: npt.NDArray[np.int32],
    thresholds: npt.NDArray[np.int32],
    lowest: npt.NDArray[np.uint8],
    first: int,
    shift: int,
    missing: int,
    upside_down: bool,
    picture: npt.NDArray[np.uint8],
) -> None:
    """The levels of three bands side by side, ``missing`` in all where a band is not finite.

    Everything is told by the bits of the numbers, which for positive ones have the same order. Without their last
    ``shift`` they name an interval of numbers, counted from ``first``: there the level is ``lowest``, and one more
    from a threshold on. Numbers in lower intervals have the first one's level, those in higher ones the last one's.
    """
    count, rows, columns = bands.shape
    last = thresholds.size - 1
    for row in range(rows):
        shown = rows - 1 - row if upside_down else row
        for column in range(columns):
            there = True
            for band in range(count):
                there &= bands[band, row, column] & _EXPONENT != _EXPONENT
            for band in range(count):
                bits = bands[band, row, column]
                interval = min(max((bits >> shift) - first, 0), last)
                level = lowest[interval] + (1 if bits >= thresholds[interval] else 0)
                picture[shown, column, band] = level if there else missing


@compiled(given("f4", 3), given("f4", 1), given("f4", 1), "u1", "b1", filled("u1", 3))
def shade(
    bands: npt.NDArray[np.float32],
    dark: npt.NDArray[np.float32],
    bright: npt.NDArray[np.float32],
    missing: int,
    upside_down: bool,
    picture: npt.NDArray[np.uint8],
) -> None:
    """Each band between its limits: a single one as grey, two without blue; ``missing`` in all where one is NaN."""
    count, rows, columns = bands.shape
    for row in range(rows):
        shown = rows - 1 - row if upside_down else row
        for column in range(columns):
            there = True
            for band in range(count):
                value = bands[band, row, column]
                share = (value - dark[band]) / (bright[band] - dark[band])
                share = np.float32(0) if share < 0 else np.float32(1) if share > 1 else share
                there &= share == share
                picture[shown, column, band] = np.uint8(np.rint(share * np.float32(255))) if there else missing
            for band in range(count, 3):
                picture[shown, column, band] = picture[shown, column, 0] if count == 1 else 0
            if not there:
                picture[shown, column, :] = missing
