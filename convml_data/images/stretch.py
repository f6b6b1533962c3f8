"""Stretches that bring a field to the range of a picture, 0 to 1."""

from __future__ import annotations

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
