"""GOES as a source of scenes: which scans there are, and what one of them shows of a domain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from convml_data.errors import MetaError, SceneError
from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes import calibration, rayleigh, truecolor
from convml_data.sources.goes.abi import AbiFile, Channel
from convml_data.sources.goes.archive import list_scans

#: The channels that each product is made from.
CHANNELS_OF: Mapping[str, tuple[int, ...]] = {
    "truecolor_rgb": (truecolor.BLUE, truecolor.RED, truecolor.VEGETATION),
}

#: How far beyond the domain a window reaches, in pixels of 2 km: enough for bilinear interpolation and
#: for averaging over cells at the domain's edge, on pixels of any channel.
MARGIN = 4
_TWO_KILOMETRES_RAD = 56e-6

#: The share of valid data in a domain is taken from this many points along each of its sides.
_SAMPLES_ALONG_SIDE = 256

#: The coordinate that holds the projection, as in the archive's own files.
GRID_MAPPING = "goes_imager_projection"


@dataclass(frozen=True)
class GoesSource:
    """Radiances of one satellite and sector, set up for a product.

    Parameters
    ----------
    satellite
        ``goes16``, …
    product
        ``truecolor_rgb``.
    sector
        ``F``, ``C``, ``M1`` or ``M2``.
    archive
        URL of the folder or bucket that holds the files.
    rayleigh_correction
        Whether to take Rayleigh scattering off truecolor.

    Raises
    ------
    MetaError
        The product is unknown.
    """

    satellite: str
    product: str
    sector: str
    archive: str
    rayleigh_correction: bool = True

    def __post_init__(self) -> None:
        if self.product not in CHANNELS_OF:
            raise MetaError(f"{self.product!r} is no product of GOES", remedy=f"Use one of {', '.join(CHANNELS_OF)}")

    def find(self, intervals: Sequence[Interval]) -> list[Scan]:
        """All scans in and next to the intervals; see :class:`~convml_data.sources.base.Source`."""
        channels = CHANNELS_OF[self.product]
        return list_scans(self.archive, self.satellite, "L1b", "Rad", self.sector, channels, intervals)

    def read(self, scan: Scan, domain: LocalDomain) -> xr.Dataset:
        """Truecolor over the domain on the grid of channel 2; see :class:`~convml_data.sources.base.Source`.

        Returns
        -------
        Dataset
            ``rgb_truecolor`` with dims (bands, y, x), float32, percent; y descends. Attribute
            ``valid_share`` is the share of the domain's area that has values in all bands: what lies
            beside the sector or the earth counts as not valid.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, or Rayleigh correction lacks its tables.
        SceneError
            A file is broken, or is not what its name says; the files do not show the domain.
        """
        if self.rayleigh_correction:
            rayleigh.require_tables(self.satellite)
        crops = self._crops(scan, domain)
        blue, red, vegetation = (
            truecolor.Reflectances(crop.reflectance(), crop.grid, crop.channel.start) for crop in crops
        )
        scattering = (
            rayleigh.Scattering(self.satellite, crops[1].channel.position) if self.rayleigh_correction else None
        )
        rgb = truecolor.truecolor(blue, red, vegetation, scattering)

        variable = xr.Variable(
            ("bands", "y", "x"),
            rgb,
            {
                "standard_name": "toa_bidirectional_reflectance",
                "long_name": "truecolor reflectance before enhancement",
                "units": "%",
                "grid_mapping": GRID_MAPPING,
            },
        )
        attributes = {
            "valid_share": _valid_share(rgb, red.grid, domain),
            "sun_zenith_correction": truecolor.SUN_ZENITH_CORRECTION,
            "rayleigh_correction": rayleigh.DESCRIPTION if scattering else "not applied",
        }
        return xr.Dataset(
            {"rgb_truecolor": variable},
            {"bands": ["R", "G", "B"], **_grid_coordinates(red.grid), **_channel_coordinates(crops)},
            {**self._scene_attributes(scan, crops), "fixed_grid": json.dumps(red.grid.to_dict()), **attributes},
        )

    def _crops(self, scan: Scan, domain: LocalDomain) -> list[_Crop]:
        """The window over the domain from each channel's file, all over one area."""
        numbers = CHANNELS_OF[self.product]
        # A channel's file takes some ten rounds to the archive, so the channels are read side by side.
        with ExitStack() as stack, ThreadPoolExecutor(len(numbers)) as threads:
            files = list(threads.map(lambda number: stack.enter_context(AbiFile(scan.files[str(number)])), numbers))
            for file, number in zip(files, numbers, strict=True):
                self._check_identity(file, number)
            coarsest = max((file.grid for file in files), key=lambda grid: grid.dx)
            window = window_over(domain, coarsest, round(MARGIN * _TWO_KILOMETRES_RAD / coarsest.dx))
            if window is None:
                raise SceneError(
                    f"the domain of {domain.l_zonal / 1e3:g} x {domain.l_meridional / 1e3:g} km around "
                    f"{domain.central_latitude:g}N {domain.central_longitude:g}E lies outside of sector "
                    f"{self.sector}, which shows {_bounds_in_words(coarsest)} in this scan",
                    where=files[0].url,
                    remedy="Move `domain`, or choose another `sector` or satellite in meta.yaml",
                )
            return list(threads.map(partial(_crop, coarsest=coarsest, window=window), files))

    def _check_identity(self, file: AbiFile, number: int) -> None:
        found = (file.channel.satellite, file.channel.number)
        if found != (self.satellite, number):
            raise SceneError(
                f"the file holds channel {found[1]} of {found[0]}, not channel {number} of {self.satellite}",
                where=file.url,
                remedy="The file is misnamed; fetch it again",
            )

    def _scene_attributes(self, scan: Scan, crops: Sequence[_Crop]) -> dict[str, str | int]:
        return {
            "title": f"{self.product} of {self.satellite}, cropped to a domain",
            "satellite": self.satellite,
            "sector": self.sector,
            "product": self.product,
            "scene_time": scan.start.isoformat(),
            "scan_end": scan.end.isoformat(),
            "scan_mode": "unknown" if scan.mode is None else scan.mode,
            "bytes_read": sum(crop.bytes_read for crop in crops),
            "bytes_whole_files": sum(scan.files[str(crop.channel.number)].size for crop in crops),
            "requests": sum(crop.requests for crop in crops),
        }


@dataclass(frozen=True)
class _Crop:
    """A window of a channel's file and what reading it took."""

    channel: Channel
    grid: FixedGrid
    radiance: calibration.Float32Array
    dqf_shares: Mapping[str, float]
    file_name: str
    bytes_read: int
    requests: int

    def reflectance(self) -> calibration.Float32Array:
        assert self.channel.esun is not None  # of a reflective channel, which AbiFile has seen to
        return calibration.reflectance(self.radiance, self.channel.esun, self.channel.earth_sun_distance)


def _crop(file: AbiFile, coarsest: FixedGrid, window: Window) -> _Crop:
    """``window`` of the coarsest grid from a file of that grid or a finer one."""
    factor = file.grid.coarsening_to(coarsest)
    if factor is None:
        raise SceneError(
            f"the pixels of channel {file.channel.number} do not nest in those of the scan's other files: "
            f"{file.grid} against {coarsest}",
            where=file.url,
            remedy="Leave this scene out: its files are not of one scan of the sector",
        )
    fine_window = window.refined(factor)
    counts, dqf = file.read_counts(fine_window)
    return _Crop(
        file.channel,
        file.grid.cropped(fine_window),
        calibration.radiance(counts, dqf, file.channel.packing),
        calibration.dqf_shares(dqf),
        file.url.rpartition("/")[2],
        file.bytes_read,
        file.requests,
    )


def _valid_share(values: calibration.Float32Array, grid: FixedGrid, domain: LocalDomain) -> float:
    """Share of the domain's area whose nearest pixels have values, from equally spaced points."""
    lon, lat = domain.to_lonlat(*domain.lattice(_SAMPLES_ALONG_SIDE))
    row, column = (np.rint(np.nan_to_num(at, nan=-1)).astype(int) for at in grid.pixel_of(lon, lat))
    inside = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    valid = np.isfinite(values[:, row[inside], column[inside]]).all(axis=0)
    return float(np.count_nonzero(valid) / row.size)


def _bounds_in_words(grid: FixedGrid) -> str:
    rows, columns = (np.linspace(0, n - 1, 33) for n in grid.shape)
    lon, lat = grid.view.lonlat(*np.meshgrid(grid.x0 + grid.dx * columns, grid.y0 + grid.dy * rows))
    east = (lon - grid.view.sub_longitude + 180) % 360 - 180 + grid.view.sub_longitude  # no date line
    if np.isnan(lat).all():
        return "nothing of the earth"
    return f"{np.nanmin(lat):.1f}N to {np.nanmax(lat):.1f}N, {np.nanmin(east):.1f}E to {np.nanmax(east):.1f}E"


def _grid_coordinates(grid: FixedGrid) -> dict[str, xr.Variable]:
    axes = {
        name: xr.Variable(
            name,
            values,
            {
                "standard_name": f"projection_{name}_coordinate",
                "long_name": f"scan angle in {name} times height of the satellite",
                "units": "m",
                "axis": name.upper(),
            },
        )
        for name, values in (("x", grid.x), ("y", grid.y))
    }
    return {**axes, GRID_MAPPING: xr.Variable((), 0, grid.crs.to_cf())}


def _channel_coordinates(crops: Sequence[_Crop]) -> dict[str, xr.Variable]:
    def along_channel(values: Sequence[object], **attributes: str) -> xr.Variable:
        return xr.Variable("channel", np.array(values), attributes)

    channels = [crop.channel for crop in crops]
    shares = {
        f"channel_share_{meaning}": along_channel(
            [crop.dqf_shares[meaning] for crop in crops],
            long_name=f"share of the window's pixels whose data quality flag is {meaning}",
            units="1",
        )
        for meaning in calibration.DQF_MEANINGS
    }
    return {
        "channel": along_channel([channel.number for channel in channels], long_name="ABI channel"),
        "channel_wavelength": along_channel([c.wavelength for c in channels], units="um"),
        "channel_esun": along_channel(
            [c.esun for c in channels], long_name="solar irradiance at one astronomical unit", units="W m-2 um-1"
        ),
        "channel_earth_sun_distance": along_channel([c.earth_sun_distance for c in channels], units="AU"),
        "channel_start_time": along_channel([c.start.isoformat() for c in channels]),
        "channel_end_time": along_channel([c.end.isoformat() for c in channels]),
        "channel_file": along_channel([crop.file_name for crop in crops]),
        "channel_bytes_read": along_channel([crop.bytes_read for crop in crops], units="byte"),
        "channel_valid_share": along_channel(
            [float(np.isfinite(crop.radiance).mean()) for crop in crops],
            long_name="share of the window's pixels that have a radiance",
            units="1",
        ),
        **shares,
    }
