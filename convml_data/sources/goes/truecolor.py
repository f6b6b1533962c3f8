"""Truecolor from three channels, as satpy's composite ``true_color`` of ABI defines it.

Red is channel 2 (0.64 µm), blue channel 1 (0.47 µm), and green, which ABI does not see, is simulated
from both and the vegetation channel 3 (0.86 µm). All are reflectances corrected for the height of the
sun; red and blue can have the Rayleigh scattering taken off. Green and blue, whose pixels are twice as
large, get the fine structure of red. Source: satpy 0.60, `etc/composites/abi.yaml`; simulated green after
Bah et al. (2018), https://doi.org/10.1029/2018EA000379, with satpy's fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt
from pyorbital import astronomy

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.sources.goes.rayleigh import Scattering

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

#: Channels that blue, red and the simulated green are made from.
BLUE, RED, VEGETATION = 1, 2, 3

#: Shares of blue, red and vegetation in green.
GREEN_FRACTIONS = (0.465, 0.465, 0.07)

#: No pixel gets brighter by more than this from the structure of red.
MAX_SHARPENING = 1.5

#: Zenith distance of the sun up to which reflectances are divided by its cosine, and from which on they
#: are zero, degrees.
FULL_CORRECTION_TO = 88.0
NIGHT_FROM = 95.0

#: What was applied, for attributes.
SUN_ZENITH_CORRECTION = (
    f"1/cos of the sun's zenith angle to {FULL_CORRECTION_TO:g} degrees, "
    f"fading to zero reflectance at {NIGHT_FROM:g} degrees"
)

#: Angles vary so slowly over an image that every eighth pixel needs to be computed: linear interpolation
#: between them puts the cosine of the sun's zenith angle off by less than 1e-5 up to the given zenith
#: angle of the satellite. Windows that reach further to the limb are computed pixel by pixel.
_NODE_STEP = 8
_NODES_UP_TO_SATELLITE_ZENITH = math.radians(70)

#: Rows of red that are worked on at once, so that temporary arrays stay small whatever the window; even.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Reflectances:
    """A window of a reflective channel.

    Parameters
    ----------
    values
        Percent, not corrected for the height of the sun, shape (y, x), NaN where missing.
    grid
        Of the window.
    start
        Of the scan, UTC.
    """

    values: Float32Array
    grid: FixedGrid
    start: datetime


def truecolor(
    blue: Reflectances, red: Reflectances, vegetation: Reflectances, scattering: Scattering | None
) -> Float32Array:
    """Red, green and blue on the grid of red, before any enhancement.

    Parameters
    ----------
    blue, vegetation
        Channels 1 and 3, on one grid.
    red
        Channel 2 over the same area, its pixels half as large.
    scattering
        The Rayleigh scattering to take off blue and red, None to leave it.

    Returns
    -------
    ndarray of float32
        Percent, shape (3, y, x); NaN in all three where a channel is missing or beside the earth.

    Raises
    ------
    SceneError
        The grids are not those of these channels over one area.
    """
    if red.grid.coarsening_to(blue.grid) != 2 or vegetation.grid.coarsening_to(blue.grid) != 1:
        raise SceneError(
            f"truecolor needs pixels of 1, 0.5 and 1 km of one area, not {blue.grid}, {red.grid} and {vegetation.grid}",
            remedy="Leave this scene out: its files are not of one scan",
        )
    sun_blue = _cosine_of_sun_zenith(blue)
    sun_red = _cosine_of_sun_zenith(red)
    sun_vegetation = sun_blue if vegetation.start == blue.start else _cosine_of_sun_zenith(vegetation)
    scattered = {
        channel: _field(partial(scattering.reflectance, channel, field.start), red.grid)
        for channel, field in ((BLUE, blue), (RED, red))
        if scattering is not None
    }

    rgb = np.empty((3, *red.grid.shape), np.float32)
    for first in range(0, red.grid.shape[0], _ROWS_AT_ONCE):
        rows = slice(first, min(first + _ROWS_AT_ONCE, red.grid.shape[0]))
        coarse_rows = slice(rows.start // 2, rows.stop // 2)
        r = red.values[rows] * sun_zenith_factor(sun_red.rows(rows))
        b = _doubled(blue.values[coarse_rows] * sun_zenith_factor(sun_blue.rows(coarse_rows)))
        v = _doubled(vegetation.values[coarse_rows] * sun_zenith_factor(sun_vegetation.rows(coarse_rows)))
        if scattered:
            clear = share_of_clear_sky(r)
            b -= scattered[BLUE].rows(rows) * clear
            r = r - scattered[RED].rows(rows) * clear
        g = GREEN_FRACTIONS[0] * b + GREEN_FRACTIONS[1] * r + GREEN_FRACTIONS[2] * v
        ratio = sharpening_ratio(r)
        rgb[:, rows] = np.where(np.isfinite(b + r + v), [r, g * ratio, b * ratio], np.nan)
    return rgb


def sun_zenith_factor(cosine: npt.NDArray[np.floating]) -> Float32Array:
    """What reflectances are multiplied by to correct them for the height of the sun.

    1/cos θ up to θ = 88°; beyond, the factor fades from 1/cos 88° to zero at 95° by
    1 − log2(1 + (θ − 88°)/7°), so that noise in the dark is not blown up.

    Parameters
    ----------
    cosine
        Of the sun's zenith angle θ.
    """
    full, night = math.radians(FULL_CORRECTION_TO), math.radians(NIGHT_FROM)
    beyond = np.clip((np.arccos(np.clip(cosine, -1, 1)) - full) / (night - full), 0, 1)
    low_sun = (1 - np.log2(1 + beyond)) / math.cos(full)
    high = cosine > math.cos(full)
    return np.where(high, 1 / np.where(high, cosine, 1), low_sun).astype(np.float32)


def share_of_clear_sky(red: Float32Array) -> Float32Array:
    """Share of the Rayleigh scattering that is taken off, which clouds hide the more the brighter they are.

    Pyspectral's rule: all where red reflects less than 20 %, none where it reflects 100 % or more.
    """
    return np.asarray(np.clip(1 - (red - 20) / 80, 0, 1), np.float32)


def sharpening_ratio(red: Float32Array) -> Float32Array:
    """Red over its mean in each block of 2 × 2 pixels, the fine structure that green and blue lack.

    Between 0 and ``MAX_SHARPENING``; 1 where the ratio is negative or not finite.
    """
    rows, columns = red.shape
    blocks = red.reshape(rows // 2, 2, columns // 2, 2)
    there = np.isfinite(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, blocks, 0).sum(axis=(1, 3)) / there.sum(axis=(1, 3), dtype=np.float32)
        ratio = red / _doubled(mean)
    ratio[~np.isfinite(ratio) | (ratio < 0)] = 1
    return np.asarray(np.minimum(ratio, np.float32(MAX_SHARPENING)), np.float32)


def _doubled(values: Float32Array) -> Float32Array:
    return values.repeat(2, axis=0).repeat(2, axis=1)


@dataclass(frozen=True)
class _Field:
    """A smooth quantity on every ``step``-th pixel of a window, as far as the last one or beyond."""

    nodes: Float32Array
    step: int
    columns: int

    def rows(self, rows: slice) -> Float32Array:
        """Interpolated to all pixels of some rows."""
        if self.step == 1:
            return self.nodes[rows]
        return _interpolated(
            _interpolated(self.nodes, np.arange(rows.start, rows.stop), self.step).T,
            np.arange(self.columns),
            self.step,
        ).T


def _interpolated(nodes: Float32Array, at: npt.NDArray[np.integer], step: int) -> Float32Array:
    before = np.minimum(at // step, len(nodes) - 2)
    weight = ((at - before * step) / step).astype(np.float32)[:, np.newaxis]
    return np.asarray(nodes[before] * (1 - weight) + nodes[before + 1] * weight, np.float32)


def _field(quantity: Callable[[FloatArray, FloatArray], npt.NDArray[np.floating]], grid: FixedGrid) -> _Field:
    """A quantity that depends on longitude and latitude, in degrees, over a window."""
    rows, columns = (max(2, math.ceil((n - 1) / _NODE_STEP) + 1) for n in grid.shape)
    nodes = replace(grid, dx=grid.dx * _NODE_STEP, dy=grid.dy * _NODE_STEP, shape=(rows, columns))
    if not _far_from_limb(nodes):
        nodes = grid
    step = round(nodes.dx / grid.dx)
    return _Field(quantity(*nodes.lonlat()).astype(np.float32), step, grid.shape[1])


def _far_from_limb(grid: FixedGrid) -> bool:
    # On a sphere, the sine of the satellite's zenith angle is that of the scan angle times the
    # distance of the satellite from the centre of the earth in earth radii.
    widest = math.hypot(np.abs(grid.x_rad).max(), np.abs(grid.y_rad).max())
    radii = 1 + grid.view.perspective_height / grid.view.semi_major_axis
    return radii * math.sin(widest) < math.sin(_NODES_UP_TO_SATELLITE_ZENITH)


def _cosine_of_sun_zenith(field: Reflectances) -> _Field:
    return _field(partial(astronomy.cos_zen, field.start), field.grid)
