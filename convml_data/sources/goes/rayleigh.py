"""The light that molecules of the air scatter into a channel, from pyspectral's tables.

pyspectral interpolates a table of simulated reflectances and, to know where a band sits in it, reads
the spectral response of the instrument. Neither comes with the package: both are downloaded once, to
the folders of pyspectral's configuration (https://pyspectral.readthedocs.io/en/latest/installation.html).
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyspectral
import pyspectral.rayleigh
import pyspectral.rsr_reader
from pyorbital import astronomy
from pyorbital.orbital import get_observer_look
from pyspectral.config import get_config
from pyspectral.utils import (
    ATM_CORRECTION_LUT_VERSION,
    HTTP_PYSPECTRAL_RSR,
    HTTPS_RAYLEIGH_LUTS,
    RSR_DATA_VERSION,
    RSR_DATA_VERSION_FILENAME,
    get_rayleigh_lut_dir,
)

from convml_data.errors import ArchiveError
from convml_data.sources.goes.abi import SatellitePosition

FloatArray = npt.NDArray[np.float64]

#: The atmosphere of satpy's `rayleigh_corrected`.
ATMOSPHERE = "us-standard"
AEROSOL = "rayleigh_only"

#: What was applied, for attributes.
DESCRIPTION = f"applied (pyspectral {pyspectral.__version__}, {ATMOSPHERE}, {AEROSOL})"

#: pyspectral itself waits for a server without a limit.
_ANSWER_WITHIN_S = 5

_DO_WITHOUT = "product_options: {rayleigh_correction: false}"

_DOWNLOAD = threading.Lock()


@dataclass(frozen=True)
class Scattering:
    """The clear air between a satellite and what it sees.

    Parameters
    ----------
    satellite
        ``goes16``, …
    position
        Where it stands.
    """

    satellite: str
    position: SatellitePosition

    def reflectance(self, channel: int, time: datetime, lon: FloatArray, lat: FloatArray) -> FloatArray:
        """Reflectance that Rayleigh scattering adds under a clear sky.

        Parameters
        ----------
        channel
            1 or 2.
        time
            UTC; where the sun stands.
        lon, lat
            Degrees, NaN beside the earth.

        Returns
        -------
        ndarray
            Percent, 0 to 100, NaN beside the earth.

        Raises
        ------
        ArchiveError
            The tables are broken.
        """
        # As dask arrays, since pyspectral would compute others on whatever scheduler is the default,
        # which inside a task of dask.distributed is the cluster.
        angles = [
            da.from_array(np.nan_to_num(angle), chunks=-1)  # type: ignore[no-untyped-call]
            for angle in self._angles(time, lon, lat)
        ]
        try:
            corrector = pyspectral.rayleigh.Rayleigh(
                _platform(self.satellite), "abi", atmosphere=ATMOSPHERE, aerosol_type=AEROSOL
            )
            lazy = corrector.get_reflectance(*angles, f"C{channel:02d}")
            reflectance = lazy.compute(scheduler="synchronous")
        except (OSError, KeyError) as error:
            raise ArchiveError(
                f"the tables for Rayleigh correction cannot be read ({error})",
                where=str(get_rayleigh_lut_dir(AEROSOL).parent),
                remedy=f"Delete pyspectral's tables, so that they are fetched again, or do without: `{_DO_WITHOUT}`",
            ) from error
        return np.where(np.isnan(lon), np.nan, reflectance)

    def _angles(self, time: datetime, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Zenith angles of sun and satellite and the difference of their azimuths (0 to 180), degrees."""
        sun_zenith = astronomy.sun_zenith_angle(time, lon, lat)
        sun_azimuth = np.degrees(astronomy.get_alt_az(time, lon, lat)[1])
        position = self.position
        satellite_azimuth, elevation = get_observer_look(
            position.longitude, position.latitude, position.altitude / 1000, time, lon, lat, 0
        )
        difference = np.abs(sun_azimuth - satellite_azimuth) % 360
        return sun_zenith, 90 - elevation, np.minimum(difference, 360 - difference)


def require_tables(satellite: str) -> None:
    """See that pyspectral's tables for a satellite are on disk, downloading them where they are not.

    Raises
    ------
    ArchiveError
        They are not there and cannot be downloaded.
    """
    with _DOWNLOAD:  # once, not once in each thread
        if not (absent := _absent_tables(satellite)):
            return
        cause = _download(tuple(absent))
        if absent := _absent_tables(satellite):
            raise ArchiveError(
                f"Rayleigh correction needs {' and '.join(map(str, absent))} ({cause})",
                where="product_options.rayleigh_correction",
                remedy="Run `python -c 'from pyspectral import rayleigh, rsr_reader; "
                f'rayleigh.check_and_download(aerosol_types=["{AEROSOL}"]); '
                "rsr_reader.check_and_download()'` where there is internet and copy the folders here (the "
                "environment variable PSP_CONFIG_FILE names a YAML file whose `rayleigh_dir` and `rsr_dir` "
                f"are other folders), or do without: `{_DO_WITHOUT}`",
            )


@dataclass(frozen=True)
class _Table:
    """A table of pyspectral: where it must be, and its version."""

    path: Path
    version_file: Path
    version: str
    url: str

    def __str__(self) -> str:
        return f"{self.path} in version {self.version} (as {self.version_file.name} beside it says)"

    @property
    def is_there(self) -> bool:
        return self.path.is_file() and (self._is_current or not get_config().get("download_from_internet"))

    @property
    def _is_current(self) -> bool:
        # pyspectral fetches tables of any other version anew, each time it is used.
        return self.version_file.is_file() and self.version_file.read_text().strip() == self.version


def _absent_tables(satellite: str) -> list[_Table]:
    try:
        get_config()
    except OSError as error:
        raise ArchiveError(
            f"pyspectral's configuration cannot be read ({error})",
            where="environment variable PSP_CONFIG_FILE",
            remedy=f"Mend it, or do without Rayleigh correction: `{_DO_WITHOUT}`",
        ) from error
    scattering = get_rayleigh_lut_dir(AEROSOL)
    responses = Path(get_config()["rsr_dir"])
    tables = (
        _Table(
            scattering / f"rayleigh_lut_{ATMOSPHERE}.h5",
            scattering / ATM_CORRECTION_LUT_VERSION[AEROSOL]["filename"],
            ATM_CORRECTION_LUT_VERSION[AEROSOL]["version"],
            HTTPS_RAYLEIGH_LUTS[AEROSOL],
        ),
        _Table(
            responses / f"rsr_abi_{_platform(satellite)}.h5",
            responses / RSR_DATA_VERSION_FILENAME,
            RSR_DATA_VERSION,
            HTTP_PYSPECTRAL_RSR,
        ),
    )
    return [table for table in tables if not table.is_there]


@lru_cache(1)
def _download(tables: tuple[_Table, ...]) -> str:
    """Let pyspectral download what it lacks; why it may still lack something.

    Tried once by each process, since behind a firewall a trial takes seconds and every scene asks.
    """
    if not get_config().get("download_from_internet"):
        return "pyspectral's configuration forbids the download"
    try:
        for table in tables:
            _require_answer(table.url)
        pyspectral.rayleigh.check_and_download(aerosol_types=[AEROSOL])
        pyspectral.rsr_reader.check_and_download()
    except Exception as error:  # of urllib, requests, tarfile or the file system
        return f"the download failed: {type(error).__name__}: {error}"
    return "the download did not bring it"


def _require_answer(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_WITHIN_S):
            pass
    except urllib.error.HTTPError:
        pass  # an answer, of which pyspectral may make more


def _platform(satellite: str) -> str:
    return f"GOES-{satellite.removeprefix('goes')}"
