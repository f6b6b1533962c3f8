"""The sixteen bands of the ABI: resolution, packing and calibration constants.

Numbers are those of GOES-17's level 1b files of December 2019, whichever satellite is simulated: readers
take them from the file. Wavelengths in micrometres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """How a band's radiances are kept.

    Parameters
    ----------
    channel
        1 to 16.
    resolution_km
        Nominal, at the sub-satellite point: 0.5, 1 or 2.
    wavelength
        Central, micrometres.
    bits
        Of a count. The largest number of that many bits is fill.
    scale_factor, add_offset
        From counts to radiances.
    """

    channel: int
    resolution_km: float
    wavelength: float
    bits: int
    scale_factor: float
    add_offset: float

    @property
    def fill(self) -> int:
        """The count that stands for no value."""
        return int(2**self.bits - 1)

    def fractional_counts(self, radiance: FloatArray) -> FloatArray:
        """Radiances in counts, not rounded, NaN where they are NaN."""
        # The file holds the packing in single precision.
        scaled = (radiance - np.float64(np.float32(self.add_offset))) / np.float64(np.float32(self.scale_factor))
        return np.asarray(scaled, np.float64)

    def counts(self, radiance: FloatArray) -> npt.NDArray[np.int16]:
        """Packed radiances, fill where they are NaN.

        Raises
        ------
        ValueError
            A radiance is beyond what the band can keep.
        """
        valid = np.isfinite(radiance)
        counts = np.rint(np.where(valid, self.fractional_counts(radiance), self.fill))
        if ((counts < 0) | (counts >= self.fill))[valid].any():
            raise ValueError(f"a radiance of channel {self.channel} is beyond the range of its counts")
        return counts.astype(np.int16)


@dataclass(frozen=True)
class ReflectiveBand(Band):
    """A band of sunlight; radiances in W m-2 sr-1 um-1.

    Parameters
    ----------
    esun
        Solar irradiance in the band at the mean distance from the sun, W m-2 um-1.
    """

    esun: float

    def kappa0(self, distance: float) -> float:
        """Reflectance factor per radiance at a distance from the sun in astronomical units (PUG vol. 3, 5.1.3)."""
        return float(np.pi * distance**2 / self.esun)


@dataclass(frozen=True)
class EmissiveBand(Band):
    """An infrared band; radiances in mW m-2 sr-1 (cm-1)-1.

    Parameters
    ----------
    fk1, fk2
        Constants of Planck's law at the central wavenumber.
    bc1, bc2
        Offset and slope of the temperature that account for the band's width.
    """

    fk1: float
    fk2: float
    bc1: float
    bc2: float

    def radiance(self, temperature: FloatArray) -> FloatArray:
        """Of a brightness temperature in K: the inverse of the equation in PUG vol. 3, 5.1.3."""
        return np.asarray(self.fk1 / np.expm1(self.fk2 / (self.bc1 + self.bc2 * temperature)), np.float64)


_BANDS: tuple[ReflectiveBand | EmissiveBand, ...] = (
    ReflectiveBand(1, 1.0, 0.47, 10, 0.8121064, -25.936647, 2041.6865),
    ReflectiveBand(2, 0.5, 0.64, 12, 0.15859237, -20.289911, 1628.0801),
    ReflectiveBand(3, 1.0, 0.87, 10, 0.37691253, -12.037643, 955.5531),
    ReflectiveBand(4, 2.0, 1.38, 11, 0.07073108, -4.5223684, 361.51877),
    ReflectiveBand(5, 1.0, 1.61, 10, 0.09580004, -3.0596137, 242.64404),
    ReflectiveBand(6, 2.0, 2.25, 10, 0.03008847, -0.9609507, 77.00672),
    EmissiveBand(7, 2.0, 3.89, 14, 0.00156435, -0.0376, 203135.0, 3703.5, 0.44554, 0.99938),
    EmissiveBand(8, 2.0, 6.17, 12, 0.00710476, -0.5586, 50687.1, 2331.58, 1.54088, 0.99669),
    EmissiveBand(9, 2.0, 6.93, 11, 0.0225391, -0.8236, 35759.1, 2075.61, 0.33955, 0.99919),
    EmissiveBand(10, 2.0, 7.34, 12, 0.02004128, -0.9561, 30160.0, 1961.08, 0.05653, 0.99986),
    EmissiveBand(11, 2.0, 8.44, 12, 0.03335779, -1.3022, 19712.5, 1701.89, 0.19396, 0.99946),
    EmissiveBand(12, 2.0, 9.61, 11, 0.05443998, -1.5394, 13418.5, 1497.1, 0.09143, 0.99971),
    EmissiveBand(13, 2.0, 10.33, 12, 0.04572892, -1.6443, 10835.6, 1394.12, 0.07786, 0.99974),
    EmissiveBand(14, 2.0, 11.19, 12, 0.04949221, -1.7187, 8495.35, 1285.52, 0.21781, 0.99922),
    EmissiveBand(15, 2.0, 12.27, 12, 0.05277411, -1.7558, 6439.94, 1172.14, 0.22019, 0.99914),
    EmissiveBand(16, 2.0, 13.27, 10, 0.17605852, -5.2392, 5063.58, 1081.86, 0.06224, 0.99974),
)

#: By channel.
BANDS = {band.channel: band for band in _BANDS}
