"""Stretches that bring a field to the range of a picture, 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: Reflectance that becomes 0, as a fraction.
CIRA_ROOT = 0.0223
#: Share of the logarithmic range from there to a reflectance of 10 that becomes 0 to 1.
CIRA_RANGE = 0.75


def cira_stretch(reflectance: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logarithmic stretch of reflectances, which brightens dark scenes as the eye does.

    With r = reflectance / 100 it is (log10 r − log10 0.0223) / (0.75 (1 − log10 0.0223)), clipped
    to [0, 1]. Formula and constants are those of the enhancement for ``true_color`` of satpy 0.60
    (``satpy.enhancements.contrast.cira_stretch``), named after the Cooperative Institute for
    Research in the Atmosphere.

    Parameters
    ----------
    reflectance
        Percent, any shape; dark current may make it negative.

    Returns
    -------
    The same shape and type, NaN where the reflectance is NaN.
    """
    fraction = np.maximum(reflectance / 100, np.finfo(np.float64).eps)
    root = np.log10(CIRA_ROOT)
    stretched = (np.log10(fraction) - root) / ((1 - root) * CIRA_RANGE)
    return np.asarray(np.clip(stretched, 0.0, 1.0), reflectance.dtype)


@dataclass(frozen=True, eq=False)
class Levels:
    """What level of a picture, 0 to 255, a number in single precision becomes, by its bits.

    The bits of positive numbers have the same order as the numbers. Without the last ``shift`` of them they name
    an interval; the first of these and all below it begin with level 0, and the last goes on above it.

    Parameters
    ----------
    first
        What the first interval is named.
    shift
        Bits that tell numbers of an interval apart.
    lowest
        Level at the beginning of each interval.
    thresholds
        Bits of the number in each interval, or above it, from which on the level is one higher.
    """

    first: int
    shift: int
    lowest: npt.NDArray[np.uint8]
    thresholds: npt.NDArray[np.int32]


#: With seven bits of its fraction left, a number is known to 1/128; from one level to the next it grows by 1/55.
_SHIFT = 16


@lru_cache(1)
def cira_levels() -> Levels:
    """The levels of :func:`cira_stretch`, rounded, of reflectances in percent."""
    # The first number of each level from 1 on, by bisection.
    below = np.full(255, np.float32(1).view(np.int32))
    from_here = np.full(255, np.float32(1000).view(np.int32))
    while (from_here - below > 1).any():
        middle = below + (from_here - below) // 2
        reached = _cira_level(middle) >= np.arange(1, 256)
        below, from_here = np.where(reached, below, middle), np.where(reached, middle, from_here)
    first, last = from_here[0] >> _SHIFT, from_here[-1] >> _SHIFT
    lowest = _cira_level(np.arange(first, last + 1, dtype=np.int32) << _SHIFT)
    lowest[0] = 0
    never = np.iinfo(np.int32).max
    return Levels(int(first), _SHIFT, lowest, np.append(from_here, never).astype(np.int32)[lowest])


def _cira_level(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(cira_stretch(bits.view(np.float32)) * 255), np.uint8)
