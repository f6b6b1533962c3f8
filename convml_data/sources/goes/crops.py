"""The window of a scan that covers a domain, from the file of each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain
from convml_data.geometry.model_grids import LatLonGrid
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import Scan
from convml_data.sources.goes import calibration
from convml_data.sources.goes.abi import AbiFile, Channel
from convml_data.sources.goes.chunk_tables import ChunkTables
from convml_data.sources.goes.domain_shares import Image
from convml_data.sources.goes.quality import Quality

#: How far beyond the domain a window reaches, in pixels of 2 km: enough for bilinear interpolation and
#: for averaging over cells at the domain's edge, on pixels of any channel.
MARGIN = 4
_TWO_KILOMETRES_RAD = 56e-6


@dataclass(frozen=True)
class Crop:
    """A window of a channel's file and what reading it took.

    Parameters
    ----------
    channel
        What the file says of itself.
    grid
        Of the window.
    counts
        Of radiance, shape of the grid, fill where missing or rejected.
    image
        Where the file has no value.
    rejected
        Where the file has a value whose data quality flag is not one of those kept.
    kept_flags
        The flags that are kept, see :class:`~.quality.Kept`.
    dqf_shares
        Share of the window's pixels with each data quality flag.
    file_name
        Where it came from.
    bytes_read, bytes_fetched, requests
        How much of the file it follows from, and what getting that from the archive took.
    """

    channel: Channel
    grid: FixedGrid
    counts: npt.NDArray[np.integer]
    image: Image
    rejected: npt.NDArray[np.bool_]
    kept_flags: str
    dqf_shares: Mapping[str, float]
    file_name: str
    bytes_read: int
    bytes_fetched: int
    requests: int

    def radiance(self) -> calibration.Float32Array:
        """Spectral radiance, NaN where missing or rejected, see :func:`~.calibration.radiance_table`."""
        return calibration.looked_up(self.counts, calibration.radiance_table(self.channel.packing, self.counts.dtype))

    def reflectance(self) -> calibration.Float32Array:
        """Reflectance factor in percent, of a reflective channel."""
        assert self.channel.esun is not None  # which AbiFile has seen to
        table = calibration.radiance_table(self.channel.packing, self.counts.dtype)
        return calibration.looked_up(
            self.counts, calibration.reflectance(table, self.channel.esun, self.channel.earth_sun_distance)
        )

    def brightness_temperature(self) -> calibration.Float32Array:
        """Brightness temperature in kelvin, of an emissive channel."""
        assert self.channel.planck is not None  # which AbiFile has seen to
        table = calibration.brightness_temperature_table(self.channel.packing, self.counts.dtype, self.channel.planck)
        return calibration.looked_up(self.counts, table)

    @property
    def valid_share(self) -> float:
        """Share of the window's pixels that have a radiance."""
        without = np.count_nonzero(self.image.missing) + np.count_nonzero(self.rejected)
        return float((self.rejected.size - without) / self.rejected.size)


def read_crops(
    scan: Scan,
    satellite: str,
    sector: str,
    channels: Sequence[int],
    domain: Domain,
    quality: Quality,
    tables: ChunkTables | None = None,
) -> tuple[Crop, ...]:
    """The window over a domain from each channel's file, all over exactly one area.

    Raises
    ------
    ArchiveError
        The archive cannot be reached.
    SceneError
        A file is broken or not what its name says, or lacks a data quality flag that was asked for, or
        the files do not show the domain.
    """
    # A channel's file takes some ten rounds to the archive, so the channels are read side by side.
    with ExitStack() as stack, ThreadPoolExecutor(len(channels)) as threads:
        opened = threads.map(lambda number: AbiFile(scan.files[str(number)], tables), channels)
        files = [stack.enter_context(file) for file in opened]
        for file, number in zip(files, channels, strict=True):
            _check_identity(file, satellite, number)
        coarsest = max((file.grid for file in files), key=lambda grid: grid.dx)
        window = require_window(domain, coarsest, sector, files[0].url)
        crops = tuple(threads.map(partial(_crop, coarsest=coarsest, window=window, quality=quality), files))
        for file in files:
            file.keep_table()
        return crops


def require_window(domain: Domain, grid: FixedGrid | LatLonGrid, sector: str, url: str) -> Window:
    """The part of a file's pixels that covers a domain and a margin.

    Raises
    ------
    SceneError
        The file, which ``url`` names, shows nothing of the domain.
    """
    pixels = round(MARGIN * _TWO_KILOMETRES_RAD / grid.dx) if isinstance(grid, FixedGrid) else 1
    window = window_over(domain, grid, max(pixels, 1))
    if window is None:
        lon, lat = (float(degrees) for degrees in domain.to_world(0, 0))
        raise SceneError(
            f"the domain of {domain.l_zonal / 1e3:g} x {domain.l_meridional / 1e3:g} km around "
            f"{lat:g}N {lon:g}E lies outside of sector {sector}, which shows {_bounds_in_words(grid)} in this scan",
            where=url,
            remedy="Move `domain`, or choose another `sector` or satellite in meta.yaml",
        )
    return window


def _check_identity(file: AbiFile, satellite: str, number: int) -> None:
    found = (file.channel.satellite, file.channel.number)
    if found != (satellite, number):
        raise SceneError(
            f"the file holds channel {found[1]} of {found[0]}, not channel {number} of {satellite}",
            where=file.url,
            remedy="The file is misnamed; fetch it again",
        )


def _crop(file: AbiFile, coarsest: FixedGrid, window: Window, quality: Quality) -> Crop:
    """``window`` of the coarsest grid from a file of that grid or a finer one."""
    factor = file.grid.coarsening_to(coarsest)
    if factor is None:
        raise SceneError(
            f"the pixels of channel {file.channel.number} do not nest in those of the scan's other files: "
            f"{file.grid} against {coarsest}",
            where=file.url,
            remedy="Leave this scene out: its files are not of one scan of the sector",
        )
    kept = file.channel.flags.kept(quality, (), file.url)
    fine_window = window.refined(factor)
    counts, dqf = file.read_counts(fine_window)
    told = calibration.sort_out(counts, dqf, file.channel.packing, kept.table)
    grid = file.grid.cropped(fine_window)
    return Crop(
        channel=file.channel,
        grid=grid,
        counts=told.counts,
        image=Image(file.grid, grid, told.missing),
        rejected=told.rejected,
        kept_flags=kept.text,
        dqf_shares=told.dqf_shares,
        file_name=file.file_name,
        bytes_read=file.bytes_read,
        bytes_fetched=file.bytes_fetched,
        requests=file.requests,
    )


def _bounds_in_words(grid: FixedGrid | LatLonGrid) -> str:
    if isinstance(grid, FixedGrid):
        rows, columns = (np.linspace(0, n - 1, 33) for n in grid.shape)
        lon, lat = grid.view.lonlat(*np.meshgrid(grid.x0 + grid.dx * columns, grid.y0 + grid.dy * rows))
        east = (lon - grid.view.sub_longitude + 180) % 360 - 180 + grid.view.sub_longitude  # no date line
    else:
        east, lat = grid.lon, grid.lat
    if np.isnan(lat).all():
        return "nothing of the earth"
    return f"{np.nanmin(lat):.1f}N to {np.nanmax(lat):.1f}N, {np.nanmin(east):.1f}E to {np.nanmax(east):.1f}E"
