"""Truecolor from three channels, as satpy's composite ``true_color`` of ABI defines it.

Red is channel 2 (0.64 µm), blue channel 1 (0.47 µm), and green, which ABI does not see, is simulated
from both and the vegetation channel 3 (0.86 µm). All are reflectances corrected for the height of the
sun; red and blue can have the Rayleigh scattering taken off. Green and blue, whose pixels are twice as
large, get the fine structure of red. Source: satpy 0.60, `etc/composites/abi.yaml`; simulated green after
Bah et al. (2018), https://doi.org/10.1029/2018EA000379, with satpy's fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.sources.goes.nodes import look_from, nodes_of
from convml_data.sources.goes.rayleigh import Scattering

Float32Array = npt.NDArray[np.float32]

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
    from convml_data.kernels.composite import compose

    coarse, fine = nodes_of(blue.grid), nodes_of(red.grid)
    sun_blue = coarse.cosine_of_sun_zenith(blue.start)
    if scattering is None:
        scattered_blue = scattered_red = np.zeros(fine.shape, np.float32)
    else:
        look = look_from(red.grid, scattering.position)
        scattered_blue = scattering.reflectance(BLUE, blue.start, fine, look)
        scattered_red = scattering.reflectance(RED, red.start, fine, look)
    rgb = np.empty((3, *red.grid.shape), np.float32)
    compose(
        blue.values,
        red.values,
        vegetation.values,
        sun_blue,
        fine.cosine_of_sun_zenith(red.start),
        sun_blue if vegetation.start == blue.start else coarse.cosine_of_sun_zenith(vegetation.start),
        scattered_blue,
        scattered_red,
        coarse.step,
        fine.step,
        math.radians(FULL_CORRECTION_TO),
        math.radians(NIGHT_FROM),
        np.array(GREEN_FRACTIONS, np.float32),
        MAX_SHARPENING,
        rgb,
    )
    return rgb
