"""The light that molecules of the air scatter into a channel, from pyspectral's tables.

pyspectral interpolates a table of simulated reflectances and, to know where a band sits in it, reads
the spectral response of the instrument. Neither comes with the package: both are downloaded once, to
the folders of pyspectral's configuration (https://pyspectral.readthedocs.io/en/latest/installation.html).
"""

from __future__ import annotations

import os
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
from convml_data.sources.goes.nodes import Look, Nodes, sun_direction
from convml_data.sources.remembered import Remembered

Float32Array = npt.NDArray[np.float32]
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

#: Configurations and satellites whose tables were on disk when they were asked for; each scene asks.
_FOUND: set[tuple[str | None, str]] = set()


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

    def reflectance(self, channel: int, time: datetime, nodes: Nodes, look: Look) -> Float32Array:
        """Reflectance that Rayleigh scattering adds under a clear sky, on the nodes of a window.

        Parameters
        ----------
        channel
            1 or 2.
        time
            UTC; where the sun stands.
        nodes, look
            Of the window, and how the satellite is seen from there.

        Returns
        -------
        ndarray of float32
            Percent, 0 to 100, NaN beside the earth; shape of the nodes.

        Raises
        ------
        ArchiveError
            The tables are broken.
        """
        from convml_data.kernels.scattering import scattered

        table = _table(self.satellite, channel)
        values = np.empty(nodes.shape, np.float32)
        scattered(
            nodes.up.reshape(3, -1),
            look.towards.reshape(3, -1),
            look.secant.ravel(),
            np.array(sun_direction(time)),
            table.reflectance,
            table.lowest,
            table.highest,
            values.ravel(),
        )
        return values


@dataclass(frozen=True, eq=False)
class _Table:
    """Reflectances of a channel at equal steps of three angles, between which pyspectral interpolates linearly.

    Parameters
    ----------
    reflectance
        Percent, by the secant of the sun's zenith angle, 180 degrees less the angle between the azimuths of sun and
        satellite, and the secant of the satellite's zenith angle.
    lowest, highest
        Of these three.
    """

    reflectance: FloatArray
    lowest: FloatArray
    highest: FloatArray


_TABLES: Remembered[_Table] = Remembered(16)


def _table(satellite: str, channel: int) -> _Table:
    """A channel's table, read once by each process: reading it takes longer than using it."""
    return _TABLES.get((_configuration(), satellite, channel), lambda: _read_table(satellite, channel))


def _configuration() -> str | None:
    """What decides where pyspectral looks for its tables."""
    return os.environ.get("PSP_CONFIG_FILE")


def _read_table(satellite: str, channel: int) -> _Table:
    try:
        corrector = pyspectral.rayleigh.Rayleigh(
            _platform(satellite), "abi", atmosphere=ATMOSPHERE, aerosol_type=AEROSOL
        )
        azimuth, satellite_secant, sun_secant = pyspectral.rayleigh.get_reflectance_lut_from_file(
            corrector.reflectance_lut_filename
        )
        axes = [
            np.linspace(float(axis[0]), float(axis[-1]), len(axis)) for axis in (sun_secant, azimuth, satellite_secant)
        ]
        # As dask arrays, since pyspectral would compute others on whatever scheduler is the default,
        # which inside a task of dask.distributed is the cluster.
        sun, between, seen = (
            da.from_array(angle, chunks=-1)  # type: ignore[no-untyped-call]
            for angle in np.meshgrid(
                np.degrees(np.arccos(1 / axes[0])), 180 - axes[1], np.degrees(np.arccos(1 / axes[2])), indexing="ij"
            )
        )
        lazy = corrector.get_reflectance(sun, seen, between, f"C{channel:02d}")
        reflectance = lazy.compute(scheduler="synchronous")
    except (OSError, KeyError) as error:
        raise ArchiveError(
            f"the tables for Rayleigh correction cannot be read ({error})",
            where=str(get_rayleigh_lut_dir(AEROSOL).parent),
            remedy=f"Delete pyspectral's tables, so that they are fetched again, or do without: `{_DO_WITHOUT}`",
        ) from error
    return _Table(
        np.ascontiguousarray(reflectance, np.float64),
        np.array([axis[0] for axis in axes]),
        np.array([axis[-1] for axis in axes]),
    )


def require_tables(satellite: str) -> None:
    """See that pyspectral's tables for a satellite are on disk, downloading them where they are not.

    Raises
    ------
    ArchiveError
        They are not there and cannot be downloaded.
    """
    found = (_configuration(), satellite)
    if found in _FOUND:
        return
    with _DOWNLOAD:  # once, not once in each thread
        if not (absent := _absent_tables(satellite)):
            _FOUND.add(found)
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
class _TableFile:
    """A file of pyspectral: where it must be, and its version."""

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


def _absent_tables(satellite: str) -> list[_TableFile]:
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
        _TableFile(
            scattering / f"rayleigh_lut_{ATMOSPHERE}.h5",
            scattering / ATM_CORRECTION_LUT_VERSION[AEROSOL]["filename"],
            ATM_CORRECTION_LUT_VERSION[AEROSOL]["version"],
            HTTPS_RAYLEIGH_LUTS[AEROSOL],
        ),
        _TableFile(
            responses / f"rsr_abi_{_platform(satellite)}.h5",
            responses / RSR_DATA_VERSION_FILENAME,
            RSR_DATA_VERSION,
            HTTP_PYSPECTRAL_RSR,
        ),
    )
    return [table for table in tables if not table.is_there]


@lru_cache(1)
def _download(tables: tuple[_TableFile, ...]) -> str:
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
