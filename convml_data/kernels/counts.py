"""Counts of a file: which of them are used, and what they mean by a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

BoolArray = npt.NDArray[np.bool_]


@compiled(
    given("u2", 1), given("u1", 1), "u2", "u1", given("b1", 1),
    filled("u2", 1), filled("b1", 1), filled("b1", 1), filled("i8", 1),
)  # fmt: skip
def sort_out(
    counts: npt.NDArray[np.uint16],
    flags: npt.NDArray[np.uint8],
    fill: int,
    no_value: int,
    kept: BoolArray,
    used: npt.NDArray[np.uint16],
    missing: BoolArray,
    rejected: BoolArray,
    occurrences: npt.NDArray[np.int64],
) -> None:
    """Take the counts that have a value and a flag that is kept, ``fill`` for the others, and count the flags.

    ``missing`` are the pixels without a value, ``rejected`` those with one and a flag that is not kept.
    """
    for pixel in range(counts.size):
        count, flag = counts[pixel], flags[pixel]
        there = count != fill and flag != no_value
        take = there and kept[flag]
        used[pixel] = count if take else fill
        missing[pixel] = not there
        rejected[pixel] = there and not take
        occurrences[flag] += 1


@compiled(given("u2", 1), given("f4", 1), filled("f4", 1))
def look_up(counts: npt.NDArray[np.uint16], table: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> None:
    """The value of each count by a table of all of them."""
    for pixel in range(counts.size):
        values[pixel] = table[counts[pixel]]
