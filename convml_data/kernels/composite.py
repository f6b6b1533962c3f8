"""Truecolor from the reflectances of three channels, in one pass over rows that stay in the processor's cache."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

Float32Array = npt.NDArray[np.float32]

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled(given("f4", 2), "i8", "i8", filled("f4", 1), filled("f4", 1))
def interpolate_row(nodes: Float32Array, step: int, row: int, along: Float32Array, pixels: Float32Array) -> None:
    """A row of pixels between nodes that lie ``step`` pixels apart; ``along`` is room for a row of nodes and one."""
    if step == 1:
        pixels[:] = nodes[row, : pixels.size]
        return
    before = min(row // step, nodes.shape[0] - 2)
    lower = np.float32((row - before * step) / step)
    count = nodes.shape[1]
    for node in range(count):
        along[node] = nodes[before, node] * (_ONE - lower) + nodes[before + 1, node] * lower
    along[count] = along[count - 1]  # which has no weight
    for within in range(step):
        right = np.float32(within / step)
        left = _ONE - right
        for node in range((pixels.size - within + step - 1) // step):
            pixels[node * step + within] = along[node] * left + along[node + 1] * right


@compiled("f8", "f8", filled("f4", 1))
def sun_zenith_factors(full: float, night: float, cosines: Float32Array) -> None:
    """What corrects reflectances for the height of the sun, in place of the cosines of its zenith angle θ.

    1/cos θ up to ``full``; beyond, the factor fades from 1/cos ``full`` to zero at ``night`` by
    1 − log2(1 + (θ − full)/(night − full)), so that noise in the dark is not blown up. Radians.
    """
    lowest = np.float32(math.cos(full))
    low = 0
    for column in range(cosines.size):
        low += not cosines[column] > lowest
    if low == 0:
        for column in range(cosines.size):
            cosines[column] = _ONE / cosines[column]
        return
    for column in range(cosines.size):
        cosine = cosines[column]
        if cosine > lowest:
            cosines[column] = _ONE / cosine
        elif not math.isnan(cosine):
            beyond = (math.acos(max(cosine, -1.0)) - full) / (night - full)
            cosines[column] = 0.0 if beyond >= 1 else (1 - math.log2(1 + max(beyond, 0.0))) / math.cos(full)


@compiled(given("f4", 1), filled("f4", 1))
def shares_of_clear_sky(red: Float32Array, shares: Float32Array) -> None:
    """Share of the Rayleigh scattering that is taken off, which clouds hide the more the brighter they are.

    Pyspectral's rule: all where red reflects less than 20 %, none where it reflects 100 % or more.
    """
    for column in range(red.size):
        share = _ONE - (red[column] - np.float32(20)) / np.float32(80)
        # Not by min and max, whose answer for NaN depends on the order.
        shares[column] = _ZERO if share < 0 else _ONE if share > 1 else share


@compiled(given("f4", 2), "f4", filled("f4", 2))
def sharpening_ratios(red: Float32Array, limit: float, ratios: Float32Array) -> None:
    """Red over its mean in each block of 2 × 2 pixels of two rows, the fine structure that green and blue lack.

    Between 0 and ``limit``; 1 where the ratio is negative or not finite.
    """
    for block in range(red.shape[1] // 2):
        total, there = _ZERO, _ZERO
        for row in range(2):
            for column in range(2 * block, 2 * block + 2):
                if math.isfinite(red[row, column]):
                    total += red[row, column]
                    there += _ONE
        mean = total / there
        for row in range(2):
            for column in range(2 * block, 2 * block + 2):
                ratio = red[row, column] / mean
                if not math.isfinite(ratio) or ratio < 0:
                    ratio = _ONE
                ratios[row, column] = min(ratio, limit)


@compiled(*[given("f4", 2)] * 8, "i8", "i8", "f8", "f8", given("f4", 1), "f4", filled("f4", 3))
def compose(
    blue: Float32Array,
    red: Float32Array,
    vegetation: Float32Array,
    sun_blue: Float32Array,
    sun_red: Float32Array,
    sun_vegetation: Float32Array,
    scattered_blue: Float32Array,
    scattered_red: Float32Array,
    coarse_step: int,
    fine_step: int,
    full: float,
    night: float,
    fractions: Float32Array,
    limit: float,
    rgb: Float32Array,
) -> None:
    """Red, green and blue on the grid of red, whose sides are even, see :mod:`convml_data.sources.goes.truecolor`.

    The cosine of the sun's zenith angle is given on nodes of each channel's pixels, the scattering on those of red.
    """
    rows, columns = red.shape
    along = np.empty(max(sun_red.shape[1], sun_blue.shape[1]) + 1, np.float32)
    coarse_blue, coarse_vegetation = np.empty(columns // 2, np.float32), np.empty(columns // 2, np.float32)
    factors, clear = np.empty(columns, np.float32), np.empty(columns, np.float32)
    air_blue, air_red = np.empty(columns, np.float32), np.empty(columns, np.float32)
    reds, blues, ratios = (
        np.empty((2, columns), np.float32),
        np.empty((2, columns), np.float32),
        np.empty((2, columns), np.float32),
    )
    for coarse_row in range(rows // 2):
        interpolate_row(sun_blue, coarse_step, coarse_row, along, coarse_blue)
        sun_zenith_factors(full, night, coarse_blue)
        interpolate_row(sun_vegetation, coarse_step, coarse_row, along, coarse_vegetation)
        sun_zenith_factors(full, night, coarse_vegetation)
        for column in range(columns // 2):
            coarse_blue[column] *= blue[coarse_row, column]
            coarse_vegetation[column] *= vegetation[coarse_row, column]
        for part in range(2):
            row = 2 * coarse_row + part
            interpolate_row(sun_red, fine_step, row, along, factors)
            sun_zenith_factors(full, night, factors)
            interpolate_row(scattered_blue, fine_step, row, along, air_blue)
            interpolate_row(scattered_red, fine_step, row, along, air_red)
            for column in range(columns):
                reds[part, column] = red[row, column] * factors[column]
            shares_of_clear_sky(reds[part], clear)
            for column in range(columns):
                reds[part, column] -= air_red[column] * clear[column]
                blues[part, column] = coarse_blue[column // 2] - air_blue[column] * clear[column]
        sharpening_ratios(reds, limit, ratios)
        for part in range(2):
            row = 2 * coarse_row + part
            for column in range(columns):
                r, b, v = reds[part, column], blues[part, column], coarse_vegetation[column // 2]
                g = fractions[0] * b + fractions[1] * r + fractions[2] * v
                there = math.isfinite(b + r + v)
                rgb[0, row, column] = r if there else np.nan
                rgb[1, row, column] = g * ratios[part, column] if there else np.nan
                rgb[2, row, column] = b * ratios[part, column] if there else np.nan
