"""From the counts in an ABI file to radiance, reflectance and brightness temperature.

Formulas: GOES-R Product Definition and Users' Guide (PUG), volume 3, sections 5.0.2 (packing), 5.1.3.6
(reflectance factor) and 5.1.3.7 (brightness temperature).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from convml_data.sources.goes.quality import Flags

Float32Array = npt.NDArray[np.float32]

#: What the values of the data quality flag mean (PUG, volume 3, table 5.1.3.5).
DQF_MEANINGS = (
    "good",
    "conditionally_usable",
    "out_of_range",
    "no_value",
    "focal_plane_temperature_threshold_exceeded",
)
_NO_VALUE = DQF_MEANINGS.index("no_value")

#: Tables that a process keeps, of a quarter of a megabyte each: a channel's constants change with the satellite.
_TABLES = 32

#: The same for files that do not explain their flags.
FLAGS = Flags.described([f"{meaning}_qf" for meaning in DQF_MEANINGS], range(len(DQF_MEANINGS)), None, 255, 8)


@dataclass(frozen=True)
class Packing:
    """How radiances are packed into counts.

    Parameters
    ----------
    scale_factor, add_offset
        Radiance of a count and of count zero, in the radiance's unit.
    fill
        The count of pixels without a value.
    """

    scale_factor: float
    add_offset: float
    fill: int


@dataclass(frozen=True)
class Planck:
    """Constants of a channel's Planck function: ``fk1``, ``fk2``, ``bc1`` (K) and ``bc2``."""

    fk1: float
    fk2: float
    bc1: float
    bc2: float


@dataclass(frozen=True)
class Sorted:
    """The counts of a window by what they are worth.

    Parameters
    ----------
    counts
        Of the pixels that are used, fill for all others.
    missing
        Where there is no value.
    rejected
        Where there is a value whose data quality flag is not one of those kept.
    dqf_shares
        The share of the pixels with each quality flag, by meaning. What is missing from one is the share of pixels
        without a flag, beside the earth or never sent.
    """

    counts: npt.NDArray[np.integer]
    missing: npt.NDArray[np.bool_]
    rejected: npt.NDArray[np.bool_]
    dqf_shares: dict[str, float]


def sort_out(
    counts: npt.NDArray[np.integer], dqf: npt.NDArray[np.uint8], packing: Packing, kept: npt.NDArray[np.bool_]
) -> Sorted:
    """Tell the counts that are used from others.

    A value is missing where the counts are fill or the quality flag says "no value". All other
    pixels have one, the conditionally usable and the saturated (out of range) too, as with satpy's reader
    by default; which of them are wanted is told by :mod:`.quality`.

    Parameters
    ----------
    counts
        Of 16 bits, as read.
    dqf
        Data quality flags, same shape.
    packing
        Of the file.
    kept
        Whether each value of the flag is kept, shape (256,).
    """
    from convml_data.kernels import counts as kernels

    bits = _bits(counts)
    used = np.empty_like(bits)
    missing, rejected = np.empty(bits.shape, np.bool_), np.empty(bits.shape, np.bool_)
    occurrences = np.zeros(256, np.int64)
    kernels.sort_out(
        bits.ravel(),
        np.ascontiguousarray(dqf).ravel(),
        packing.fill & 0xFFFF,
        _NO_VALUE,
        kept,
        used.ravel(),
        missing.ravel(),
        rejected.ravel(),
        occurrences,
    )
    shares = {name: float(occurrences[flag] / bits.size) for flag, name in enumerate(DQF_MEANINGS)}
    return Sorted(used.view(counts.dtype.newbyteorder("=")), missing, rejected, shares)


def looked_up(counts: npt.NDArray[np.integer], table: Float32Array) -> Float32Array:
    """What counts of 16 bits mean by a table of all of them, of which there are far fewer than pixels."""
    from convml_data.kernels import counts as kernels

    values = np.empty(counts.shape, np.float32)
    kernels.look_up(_bits(counts).ravel(), table, values.ravel())
    return values


def _bits(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.uint16]:
    return np.ascontiguousarray(counts, counts.dtype.newbyteorder("=")).view(np.uint16)


@lru_cache(_TABLES)
def radiance_table(packing: Packing, counts: np.dtype[np.integer]) -> Float32Array:
    """Spectral radiance of every count of a type of 16 bits, by its bits; NaN of fill.

    W m-2 sr-1 um-1 for the reflective channels 1 to 6, mW m-2 sr-1 (cm-1)-1 for the others. Negative
    radiances are noise around zero and are kept, so that means over dark areas are not biased.
    """
    every = np.arange(1 << 16, dtype=np.uint16).view(counts)
    # In float32 throughout, as the packing is given: a count is far coarser than what that loses.
    values = every.astype(np.float32) * np.float32(packing.scale_factor) + np.float32(packing.add_offset)
    values[every == packing.fill] = np.nan
    return values


@lru_cache(_TABLES)
def brightness_temperature_table(packing: Packing, counts: np.dtype[np.integer], planck: Planck) -> Float32Array:
    """The same of the brightness temperature."""
    return brightness_temperature(radiance_table(packing, counts), planck)


def reflectance(radiance: Float32Array, esun: float, earth_sun_distance: float) -> Float32Array:
    """Reflectance factor of a channel from 1 to 6: L π d² / E, no correction for the height of the sun.

    The files' ``kappa0`` is the same factor π d² / E rounded to five digits, so it is made from its parts.

    Parameters
    ----------
    radiance
        L, W m-2 sr-1 um-1.
    esun
        E, solar irradiance in the band at one astronomical unit, W m-2 um-1.
    earth_sun_distance
        d, astronomical units (``earth_sun_distance_anomaly_in_AU``).

    Returns
    -------
    ndarray of float32
        Percent.
    """
    return radiance * np.float32(np.pi * earth_sun_distance**2 / esun) * np.float32(100)


def brightness_temperature(radiance: Float32Array, planck: Planck) -> Float32Array:
    """Temperature of a black body that radiates as much: (fk2 / ln(fk1 / L + 1) − bc1) / bc2.

    Parameters
    ----------
    radiance
        L, mW m-2 sr-1 (cm-1)-1.
    planck
        Of the channel, 7 to 16.

    Returns
    -------
    ndarray of float32
        Kelvin, NaN where the radiance is not positive: noise over very cold tops in channel 7 has no
        temperature.
    """
    positive = np.where(radiance > 0, radiance, np.nan).astype(np.float64)
    temperature = (planck.fk2 / np.log1p(planck.fk1 / positive) - planck.bc1) / planck.bc2
    return temperature.astype(np.float32)
