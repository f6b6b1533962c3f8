"""Scattering by the air, by angles between sun and satellite, from a table."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

Float64Array = npt.NDArray[np.float64]


@compiled(
    given("f8", 2), given("f8", 2), given("f8", 1), given("f8", 1),
    given("f8", 3), given("f8", 1), given("f8", 1), filled("f4", 1),
)  # fmt: skip
def scattered(
    up: Float64Array,
    towards: Float64Array,
    secants: Float64Array,
    sun: Float64Array,
    table: Float64Array,
    lowest: Float64Array,
    highest: Float64Array,
    values: npt.NDArray[np.float32],
) -> None:
    """Interpolated in a table of percents by three angles, see :class:`convml_data.sources.goes.rayleigh.Scattering`.

    ``up`` and ``towards`` the satellite along the ground are unit vectors, shape (3, points), and so is the vector to
    the ``sun``; ``secants`` are of the satellite's zenith angle. NaN where ``up`` is.
    """
    sizes = table.shape
    for point in range(values.size):
        x, y, z = up[0, point], up[1, point], up[2, point]
        if math.isnan(x):
            values[point] = np.nan
            continue
        p, q, r = towards[0, point], towards[1, point], towards[2, point]
        height = x * sun[0] + y * sun[1] + z * sun[2]
        along = p * sun[0] + q * sun[1] + r * sun[2]
        aside = (y * r - z * q) * sun[0] + (z * p - x * r) * sun[1] + (x * q - y * p) * sun[2]
        azimuth = 180 - math.degrees(math.atan2(abs(aside), along))
        secant = 1 / height if height * highest[0] > 1 else highest[0]
        places = (
            (secant - lowest[0]) / (highest[0] - lowest[0]) * (sizes[0] - 1),
            (azimuth - lowest[1]) / (highest[1] - lowest[1]) * (sizes[1] - 1),
            (min(secants[point], highest[2]) - lowest[2]) / (highest[2] - lowest[2]) * (sizes[2] - 1),
        )
        i = min(max(int(places[0]), 0), sizes[0] - 2)
        j = min(max(int(places[1]), 0), sizes[1] - 2)
        k = min(max(int(places[2]), 0), sizes[2] - 2)
        u, v, w = places[0] - i, places[1] - j, places[2] - k
        value = (
            (1 - u) * (1 - v) * ((1 - w) * table[i, j, k] + w * table[i, j, k + 1])
            + (1 - u) * v * ((1 - w) * table[i, j + 1, k] + w * table[i, j + 1, k + 1])
            + u * (1 - v) * ((1 - w) * table[i + 1, j, k] + w * table[i + 1, j, k + 1])
            + u * v * ((1 - w) * table[i + 1, j + 1, k] + w * table[i + 1, j + 1, k + 1])
        )
        values[point] = min(max(value, 0.0), 100.0)
