"""GOES as a source of scenes: which scans there are, and what one of them shows of a domain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalDomain
from convml_data.meta.products import Channels, Truecolor, parse_product
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes import calibration, rayleigh
from convml_data.sources.goes.archive import list_scans
from convml_data.sources.goes.crops import Crop, read_crops
from convml_data.sources.goes.fields import make_channels, make_truecolor

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
        As :func:`~convml_data.meta.products.parse_product` reads it.
    sector
        ``F``, ``C``, ``M1`` or ``M2``.
    archive
        URL of the folder or bucket that holds the files.
    rayleigh_correction
        Whether to take Rayleigh scattering off truecolor.
    """

    satellite: str
    product: str
    sector: str
    archive: str
    rayleigh_correction: bool = True

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels that the product is made from, each once."""
        return parse_product(self.product).channels

    def find(self, intervals: Sequence[Interval]) -> list[Scan]:
        """All scans in and next to the intervals; see :class:`~convml_data.sources.base.Source`."""
        return list_scans(self.archive, self.satellite, "L1b", "Rad", self.sector, self.channels, intervals)

    def read(self, scan: Scan, domain: LocalDomain) -> xr.Dataset:
        """The product over the domain on the grid of its finest channel; see :class:`~convml_data.sources.base.Source`.

        Returns
        -------
        Dataset
            One variable with dims (y, x) or (bands, y, x), float32; y descends. Attribute ``valid_share``
            is the share of the domain's area that has values in all bands: what lies beside the sector
            or the earth counts as not valid.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, or Rayleigh correction lacks its tables.
        SceneError
            A file is broken, or is not what its name says; the files do not show the domain.
        """
        product = parse_product(self.product)
        if isinstance(product, Truecolor) and self.rayleigh_correction:
            rayleigh.require_tables(self.satellite)
        crops = read_crops(scan, self.satellite, self.sector, self.channels, domain)
        made = (
            make_channels(crops, product)
            if isinstance(product, Channels)
            else make_truecolor(crops, self.satellite, self.rayleigh_correction)
        )
        variable = made.variable
        return xr.Dataset(
            {made.name: (variable.dims, variable.values, {**variable.attrs, "grid_mapping": GRID_MAPPING})},
            {**made.coordinates, **_grid_coordinates(made.grid), **_channel_coordinates(crops)},
            {
                **self._scene_attributes(scan, crops),
                "fixed_grid": json.dumps(made.grid.to_dict()),
                "valid_share": _valid_share(variable.values, made.grid, domain),
                **made.attributes,
            },
        )

    def _scene_attributes(self, scan: Scan, crops: Sequence[Crop]) -> dict[str, str | int]:
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


def _valid_share(values: calibration.Float32Array, grid: FixedGrid, domain: LocalDomain) -> float:
    """Share of the domain's area whose nearest pixels have values, from equally spaced points."""
    lon, lat = domain.to_lonlat(*domain.lattice(_SAMPLES_ALONG_SIDE))
    row, column = (np.rint(np.nan_to_num(at, nan=-1)).astype(int) for at in grid.pixel_of(lon, lat))
    inside = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    bands = values.reshape(-1, *grid.shape)
    valid = np.isfinite(bands[:, row[inside], column[inside]]).all(axis=0)
    return float(np.count_nonzero(valid) / row.size)


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


def _channel_coordinates(crops: Sequence[Crop]) -> dict[str, xr.Variable]:
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
            [np.nan if c.esun is None else c.esun for c in channels],
            long_name="solar irradiance at one astronomical unit",
            units="W m-2 um-1",
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
