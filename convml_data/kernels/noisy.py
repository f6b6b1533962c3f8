"""Counts of whole images with noise like a detector's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

FloatArray = npt.NDArray[np.float64]


@compiled(
    filled("i2", 2), given("f4", 2), given("f8", 1), given("f8", 1), given("f8", 1), given("f8", 1),
    "f8", "f8", "i8", "i8", "f8", "i8", "f8", "u8",
)  # fmt: skip
def fill(
    out: npt.NDArray[np.int16],
    lattice: npt.NDArray[np.float32],
    cos_y: FloatArray,
    sin_y: FloatArray,
    cos_x: FloatArray,
    sin_x: FloatArray,
    flattening: float,
    limb: float,
    first_row: int,
    first_column: int,
    step: float,
    missing: int,
    noise: float,
    seed: np.uint64,
) -> None:
    """Interpolated counts and noise of the pixels from ``first_row`` and ``first_column`` on, ``missing`` in space.

    A line of sight meets the ellipsoid where the equation of PUG volume 3, section 5.1.2.8.1 has a root.
    """
    # Four numbers of 16 bits have a sum that is normal for all that matters.
    amplitude = np.float32(noise / np.sqrt(4 * (65536.0**2 - 1) / 12))
    largest = np.float32(missing - 1)
    for row in range(out.shape[0]):
        v = (first_row + row + 0.5) * step
        i = int(v)
        low = np.float32(v - i)
        ellipse = cos_y[row] ** 2 + flattening * sin_y[row] ** 2
        for column in range(out.shape[1]):
            a = sin_x[column] ** 2 + cos_x[column] ** 2 * ellipse
            if (cos_x[column] * cos_y[row]) ** 2 < a * limb:
                out[row, column] = missing
                continue
            u = (first_column + column + 0.5) * step
            j = int(u)
            right = np.float32(u - j)
            upper = lattice[i, j] + right * (lattice[i, j + 1] - lattice[i, j])
            lower = lattice[i + 1, j] + right * (lattice[i + 1, j + 1] - lattice[i + 1, j])
            value = upper + low * (lower - upper)
            # The finalizer of SplitMix64 (Steele et al. 2014) makes numbers of the pixel's.
            bits = seed + np.uint64((first_row + row) * 65536 + first_column + column) * np.uint64(0x9E3779B97F4A7C15)
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits ^= bits >> np.uint64(31)
            total = (
                np.int32(bits & np.uint64(0xFFFF))
                + np.int32((bits >> np.uint64(16)) & np.uint64(0xFFFF))
                + np.int32((bits >> np.uint64(32)) & np.uint64(0xFFFF))
                + np.int32(bits >> np.uint64(48))
            )
            value += amplitude * np.float32(total - 131070)
            out[row, column] = np.int16(min(max(value + np.float32(0.5), np.float32(0)), largest))
