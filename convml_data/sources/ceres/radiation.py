"""Broadband fluxes at the top of the atmosphere: of sunlight, of what is reflected, and net.

Downward is positive in the net flux. Fluxes refer to a horizontal surface, in W m-2.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
from pyorbital import astronomy

FloatArray = npt.NDArray[np.float64]

#: Irradiance of the sun at one astronomical unit, W m-2: 1360.8 +- 0.5 in Kopp and Lean (2011), A new, lower
#: value of total solar irradiance, Geophys. Res. Lett. 38, L01706, rounded as is usual since.
TOTAL_SOLAR_IRRADIANCE = 1361.0


def incoming_flux(lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Sunlight that arrives at the top of the atmosphere.

    The irradiance at the earth's distance times the sine of the sun's elevation, 0 where the sun is
    below the horizon. The sun's place and distance are pyorbital's.

    Parameters
    ----------
    lon, lat
        Degrees east and north, of one shape.
    time
        UTC.

    Returns
    -------
    W m-2, of that shape; NaN where a coordinate is.
    """
    sine_of_elevation = astronomy.cos_zen(time, np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    distance = float(astronomy.sun_earth_distance_correction(time))  # astronomical units
    return np.asarray(TOTAL_SOLAR_IRRADIANCE / distance**2 * np.maximum(sine_of_elevation, 0.0), np.float64)


def reflected_flux(incoming: FloatArray, albedo: npt.ArrayLike) -> FloatArray:
    """Sunlight that goes back to space.

    Where none arrives none is reflected, whatever the albedo, which has no value at night; elsewhere
    there is no flux without an albedo.

    Parameters
    ----------
    incoming
        W m-2.
    albedo
        From 0 to 1, of the same shape.
    """
    return np.where(incoming == 0, 0.0, incoming * np.asarray(albedo, np.float64))


def net_flux(incoming: FloatArray, reflected: FloatArray, longwave: npt.ArrayLike) -> FloatArray:
    """What is gained from the sun less what is emitted, W m-2."""
    return np.asarray(incoming - reflected - np.asarray(longwave, np.float64))
