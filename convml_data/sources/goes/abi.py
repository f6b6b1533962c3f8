"""One ABI L1b radiance file: what it says of itself, and the counts of a window of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import h5py
import numpy as np
import numpy.typing as npt

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.windows import Window
from convml_data.meta.products import REFLECTIVE_CHANNELS
from convml_data.sources.goes import calibration
from convml_data.sources.goes.calibration import Packing, Planck
from convml_data.sources.goes.granule import (
    Granule,
    as_declared,
    decimal_of,
    decoded,
    fixed_grid_of,
    flags_of,
    identity_of,
    is_unsigned,
    number_of,
)
from convml_data.sources.goes.quality import Flags

#: Data quality flag of a good pixel, and of one without a flag.
_GOOD, _NO_FLAG = np.uint8(0), np.uint8(255)


@dataclass(frozen=True)
class SatellitePosition:
    """Where the satellite nominally is: degrees east, degrees north, metres above the ellipsoid."""

    longitude: float
    latitude: float
    altitude: float


@dataclass(frozen=True)
class Channel:
    """What a file says of its channel and scan.

    Parameters
    ----------
    number
        1 to 16.
    wavelength
        Nominal centre of the band, µm.
    satellite
        ``goes16``, …
    start, end
        Of the scan, UTC.
    grid
        Of all pixels of the file.
    position
        Of the satellite.
    packing
        Of the radiances.
    flags
        What the data quality flags mean.
    esun
        Solar irradiance in the band at one astronomical unit, W m-2 um-1, None for emissive channels.
    earth_sun_distance
        Astronomical units.
    planck
        None for reflective channels.
    """

    number: int
    wavelength: float
    satellite: str
    start: datetime
    end: datetime
    grid: FixedGrid
    position: SatellitePosition
    packing: Packing
    flags: Flags
    esun: float | None
    earth_sun_distance: float
    planck: Planck | None


class AbiFile(Granule):
    """An open L1b radiance file."""

    kind = "ABI L1b radiance file"
    channel: Channel

    @property
    def grid(self) -> FixedGrid:
        """The pixels of the whole file."""
        return self.channel.grid

    def describe(self, hdf5: h5py.File) -> dict[str, h5py.Dataset]:
        """See :class:`~.granule.Granule`."""
        images = {name: hdf5[name] for name in ("Rad", "DQF")}
        if len({image.shape for image in images.values()}) > 1:
            raise ValueError(f"Rad has shape {images['Rad'].shape} and DQF {images['DQF'].shape}")
        for name, bytes_each in (("Rad", 2), ("DQF", 1)):
            if images[name].dtype.kind not in "iu" or images[name].dtype.itemsize != bytes_each:
                raise ValueError(f"{name} holds {images[name].dtype}, not integers of {8 * bytes_each} bits")
        self.channel = _describe(hdf5)
        # Flags that say nothing are not read: their chunks are as many as those of the radiances, with an index of
        # their own, which is a third of a scene's requests.
        self._all_good = _are_all_good(images["DQF"])
        return {"Rad": images["Rad"]} if self._all_good else images

    def read_counts(self, window: Window) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]:
        """Counts and data quality flags of a window, reading only the chunks that it touches.

        Parameters
        ----------
        window
            Inside the file's grid.

        Returns
        -------
        counts
            Shape of the window, unsigned where the file says so; fill is ``channel.packing.fill``.
        dqf
            Same shape, 255 where there is no flag.
        """
        images = self.read(window)
        counts = images["Rad"]
        if self._all_good:
            return counts, np.where(counts == self.channel.packing.fill, _NO_FLAG, _GOOD)
        return counts, images["DQF"].astype(np.uint8)


def _describe(hdf5: h5py.File) -> Channel:
    radiances = hdf5["Rad"]
    number = int(number_of(hdf5["band_id"][()]))
    reflective = number in REFLECTIVE_CHANNELS
    identity = identity_of(hdf5)
    flags = flags_of(hdf5["DQF"])
    return Channel(
        number=number,
        wavelength=decimal_of(hdf5["band_wavelength"][()]),
        satellite=identity.satellite,
        start=identity.start,
        end=identity.end,
        grid=fixed_grid_of(hdf5, radiances.shape),
        position=SatellitePosition(
            decimal_of(hdf5["nominal_satellite_subpoint_lon"][()]),
            decimal_of(hdf5["nominal_satellite_subpoint_lat"][()]),
            decimal_of(hdf5["nominal_satellite_height"][()]) * 1000,
        ),
        packing=Packing(
            number_of(radiances.attrs["scale_factor"]),
            number_of(radiances.attrs["add_offset"]),
            int(as_declared(np.atleast_1d(radiances.attrs["_FillValue"]), is_unsigned(radiances))[0]),
        ),
        flags=flags if flags.meanings else calibration.FLAGS,
        esun=_positive(hdf5, "esun") if reflective else None,
        earth_sun_distance=_positive(hdf5, "earth_sun_distance_anomaly_in_AU"),
        planck=None
        if reflective
        else Planck(
            _positive(hdf5, "planck_fk1"),
            _positive(hdf5, "planck_fk2"),
            number_of(hdf5["planck_bc1"][()]),
            _positive(hdf5, "planck_bc2"),
        ),
    )


def _are_all_good(flags: h5py.Dataset) -> bool:
    """Whether the file says that every pixel with a flag is good, and none anything else.

    Files give the share of each state over the whole image (``percent_good_pixel_qf``, …; PUG, volume 3,
    table 5.1.3.5). One pixel of a full disk is 2e-9 of it, far above what a float32 number next to zero can tell.
    """
    meanings = decoded(flags.attrs.get("flag_meanings", "")).split()
    shares = [flags.attrs.get(f"percent_{meaning}") for meaning in meanings]
    if not meanings or any(share is None for share in shares):
        return False
    values = [int(value) for value in np.atleast_1d(flags.attrs.get("flag_values", ()))]
    expected = [float(value == _GOOD) for value in values]
    return _GOOD in values and [number_of(share) for share in shares] == expected


def _positive(hdf5: h5py.File, name: str) -> float:
    value = number_of(hdf5[name][()])
    if not value > 0 or not np.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return value
